// The cpu machine: the host loops in float, with what is hot replaced.
#pragma once

#include <memory>

#include "backend/host/host_backend.h"

namespace gsnet::cpu {

class ConvLibrary;
struct SeriesMachine;

class CpuBackend final : public host::HostBackend<float> {
 public:
  /// threads 0: one a core.
  explicit CpuBackend(int threads);
  ~CpuBackend() override;

  std::string name() const override { return "cpu"; }
  std::string description() const override;
  Arithmetic arithmetic() const override;
  bool multiplies(Precision precision) const override;

  void conv2d(const Tensor& x, const Tensor& w, const ConvEpilogue<Tensor>& after, const ConvSpec& spec,
              Tensor& y) override;
  void conv2d_dgrad(const Tensor& dy, const Tensor& w, const ConvSpec& spec, Tensor& dx) override;
  void conv2d_wgrad(const Tensor& x, const Tensor& dy, const ConvSpec& spec, Tensor& dw) override;

  void conv_exp(const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y, SeriesSaved* saved) override;
  void conv_exp_backward(const Tensor& x, Tensor k, const SeriesSpec& spec, const SeriesSaved& saved, const Tensor& dy,
                         Tensor* dx, Tensor* dk) override;

  void conv_exp_between(const Tensor& x, const Tensor& k, const SeriesSpec& spec, const SeriesEnds& ends, Tensor& y,
                        SeriesSaved* saved) override;
  void conv_exp_between_backward(Tensor x, Tensor k, const SeriesSpec& spec, const SeriesEnds& ends,
                                 const SeriesSaved& saved, const Tensor& dy, Tensor* dx, Tensor* dk) override;

  void gram_norm(const Tensor& k, int64_t groups, Tensor& s, GramSaved* saved) override;
  void gram_norm_backward(const Tensor& k, const Tensor& s, const GramSaved& saved, const Tensor& ds,
                          Tensor& dk) override;
  void four_forms(const Tensor& k, int64_t groups, int iterations, FourForms& forms, Tensor& s,
                  Tensor& smallest) override;
  void four_forms_backward(const FourForms& forms, const Tensor& smallest, const Tensor& ds, Tensor& dk) override;

 protected:
  void gemm(const GemmShape& shape, const float* a, const float* b, float* y) override;

 private:
  bool library_series(const Tensor& x) const;

  std::unique_ptr<ConvLibrary> convs_;
  std::unique_ptr<SeriesMachine> series_;
};

}  // namespace gsnet::cpu
