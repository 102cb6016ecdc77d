#include "support/op_cases.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/random.h"
#include "support/op_case_inputs.h"

namespace gsnet::test {
namespace {

/// Values well apart from each other and from zero, so that no difference step crosses a kink.
void spread(Backend& backend, Tensor& x) {
  const Tensor host = with_dtype(backend.download(x), DType::f64);
  std::vector<std::pair<double, int64_t>> order;
  for (int64_t i = 0; i < host.numel(); ++i) order.emplace_back(host.data<double>()[i], i);
  std::ranges::sort(order);
  const auto count = static_cast<double>(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    host.data<double>()[order[i].second] = 4 * (static_cast<double>(i) + 0.5) / count - 2;
  }
  x = backend.upload(host);
}

void positive(Backend& backend, Tensor& x) {
  const Tensor host = with_dtype(backend.download(x), DType::f64);
  for (double& value : host.host<double>()) value = 0.5 + std::fabs(value);
  x = backend.upload(host);
}

/// Cosines well inside (-1, 1), of both signs and away from 0.
void cosines(Backend& backend, Tensor& x) {
  spread(backend, x);
  const Tensor host = with_dtype(backend.download(x), DType::f64);
  for (double& value : host.host<double>()) value *= 0.45;
  x = backend.upload(host);
}

void add_matrices(std::vector<OpCase>& cases) {
  cases.push_back(
      {"linear", {{{5, 7}}, {{4, 7}}}, [](Tape&, const std::vector<Var>& v) { return ops::linear(v[0], v[1]); }, 0});
  cases.push_back({"matmul batched, transposed",
                   {{{3, 4, 5}}, {{3, 6, 4}}},
                   [](Tape&, const std::vector<Var>& v) { return ops::matmul(v[0], true, v[1], true); },
                   1});
  cases.push_back(
      {"matrix_exp", {{{2, 6, 6}}}, [](Tape&, const std::vector<Var>& v) { return ops::matrix_exp(v[0]); }, -1, 1e-4});
  cases.push_back({"matrix_exp, small",
                   {{{2, 5, 5}, Layout::row_major, scaled(0.05)}},
                   [](Tape&, const std::vector<Var>& v) { return ops::matrix_exp(v[0]); },
                   -1,
                   1e-5});
  cases.push_back({"cayley",
                   {{{3, 5, 5}, Layout::row_major, scaled(0.2)}},
                   [](Tape&, const std::vector<Var>& v) { return ops::cayley(v[0]); },
                   -1,
                   1e-4});
  cases.push_back(
      {"normalise_rows", {{{4, 9}}}, [](Tape&, const std::vector<Var>& v) { return ops::normalise_rows(v[0]); }});
  cases.push_back({"skew", {{{6, 3, 3, 3}}}, [](Tape&, const std::vector<Var>& v) { return ops::skew(v[0], 2); }, 0});
  cases.push_back(
      {"gram_norm", {{{8, 4, 3, 3}}}, [](Tape&, const std::vector<Var>& v) { return ops::gram_norm(v[0], 2); }});
  cases.push_back({"four_forms", {{{8, 4, 3, 3}}}, [](Tape& tape, const std::vector<Var>& v) {
                     constexpr int64_t kGroups = 2, kUs[] = {12, 12, 36, 36}, kVs[] = {12, 12, 4, 4};
                     FourForms forms;  // held where they are: no rounds
                     for (size_t i = 0; i < 4; ++i) {
                       forms.u[i] = make_input(tape.backend(), {{kGroups, kUs[i]}}, 40 + i);
                       forms.v[i] = make_input(tape.backend(), {{kGroups, kVs[i]}}, 50 + i);
                     }
                     return ops::four_forms(v[0], kGroups, 0, forms);
                   }});
  for (const int64_t taps : {1, 3, 5}) {
    cases.push_back(
        {"stretch, " + std::to_string(taps), {{{8, 4, taps, taps}}}, [](Tape& tape, const std::vector<Var>& v) {
           Backend& backend = tape.backend();
           const Tensor start = make_input(backend, {{2, 4 * 3 * 2}}, 60), unit = backend.empty_like(start);
           Tensor rows = unit;
           backend.normalise_rows(start, rows);
           Tensor u = backend.empty({8, 3, 2});
           return ops::stretch(v[0], 2, rows.view({8, 3, 2}), u);
         }});
  }
  cases.push_back({"scale_groups",
                   {{{8, 4, 3, 3}}, {{2}, Layout::row_major, positive}},
                   [](Tape&, const std::vector<Var>& v) { return ops::scale_groups(v[0], v[1], 2.1, 1e-12); },
                   0});
}

void add_rotations(std::vector<OpCase>& cases) {
  const auto rotation = [&](const char* name, const Shape& x, RotationSpec spec) {
    const BlockPattern& pattern = spec.pattern;
    const Shape q = {spec.groups * pattern.blocks(), pattern.block(), pattern.block()};
    cases.push_back({std::string("rotate ") + name,
                     {{x}, {q}},
                     [spec](Tape&, const std::vector<Var>& v) { return ops::rotate(v[0], v[1], spec); },
                     0});
  };
  rotation("neighbours", {5, 12}, {BlockPattern::shuffled(12, 4, 0)});
  rotation("strided, from the right", {6, 12, 3, 3},
           {.pattern = BlockPattern::shuffled(12, 3, 1), .inner = 9, .transpose = true});
  rotation("of groups", {6, 4, 3, 3},
           {.pattern = BlockPattern::shuffled(4, 2, 1), .groups = 3, .inner = 9, .transpose = true});
  rotation("of outputs, butterfly", {16, 5}, {.pattern = BlockPattern::butterfly(16, 4, 2, 3), .inner = 5});
  cases.push_back({"skew_from_triangle",
                   {{{3, 10}}},
                   [](Tape&, const std::vector<Var>& v) { return ops::skew_from_triangle(v[0], 5); },
                   0});
  cases.push_back({"scale_rows",
                   {{{6, 4, 3, 3}}, {{6}}},
                   [](Tape&, const std::vector<Var>& v) { return ops::scale_rows(v[0], v[1]); },
                   0});
}

void add_eltwise(std::vector<OpCase>& cases) {
  const auto unary = [&](const char* name, UnaryOp op, auto prepare) {
    cases.push_back({name, {{{2, 4, 3, 3}, kMap, prepare}}, [op](Tape&, const std::vector<Var>& v) {
                       return ops::unary(op, v[0]);
                     }});
  };
  unary("relu", UnaryOp::relu, spread);
  unary("abs", UnaryOp::abs, spread);
  unary("square", UnaryOp::square, spread);
  unary("exp", UnaryOp::exp, spread);
  unary("sqrt", UnaryOp::sqrt, positive);
  unary("log", UnaryOp::log, positive);
  unary("reciprocal", UnaryOp::reciprocal, positive);
  unary("sigmoid", UnaryOp::sigmoid, spread);
  unary("tanh", UnaryOp::tanh, spread);
  const auto binary = [&](const char* name, BinaryOp op) {
    cases.push_back({name,
                     {map(2, 3, 4, 4), map(2, 3, 4, 4)},
                     [op](Tape&, const std::vector<Var>& v) { return ops::binary(op, v[0], v[1]); },
                     op == BinaryOp::multiply ? 0 : -1});
  };
  binary("add", BinaryOp::add);
  binary("subtract", BinaryOp::subtract);
  binary("multiply", BinaryOp::multiply);
  cases.push_back(
      {"scale", {map(2, 3, 4, 4)}, [](Tape&, const std::vector<Var>& v) { return ops::scale(v[0], -1.5); }, 0});
  cases.push_back({"add_bias", {map(2, 5, 3, 3), {{5}}}, [](Tape&, const std::vector<Var>& v) {
                     return ops::add_bias(v[0], v[1]);
                   }});
  cases.push_back({"scale_channels",
                   {map(2, 5, 3, 3), {{5}}},
                   [](Tape&, const std::vector<Var>& v) { return ops::scale_channels(v[0], v[1]); },
                   0});
  cases.push_back({"scale_channels, flat",
                   {{{4, 6}}, {{6}}},
                   [](Tape&, const std::vector<Var>& v) { return ops::scale_channels(v[0], v[1]); },
                   1});
  for (const Pairing pairing : {Pairing::halves, Pairing::neighbours}) {
    for (const PairOrder order : {PairOrder::max_first, PairOrder::min_first}) {
      cases.push_back({std::string("maxmin ") + (pairing == Pairing::halves ? "halves" : "neighbours") +
                           (order == PairOrder::max_first ? ", max first" : ", min first"),
                       {{{3, 12, 3, 2}, kMap, spread}},
                       [=](Tape&, const std::vector<Var>& v) {
                         return ops::maxmin(v[0], {pairing, order});
                       }});
    }
    cases.push_back({std::string("householder ") + (pairing == Pairing::halves ? "halves" : "neighbours"),
                     {{{2, 6, 2, 2}, kMap, spread}, {{3}, Layout::row_major, positive}},
                     [=](Tape&, const std::vector<Var>& v) { return ops::householder(v[0], v[1], pairing); }});
  }
  cases.push_back({"group_sort", {{{2, 9, 2, 2}, kMap, spread}}, [](Tape&, const std::vector<Var>& v) {
                     return ops::group_sort(v[0], 3);
                   }});
}

void add_plain(std::vector<OpCase>& cases) {
  const auto clip = [&](const char* name, double low, double high) {
    cases.push_back({name, {{{2, 4, 3, 3}, kMap, spread}}, [=](Tape&, const std::vector<Var>& v) {
                       return ops::clip(v[0], low, high);
                     }});
  };
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  clip("clip", -0.5, 1);
  clip("clip above", -kInfinity, 0.5);
  clip("clip below", -1, kInfinity);
  const auto prelu = [](Tape&, const std::vector<Var>& v) { return ops::prelu(v[0], v[1]); };
  cases.push_back({"prelu", {{{2, 5, 3, 4}, kMap, spread}, {{5}}}, prelu});
  cases.push_back({"prelu, flat", {{{6, 9}, Layout::row_major, spread}, {{9}}}, prelu});
  const auto softmax = [](Tape&, const std::vector<Var>& v) { return ops::softmax(v[0]); };
  cases.push_back({"softmax", {map(2, 7, 3, 2)}, softmax});
  cases.push_back({"softmax, flat", {{{5, 9}}}, softmax});
  const auto scale_shift = [](Tape&, const std::vector<Var>& v) { return ops::scale_shift(v[0], v[1], v[2]); };
  cases.push_back({"scale_shift", {map(2, 5, 3, 3), {{5}}, {{5}}}, scale_shift});
  cases.push_back({"scale_shift, flat", {{{4, 6}}, {{6}}, {{6}}}, scale_shift});
  cases.push_back({"scale_maps",
                   {map(3, 5, 2, 4), map(3, 5, 1, 1)},
                   [](Tape&, const std::vector<Var>& v) { return ops::scale_maps(v[0], v[1]); },
                   1});
}

void add_moves(std::vector<OpCase>& cases) {
  const auto concat = [](Tape&, const std::vector<Var>& v) { return ops::concat(v); };
  cases.push_back({"concat", {map(2, 3, 2, 4), map(2, 1, 2, 4), map(2, 4, 2, 4)}, concat, -1});
  cases.push_back({"concat, flat", {{{4, 6}}, {{4, 3}}}, concat, -1});
  cases.push_back({"pad",
                   {map(2, 3, 4, 3)},
                   [](Tape&, const std::vector<Var>& v) {
                     return ops::pad(v[0], {1, 0, 2, 3}, 0);
                   },
                   0});
  cases.push_back({"pad with a value", {map(2, 3, 4, 3)}, [](Tape&, const std::vector<Var>& v) {
                     return ops::pad(v[0], {0, 2, 1, 0}, -1.5);
                   }});
  const auto permute = [&](const char* name, OpInput x, std::vector<int64_t> axes) {
    cases.push_back(
        {name, {std::move(x)}, [axes](Tape&, const std::vector<Var>& v) { return ops::permute(v[0], axes); }, 0});
  };
  permute("permute a map", map(2, 3, 4, 5), {2, 0, 1});
  permute("permute a matrix", {{3, 4, 5}}, {1, 0});
  const auto samples = [&](const char* name, OpInput x, const Shape& sample) {
    cases.push_back({name,
                     {std::move(x)},
                     [sample](Tape&, const std::vector<Var>& v) { return ops::reshape_samples(v[0], sample); },
                     0});
  };
  samples("reshape a map to a map", map(2, 6, 2, 3), {4, 3, 3});
  samples("reshape a map to a matrix", map(2, 6, 2, 3), {9, 4});
  samples("reshape a matrix to a map", {{2, 9, 4}}, {6, 2, 3});
  samples("reshape a map to a row", map(2, 3, 4, 2), {24});
}

void add_shapes(std::vector<OpCase>& cases) {
  cases.push_back(
      {"shuffle",
       {map(2, 12, 3, 2)},
       [](Tape&, const std::vector<Var>& v) { return ops::map_channels(v[0], ChannelMap::shuffle(12, 3, true)); },
       0});
  cases.push_back(
      {"pad per group",
       {map(2, 6, 3, 2)},
       [](Tape&, const std::vector<Var>& v) { return ops::map_channels(v[0], ChannelMap::per_group(6, 10, 2)); },
       0});
  cases.push_back(
      {"crop per group",
       {map(2, 10, 3, 2)},
       [](Tape&, const std::vector<Var>& v) { return ops::map_channels(v[0], ChannelMap::per_group(10, 6, 2)); },
       0});
  cases.push_back({"crop",
                   {map(2, 8, 3, 2)},
                   [](Tape&, const std::vector<Var>& v) { return ops::map_channels(v[0], ChannelMap::head(8, 3)); },
                   0});
  cases.push_back({"space_to_depth",
                   {map(2, 3, 4, 6)},
                   [](Tape&, const std::vector<Var>& v) { return ops::space_to_depth(v[0], 2); },
                   0});
  cases.push_back({"depth_to_space",
                   {map(2, 8, 2, 3)},
                   [](Tape&, const std::vector<Var>& v) { return ops::depth_to_space(v[0], 2); },
                   0});
  cases.push_back(
      {"flatten", {map(2, 3, 2, 4)}, [](Tape&, const std::vector<Var>& v) { return ops::flatten(v[0]); }, 0});
  cases.push_back(
      {"flatten one pixel", {map(2, 5, 1, 1)}, [](Tape&, const std::vector<Var>& v) { return ops::flatten(v[0]); }, 0});
  cases.push_back({"as_map", {{{3, 4}}}, [](Tape&, const std::vector<Var>& v) { return ops::as_map(v[0]); }, 0});
  cases.push_back({"reshape",
                   {{{4, 6}}},
                   [](Tape&, const std::vector<Var>& v) {
                     return ops::reshape(v[0], {2, 3, 4});
                   },
                   0});
  cases.push_back({"gather_rows, one twice",
                   {{{6, 5}}},
                   [](Tape& tape, const std::vector<Var>& v) {
                     return ops::gather_rows(v[0], tape.backend().upload(Tensor::of<int32_t>({4}, {5, 0, 2, 0})));
                   },
                   0});
  const auto pool = [&](const char* name, PoolSpec spec, int linear) {
    cases.push_back({name,
                     {{{2, 3, 6, 5}, kMap, spread}},
                     [spec](Tape&, const std::vector<Var>& v) { return ops::pool(v[0], spec); },
                     linear});
  };
  pool("average pool", {}, 0);
  pool("average pool, padded", {.kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1, 1, 1}}, 0);
  pool("average pool, counting padding", {.kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1, 1, 1}, .count_pad = true},
       0);
  pool("global average pool", {.kernel = {6, 5}, .stride = {6, 5}}, 0);
  pool("average pool over the edge", {.kernel = {3, 2}, .stride = {2, 2}, .pad = {0, 0, 1, 1}}, 0);
  pool("max pool over the edge", {.kind = PoolKind::max, .kernel = {3, 2}, .stride = {2, 2}, .pad = {0, 0, 1, 1}}, -1);
  pool("l2 pool", {.kind = PoolKind::l2}, -1);
  pool("global l2 pool", {.kind = PoolKind::l2, .kernel = {6, 5}, .stride = {6, 5}}, -1);
  pool("max pool", {.kind = PoolKind::max, .kernel = {3, 3}, .stride = {2, 1}, .pad = {1, 1, 1, 1}}, -1);
  cases.push_back({"sum_to_channels",
                   {map(2, 3, 4, 4)},
                   [](Tape&, const std::vector<Var>& v) { return ops::sum_to_channels(v[0]); },
                   0});
  cases.push_back({"sum", {map(2, 3, 4, 4)}, [](Tape&, const std::vector<Var>& v) { return ops::sum(v[0]); }, 0});
  cases.push_back({"mean", {map(2, 3, 4, 4)}, [](Tape&, const std::vector<Var>& v) { return ops::mean(v[0]); }, 0});
}

