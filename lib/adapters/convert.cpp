#include "adapters/convert.h"

#include <fmt/format.h>

#include <Eigen/LU>
#include <algorithm>
#include <cmath>

#include "adapters/rotation_link.h"
#include "core/error.h"
#include "core/svd.h"

namespace gsnet {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Map = Eigen::Map<Matrix>;

/// The generator's norm grows without bound as an eigenvalue nears -1; above this, single precision cannot hold it.
constexpr double kLargestGenerator = 1e4;

/// The weight of a link on the reference machine, from tensors that lie on another.
Tensor computed(AdapterLink& link, const AdapterSpec& spec, const AdapterSite& site, const Tensor& base,
                Backend& machine) {
  const std::unique_ptr<Backend> reference = make_backend({"reference", 1});
  const Tensor w = reference->upload(with_dtype(base, DType::f64));
  const auto copy = make_link(*reference, "copy", spec, site, w, RandomKey(0));
  for (const auto& [name, parameter] : copy->parameters()) {
    const Tensor theirs = machine.download(link.find(name)->value);
    parameter->value = reference->upload(with_dtype(theirs, DType::f64));
    parameter->changed();
  }
  Tape tape(*reference, {});
  return reference->download(copy->apply(tape, tape.input(w)).value);
}

}  // namespace

Tensor adapted_weight(AdapterLink& link, const Tensor& base, Backend& machine) {
  return computed(link, link.spec(), link.site(), base, machine);
}

Tensor orthogonal_blocks(const Tensor& v, int64_t block, const AdapterSpec& spec) {
  return geodesic(v, block, spec, 1);
}

// Q = (I + K)(I - K)^-1, so K = (Q - I)(Q + I)^-1: rows of K solve (Q + I)' k' = (Q - I)'.
Tensor cayley_generators(const Tensor& q) {
  const int64_t blocks = q.shape()[0], b = q.shape()[1];
  const Tensor from = with_dtype(q, DType::f64);
  Tensor v = Tensor::empty({blocks, b * (b - 1) / 2}, DType::f64);
  double* to = v.data<double>();
  for (int64_t block = 0; block < blocks; ++block) {
    const Map matrix(from.data<double>() + block * b * b, b, b);
    const Matrix identity = Matrix::Identity(b, b);
    const double off = (matrix.transpose() * matrix - identity).cwiseAbs().maxCoeff();
    GSNET_CHECK(off <= 1e-6, fmt::format("the matrix is not orthogonal: Q'Q - I has an entry of {:.1e}", off));
    const Eigen::PartialPivLU<Eigen::MatrixXd> solver((matrix + identity).transpose());
    const Eigen::MatrixXd k = solver.solve(Eigen::MatrixXd((matrix - identity).transpose())).transpose();
    GSNET_CHECK(k.allFinite() && k.cwiseAbs().maxCoeff() < kLargestGenerator,
                "the rotation has an eigenvalue of -1, which no Cayley transform has");
    for (int64_t i = 0; i < b; ++i) {
      for (int64_t j = i + 1; j < b; ++j) *to++ = 0.5 * (k(i, j) - k(j, i));
    }
  }
  return v;
}

ConvertedLayer as_one_block(AdapterLink& link, Backend& machine, int64_t most) {
  const AdapterSite& at = link.site();
  const AdapterSpec& spec = link.spec();
  const auto refuse = [&](const std::string& why) {
    throw Error(fmt::format("layer '{}': {} is no rotation of one block: {}", at.layer, to_string(spec.kind), why));
  };
  if (spec.low_rank()) refuse("it adds a product");
  if (spec.kind == AdapterKind::double_gsoft) refuse("it turns the outputs too");
  if (at.groups > 1) refuse(fmt::format("the layer has {} groups", at.groups));
  const bool channel = spec.form == RotationForm::channel;
  const int64_t n = channel ? at.inputs() : at.inputs() * at.taps();
  if (n > most) refuse(fmt::format("it would be of {} places, {} at most", n, most));
  Tensor identity = Tensor::empty({n, n}, DType::f64);
  std::ranges::fill(identity.host<double>(), 0.0);
  for (int64_t i = 0; i < n; ++i) identity.data<double>()[i * n + i] = 1;
  AdapterSpec turning = spec;
  turning.scale = false;
  const Tensor q = computed(link, turning, {at.layer, {n, n}, 1}, identity, machine);
  ConvertedLayer made;
  try {
    made.tensors.emplace_back("in.0", cayley_generators(q.view({1, n, n})));
  } catch (const Error& error) {
    refuse(error.what());
  }
  made.adapter = {at.layer, {}};
  made.adapter.spec.kind = spec.scale ? AdapterKind::boft : AdapterKind::oft;
  made.adapter.spec.form = spec.form;
  made.adapter.spec.block = n;
  made.adapter.spec.factors = 1;
  made.adapter.spec.scale = spec.scale;
  if (spec.scale) {
    made.tensors.emplace_back("scale", with_dtype(machine.download(link.find("scale")->value), DType::f64));
  }
  return made;
}

ConvertedLayer as_low_rank(AdapterLink& link, const Tensor& base, Backend& machine, int64_t rank) {
  const AdapterSite& at = link.site();
  GSNET_CHECK(rank >= 1, fmt::format("a LoRA needs a rank of at least 1, got {}", rank));
  const int64_t g = at.groups, rows = at.outputs() / g, columns = at.inputs() * at.taps();
  const int64_t r = std::min({rank, rows, columns});
  const Tensor w = with_dtype(base, DType::f64), adapted = adapted_weight(link, base, machine);
  const bool conv = at.weight.rank() == 4;
  Tensor a =
      Tensor::empty(conv ? Shape{g * r, at.inputs(), at.weight[2], at.weight[3]} : Shape{r, at.inputs()}, DType::f64);
  Tensor b = Tensor::empty(conv ? Shape{at.outputs(), r, 1, 1} : Shape{at.outputs(), r}, DType::f64);
  double whole = 0, left = 0;
  for (int64_t group = 0; group < g; ++group) {
    const int64_t begin = group * rows * columns;
    Tensor change = Tensor::empty({rows, columns}, DType::f64);
    Map(change.data<double>(), rows, columns) =
        Map(adapted.data<double>() + begin, rows, columns) - Map(w.data<double>() + begin, rows, columns);
    const Svd svd = thin_svd(change);
    const int64_t k = svd.s.numel();
    const Eigen::Map<const Eigen::VectorXd> values(svd.s.data<double>(), k);
    const Eigen::VectorXd root = values.head(r).cwiseSqrt();
    Map(b.data<double>() + group * rows * r, rows, r) =
        Map(svd.u.data<double>(), rows, k).leftCols(r) * root.asDiagonal();
    Map(a.data<double>() + group * r * columns, r, columns) =
        root.asDiagonal() * Map(svd.vt.data<double>(), k, columns).topRows(r);
    whole += values.squaredNorm();
    left += values.tail(k - r).squaredNorm();
  }
  ConvertedLayer made;
  made.adapter = {at.layer, {}};
  made.adapter.spec.kind = AdapterKind::lora;
  made.adapter.spec.rank = r;
  made.adapter.spec.alpha = static_cast<double>(r);
  made.tensors = {{"lora_A", a}, {"lora_B", b}};
  made.relative_error = whole == 0 ? 0 : std::sqrt(left / whole);
  return made;
}

}  // namespace gsnet
