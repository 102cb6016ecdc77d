// Every kernel as plain loops over host memory, for any scalar. `reference` is this in double; `cpu` is this in float
// with the hot kernels replaced. One class a family, each adding its kernels to the one before, so that a family is
// declared and compiled by itself.
#pragma once

#include <limits>
#include <vector>
#include "backend/backend.h"

namespace gsnet::host {

/// Device, memory and threads; the matrix product that the dense kernels stand on.
template <class T>
class HostMemory : public Backend {
 public:
  /// threads 0: one a core.
  explicit HostMemory(int threads);

  Device device() const override { return {}; }
  DType dtype() const override { return dtype_of<T>(); }
  Arithmetic arithmetic() const override {
    return {.unit_roundoff = std::numeric_limits<T>::epsilon() / 2, .horner = false};
  }
  const std::shared_ptr<Allocator>& memory() const override { return memory_; }
  void synchronise() override {}
  Tensor upload(const Tensor& host) override;
  Tensor download(const Tensor& x) override;
  void assign(const Tensor& host, Tensor& y) override;

 protected:
  int threads() const { return threads_; }

  /// y (batch, rows, columns) = op(a) op(b), row-major, inner extent `inner`.
  struct GemmShape {
    int64_t batch, rows, columns, inner;
    bool transpose_a = false, transpose_b = false;
  };
  virtual void gemm(const GemmShape& shape, const T* a, const T* b, T* y);

 private:
  int threads_;
  std::shared_ptr<Allocator> memory_;
};

/// Direct convolution, and the series composed from it.
template <class T>
class HostConv : public HostMemory<T> {
 public:
  using HostMemory<T>::HostMemory;

  void conv2d(const Tensor& x, const Tensor& w, const ConvEpilogue<Tensor>& after, const ConvSpec& spec,
              Tensor& y) override;
  void conv2d_dgrad(const Tensor& dy, const Tensor& w, const ConvSpec& spec, Tensor& dx) override;
  void conv2d_wgrad(const Tensor& x, const Tensor& dy, const ConvSpec& spec, Tensor& dw) override;

  void conv_exp(const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y, SeriesSaved* saved) override;
  void conv_exp_backward(const Tensor& x, Tensor k, const SeriesSpec& spec, const SeriesSaved& saved, const Tensor& dy,
                         Tensor* dx, Tensor* dk) override;
};

/// Products, exponentials and Cayley transforms of small matrices.
template <class T>
class HostLinalg : public HostConv<T> {
 public:
  using HostConv<T>::HostConv;

  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& y) override;
  void matrix_exp(const Tensor& a, Tensor& e) override;
  void matrix_exp_backward(const Tensor& a, const Tensor& de, Tensor& da) override;
  void cayley(const Tensor& a, Tensor& q) override;
  void cayley_backward(const Tensor& a, const Tensor& q, const Tensor& dq, Tensor& da) override;
  void normalise_rows(const Tensor& w, Tensor& y) override;
  void normalise_rows_backward(const Tensor& w, const Tensor& dy, Tensor& dw) override;
};

/// Skew part, norms and scaling of kernels.
template <class T>
class HostKernelNorm : public HostLinalg<T> {
 public:
  using HostLinalg<T>::HostLinalg;

  void skew(const Tensor& w, int64_t groups, Tensor& k) override;
  void gram_norm(const Tensor& k, int64_t groups, Tensor& s, GramSaved* saved) override;
  void gram_norm_backward(const Tensor& k, const Tensor& s, const GramSaved& saved, const Tensor& ds,
                          Tensor& dk) override;
  void four_forms(const Tensor& k, int64_t groups, int iterations, FourForms& forms, Tensor& s,
                  Tensor& smallest) override;
  void four_forms_backward(const FourForms& forms, const Tensor& smallest, const Tensor& ds, Tensor& dk) override;
  void stretch(const Tensor& k, int64_t groups, const Tensor& v, Tensor& u, Tensor& s) override;
  void stretch_backward(const Tensor& v, const Tensor& u, const Tensor& ds, Tensor& dk) override;
  void scale_groups(const Tensor& k, const Tensor& s, double numerator, double epsilon, Tensor& y) override;
  void scale_groups_backward(const Tensor& k, const Tensor& s, double numerator, double epsilon, const Tensor& dy,
                             Tensor& ds) override;
};

/// Elementwise kernels and activations.
template <class T>
class HostEltwise : public HostKernelNorm<T> {
 public:
  using HostKernelNorm<T>::HostKernelNorm;

  void fill(double value, Tensor& y) override;
  void copy(const Tensor& x, Tensor& y) override;
  void unary(UnaryOp op, const Tensor& x, Tensor& y) override;
  void unary_backward(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) override;
  void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) override;
  void axpby(double alpha, const Tensor& x, double beta, const Tensor& z, Tensor& y) override;
  void scale(double alpha, const Tensor& x, Tensor& y) override;
  void add_bias(const Tensor& x, const Tensor& b, Tensor& y) override;
  void scale_channels(const Tensor& x, const Tensor& a, Tensor& y) override;
  void scale_shift(const Tensor& x, const Tensor& a, const Tensor& b, Tensor& y) override;
  void scale_maps(const Tensor& x, const Tensor& a, Tensor& y) override;
  void maxmin(const MaxMinSpec& spec, const Tensor& x, Tensor& y) override;
  void maxmin_backward(const MaxMinSpec& spec, const Tensor& x, const Tensor& dy, Tensor& dx) override;
  void maxmin_order(const MaxMinSpec& spec, const Tensor& x, Tensor& order) override;
  void exchange_pairs(Pairing pairing, const Tensor& order, const Tensor& x, Tensor& y) override;
  void group_sort(int64_t size, const Tensor& x, Tensor& y) override;
  void group_sort_backward(int64_t size, const Tensor& x, const Tensor& dy, Tensor& dx) override;
  void householder(Pairing pairing, const Tensor& x, const Tensor& theta, Tensor& y) override;
  void householder_backward(Pairing pairing, const Tensor& x, const Tensor& theta, const Tensor& dy, Tensor& dx,
                            Tensor& dtheta) override;
};

