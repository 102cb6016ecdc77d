// The golden vectors of the central operator and of GS matrices.
#include <catch2/catch.hpp>
#include <cmath>

#include "autograd/ops.h"
#include "io/safetensors.h"
#include "support/shared_folder.h"

namespace gsnet {
namespace {

double relative_difference(Backend& backend, const Tensor& found, const Tensor& expected) {
  const Tensor a = with_dtype(with_layout(backend.download(found), expected.layout()), DType::f64);
  const Tensor b = with_dtype(expected, DType::f64);
  REQUIRE(a.shape() == b.shape());
  double largest = 0, difference = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    largest = std::max(largest, std::fabs(b.data<double>()[i]));
    difference = std::max(difference, std::fabs(a.data<double>()[i] - b.data<double>()[i]));
  }
  return difference / largest;
}

Tensor as_map(Backend& backend, const Tensor& x) { return backend.upload(with_layout(x, Layout::channels_last)); }

}  // namespace

TEST_CASE("conv_exp gives the golden numbers, forward and both gradients", "[golden]") {
  GSNET_NEED_SHARED(shared);
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 2});
    const double tolerance = backend->dtype() == DType::f64 ? 1e-10 : 1e-5;
    for (int number = 0; number < 4; ++number) {
      for (const SeriesSave save : {SeriesSave::iterates, SeriesSave::input}) {
        INFO(machine << ", conv_exp_" << number);
        const auto file =
            io::read_safetensors(shared / "golden" / ("conv_exp_" + std::to_string(number) + ".safetensors"));
        const int64_t groups = std::stoll(file.metadata.at("groups")), terms = std::stoll(file.metadata.at("terms"));
        SeriesSpec spec{{1}, groups, save};
        for (int64_t k = 1; k <= terms; ++k)
          spec.coefficients.push_back(spec.coefficients.back() / static_cast<double>(k));
        const Tensor& kernel = file.at("kernel");
        const Shape ks = kernel.shape();
        Tape tape(*backend, {.record = true});
        const Var x = tape.input(as_map(*backend, file.at("x")), true);
        const Var k = tape.input(backend->upload(kernel).view({ks[0] * ks[1], ks[2], ks[3], ks[4]}), true);
        const Var y = ops::conv_exp(x, k, spec);
        CHECK(relative_difference(*backend, y.value, file.at("y")) <= tolerance);
        tape.backward(y, as_map(*backend, file.at("dy")));
        CHECK(relative_difference(*backend, tape.grad(x), file.at("dx")) <= tolerance);
        CHECK(relative_difference(*backend, tape.grad(k).view(ks), file.at("dkernel")) <= tolerance);
      }
    }
  }
}

// Q = P' L P R with P the stride permutation: R mixes neighbours, L indices that are equal modulo the number of blocks.
TEST_CASE("GS matrices give the golden numbers, forward and gradients", "[golden]") {
  GSNET_NEED_SHARED(shared);
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 2});
    for (int number = 0; number < 2; ++number) {
      INFO(machine << ", gsoft_" << number);
      const auto file = io::read_safetensors(shared / "golden" / ("gsoft_" + std::to_string(number) + ".safetensors"));
      const bool cayley = file.metadata.at("method") == "cayley";
      const int64_t n = std::stoll(file.metadata.at("n")), blocks = std::stoll(file.metadata.at("nblocks"));
      const int64_t size = n / blocks;
      Tape tape(*backend, {.record = true});
      const Var left = tape.input(backend->upload(file.at("L")), true);
      const Var right = tape.input(backend->upload(file.at("R")), true);
      const Var x = tape.input(backend->upload(file.at("x")), true);
      const auto orthogonal = [&](const Var& raw) {
        const Var k = ops::skew(ops::reshape(raw, {n, size, 1, 1}), blocks);
        const Var a = ops::reshape(k, {blocks, size, size});
        return cayley ? ops::cayley(a) : ops::matrix_exp(a);
      };
      // A block-diagonal product on rows is a grouped 1x1 convolution.
      const auto apply = [&](const Var& q, const Var& map) {
        return ops::conv2d(map, ops::reshape(q, {n, size, 1, 1}), nullptr, {.groups = blocks});
      };
      const ChannelMap permutation = ChannelMap::shuffle(n, blocks, false);
      const Var rotated = apply(orthogonal(right), ops::as_map(x));
      Var y =
          ops::map_channels(apply(orthogonal(left), ops::map_channels(rotated, permutation)), permutation.adjoint());
      y = ops::flatten(y);
      CHECK(relative_difference(*backend, y.value, file.at("y")) <= 1e-5);
      tape.backward(y, backend->upload(file.at("dy")));
      CHECK(relative_difference(*backend, tape.grad(x), file.at("dx")) <= 1e-5);
      CHECK(relative_difference(*backend, tape.grad(left), file.at("dL")) <= 1e-5);
      CHECK(relative_difference(*backend, tape.grad(right), file.at("dR")) <= 1e-5);
    }
  }
}

}  // namespace gsnet
