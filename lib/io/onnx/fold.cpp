#include "io/onnx/fold.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>

#include "core/error.h"
#include "io/onnx/reader.h"

namespace gsnet::io {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 26;

Tensor integers_tensor(const std::vector<int64_t>& values) {
  return Tensor::of(Shape{static_cast<int64_t>(values.size())}, std::span<const int64_t>(values));
}

Tensor made(const Shape& shape, DType dtype) {
  GSNET_CHECK(shape.numel() <= kMostElements, fmt::format("a constant of {} is too large", to_string(shape)));
  return Tensor::empty(shape, dtype);
}

/// y of a shape whose element i is element from(i) of x.
template <class From>
Tensor taken(const Tensor& x, const Shape& shape, From&& from) {
  Tensor y = made(shape, x.dtype());
  const size_t size = size_of(x.dtype());
  const auto* read = static_cast<const char*>(x.raw());
  auto* write = static_cast<char*>(y.raw());
  for (int64_t i = 0; i < shape.numel(); ++i) {
    std::memcpy(write + static_cast<size_t>(i) * size, read + static_cast<size_t>(from(i)) * size, size);
  }
  return y;
}

std::vector<int64_t> extents_of(const Shape& shape) { return {shape.extents().begin(), shape.extents().end()}; }

Shape shape_of(const std::vector<int64_t>& extents) { return Shape(std::span<const int64_t>(extents)); }

/// Elements from one place of an axis to the next.
int64_t stride_of(const Shape& shape, int64_t axis) {
  int64_t stride = 1;
  for (int64_t i = axis + 1; i < shape.rank(); ++i) stride *= shape[static_cast<int>(i)];
  return stride;
}

Tensor constant(const OnnxNode& node, const std::filesystem::path& folder) {
  GSNET_CHECK(node.proto().attribute_size() == 1, "it needs one attribute");
  const onnx::AttributeProto& value = node.proto().attribute(0);
  const auto list = [](const auto& values) { return Shape{static_cast<int64_t>(values.size())}; };
  if (value.name() == "value") return tensor_of(value.t(), folder);
  if (value.name() == "value_int") return Tensor::of<int64_t>({}, {value.i()});
  if (value.name() == "value_float") return Tensor::of<float>({}, {value.f()});
  if (value.name() == "value_ints") {
    return Tensor::of(list(value.ints()),
                      std::span<const int64_t>(value.ints().data(), static_cast<size_t>(value.ints_size())));
  }
  if (value.name() == "value_floats") {
    return Tensor::of(list(value.floats()),
                      std::span<const float>(value.floats().data(), static_cast<size_t>(value.floats_size())));
  }
  throw Error(fmt::format("its attribute '{}' is not supported", value.name()));
}

Tensor shape(const OnnxNode& node) {
  GSNET_CHECK(node.input(0) != nullptr, "input 0 is missing");
  const OnnxValue& x = *node.input(0);
  std::vector<int64_t> extents = extents_of(x.is_constant() ? x.constant.shape() : x.sample);
  if (!x.is_constant()) extents.insert(extents.begin(), kBatch);
  const auto rank = static_cast<int64_t>(extents.size());
  const auto place = [&](const char* name, int64_t missing) {
    const int64_t at = node.integer(name, missing);
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t start = place("start", 0), end = std::max(start, place("end", rank));
  return integers_tensor({extents.begin() + start, extents.begin() + end});
}

Tensor cast(const OnnxNode& node) {
  const Tensor& x = node.constant(0);
  const int64_t to = node.integer("to", 0);
  const bool wanted_real = to == onnx::TensorProto::FLOAT || to == onnx::TensorProto::DOUBLE;
  const bool real = x.dtype() != DType::i64;
  if (to == onnx::TensorProto::FLOAT || to == onnx::TensorProto::DOUBLE) {
    if (real) return with_dtype(x, to == onnx::TensorProto::FLOAT ? DType::f32 : DType::f64);
    const std::vector<double> values = numbers_of(x);
    for (const int64_t value : integers_of(x)) GSNET_CHECK(value != kBatch, "it computes with the batch's extent");
    return with_dtype(Tensor::of(x.shape(), std::span<const double>(values)),
                      to == onnx::TensorProto::FLOAT ? DType::f32 : DType::f64);
  }
  GSNET_CHECK(!wanted_real && !real && (to == onnx::TensorProto::INT64 || to == onnx::TensorProto::INT32),
              fmt::format("a cast to type {} is not supported", to));
  return x;
}

Tensor gather(const OnnxNode& node) {
  const Tensor &x = node.constant(0), &indices = node.constant(1);
  const int64_t axis = axis_of(node.integer("axis", 0), x.shape().rank());
  const int64_t extent = x.shape()[static_cast<int>(axis)], stride = stride_of(x.shape(), axis),
                count = indices.numel();
  std::vector<int64_t> places = integers_of(indices), extents = extents_of(x.shape());
  for (int64_t& place : places) place = axis_of(place, extent);
  extents.erase(extents.begin() + axis);
  extents.insert(extents.begin() + axis, indices.shape().extents().begin(), indices.shape().extents().end());
  return taken(x, shape_of(extents), [&](int64_t i) {
    const int64_t inner = i % stride, place = i / stride % count, outer = i / stride / count;
    return (outer * extent + places[static_cast<size_t>(place)]) * stride + inner;
  });
}

Tensor reshape(const OnnxNode& node) {
  const Tensor& x = node.constant(0);
  std::vector<int64_t> extents = node.integers("shape", 1);
  int64_t known = 1, free = -1;
  for (size_t i = 0; i < extents.size(); ++i) {
    if (extents[i] == 0 && node.integer("allowzero", 0) == 0) extents[i] = x.shape()[static_cast<int>(i)];
    if (extents[i] == -1) {
      GSNET_CHECK(free < 0, "two extents are left open");
      free = static_cast<int64_t>(i);
    } else {
      GSNET_CHECK(extents[i] >= 0 && !__builtin_mul_overflow(known, extents[i], &known), "an extent makes no sense");
    }
  }
  if (free >= 0) extents[static_cast<size_t>(free)] = known > 0 ? x.numel() / known : 0;
  const Shape wanted = shape_of(extents);
  GSNET_CHECK(wanted.numel() == x.numel(),
              fmt::format("{} cannot be read as {}", to_string(x.shape()), to_string(wanted)));
  return x.view(wanted);
}

Tensor squeeze(const OnnxNode& node) {
  const Tensor& x = node.constant(0);
  std::vector<int64_t> extents;
  std::vector<bool> gone(static_cast<size_t>(x.shape().rank()), !node.has_integers("axes", 1));
  for (const int64_t axis : node.integers("axes", 1)) gone[static_cast<size_t>(axis_of(axis, x.shape().rank()))] = true;
  for (int i = 0; i < x.shape().rank(); ++i) {
    const bool one = x.shape()[i] == 1;
    GSNET_CHECK(one || !gone[static_cast<size_t>(i)] || !node.has_integers("axes", 1),
                fmt::format("axis {} of {} is not 1", i, to_string(x.shape())));
    if (!one || !gone[static_cast<size_t>(i)]) extents.push_back(x.shape()[i]);
  }
  return x.view(shape_of(extents));
}

Tensor unsqueeze(const OnnxNode& node) {
  const Tensor& x = node.constant(0);
  std::vector<int64_t> axes = node.integers("axes", 1), extents = extents_of(x.shape());
  const int64_t rank = x.shape().rank() + static_cast<int64_t>(axes.size());
  GSNET_CHECK(rank <= Shape::kMaxRank, "too many axes");
  for (int64_t& axis : axes) axis = axis_of(axis, rank);
  std::ranges::sort(axes);
  for (const int64_t axis : axes) {
    GSNET_CHECK(std::cmp_less_equal(axis, extents.size()), "an axis comes twice");
    extents.insert(extents.begin() + axis, 1);
  }
  return x.view(shape_of(extents));
}

Tensor concat(const OnnxNode& node) {
  const Tensor& first = node.constant(0);
  const int64_t axis = axis_of(node.integer("axis", 0), first.shape().rank());
  int64_t total = 0;
  for (size_t i = 0; i < node.input_count(); ++i) {
    const Tensor& part = node.constant(i);
    GSNET_CHECK(part.dtype() == first.dtype() && part.shape().rank() == first.shape().rank() &&
                    part.shape().with(static_cast<int>(axis), 0) == first.shape().with(static_cast<int>(axis), 0),
                fmt::format("{} and {} do not fit together", to_string(first.shape()), to_string(part.shape())));
    total += part.shape()[static_cast<int>(axis)];
  }
  Tensor y = made(first.shape().with(static_cast<int>(axis), total), first.dtype());
  const size_t size = size_of(y.dtype()) * static_cast<size_t>(stride_of(first.shape(), axis));
  const int64_t outer = total > 0 && size > 0 ? static_cast<int64_t>(y.bytes() / size) / total : 0;
  auto* write = static_cast<char*>(y.raw());
  for (int64_t row = 0; row < outer; ++row) {
    for (size_t i = 0; i < node.input_count(); ++i) {
      const Tensor& part = node.constant(i);
      const size_t bytes = size * static_cast<size_t>(part.shape()[static_cast<int>(axis)]);
      std::memcpy(write, static_cast<const char*>(part.raw()) + static_cast<size_t>(row) * bytes, bytes);
      write += bytes;
    }
  }
  return y;
}

Tensor slice(const OnnxNode& node) {
  Tensor x = node.constant(0);
  const std::vector<int64_t> starts = node.integers("starts", 1), ends = node.integers("ends", 2),
                             axes = node.integers("axes", 3);
  const std::vector<int64_t> steps =
      node.input(4) != nullptr ? integers_of(node.constant(4)) : std::vector<int64_t>(starts.size(), 1);
  GSNET_CHECK(
      starts.size() == ends.size() && steps.size() == starts.size() && (axes.empty() || axes.size() == starts.size()),
      "starts, ends, axes and steps differ in number");
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t axis = axis_of(axes.empty() ? static_cast<int64_t>(i) : axes[i], x.shape().rank());
    const int64_t extent = x.shape()[static_cast<int>(axis)], stride = stride_of(x.shape(), axis);
    GSNET_CHECK(steps[i] == 1 && starts[i] > kBatch && ends[i] != kBatch,
                "steps other than 1, or a slice by the batch's extent");
    const auto place = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + extent : at, 0, extent); };
    const int64_t start = place(starts[i]), count = std::max<int64_t>(0, place(ends[i]) - start);
    const Tensor from = x;
    x = taken(from, from.shape().with(static_cast<int>(axis), count), [&](int64_t k) {
      return (k / stride / count * extent + start + k / stride % count) * stride + k % stride;
    });
  }
  return x;
}

