#include "certify/rounding.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "certify/margin.h"
#include "core/error.h"

namespace gsnet {
namespace {

// Bounds are chains of a few hundred non-negative sums and products in double: one factor covers their rounding.
constexpr double kChain = 1 + 1e-12;

/// Norms were summed in double, off by far less for any layer that fits into memory.
constexpr double kMeasured = 1 + 1e-9;

/// No intermediate result may come near the largest f32: values, whose squares L2 pooling sums, and partial sums of
/// products stay below these.
constexpr double kLargestValue = 1e18, kLargestSum = 1e36;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Subtraction, division and the conversion of a byte, and one to spare.
constexpr double kNormalisationRoundings = 4;

ErrorAround largest(const ErrorAround& a, const ErrorAround& b) {
  return {std::max(a.here, b.here), std::max(a.ball, b.ball), std::max(a.slope, b.slope)};
}

}  // namespace

RoundingModel::RoundingModel(const Model& model) {
  const Graph& graph = *model.graph;
  const Arithmetic arithmetic = graph.backend().arithmetic();
  const std::vector<Graph::NodeBound> bounds = graph.bounds();
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Graph::Node& node = graph.nodes()[i];
    try {
      layers_.push_back({node.inputs, node.module->rounding(graph.input_shapes(node), arithmetic),
                         bounds[i].layer.value.value(), bounds[i].from_input.value()});
    } catch (const Error& error) {
      throw Error(fmt::format("layer '{}' ({}): {}", node.description.name, node.description.type, error.what()));
    }
  }
  scale_ = input_scale(model.info.stddev).value();
  unit_roundoff_ = arithmetic.unit_roundoff;
  normalisation_ = rounding_factor(arithmetic, kNormalisationRoundings).value();
  double squares = 0;
  const Shape& input = graph.input();
  for (size_t c = 0; c < model.info.mean.size(); ++c) {
    const double shift = model.info.mean[c] / model.info.stddev[c];
    squares += shift * shift * static_cast<double>(input.numel()) / static_cast<double>(input[0]);
  }
  offset_ = std::sqrt(squares) * kChain;
  lost_ = std::sqrt(static_cast<double>(input.numel())) * 0x1p-149;
}

std::vector<LogitError> RoundingModel::errors(const Norms& norms) const {
  GSNET_CHECK(norms.size() == layers_.size() + 1,
              fmt::format("[rounding] expected norms of {} outputs, got {}", layers_.size() + 1, norms.size()));
  std::vector<LogitError> errors(norms[0].size());
  for (size_t n = 0; n < errors.size(); ++n) errors[n] = error_of(norms, n);
  return errors;
}

// Around the picture an executed value is at most |value here| + error here + error there + L scale r.
LogitError RoundingModel::error_of(const Norms& norms, size_t picture) const {
  std::vector<ErrorAround> at(layers_.size() + 1);
  const double input = norms[0][picture] * kMeasured;
  at[0] = {normalisation_ * (input + 2 * offset_) + lost_,
           normalisation_ * (input + 4 * offset_) * (1 + normalisation_) + lost_, normalisation_ * scale_};
  LogitError result;
  bool overflows = !(norms.back()[picture] <= kLargestValue);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const double relative = layer.rounding.relative.value(), absolute = layer.rounding.absolute.value();
    ErrorAround in;
    ErrorAround own{absolute, absolute, 0};
    for (int from : layer.inputs) {
      const auto source = static_cast<size_t>(from) + 1;  // 0: the input, -1
      const ErrorAround& error = at[source];
      const double norm = norms[source][picture] * kMeasured;
      const double reach = (from < 0 ? 1 : layers_[static_cast<size_t>(from)].from_input) * scale_;
      in = largest(in, error);
      own.here += relative * norm;
      own.ball += relative * (norm + error.here + error.ball);
      own.slope += relative * (reach + error.slope);
      const double largest_here = norm + error.here + error.ball + (reach + error.slope) * kMostRadius;
      overflows =
          overflows || !(largest_here <= kLargestValue && relative / unit_roundoff_ * largest_here <= kLargestSum);
    }
    at[i + 1] = {(layer.stretch * in.here + own.here) * kChain, (layer.stretch * in.ball + own.ball) * kChain,
                 (layer.stretch * in.slope + own.slope) * kChain};
    result = {in, own};
  }
  if (overflows) result.last = {kInfinity, kInfinity, kInfinity};
  return result;
}

Var forward_with_norms(Graph& graph, Tape& tape, const Var& x, RoundingModel::Norms& norms) {
  norms.assign(1, graph.backend().sample_norms(x.value));
  return graph.forward(tape, x,
                       [&](size_t, const Tensor& output) { norms.push_back(graph.backend().sample_norms(output)); });
}

}  // namespace gsnet
