#include "layers/orthogonal/skew_conv.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "autograd/ops.h"
#include "core/error.h"
#include "layers/bounds.h"
#include "layers/conv_bounds.h"

namespace gsnet {
namespace {

/// An expansion of the series below this is not worth a sharper and dearer bound of |J|.
constexpr double kHarmlessExpansion = 1e-6;

SeriesForm series_from(const Attributes& attributes, const std::string& prefix, SeriesForm form) {
  if (attributes.find(prefix + "_series") != nullptr) {
    form.family = attributes.choice(prefix + "_series", {"taylor", "chebyshev"}) == 0 ? SeriesFamily::taylor
                                                                                      : SeriesFamily::chebyshev;
  }
  form.degree = static_cast<int>(attributes.integer(prefix + "_degree", form.degree));
  return form;
}

/// How far a fast evaluation may be from the series as written, in units of its input, and the images a channel of a
/// group after which bounding |J| for it has paid.
constexpr double kEconomyError = 1e-6;
constexpr int64_t kBoundImages = 10;

/// Pixels of the largest map of which the whole exponential is less work than its series: by a factor of 5 at 2 x 2, by
/// next to nothing at 4 x 4.
constexpr int64_t kDensePixels = 4;

double standard_norm(const SkewConvSpec& spec) {
  if (spec.kernel == 1) return 1;
  return spec.scale == ScaleKind::gram ? 2.1 : spec.scale == ScaleKind::stretch ? 1.05 : 0.7;
}

/// How far |J| may be above a stretch for the coefficients to be made for it, and how far these may be from exp.
constexpr double kStretchMargin = 1.1, kTrainError = 1e-2, kEvaluationError = 1e-6;

/// How far an input that is made again may be from what it was, as a share, for |J| so far above what is expected: a
/// stretch follows its kernel by one round of the power method a step.
constexpr double kInverseError = 1e-5, kInverseMargin = 1.25;

/// |J| that is expected, for the coefficients.
double design_radius(const SkewConvSpec& spec) {
  if (spec.scale == ScaleKind::stretch) return kStretchMargin * spec.norm;
  return spec.scale == ScaleKind::gram ? spec.norm : spec.norm * static_cast<double>(spec.kernel);
}

/// Shuffle of the layer's input channels, as a map of what space-to-depth made of them.
ChannelMap shuffled(int64_t channels, const SkewConvSpec& spec) {
  const int64_t area = spec.stride * spec.stride, unit = spec.paired ? 2 : 1;
  const bool as_reference = spec.fit == ChannelFit::head;  // whose first layer, of three channels, has none
  if (spec.shuffle <= 1 || (as_reference && channels % (spec.shuffle * unit) != 0))
    return ChannelMap::head(channels * area, channels * area);
  const ChannelMap plain = ChannelMap::shuffle(channels, spec.shuffle, spec.paired);
  std::vector<int32_t> source;
  for (int32_t from : plain.source()) {
    for (int64_t i = 0; i < area; ++i) source.push_back(static_cast<int32_t>(from * area + i));
  }
  return {channels * area, std::move(source)};
}

ChannelMap fitted(int64_t from, int64_t to, const SkewConvSpec& spec) {
  return spec.fit == ChannelFit::head ? ChannelMap::head(from, to) : ChannelMap::per_group(from, to, spec.groups);
}

}  // namespace

SkewConvSpec SkewConvSpec::from(const Attributes& attributes) {
  attributes.allow_only({"channels", "kernel", "stride", "groups", "shuffle", "paired", "fit", "scale", "norm",
                         "train_series", "train_degree", "eval_series", "eval_degree", "save", "bias"});
  SkewConvSpec spec;
  spec.out_channels = attributes.integer("channels");
  spec.kernel = attributes.integer("kernel", spec.kernel);
  spec.stride = attributes.integer("stride", spec.stride);
  spec.groups = attributes.integer("groups", spec.groups);
  spec.shuffle = attributes.integer("shuffle", spec.shuffle);
  spec.paired = attributes.flag("paired", spec.paired);
  if (attributes.find("fit") != nullptr) {
    spec.fit = attributes.choice("fit", {"per_group", "head"}) == 0 ? ChannelFit::per_group : ChannelFit::head;
  }
  if (attributes.find("scale") != nullptr) {
    constexpr ScaleKind kKinds[] = {ScaleKind::gram, ScaleKind::stretch, ScaleKind::four_forms};
    spec.scale = kKinds[attributes.choice("scale", {"gram", "stretch", "four_forms"})];
  }
  spec.norm = attributes.number("norm", standard_norm(spec));
  GSNET_CHECK(std::isfinite(spec.norm) && spec.norm > 0, fmt::format("norm must be positive, got {}", spec.norm));
  const auto shortest = [&](const char* series, SeriesForm& form, double error) {
    const AttributeValue* family = attributes.find(series);
    const bool other = family != nullptr && *family != AttributeValue(std::string("chebyshev"));
    if (spec.scale == ScaleKind::stretch && !other) form.degree = chebyshev_degree(design_radius(spec), error);
  };
  shortest("train_series", spec.train, kTrainError);
  shortest("eval_series", spec.evaluate, kEvaluationError);
  spec.train = series_from(attributes, "train", spec.train);
  spec.evaluate = series_from(attributes, "eval", spec.evaluate);
  if (attributes.find("save") != nullptr) {
    constexpr SeriesSave kWays[] = {SeriesSave::iterates, SeriesSave::input, SeriesSave::output};
    spec.save = kWays[attributes.choice("save", {"iterates", "input", "output"})];
  }
  spec.bias = attributes.flag("bias", spec.bias);
  GSNET_CHECK(spec.out_channels >= 1 && spec.stride >= 1 && spec.groups >= 1 && spec.shuffle >= 1,
              "channels, stride, groups and shuffle must be at least 1");
  GSNET_CHECK(spec.kernel >= 1 && spec.kernel % 2 == 1, fmt::format("kernel must be odd, got {}", spec.kernel));
  return spec;
}

SkewConv::SkewConv(const SkewConvSpec& spec, const BuildContext& context)
    : spec_(spec), backend_(context.backend), before_(0, {}), after_(0, {}) {
  const Shape& x = context.inputs.at(0);
  GSNET_CHECK(x.rank() == 3, fmt::format("needs an input (C, H, W), got {}", to_string(x)));
  output_shape(x);
  const int64_t in = x[0] * spec.stride * spec.stride;
  inner_ = std::max(in, spec.out_channels);
  inner_ = (inner_ + spec.groups - 1) / spec.groups * spec.groups;
  GSNET_CHECK(spec.fit == ChannelFit::per_group || inner_ == std::max(in, spec.out_channels),
              fmt::format("{} channels do not divide into {} groups", std::max(in, spec.out_channels), spec.groups));
  GSNET_CHECK(spec.fit == ChannelFit::head || std::min(in, spec.out_channels) >= spec.groups,
              fmt::format("{} channels in and {} out cannot feed {} groups", in, spec.out_channels, spec.groups));
  before_ = shuffled(x[0], spec).then(fitted(in, inner_, spec));
  after_ = fitted(inner_, spec.out_channels, spec);
  const double radius = design_radius(spec);
  for (size_t i = 0; i < train_series_.size(); ++i) {
    train_series_[i] = {.coefficients = series_coefficients(spec.train, radius),
                        .groups = spec.groups,
                        .save = spec.save,
                        .products = fast_products(static_cast<Precision>(i))};
    kept_series_[i] = train_series_[i];
    if (spec.save != SeriesSave::output) continue;
    kept_series_[i].save = SeriesSave::input;
    SeriesSpec& series = train_series_[i];
    if (static_cast<Precision>(i) == Precision::f32) {  // rounded products are not undone
      series.inverse = inverse_coefficients(series.coefficients, kInverseMargin * radius, kInverseError);
    }
    if (series.inverse.empty()) series.save = SeriesSave::input;
  }
  evaluate_series_ = {.coefficients = series_coefficients(spec.evaluate, radius), .groups = spec.groups};
  fast_evaluate_series_ = evaluate_series_;
  fast_evaluate_series_.products = SeriesProducts::fast;
  kernel_ = make_skew_weight(backend_, context.key.with(0), spec.groups,
                             {inner_, inner_ / spec.groups, spec.kernel, spec.kernel},
                             {x[1] / spec.stride, x[2] / spec.stride}, spec.scale, spec.norm,
                             spec.save != SeriesSave::iterates, spec.kernel > 1 && !train_series_[0].inverse.empty());
  if (spec.bias) {
    const double range = 1 / std::sqrt(static_cast<double>(spec.out_channels));
    bias_.value = draw_tensor(backend_, context.key.with(1), {spec.out_channels},
                              [&](Random& random) { return random.uniform(-range, range); });
    bias_.decay = false;
  }
}

Var SkewConv::forward_then(Tape& tape, const Var& x, SkewConv& next) {
  const Var y = forward_between(tape, x, before_, &next.before_);
  return next.forward_between(tape, y, ChannelMap::head(next.inner_, next.inner_), nullptr);
}

Var SkewConv::forward_between(Tape& tape, const Var& x, const ChannelMap& before, const ChannelMap* then) {
  const Var k = kernel_.use(tape);
  const ChannelMap after = then != nullptr ? after_.then(*then) : after_;
  Var bias;
  if (spec_.bias) {
    bias = tape.use(bias_);
    if (then != nullptr && !then->is_identity()) {
      bias = ops::map_channels(ops::reshape(bias, {1, spec_.out_channels}), *then);
      bias = ops::reshape(bias, {then->outputs()});
    }
  }
  if (const SeriesSpec* series = series_for(tape.mode(), x.shape(), k)) {
    return ops::conv_exp_between(x, k, *series, spec_.stride, before, after, spec_.bias ? &bias : nullptr);
  }
  Var y = spec_.stride > 1 ? ops::space_to_depth(x, spec_.stride) : x;
  y = ops::map_channels(y, before);
  const bool lets_go = spec_.save == SeriesSave::output && tape.mode().training && !tape.mode().keep_inputs;
  if (spec_.kernel == 1 && lets_go && after.is_identity()) {
    return ops::conv2d_isometry(y, small_exponential(tape, k), spec_.bias ? &bias : nullptr, {.groups = spec_.groups});
  }
  y = spec_.kernel == 1 ? ops::conv2d(y, small_exponential(tape, k), nullptr, {.groups = spec_.groups})
                        : dense_exponential(y, k);
  y = ops::map_channels(y, after);
  return spec_.bias ? ops::add_bias(y, bias) : y;
}

// Of a 1x1 kernel a series costs degree products with (pixels x m), an exponential one and some 7 with (m x m),
// backward as much again twice, and three times of the latter.
const SeriesSpec* SkewConv::series_for(const TapeMode& mode, const Shape& x, const Var& k) {
  const auto precision = static_cast<size_t>(mode.precision);
  const SeriesSpec& train_series = mode.keep_inputs ? kept_series_[precision] : train_series_[precision];
  const int64_t m = inner_ / spec_.groups, high = x[2] / spec_.stride, wide = x[3] / spec_.stride;
  if (spec_.kernel == 1) {
    const bool cheaper = x[0] * high * wide * train_series.degree() < 14 * m;
    return mode.training && cheaper ? &train_series : nullptr;
  }
  if (mode.training) fast_ = {};  // of a kernel that is about to change
  if (mode.training) return &train_series;
  if (!mode.fast || k.tracked()) return &evaluate_series_;
  return fast_series(mode, {x[0], inner_, high, wide}, k);
}

Var SkewConv::small_exponential(Tape& tape, const Var& k) {
  const int64_t m = inner_ / spec_.groups;
  const bool keep = !tape.mode().training && !k.tracked();
  Var e;
  if (keep && kept_exponential_ && kept_of_.shares_storage_with(k.value)) {
    e = tape.input(kept_exponential_);
  } else {
    e = ops::matrix_exp(ops::reshape(k, {spec_.groups, m, m}));
    e = ops::reshape(e, {inner_, m, 1, 1});
  }
  if (keep) {
    kept_exponential_ = e.value;
    kept_of_ = k.value;
  }
  return e;
}

// A matrix costs the series of as many images as it has rows, the bound of |J| about ten times as many of one group's
// channels: each is made once so many have been evaluated, or at once where many are announced.
const SeriesSpec* SkewConv::fast_series(const TapeMode& mode, const Shape& x, const Var& k) {
  const int64_t m = inner_ / spec_.groups;
  const Shape map = {x[2], x[3]};
  const bool small = x[2] == x[3] && x[2] * x[3] <= kDensePixels;
  if (!fast_.of || !fast_.of.shares_storage_with(k.value) || fast_.map != map) {
    fast_ = {.of = k.value, .map = map, .series = fast_evaluate_series_};
  }
  const bool pays = mode.many || fast_.images >= (small ? x[2] * x[3] * m : kBoundImages * m);
  if (pays && small) return nullptr;
  if (pays && !fast_.series.cache) {
    const UpperBound radius = operator_bound(backend_.download(k.value), {inner_, x[2], x[3]}).value;
    fast_.series.coefficients = economised(fast_evaluate_series_.coefficients, radius, kEconomyError);
    fast_.series.cache = std::make_shared<SeriesCache>();
  }
  fast_.images += x[0];
  return &fast_.series;
}

// With the pixels as channels, (N, C s s, 1, 1), the exponential is one 1x1 convolution.
Var SkewConv::dense_exponential(const Var& x, const Var& k) {
  const int64_t side = x.shape()[2];
  if (!fast_.dense) fast_.dense = dense_matrix(k.value, fast_evaluate_series_, side);
  const Var flat = ops::space_to_depth(x, side);
  return ops::depth_to_space(ops::conv2d(flat, x.tape->input(fast_.dense), nullptr, {.groups = spec_.groups}), side);
}

// Images of unit vectors through exp(-J) = exp(J)' are the matrix's rows.
Tensor SkewConv::dense_matrix(const Tensor& k, const SeriesSpec& series, int64_t side) const {
  const int64_t channels = inner_ * side * side, rows = channels / spec_.groups;
  const Tensor units = Tensor::empty({rows, channels, 1, 1}, DType::f32, Layout::channels_last);
  std::memset(units.raw(), 0, units.bytes());
  for (int64_t row = 0; row < rows; ++row) {  // the same unit in every group
    for (int64_t c = row; c < channels; c += rows) units.data<float>()[row * channels + c] = 1;
  }
  Tensor reversed = backend_.empty_like(k);
  backend_.scale(-1, k, reversed);
  Tape tape(backend_, {.fast = true});
  const Var images = ops::depth_to_space(tape.input(backend_.upload(units)), side);
  const Var mapped = ops::space_to_depth(ops::conv_exp(images, tape.input(reversed), series), side);
  const Tensor from = backend_.download(mapped.value);
  const Tensor matrix = Tensor::empty({channels, rows, 1, 1}, from.dtype());
  const size_t bytes = from.bytes() / static_cast<size_t>(rows * spec_.groups);  // of one group's row
  const auto* read = static_cast<const std::byte*>(from.raw());
  auto* write = static_cast<std::byte*>(matrix.raw());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t g = 0; g < spec_.groups; ++g, read += bytes) {
      std::memcpy(write + static_cast<size_t>(g * rows + row) * bytes, read, bytes);
    }
  }
  return backend_.upload(matrix);
}