Tensor transpose(const OnnxNode& node) {
  const Tensor& x = node.constant(0);
  const auto rank = static_cast<size_t>(x.shape().rank());
  std::vector<int64_t> perm(rank), extents(rank), strides(rank);
  for (size_t i = 0; i < rank; ++i) perm[i] = static_cast<int64_t>(rank - 1 - i);
  if (node.has("perm")) perm = node.integers("perm");
  GSNET_CHECK(perm.size() == rank, fmt::format("{} axes for {}", perm.size(), to_string(x.shape())));
  std::vector<bool> used(rank);
  for (size_t i = 0; i < rank; ++i) {
    const auto axis = static_cast<size_t>(axis_of(perm[i], static_cast<int64_t>(rank)));
    GSNET_CHECK(!used[axis], "an axis comes twice");
    used[axis] = true;
    extents[i] = x.shape()[static_cast<int>(axis)];
    strides[i] = stride_of(x.shape(), static_cast<int64_t>(axis));
  }
  return taken(x, shape_of(extents), [&](int64_t i) {
    int64_t from = 0;
    for (size_t a = rank; a-- > 0; i /= extents[a]) from += i % extents[a] * strides[a];
    return from;
  });
}

int64_t integer_result(char op, int64_t a, int64_t b) {
  GSNET_CHECK(a != kBatch && b != kBatch, "it computes with the batch's extent");
  int64_t y = 0;
  const bool overflow = op == '+'   ? __builtin_add_overflow(a, b, &y)
                        : op == '-' ? __builtin_sub_overflow(a, b, &y)
                        : op == '*' ? __builtin_mul_overflow(a, b, &y)
                                    : b == 0 || b == -1;
  GSNET_CHECK(!overflow, fmt::format("{} {} {} has no result", a, op, b));
  return op == '/' ? a / b : y;
}