/// Activations of plain networks.
template <class T>
class HostActivations : public HostEltwise<T> {
 public:
  using HostEltwise<T>::HostEltwise;

  void clip(double low, double high, const Tensor& x, Tensor& y) override;
  void clip_backward(double low, double high, const Tensor& x, const Tensor& dy, Tensor& dx) override;
  void prelu(const Tensor& x, const Tensor& slope, Tensor& y) override;
  void prelu_backward(const Tensor& x, const Tensor& slope, const Tensor& dy, Tensor* dx, Tensor* dslope) override;
  void softmax(const Tensor& x, Tensor& y) override;
  void softmax_backward(const Tensor& y, const Tensor& dy, Tensor& dx) override;
};

/// Channel maps, pixel shuffles, layouts.
template <class T>
class HostChannels : public HostActivations<T> {
 public:
  using HostActivations<T>::HostActivations;

  void map_channels(const ChannelMap& map, const Tensor& x, Tensor& y) override;
  void space_to_depth(int64_t block, const Tensor& x, Tensor& y) override;
  void depth_to_space(int64_t block, const Tensor& x, Tensor& y) override;
  void concat(std::span<const Tensor> x, Tensor& y) override;
  void pad(const std::array<int64_t, 4>& sides, double value, const Tensor& x, Tensor& y) override;
  void crop(const std::array<int64_t, 4>& sides, const Tensor& x, Tensor& y) override;
  void permute(std::span<const int64_t> axes, const Tensor& x, Tensor& y) override;
  void convert_layout(const Tensor& x, Tensor& y) override;
  void gather_rows(const Tensor& x, const Tensor& index, Tensor& y) override;
  void scatter_rows(const Tensor& dy, const Tensor& index, Tensor& dx) override;
};

/// Pooling.
template <class T>
class HostPool : public HostChannels<T> {
 public:
  using HostChannels<T>::HostChannels;

  void pool(const PoolSpec& spec, const Tensor& x, Tensor& y) override;
  void pool_backward(const PoolSpec& spec, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) override;
};

/// Reductions, losses, optimiser steps.
template <class T>
class HostTraining : public HostPool<T> {
 public:
  using HostPool<T>::HostPool;

  void sum_to_channels(const Tensor& x, Tensor& y) override;
  void sum(const Tensor& x, Tensor& y) override;
  double sum_of_squares(const Tensor& x) override;
  void row_norms(const Tensor& x, Tensor& y) override;
  std::vector<double> sample_norms(const Tensor& x) override;

  void cross_entropy(const CrossEntropySpec& spec, const Tensor& z, const Tensor& labels, Tensor& loss,
                     Tensor& p) override;
  void cross_entropy_backward(const Tensor& p, const Tensor& labels, const Tensor& dloss, Tensor& dz) override;
  void margin(const Tensor& z, const Tensor& labels, Tensor& margin, Tensor& rival) override;
  void margin_backward(const Tensor& labels, const Tensor& rival, const Tensor& dmargin, Tensor& dz) override;
  void margin_softmax(const MarginSoftmaxSpec& spec, const Tensor& z, const Tensor& labels, const Tensor& raise,
                      const Tensor& lower, Tensor& loss, Tensor& p, Tensor& slope) override;
  void margin_softmax_backward(const MarginSoftmaxSpec& spec, const Tensor& p, const Tensor& slope,
                               const Tensor& labels, const Tensor& dloss, Tensor& dz) override;

  void sgd_step(const SgdSpec& spec, const Tensor& pace, const Tensor& dw, Tensor& w, Tensor& v) override;
  void adamw_step(const AdamWSpec& spec, const Tensor& pace, const Tensor& dw, Tensor& w, Tensor& m,
                  Tensor& v) override;
};

/// Rotations by small blocks.
template <class T>
class HostRotation : public HostTraining<T> {
 public:
  using HostTraining<T>::HostTraining;

  void rotate(const RotationSpec& spec, const Tensor& x, const Tensor& q, Tensor& y) override;
  void rotate_backward(const RotationSpec& spec, const Tensor& x, const Tensor& dy, Tensor& dq) override;
  void skew_from_triangle(const Tensor& v, Tensor& k) override;
  void skew_from_triangle_backward(const Tensor& dk, Tensor& dv) override;
  void scale_rows(const Tensor& x, const Tensor& s, Tensor& y) override;
  void scale_rows_backward(const Tensor& x, const Tensor& dy, Tensor& ds) override;
};

/// All of them.
template <class T>
using HostBackend = HostRotation<T>;

}  // namespace gsnet::host
