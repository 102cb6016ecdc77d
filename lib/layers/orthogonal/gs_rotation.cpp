#include "layers/orthogonal/gs_rotation.h"

#include <fmt/format.h>

#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops.h"
#include "core/error.h"
#include "layers/conv_bounds.h"

namespace gsnet {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

int64_t block_of(int64_t channels, int64_t wanted) {
  int64_t block = std::min(channels, wanted);
  while (block > 1 && channels % block != 0) --block;
  GSNET_CHECK(block > 1, fmt::format("no block of 2 … {} divides {} channels", wanted, channels));
  return block;
}

UpperBound up(double value) { return UpperBound::proven(outward(value, 1e-12)); }

/// A Cayley transform in double, and a bound of its error: with R = (I + K) - Q (I - K), |Q - exact| <= |R| because no
/// singular value of I - K is below 1.
struct Cayley {
  Matrix q;
  double error;
};

Cayley cayley_of(const double* triangle, int64_t b) {
  Matrix k = Matrix::Zero(b, b);
  for (int64_t r = 0; r < b; ++r) {
    for (int64_t c = r + 1; c < b; ++c, ++triangle) {
      k(r, c) = *triangle;
      k(c, r) = -*triangle;
    }
  }
  const Matrix minus = Matrix::Identity(b, b) - k, plus = Matrix::Identity(b, b) + k;
  const Matrix q = minus.transpose().partialPivLu().solve(plus.transpose()).transpose();
  const double unit = static_cast<double>(b + 2) * std::numeric_limits<double>::epsilon();
  return {q, (plus - q * minus).norm() + unit * (q.norm() * minus.norm() + plus.norm())};
}

}  // namespace

GsRotation::GsRotation(const Attributes& attributes, const BuildContext& context) : backend_(context.backend) {
  attributes.allow_only({"block", "factors"});
  const int64_t wanted = attributes.integer("block", 16), factors = attributes.integer("factors", 2);
  GSNET_CHECK(wanted >= 2 && factors >= 1 && factors <= 16,
              fmt::format("block must be at least 2 and factors 1 … 16, got {} and {}", wanted, factors));
  const int64_t channels = output_shape(context.inputs.at(0))[0], block = block_of(channels, wanted);
  for (int64_t i = 0; i < factors; ++i) {
    patterns_.push_back(BlockPattern::shuffled(channels, block, static_cast<int>(i)));
    Parameter generator;
    generator.value = backend_.empty({channels / block, block * (block - 1) / 2});
    backend_.fill(0, generator.value);
    generator.decay = false;
    generators_.push_back(std::move(generator));
  }
}

Shape GsRotation::output_shape(const Shape& x) const {
  GSNET_CHECK(x.rank() == 3 || x.rank() == 1, fmt::format("needs (C, H, W) or (C), got {}", to_string(x)));
  return x;
}

Var GsRotation::matrix(Tape& tape) const {
  uint64_t version = 0;
  for (const Parameter& generator : generators_) version += generator.version;
  const bool constant = !tape.mode().record || tape.mode().frozen;
  if (!tape.mode().training && constant && kept_ && kept_version_ == version) return tape.input(kept_);
  const int64_t n = patterns_.front().size();
  if (!identity_) {
    Tensor identity = Tensor::empty({n, n}, DType::f64);
    std::ranges::fill(identity.host<double>(), 0.0);
    for (int64_t i = 0; i < n; ++i) identity.data<double>()[i * n + i] = 1;
    identity_ = backend_.upload(identity);
  }
  Var q = tape.input(identity_);
  for (size_t i = generators_.size(); i-- > 0;) {
    const Var k = ops::skew_from_triangle(tape.use(generators_[i]), patterns_[i].block());
    q = ops::rotate(q, ops::cayley(k), {.pattern = patterns_[i], .transpose = true});
  }
  q = ops::reshape(q, {n, n, 1, 1});
  kept_ = constant && !tape.mode().training ? q.value : Tensor();
  kept_version_ = version;
  return q;
}

Var GsRotation::forward(Tape& tape, const Var& x) {
  const Var q = matrix(tape);
  if (x.shape().rank() == 4) return ops::conv2d(x, q, nullptr, {});
  return ops::flatten(ops::conv2d(ops::as_map(x), q, nullptr, {}));
}

Cost GsRotation::cost(const Shape& x) const {
  int64_t parameters = 0;
  for (const Parameter& generator : generators_) parameters += generator.value.numel();
  return {static_cast<double>(x.numel()) * static_cast<double>(x[0]), parameters};
}

// Products with F in double: an entry sums b terms, so |fl(X F) - X F|_F <= b u |X|_F |F|_F, and both norms are those
// of n orthonormal rows.
UpperBound GsRotation::executed_error(const Tensor& executed) const {
  const int64_t n = patterns_.front().size();
  Matrix q = Matrix::Identity(n, n);
  double error = 0;
  for (size_t i = generators_.size(); i-- > 0;) {
    const BlockPattern& pattern = patterns_[i];
    const int64_t b = pattern.block(), numbers = b * (b - 1) / 2;
    const Tensor v = with_dtype(backend_.download(generators_[i].value), DType::f64);
    Matrix factor = Matrix::Zero(n, n);
    double worst = 0;
    for (int64_t j = 0; j < pattern.blocks(); ++j) {
      const Cayley block = cayley_of(v.data<double>() + j * numbers, b);
      worst = std::max(worst, block.error);
      const auto places = pattern.order().subspan(static_cast<size_t>(j * b), static_cast<size_t>(b));
      for (int64_t r = 0; r < b; ++r) {
        for (int64_t c = 0; c < b; ++c) {
          factor(places[static_cast<size_t>(r)], places[static_cast<size_t>(c)]) = block.q(r, c);
        }
      }
    }
    q = q * factor;
    const double sum = 2 * static_cast<double>(n) * std::numeric_limits<double>::epsilon() * static_cast<double>(n);
    error = (error + worst + sum) * (1 + 1e-9);
  }
  const Tensor numbers = with_dtype(executed, DType::f64);
  const Eigen::Map<const Matrix> e(numbers.data<double>(), n, n);
  return up((e - q).norm() * (1 + 1e-12) + error);
}

LayerBound GsRotation::lipschitz(const Shape&) const {
  Tape tape(backend_, {});
  return {UpperBound::proven(1) + executed_error(backend_.download(matrix(tape).value)), "distance from a rotation"};
}

RoundingBound GsRotation::rounding(std::span<const Shape>, const Arithmetic& arithmetic) const {
  Tape tape(backend_, {});
  const Tensor executed = backend_.download(matrix(tape).value);
  return product_rounding(arithmetic, executed.shape()[0], conv_partial_norm_bound(executed, 1), UpperBound::proven(0));
}

Emitter::Value GsRotation::emit(Emitter& emitter, std::span<const Emitter::Value> x,
                                std::span<const Shape> shapes) const {
  Tape tape(backend_, {});
  const Tensor q = with_dtype(backend_.download(matrix(tape).value), DType::f32);
  if (shapes[0].rank() == 3) return emitter.conv2d(x[0], q, nullptr, {});
  return emitter.linear(x[0], q.view({q.shape()[0], q.shape()[1]}), nullptr);
}

void GsRotation::visit(const std::string& path, Visitor& visitor) {
  for (size_t i = 0; i < generators_.size(); ++i)
    visitor.parameter(fmt::format("{}.factor{}", path, i), generators_[i]);
}

}  // namespace gsnet