double real_result(char op, double a, double b) {
  return op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b;
}

/// Equal shapes, or one of the two a single number.
Tensor arithmetic(const OnnxNode& node, char op) {
  const Tensor &a = node.constant(0), &b = node.constant(1);
  GSNET_CHECK(a.shape() == b.shape() || a.numel() == 1 || b.numel() == 1,
              fmt::format("{} and {} do not fit together", to_string(a.shape()), to_string(b.shape())));
  GSNET_CHECK(a.dtype() == b.dtype(), "the operands are of two types");
  const bool by_rank = a.numel() == b.numel();
  const Shape& shape = by_rank          ? (a.shape().rank() >= b.shape().rank() ? a.shape() : b.shape())
                       : a.numel() == 1 ? b.shape()
                                        : a.shape();
  const auto count = static_cast<size_t>(shape.numel());
  const size_t step_a = a.numel() == 1 ? 0 : 1, step_b = b.numel() == 1 ? 0 : 1;
  if (a.dtype() == DType::i64) {
    std::vector<int64_t> y(count);
    for (size_t i = 0; i < count; ++i)
      y[i] = integer_result(op, a.data<int64_t>()[i * step_a], b.data<int64_t>()[i * step_b]);
    return Tensor::of(shape, std::span<const int64_t>(y));
  }
  const std::vector<double> as = numbers_of(a), bs = numbers_of(b);
  std::vector<double> y(count);
  for (size_t i = 0; i < count; ++i) y[i] = real_result(op, as[i * step_a], bs[i * step_b]);
  return with_dtype(Tensor::of(shape, std::span<const double>(y)), a.dtype());
}

