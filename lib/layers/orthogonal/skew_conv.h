// SkewConv: an orthogonal convolution, exp of a skew-symmetric kernel's convolution.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "layers/module.h"
#include "layers/orthogonal/coefficients.h"
#include "layers/orthogonal/skew_weight.h"

namespace gsnet {

/// How surplus channels are dropped and missing ones filled with zeros.
enum class ChannelFit : uint8_t {
  per_group,  ///< within each group: every group is read and every group reaches the output
  head,       ///< the reference code: the first ones are kept, zeros appended at the end; whole groups may be lost
};

struct SkewConvSpec {
  int64_t out_channels = 0;
  int64_t kernel = 3;  ///< odd
  int64_t stride = 1;  ///< by space-to-depth
  int64_t groups = 1;
  /// Channel shuffle with this many groups before the layer (1: none). With the `head` fit it is left out where it does
  /// not divide the channels, as in the reference code.
  int64_t shuffle = 1;
  bool paired = true;  ///< the shuffle moves neighbouring pairs together
  ChannelFit fit = ChannelFit::per_group;
  ScaleKind scale = ScaleKind::gram;
  double norm = 2.1;  ///< gram: |J| <= norm; stretch: |J| about norm (1.05); four_forms: the correction (0.7)
  SeriesForm train{SeriesFamily::chebyshev, 5};     ///< stretch: off by 1e-2 at most
  SeriesForm evaluate{SeriesFamily::chebyshev, 9};  ///< stretch: by 1e-6
  SeriesSave save = SeriesSave::iterates;           ///< what training keeps of the series for the backward pass
  bool bias = true;

  static SkewConvSpec from(const Attributes& attributes);
  bool operator==(const SkewConvSpec&) const = default;
};

/// y = fit(exp(J) fit(space_to_depth(shuffle(x)))) + bias. Singla and Feizi, "Skew Orthogonal Convolutions" (ICML
/// 2021); grouped and shuffled: arXiv 2406.10019. An isometry where no channel is dropped, 1-Lipschitz always: in
/// evaluation |p(J)| <= 1 is proven for the coefficients used and the bound of |J| that holds (lipschitz()). A 1x1
/// kernel is one exponential of a small matrix a group and one 1x1 convolution, in training too where that is cheaper
/// than the series over the pixels.
class SkewConv final : public UnaryModule {
 public:
  SkewConv(const SkewConvSpec& spec, const BuildContext& context);

  using UnaryModule::cost;
  using UnaryModule::forward;
  using UnaryModule::output_shape;
  Var forward(Tape& tape, const Var& x) override { return forward_between(tape, x, before_, nullptr); }
  /// next(this layer), what `next`, of 1x1 kernels and stride 1, does to channels before its exponential being done
  /// where this layer puts its own.
  Var forward_then(Tape& tape, const Var& x, SkewConv& next);
  Shape output_shape(const Shape& x) const override;
  Cost cost(const Shape& x) const override;
  LayerBound lipschitz(const Shape& x) const override;
  RoundingBound rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const override;
  Emitter::Value emit(Emitter& emitter, std::span<const Emitter::Value> x,
                      std::span<const Shape> shapes) const override;
  void visit(const std::string& path, Visitor& visitor) override;

  /// Channels of the square operator inside: the larger of input (after space-to-depth) and output.
  int64_t inner_channels() const { return inner_; }
  /// The kernel J is made of, as evaluation uses it: (C, C/g, k, k).
  Tensor evaluation_kernel() const;
  /// A 1x1 kernel's whole layer in evaluation, without its bias: (out channels, in channels stride stride), whose
  /// columns are ordered as by space-to-depth. On the host in f32.
  Tensor emitted_matrix() const;
  /// The same of the bias, nothing where there is none.
  std::optional<Tensor> emitted_bias() const;
  /// |f(0)| for inputs of this shape: the norm of the bias as a map.
  UpperBound offset(const Shape& x) const;

 private:
  /// then(this layer) of x, with `before` in place of this layer's own; then: null for nothing.
  Var forward_between(Tape& tape, const Var& x, const ChannelMap& before, const ChannelMap* then);
  /// The series to take for inputs (N, C, H, W), or null where a matrix is better.
  const SeriesSpec* series_for(const TapeMode& mode, const Shape& x, const Var& k);
  /// The same in fast evaluation, of the series' own input: within 1e-6 of the series as written, by whatever is
  /// fastest for the images that have come so far.
  const SeriesSpec* fast_series(const TapeMode& mode, const Shape& x, const Var& k);
  /// exp(J) of a 1x1 kernel, (C, C/g, 1, 1).
  Var small_exponential(Tape& tape, const Var& k);
  /// exp(J) as one matrix a group.
  Var dense_exponential(const Var& x, const Var& k);
  /// exp(J) on maps of side x side, (C s s, C/g s s, 1, 1): channels in the order of space-to-depth.
  Tensor dense_matrix(const Tensor& k, const SeriesSpec& series, int64_t side) const;
  Emitter::Value emit_exponential(Emitter& emitter, Emitter::Value x, const Shape& map, const Tensor* bias) const;
  /// exp(K) of a 1 x 1 kernel as executed, on the host: (groups, m, m).
  Tensor executed_exponential(const Tensor& k) const;
  /// Of maps (C, H, W).
  LayerBound operator_bound(const Tensor& k, const Shape& map) const;

  SkewConvSpec spec_;
  Backend& backend_;
  int64_t inner_ = 0;
  ChannelMap before_, after_;
  std::array<SeriesSpec, std::size(kPrecisions)> train_series_, kept_series_;  // by precision; TapeMode::keep_inputs
  SeriesSpec evaluate_series_, fast_evaluate_series_;
  mutable Weight kernel_;
  Parameter bias_;
  Tensor kept_exponential_;  // of the evaluation kernel, 1x1 only
  Tensor kept_of_;
  struct FastEvaluation {
    Tensor of;           ///< the kernel
    Shape map;           ///< (H, W)
    int64_t images = 0;  ///< evaluated with it so far
    Tensor dense;
    SeriesSpec series;  ///< economised, its kernel kept, once |J| has been bounded
  };
  FastEvaluation fast_;
};

}  // namespace gsnet
