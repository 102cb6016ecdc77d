// Shapes and orders of axes. The batch is always the first axis, and stays.
#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "io/onnx/operators.h"

namespace gsnet::io {
namespace {

Shape shape_of(const std::vector<int64_t>& extents) { return Shape(std::span<const int64_t>(extents)); }

std::vector<int64_t> extents_of(const Shape& shape) { return {shape.extents().begin(), shape.extents().end()}; }

OnnxValue reshaped(OnnxNetwork& network, const OnnxValue& x, const std::vector<int64_t>& extents) {
  GSNET_CHECK(!extents.empty() && extents.size() <= 3,
              fmt::format("a sample of {} axes, expected 1 to 3", extents.size()));
  const Shape sample = shape_of(extents);
  GSNET_CHECK(sample.numel() == x.sample.numel(),
              fmt::format("samples of {} cannot be read as {}", to_string(x.sample), to_string(sample)));
  if (sample == x.sample) return x;
  if (sample.rank() == 1) return network.add("flatten", x, sample);
  return network.add("reshape", {&x}, sample, {{{"shape", extents}}, {}});
}

OnnxValue flatten(OnnxNetwork& network, const OnnxNode& node) {
  const OnnxValue& x = node.layer(0);
  const int64_t rank = x.sample.rank() + 1, axis = node.integer("axis", 1);
  GSNET_CHECK(axis >= -rank && axis <= rank, fmt::format("there is no axis {} among {}", axis, rank));
  int64_t before = 1;
  for (int64_t i = 1; i < (axis < 0 ? axis + rank : axis); ++i) before *= x.sample[static_cast<int>(i) - 1];
  GSNET_CHECK((axis < 0 ? axis + rank : axis) >= 1 && before == 1,
              fmt::format("axis {} mixes the batch with others", axis));
  return reshaped(network, x, {x.sample.numel()});
}

/// The extents of one sample, from those of a batch with 0 (as in x) and -1 (what is left) among them.
std::vector<int64_t> sample_extents(const OnnxNode& node, const OnnxValue& x, int64_t batch) {
  std::vector<int64_t> wanted = node.integers("shape", 1);
  GSNET_CHECK(!wanted.empty(), "it removes the batch axis");
  int64_t free = -1, known = 1;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == 0 && node.integer("allowzero", 0) == 0)
      wanted[i] = i == 0 ? kBatch : x.sample[static_cast<int>(i) - 1];
    if (wanted[i] == -1) {
      GSNET_CHECK(free < 0, "two extents are left open");
      free = static_cast<int64_t>(i);
    } else if (i > 0) {
      GSNET_CHECK(wanted[i] != kBatch, "it moves the batch's extent");
      GSNET_CHECK(wanted[i] >= 1 && !__builtin_mul_overflow(known, wanted[i], &known),
                  fmt::format("an extent of {}", wanted[i]));
    }
  }
  const int64_t first = wanted[0];
  GSNET_CHECK(
      first == -1 || first == kBatch || first == 1 || first == batch,
      fmt::format("its first extent is {}, the batch's is {}", first, batch > 0 ? std::to_string(batch) : "free"));
  if (free > 0) wanted[static_cast<size_t>(free)] = x.sample.numel() / known;
  return {wanted.begin() + 1, wanted.end()};
}

OnnxValue reshape(OnnxNetwork& network, const OnnxNode& node) {
  const OnnxValue& x = node.layer(0);
  return reshaped(network, x, sample_extents(node, x, network.batch()));
}

OnnxValue squeeze(OnnxNetwork& network, const OnnxNode& node) {
  const OnnxValue& x = node.layer(0);
  std::vector<int64_t> extents;
  const bool all = !node.has_integers("axes", 1);  // but for the batch
  std::vector<bool> gone(static_cast<size_t>(x.sample.rank()) + 1, all);
  for (const int64_t axis : node.integers("axes", 1))
    gone[static_cast<size_t>(axis_of(axis, x.sample.rank() + 1))] = true;
  GSNET_CHECK(all || !gone[0], "it removes the batch axis");
  for (int i = 0; i < x.sample.rank(); ++i) {
    const bool removed = gone[static_cast<size_t>(i) + 1];
    GSNET_CHECK(all || !removed || x.sample[i] == 1,
                fmt::format("axis {} of samples {} is not 1", i, to_string(x.sample)));
    if (!removed || x.sample[i] != 1) extents.push_back(x.sample[i]);
  }
  return reshaped(network, x, extents);
}

OnnxValue unsqueeze(OnnxNetwork& network, const OnnxNode& node) {
  const OnnxValue& x = node.layer(0);
  std::vector<int64_t> axes = node.integers("axes", 1), extents = extents_of(x.sample);
  const int64_t rank = x.sample.rank() + 1 + static_cast<int64_t>(axes.size());
  for (int64_t& axis : axes) axis = axis_of(axis, rank);
  std::ranges::sort(axes);
  for (const int64_t axis : axes) {
    GSNET_CHECK(axis >= 1, "it puts an axis before the batch");
    GSNET_CHECK(std::cmp_less_equal(axis - 1, extents.size()), "an axis comes twice");
    extents.insert(extents.begin() + axis - 1, 1);
  }
  return reshaped(network, x, extents);
}

OnnxValue transpose(OnnxNetwork& network, const OnnxNode& node) {
  const OnnxValue& x = node.layer(0);
  const int64_t rank = x.sample.rank() + 1;
  std::vector<int64_t> perm, axes;
  if (node.has("perm")) perm = node.integers("perm");
  GSNET_CHECK(std::cmp_equal(perm.size(), rank) && perm[0] == 0, "it moves the batch axis");
  Shape y = x.sample;
  for (size_t i = 1; i < perm.size(); ++i) {
    axes.push_back(axis_of(perm[i], rank) - 1);
    GSNET_CHECK(axes.back() >= 0 && std::ranges::count(axes, axes.back()) == 1, "perm is no permutation");
    y = y.with(static_cast<int>(i) - 1, x.sample[static_cast<int>(axes.back())]);
  }
  if (std::ranges::is_sorted(axes)) return x;
  return network.add("permute", {&x}, y, {{{"axes", axes}}, {}});
}

OnnxValue concat(OnnxNetwork& network, const OnnxNode& node) {
  const Shape& first = node.layer(0).sample;
  GSNET_CHECK(axis_of(node.integer("axis", 1), first.rank() + 1) == 1, "only channels are concatenated");
  std::vector<const OnnxValue*> parts;
  int64_t channels = 0;
  for (size_t i = 0; i < node.input_count(); ++i) {
    parts.push_back(&node.layer(i));
    const Shape& part = parts.back()->sample;
    GSNET_CHECK(part.rank() == first.rank() && part.with(0, 0) == first.with(0, 0),
                fmt::format("samples of {} and {} do not fit together", to_string(first), to_string(part)));
    channels += part[0];
  }
  return parts.size() == 1 ? *parts[0] : network.add("concat", parts, first.with(0, channels), {});
}

constexpr Operator kTable[] = {{"Flatten", flatten, {"axis"}},     {"Reshape", reshape, {"shape", "allowzero"}},
                               {"Squeeze", squeeze, {"axes"}},     {"Unsqueeze", unsqueeze, {"axes"}},
                               {"Transpose", transpose, {"perm"}}, {"Concat", concat, {"axis"}}};

}  // namespace

std::span<const Operator> shape_operators() { return kTable; }

}  // namespace gsnet::io