Tensor constant_of_shape(const OnnxNode& node, const std::filesystem::path& folder) {
  const onnx::AttributeProto* value = node.find("value");
  const Tensor one = value != nullptr ? tensor_of(value->t(), folder) : Tensor::of<float>({1}, {0.0F});
  GSNET_CHECK(one.numel() == 1, "its value is not one number");
  return taken(one, shape_of(integers_of(node.constant(0))), [](int64_t) { return 0; });
}

}  // namespace

std::optional<Tensor> folded(const OnnxNode& node, const std::filesystem::path& folder) {
  const std::string& op = node.op();
  if (op == "Constant") return constant(node, folder);
  if (op == "Shape") return shape(node);
  for (size_t i = 0; i < node.input_count(); ++i) {
    if (node.input(i) != nullptr && !node.input(i)->is_constant()) return std::nullopt;
  }
  if (op == "ConstantOfShape") return constant_of_shape(node, folder);
  if (op == "Identity") return node.constant(0);
  if (op == "Cast") return cast(node);
  if (op == "Gather") return gather(node);
  if (op == "Reshape") return reshape(node);
  if (op == "Squeeze") return squeeze(node);
  if (op == "Unsqueeze") return unsqueeze(node);
  if (op == "Concat") return concat(node);
  if (op == "Slice") return slice(node);
  if (op == "Transpose") return transpose(node);
  if (op == "Add") return arithmetic(node, '+');
  if (op == "Sub") return arithmetic(node, '-');
  if (op == "Mul") return arithmetic(node, '*');
  if (op == "Div") return arithmetic(node, '/');
  return std::nullopt;
}

}  // namespace gsnet::io
