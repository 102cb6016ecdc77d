// Small networks with every kind of layer that adapters go on, and every kind of adapter.
#pragma once

#include <string>
#include <vector>

#include "adapters/bank.h"
#include "support/op_cases.h"

namespace gsnet::test {

/// Stride, padding, dilation, groups, depthwise, a kernel that is not square, a linear head. Takes (6, 9, 8).
inline Description mixed_network() {
  using Integers = std::vector<int64_t>;
  return {{6, 9, 8},
          {{"stem.conv",
            "conv2d",
            {},
            {{"channels", int64_t{8}}, {"kernel", int64_t{3}}, {"stride", int64_t{2}}, {"padding", int64_t{1}}}},
           {"act", "relu", {}, {}},
           {"block.grouped",
            "conv2d",
            {},
            {{"channels", int64_t{12}}, {"groups", int64_t{2}}, {"padding", int64_t{2}}, {"dilation", int64_t{2}}}},
           {"block.depthwise",
            "conv2d",
            {},
            {{"channels", int64_t{12}}, {"groups", int64_t{12}}, {"padding", int64_t{1}}, {"bias", false}}},
           {"block.wide", "conv2d", {}, {{"channels", int64_t{8}}, {"kernel", Integers{1, 2}}}},
           {"block.point", "conv2d", {}, {{"channels", int64_t{8}}, {"kernel", int64_t{1}}}},
           {"pool", "pool", {}, {{"global", true}}},
           {"flatten", "flatten", {}, {}},
           {"head", "linear", {}, {{"features", int64_t{4}}}}}};
}

inline std::vector<AdapterSpec> all_adapters() {
  const auto kind = [](AdapterKind which, auto&& change) {
    AdapterSpec spec;
    spec.kind = which;
    spec.block = 4;
    spec.rank = 2;
    spec.alpha = 3;
    change(spec);
    return spec;
  };
  return {kind(AdapterKind::gsoft, [](AdapterSpec&) {}),
          kind(AdapterKind::gsoft, [](AdapterSpec& s) { s.scale = true, s.map = OrthogonalMap::exp, s.block = 2; }),
          kind(AdapterKind::gsoft, [](AdapterSpec& s) { s.form = RotationForm::kernel, s.factors = 3, s.block = 3; }),
          kind(AdapterKind::double_gsoft, [](AdapterSpec& s) { s.block = 2, s.scale = true; }),
          kind(AdapterKind::oft, [](AdapterSpec& s) { s.form = RotationForm::kernel; }),
          kind(AdapterKind::oft, [](AdapterSpec& s) { s.share = true, s.map = OrthogonalMap::neumann; }),
          kind(AdapterKind::boft, [](AdapterSpec& s) { s.block = 2, s.scale = true; }),
          kind(AdapterKind::lora, [](AdapterSpec&) {}),
          kind(AdapterKind::dora, [](AdapterSpec& s) { s.rank = 1; })};
}

inline std::string name_of(const AdapterSpec& spec) {
  return to_string(spec.kind) + ", block " + std::to_string(spec.block) + ", form " +
         std::to_string(static_cast<int>(spec.form)) + ", map " + std::to_string(static_cast<int>(spec.map));
}

/// Small random numbers added to every tensor of an adapter.
inline void disturb(Graph& graph, const AdapterBank& bank, const std::string& name, uint64_t seed, double size = 0.2) {
  for (const NamedParameter& named : bank.parameters(name)) {
    Parameter& parameter = *named.parameter;
    const Tensor noise = make_input(graph.backend(), {parameter.value.shape()}, ++seed);
    Tensor moved = graph.backend().empty_like(parameter.value);
    graph.backend().axpby(1, parameter.value, size, noise, moved);
    parameter.value = moved;
    parameter.changed();
  }
}

inline std::vector<double> outputs(Graph& graph, uint64_t seed = 7) {
  const Shape& in = graph.input();
  Tape tape(graph.backend(), {});
  const OpInput input = in.rank() == 3 ? OpInput{{3, in[0], in[1], in[2]}, Layout::channels_last} : OpInput{{3, in[0]}};
  return numbers(graph.backend(), graph.forward(tape, tape.input(make_input(graph.backend(), input, seed))).value);
}

inline double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = a.size() == b.size() ? 0 : 1e300;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace gsnet::test