void add_losses(std::vector<OpCase>& cases) {
  const Tensor labels = Tensor::of<int32_t>({4}, {0, 3, 1, 3});
  for (const CrossEntropySpec spec : {CrossEntropySpec{}, CrossEntropySpec{0.8, 0.25}}) {
    cases.push_back({spec.offset == 0 ? "cross_entropy" : "cross_entropy with offset",
                     {{{4, 5}}},
                     [=](Tape& tape, const std::vector<Var>& v) {
                       return ops::cross_entropy(v[0], tape.backend().upload(labels), spec);
                     }});
  }
  const auto margin_softmax = [&](const char* name, MarginSoftmaxSpec spec, double raise, double lower) {
    cases.push_back({name, {{{4, 5}, Layout::row_major, cosines}}, [=](Tape& tape, const std::vector<Var>& v) {
                       Backend& on = tape.backend();
                       const Tensor raised = on.upload(Tensor::of<double>({4}, {raise, raise, raise / 2, -raise}));
                       const Tensor lowered = on.upload(Tensor::of<double>({4}, {lower, lower, 2 * lower, 0}));
                       return ops::margin_softmax(v[0], on.upload(labels), raised, lowered, spec);
                     }});
  };
  margin_softmax("margin_softmax, angle", {.scale = 8}, 0.5, 0);
  margin_softmax("margin_softmax, cosine", {.scale = 8}, 0, 0.35);
  margin_softmax("margin_softmax, easy", {.scale = 8, .easy = true}, 0.5, 0.1);
  margin_softmax("margin_softmax, beyond pi", {.scale = 8, .multiply = 3}, 0.2, 0.1);
  cases.push_back({"margin", {{{4, 5}, Layout::row_major, spread}}, [=](Tape& tape, const std::vector<Var>& v) {
                     return ops::margin(v[0], tape.backend().upload(labels));
                   }});
}

}  // namespace

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> made;
    add_convolutions(made);
    add_matrices(made);
    add_rotations(made);
    add_eltwise(made);
    add_plain(made);
    add_moves(made);
    add_shapes(made);
    add_losses(made);
    return made;
  }();
  return cases;
}

OpInput enlarged(const OpInput& input, int64_t images) {
  OpInput larger = input;
  if (input.shape.rank() == 4 && input.layout == Layout::channels_last) {
    larger.shape = {images, input.shape[1], input.shape[2], input.shape[3]};
  }
  return larger;
}

Tensor make_input(Backend& backend, const OpInput& input, uint64_t seed) {
  Random random{RandomKey(seed)};
  Tensor host = Tensor::empty(input.shape, DType::f64, input.layout);
  // f32 values, so that all machines start from the same numbers.
  for (double& value : host.host<double>()) value = static_cast<double>(static_cast<float>(random.normal()));
  Tensor made = backend.upload(host);
  if (input.prepare) input.prepare(backend, made);
  return made;
}

std::vector<double> numbers(Backend& backend, const Tensor& x) {
  const Tensor host = with_dtype(backend.download(x), DType::f64);
  const auto values = host.host<double>();
  return {values.begin(), values.end()};
}

}  // namespace gsnet::test