Shape SkewConv::output_shape(const Shape& x) const {
  GSNET_CHECK(x.rank() == 3 && x[1] % spec_.stride == 0 && x[2] % spec_.stride == 0,
              fmt::format("{} does not divide into blocks of {} x {}", to_string(x), spec_.stride, spec_.stride));
  return {spec_.out_channels, x[1] / spec_.stride, x[2] / spec_.stride};
}

Cost SkewConv::cost(const Shape& x) const {
  const Shape y = output_shape(x);
  const double m = static_cast<double>(inner_) / static_cast<double>(spec_.groups);
  const double one = static_cast<double>(y[1] * y[2] * inner_ * spec_.kernel * spec_.kernel) * m;
  const double terms = spec_.kernel == 1 ? 1 : evaluate_series_.degree();
  return {one * terms, kernel_.stored.value.numel() + (spec_.bias ? bias_.value.numel() : 0),
          spec_.kernel == 1 ? one : one * train_series_[0].degree()};
}

Tensor SkewConv::evaluation_kernel() const {
  Tape tape(backend_, {});
  return kernel_.use(tape).value;
}

Tensor SkewConv::executed_exponential(const Tensor& k) const {
  const int64_t m = inner_ / spec_.groups;
  Tensor e = backend_.empty({spec_.groups, m, m});
  backend_.matrix_exp(backend_.upload(k).view({spec_.groups, m, m}), e);
  return backend_.download(e);
}

