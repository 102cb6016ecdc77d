// From rounding errors of layers to what they can do to logits: for one picture, and for every picture around it.
// The theorem and its proof are in docs/certificates.md.
#pragma once

#include <span>
#include <vector>

#include "layers/model.h"

namespace gsnet {

/// An error bound at the picture itself, and at every picture within distance r of it: ball + slope r. Distances are of
/// pixels in [0, 1], in L2.
struct ErrorAround {
  double here = 0;
  double ball = 0;
  double slope = 0;
};

/// Executed radii end here: what is farther away is not looked at.
constexpr double kMostRadius = 1e6;

/// How far what the machine computes may be from real arithmetic on the same weights.
struct LogitError {
  ErrorAround features;  ///< |executed - real|_2 of the last layer's input, the input's normalisation included
  ErrorAround last;      ///< what the last layer adds, |.|_2 of the logits
};

/// A-priori bounds with the norms that were measured: layer by layer, error <= L error + relative |x| + absolute.
/// Infinite where a number comes near to what the machine can hold, here or in the ball.
class RoundingModel {
 public:
  /// Throws Error naming a layer whose rounding errors or Lipschitz constant are not known. Takes seconds for large
  /// networks: every layer's operator norm is bounded sharply.
  explicit RoundingModel(const Model& model);

  /// Norms of one batch of executed inputs and outputs: the network's input first, then every node's output.
  /// norms[i][n] is |.|_2 of picture n.
  using Norms = std::vector<std::vector<double>>;
  std::vector<LogitError> errors(const Norms& norms) const;

 private:
  struct Layer {
    std::vector<int> inputs;
    RoundingBound rounding;
    double stretch;     ///< Lipschitz bound of the layer, all inputs moving as far
    double from_input;  ///< of everything up to it
  };

  LogitError error_of(const Norms& norms, size_t picture) const;
  std::vector<Layer> layers_;
  double unit_roundoff_;
  double scale_;          ///< of pixels to normalised inputs
  double normalisation_;  ///< relative error of the normalisation
  double offset_;         ///< |mean / stddev|_2 as a picture
  double lost_;           ///< by underflow of the normalised picture
};

/// Runs the network on normalised pictures and collects the norms that errors() asks for. `norms` is overwritten.
Var forward_with_norms(Graph& graph, Tape& tape, const Var& x, RoundingModel::Norms& norms);

}  // namespace gsnet
