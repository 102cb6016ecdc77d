// Certificates from margins: how far a picture may be moved before its class can change.
#pragma once

#include <span>
#include <vector>

#include "certify/rounding.h"
#include "layers/model.h"

namespace gsnet {

/// How fast differences of logits can change. For classes i, j: |(f_i - f_j)(x) - (f_i - f_j)(y)| <= pair(i, j) |x -
/// y|.
class MarginGeometry {
 public:
  /// From the graph's bounds. Where the last layer is linear with matrix W, pair(i, j) = L |W_i - W_j| with L the bound
  /// of what is before it (Singla et al., ICLR 2022, for rows of unit length); else, and where sharper, sqrt(2) L.
  /// Throws Error naming a layer without a bound.
  explicit MarginGeometry(const Graph& graph);

  int64_t classes() const { return classes_; }
  UpperBound pair(int64_t i, int64_t j) const;
  /// The same for changes of the last layer's input.
  UpperBound last_pair(int64_t i, int64_t j) const;
  /// The bound of the whole network, input as it is fed (normalised) to logits.
  UpperBound network() const { return network_; }

 private:
  int64_t classes_;
  UpperBound network_;
  std::vector<UpperBound> pairs_, last_pairs_;
};

struct Certificate {
  int predicted = 0;
  /// No change of the picture of at most this L2 norm, pixels in [0, 1], changes the prediction, in real arithmetic.
  /// 0 when two classes tie for the largest logit, or a logit is not finite: nothing is certified then.
  double radius_l2 = 0;
  /// What sqrt(2) times the network's bound alone would certify of it (Tsuzuku et al., NeurIPS 2018): at most
  /// radius_l2.
  double root2_radius_l2 = 0;
  /// radius_l2 for the arithmetic that ran: no picture that close, of numbers that the machine can hold and normalised
  /// as it normalises, is classified otherwise by the machine. At most radius_l2; 0 unless rounding errors were
  /// bounded.
  double executed_radius_l2 = 0;
};

/// The largest change of the normalised input that a change of the picture of norm 1 makes: 1 / min(stddev), rounded
/// up.
UpperBound input_scale(std::span<const double> stddev);

/// Over every other class: radius = min_j (z_p - z_j) / (pair(p, j) scale), rounded down.
/// With `error`, the executed radius besides: with D(r) the bound of the error of z_p - z_j, the largest r with
/// z_p - z_j - D(0) - D(r) > pair(p, j) scale r for every j.
Certificate certify(std::span<const double> logits, const MarginGeometry& geometry, UpperBound scale,
                    const LogitError* error = nullptr);

}  // namespace gsnet