/// The sharpest bound of |J|.
LayerBound SkewConv::operator_bound(const Tensor& k, const Shape& map) const {
  const int64_t pad = spec_.kernel / 2;
  return conv_operator_bound(k, {{.pad = {pad, pad, pad, pad}, .groups = spec_.groups}, map[1], map[2]});
}

LayerBound SkewConv::lipschitz(const Shape& x) const {
  const Tensor k = backend_.download(evaluation_kernel());
  if (spec_.kernel == 1) {
    LayerBound bound = block_norm_bound(executed_exponential(k));
    bound.method = "exp of a skew matrix, " + bound.method;
    return bound;
  }
  LayerBound radius = conv_norm_bound(k, spec_.groups);
  UpperBound stretch = series_bound(evaluate_series_.coefficients, radius.value);
  if (stretch.value() > 1 + kHarmlessExpansion) {
    radius = operator_bound(k, output_shape(x));
    stretch = stretch.min(series_bound(evaluate_series_.coefficients, radius.value));
  }
  // Fast evaluation may be that far from the series, and is bounded too.
  stretch = stretch + UpperBound::proven(kEconomyError);
  return {stretch, fmt::format("{} degree {}, |J| <= {:.4g} by {}", to_string(spec_.evaluate.family),
                               spec_.evaluate.degree, radius.value.value(), radius.method)};
}

