#include "certify/attack_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace gsnet {
namespace {

/// Calls body(place in a picture's row, place in the network's channels-last input, channel) for every number.
template <class Body>
void for_each_number(int64_t count, int64_t size, int64_t channels, Body&& body) {
  const int64_t plane = size / channels;
  for (int64_t n = 0; n < count; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t p = 0; p < plane; ++p) {
        body(static_cast<size_t>(n * size + c * plane + p), static_cast<size_t>(n * size + p * channels + c),
             static_cast<size_t>(c));
      }
    }
  }
}

}  // namespace

AttackTarget::AttackTarget(const Model& model, AttackPasses passes) : model_(model), passes_(passes) {
  const auto channels = static_cast<size_t>(picture()[0]);
  GSNET_CHECK(model.info.mean.size() == channels && model.info.stddev.size() == channels,
              fmt::format("[attack] an input of {} channels is normalised with {} means and {} deviations", channels,
                          model.info.mean.size(), model.info.stddev.size()));
  GSNET_CHECK(model.graph->output().rank() == 1 && classes() >= 2,
              fmt::format("[attack] needs a classifier with at least two logits, the network gives {}",
                          to_string(model.graph->output())));
}

Tensor AttackTarget::normalised(const Pixels& x) const {
  GSNET_CHECK(x.size == picture().numel(), fmt::format("[attack] a picture of {} has {} numbers, got {}",
                                                       to_string(picture()), picture().numel(), x.size));
  const bool map = picture().rank() == 3;
  const Shape shape = map ? Shape{x.count(), picture()[0], picture()[1], picture()[2]} : Shape{x.count(), x.size};
  Tensor host = Tensor::empty(shape, DType::f64, map ? Layout::channels_last : Layout::row_major);
  const std::span<double> to = host.host<double>();
  for_each_number(x.count(), x.size, picture()[0], [&](size_t pixel, size_t place, size_t c) {
    to[place] = (static_cast<double>(x.values[pixel]) - model_.info.mean[c]) / model_.info.stddev[c];
  });
  return model_.graph->backend().upload(host);
}

Logits AttackTarget::numbers(const Tensor& logits) const {
  const Tensor host = with_dtype(model_.graph->backend().download(logits), DType::f64);
  Logits z(logits.shape()[0], classes());
  std::ranges::copy(host.host<double>(), z.values.begin());
  return z;
}

// `many`: a picture's outcome must not depend on how many came before it.
TapeMode AttackTarget::mode() const {
  return passes_ == AttackPasses::fast ? TapeMode{.fast = true, .many = true} : TapeMode{};
}

Logits AttackTarget::evaluated(const Pixels& x, const TapeMode& mode) {
  if (x.count() == 0) return {0, classes()};
  Tape tape(model_.graph->backend(), mode);
  return numbers(model_.graph->forward(tape, tape.input(normalised(x))).value);
}

Logits AttackTarget::logits(const Pixels& x) { return evaluated(x, {}); }

Logits AttackTarget::tried(const Pixels& x) { return evaluated(x, mode()); }

std::vector<LogitError> AttackTarget::rounding_errors(const Pixels& x, int64_t batch) const {
  const RoundingModel rounding(model_);
  std::vector<LogitError> all;
  for (int64_t first = 0; first < x.count(); first += batch) {
    std::vector<int64_t> places(static_cast<size_t>(std::min(batch, x.count() - first)));
    std::iota(places.begin(), places.end(), first);
    Tape tape(model_.graph->backend(), {});
    RoundingModel::Norms norms;
    forward_with_norms(*model_.graph, tape, tape.input(normalised(x.at(places))), norms);
    for (const LogitError& error : rounding.errors(norms)) all.push_back(error);
  }
  return all;
}

AttackTarget::Pass AttackTarget::pass(const Pixels& x, const std::function<void(const Logits& z, Logits& dz)>& loss) {
  Pass made{{0, classes()}, {x.count(), x.size}};
  if (x.count() == 0) return made;
  Backend& backend = model_.graph->backend();
  TapeMode recorded = mode();
  recorded.record = recorded.frozen = true;
  Tape tape(backend, recorded);
  const Var input = tape.input(normalised(x), true);
  const Var output = model_.graph->forward(tape, input);
  made.logits = numbers(output.value);
  Logits dz(x.count(), classes());
  loss(made.logits, dz);
  if (!output.tracked()) return made;
  tape.backward(output, backend.upload(Tensor::of<double>({x.count(), classes()}, std::span<const double>(dz.values))));
  const Tensor gradient = tape.grad(input);
  if (!gradient) return made;
  const Tensor host = with_dtype(backend.download(gradient), DType::f64);
  const std::span<const double> from = host.host<double>();
  for_each_number(x.count(), x.size, picture()[0], [&](size_t pixel, size_t place, size_t c) {
    made.gradient.values[pixel] = static_cast<float>(from[place] / model_.info.stddev[c]);
  });
  return made;
}

}  // namespace gsnet
