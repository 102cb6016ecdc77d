// A machine that runs every kernel on two machines and compares.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/check/arguments.h"

namespace gsnet {

class CheckBackend final : public Backend {
 public:
  CheckBackend(std::unique_ptr<Backend> first, std::unique_ptr<Backend> second);

  std::string name() const override { return "check:" + first_->name() + "," + second_->name(); }
  std::string description() const override;
  Device device() const override { return first_->device(); }
  DType dtype() const override { return first_->dtype(); }
  Arithmetic arithmetic() const override { return first_->arithmetic(); }
  bool multiplies(Precision precision) const override {
    return first_->multiplies(precision) && second_->multiplies(precision);
  }
  const std::shared_ptr<Allocator>& memory() const override { return first_->memory(); }
  void synchronise() override { first_->synchronise(); }
  Tensor upload(const Tensor& host) override { return first_->upload(host); }
  Tensor download(const Tensor& x) override { return first_->download(x); }
  void assign(const Tensor& host, Tensor& y) override { first_->assign(host, y); }

  void conv2d(const Tensor& x, const Tensor& w, const ConvEpilogue<Tensor>& after, const ConvSpec& spec,
              Tensor& y) override;
  void conv2d_dgrad(const Tensor& dy, const Tensor& w, const ConvSpec& spec, Tensor& dx) override;
  void conv2d_wgrad(const Tensor& x, const Tensor& dy, const ConvSpec& spec, Tensor& dw) override;
  void conv_exp(const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y, SeriesSaved* saved) override;
  void conv_exp_between(const Tensor& x, const Tensor& k, const SeriesSpec& spec, const SeriesEnds& ends, Tensor& y,
                        SeriesSaved* saved) override;
  void conv_exp_between_backward(Tensor x, Tensor k, const SeriesSpec& spec, const SeriesEnds& ends,
                                 const SeriesSaved& saved, const Tensor& dy, Tensor* dx, Tensor* dk) override;
  void conv_exp_backward(const Tensor& x, Tensor k, const SeriesSpec& spec, const SeriesSaved& saved, const Tensor& dy,
                         Tensor* dx, Tensor* dk) override;
  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& y) override;
  void matrix_exp(const Tensor& a, Tensor& e) override;
  void matrix_exp_backward(const Tensor& a, const Tensor& de, Tensor& da) override;
  void cayley(const Tensor& a, Tensor& q) override;
  void cayley_backward(const Tensor& a, const Tensor& q, const Tensor& dq, Tensor& da) override;
  void normalise_rows(const Tensor& w, Tensor& y) override;
  void normalise_rows_backward(const Tensor& w, const Tensor& dy, Tensor& dw) override;
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
  void clip(double low, double high, const Tensor& x, Tensor& y) override;
  void clip_backward(double low, double high, const Tensor& x, const Tensor& dy, Tensor& dx) override;
  void prelu(const Tensor& x, const Tensor& slope, Tensor& y) override;
  void prelu_backward(const Tensor& x, const Tensor& slope, const Tensor& dy, Tensor* dx, Tensor* dslope) override;
  void softmax(const Tensor& x, Tensor& y) override;
  void softmax_backward(const Tensor& y, const Tensor& dy, Tensor& dx) override;
  void maxmin(const MaxMinSpec& spec, const Tensor& x, Tensor& y) override;
  void maxmin_backward(const MaxMinSpec& spec, const Tensor& x, const Tensor& dy, Tensor& dx) override;
  void maxmin_order(const MaxMinSpec& spec, const Tensor& x, Tensor& order) override;
  void exchange_pairs(Pairing pairing, const Tensor& order, const Tensor& x, Tensor& y) override;
  void group_sort(int64_t size, const Tensor& x, Tensor& y) override;
  void group_sort_backward(int64_t size, const Tensor& x, const Tensor& dy, Tensor& dx) override;
  void householder(Pairing pairing, const Tensor& x, const Tensor& theta, Tensor& y) override;
  void householder_backward(Pairing pairing, const Tensor& x, const Tensor& theta, const Tensor& dy, Tensor& dx,
                            Tensor& dtheta) override;
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
  void pool(const PoolSpec& spec, const Tensor& x, Tensor& y) override;
  void pool_backward(const PoolSpec& spec, const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) override;
  void sum_to_channels(const Tensor& x, Tensor& y) override;
  void sum(const Tensor& x, Tensor& y) override;
  double sum_of_squares(const Tensor& x) override;
  void row_norms(const Tensor& x, Tensor& y) override;
  std::vector<double> sample_norms(const Tensor& x) override { return first_->sample_norms(x); }
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
  void rotate(const RotationSpec& spec, const Tensor& x, const Tensor& q, Tensor& y) override;
  void rotate_backward(const RotationSpec& spec, const Tensor& x, const Tensor& dy, Tensor& dq) override;
  void skew_from_triangle(const Tensor& v, Tensor& k) override;
  void skew_from_triangle_backward(const Tensor& dk, Tensor& dv) override;
  void scale_rows(const Tensor& x, const Tensor& s, Tensor& y) override;
  void scale_rows_backward(const Tensor& x, const Tensor& dy, Tensor& ds) override;

 private:
  using Arguments = check::Arguments;
  using Call = std::function<void(Backend&, Arguments&)>;
  /// Calls on the second machine with copies, then on the first, then compares what both wrote.
  void both(const char* op, const Call& call);

  std::unique_ptr<Backend> first_, second_;
};

}  // namespace gsnet