UpperBound SkewConv::offset(const Shape& x) const {
  if (!spec_.bias) return UpperBound::proven(0);
  const Shape y = output_shape(x);
  return bias_norm(backend_.download(bias_.value), y[1] * y[2]);
}

RoundingBound SkewConv::rounding(std::span<const Shape> x, const Arithmetic& arithmetic) const {
  const Tensor k = backend_.download(evaluation_kernel());
  const int64_t products = inner_ / spec_.groups * spec_.kernel * spec_.kernel;
  RoundingBound error;
  if (spec_.kernel == 1) {
    const UpperBound norm = block_norm_bound(executed_exponential(k)).value;
    error = product_rounding(arithmetic, products, norm, UpperBound::proven(0));
  } else {
    error = series_rounding(arithmetic, evaluate_series_.coefficients, products,
                            operator_bound(k, output_shape(x[0])).value, conv_partial_norm_bound(k, spec_.groups));
  }
  if (!spec_.bias) return error;
  const UpperBound norm = lipschitz(x[0]).value + error.relative;
  return error + bias_rounding(arithmetic, norm, offset(x[0]) + error.absolute);
}

void SkewConv::visit(const std::string& path, Visitor& visitor) {
  kernel_.visit(path + ".kernel", visitor);
  if (spec_.bias) visitor.parameter(path + ".bias", bias_);
}

}  // namespace gsnet
