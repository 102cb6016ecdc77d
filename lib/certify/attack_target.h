// A classifier as attacks see it: pixels in [0, 1] to logits, and gradients of losses back to pixels.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "certify/rounding.h"
#include "layers/model.h"

namespace gsnet {

/// Rows of `size` numbers, one after another, on the host. Copies are copies.
template <class T>
struct Rows {
  int64_t size = 0;
  std::vector<T> values;

  Rows() = default;
  Rows(int64_t count, int64_t row) : size(row), values(static_cast<size_t>(count * row)) {}
  int64_t count() const { return size == 0 ? 0 : static_cast<int64_t>(values.size()) / size; }
  std::span<T> operator[](int64_t n) { return {values.data() + n * size, static_cast<size_t>(size)}; }
  std::span<const T> operator[](int64_t n) const { return {values.data() + n * size, static_cast<size_t>(size)}; }
  /// The rows at these places, in that order.
  Rows at(std::span<const int64_t> places) const {
    Rows part;
    part.size = size;
    for (int64_t n : places) part.values.insert(part.values.end(), (*this)[n].begin(), (*this)[n].end());
    return part;
  }
};

/// A picture a row: (C, H, W) row-major, pixels in [0, 1].
using Pixels = Rows<float>;
/// A picture's logits a row.
using Logits = Rows<double>;

/// The arithmetic in which attacks look for candidates. What they find is judged by ordinary evaluation in any case.
enum class AttackPasses : uint8_t {
  fast,      ///< TapeMode::fast: the same function several times cheaper, other rounding errors
  executed,  ///< ordinary evaluation: also finds what only its rounding errors break
};

/// Runs a model in evaluation form. Normalisation and its chain rule are done here, in double; weights are constants,
/// so that a gradient costs two forward passes.
class AttackTarget {
 public:
  /// The model must outlive it. Throws Error when the normalisation does not fit the network's input, or there are
  /// fewer than two logits.
  explicit AttackTarget(const Model& model, AttackPasses passes = AttackPasses::fast);

  /// (C, H, W) or (C) of one picture.
  const Shape& picture() const { return model_.graph->input(); }
  int64_t classes() const { return model_.graph->output().numel(); }

  /// Ordinary evaluation: nothing is recorded. Throws Error for rows of another size than a picture's.
  Logits logits(const Pixels& x);
  /// The same in the arithmetic of the passes.
  Logits tried(const Pixels& x);

  /// Bounds of the rounding errors of logits() at every picture (certify/rounding.h), `batch` pictures at a time.
  std::vector<LogitError> rounding_errors(const Pixels& x, int64_t batch) const;

  struct Pass {
    Logits logits;
    Pixels gradient;  ///< sum over k of dz_k times the gradient of logit k in the pixels, for each picture
  };
  /// `loss` fills dz (zero when it is called) from z, the logits in the arithmetic of the passes.
  Pass pass(const Pixels& x, const std::function<void(const Logits& z, Logits& dz)>& loss);

 private:
  Tensor normalised(const Pixels& x) const;
  Logits numbers(const Tensor& logits) const;
  TapeMode mode() const;
  Logits evaluated(const Pixels& x, const TapeMode& mode);

  const Model& model_;
  AttackPasses passes_;
};

}  // namespace gsnet
