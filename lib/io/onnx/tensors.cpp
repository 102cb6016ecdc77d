// Tensors of ONNX files: in typed lists, as raw bytes, or in files beside.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <vector>

#include "core/error.h"
#include "io/onnx/reader.h"
#include "io/safetensors_header.h"

namespace gsnet::io {
namespace {

using Proto = onnx::TensorProto;

/// How an element type is stored in raw data, and what it becomes.
struct Element {
  int32_t type;
  size_t bytes;
  DType read;  ///< of raw data; i64 for every integer
};

constexpr Element kElements[] = {{Proto::FLOAT, 4, DType::f32},   {Proto::DOUBLE, 8, DType::f64},
                                 {Proto::FLOAT16, 2, DType::f16}, {Proto::BFLOAT16, 2, DType::bf16},
                                 {Proto::INT64, 8, DType::i64},   {Proto::INT32, 4, DType::i64},
                                 {Proto::INT16, 2, DType::i64},   {Proto::INT8, 1, DType::i64},
                                 {Proto::UINT8, 1, DType::i64},   {Proto::BOOL, 1, DType::i64}};

const Element& element_of(int32_t type) {
  for (const Element& element : kElements) {
    if (element.type == type) return element;
  }
  const std::string name = Proto::DataType_IsValid(type) ? Proto::DataType_Name(static_cast<Proto::DataType>(type))
                                                         : fmt::format("number {}", type);
  throw Error(fmt::format("elements of type {} are not supported", name));
}

Shape shape_of(const Proto& proto) {
  GSNET_CHECK(proto.dims_size() <= Shape::kMaxRank,
              fmt::format("it has {} axes, expected at most {}", proto.dims_size(), Shape::kMaxRank));
  return Shape(std::span<const int64_t>(proto.dims().data(), static_cast<size_t>(proto.dims_size())));
}

template <class T>
void widen(const char* from, Tensor& to) {
  int64_t* numbers = to.data<int64_t>();
  for (int64_t i = 0; i < to.numel(); ++i) {
    T value;
    std::memcpy(&value, from + static_cast<size_t>(i) * sizeof value, sizeof value);
    numbers[i] = static_cast<int64_t>(value);
  }
}

/// From as many little-endian bytes as the shape needs.
Tensor from_bytes(const char* bytes, const Element& element, const Shape& shape) {
  Tensor read = Tensor::empty(shape, element.read);
  switch (element.type) {
    case Proto::INT32:
      widen<int32_t>(bytes, read);
      break;
    case Proto::INT16:
      widen<int16_t>(bytes, read);
      break;
    case Proto::INT8:
      widen<int8_t>(bytes, read);
      break;
    case Proto::UINT8:
    case Proto::BOOL:
      widen<uint8_t>(bytes, read);
      break;
    default:
      std::memcpy(read.raw(), bytes, read.bytes());
  }
  return read;
}

template <class To, class List>
Tensor from_list(const List& list, const Shape& shape, DType dtype) {
  GSNET_CHECK(std::cmp_equal(list.size(), shape.numel()),
              fmt::format("it has {} numbers for {}", list.size(), to_string(shape)));
  Tensor read = Tensor::empty(shape, dtype);
  auto* to = static_cast<To*>(read.raw());
  for (const auto value : list) *to++ = static_cast<To>(value);
  return read;
}

Tensor from_lists(const Proto& proto, const Element& element, const Shape& shape) {
  switch (element.type) {
    case Proto::FLOAT:
      return from_list<float>(proto.float_data(), shape, DType::f32);
    case Proto::DOUBLE:
      return from_list<double>(proto.double_data(), shape, DType::f64);
    case Proto::INT64:
      return from_list<int64_t>(proto.int64_data(), shape, DType::i64);
    case Proto::FLOAT16:
    case Proto::BFLOAT16:
      return from_list<uint16_t>(proto.int32_data(), shape, element.read);  // the bits
    default:
      return from_list<int64_t>(proto.int32_data(), shape, DType::i64);
  }
}

struct Place {
  std::string location;
  uint64_t offset = 0;
  std::optional<uint64_t> length;
};

uint64_t byte_count(const std::string& key, const std::string& text) {
  uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  GSNET_CHECK(failure == std::errc() && end == text.data() + text.size() && !text.empty(),
              fmt::format("its external data has '{}' as {}", shown(text), key));
  return value;
}

Place place_of(const Proto& proto) {
  Place place;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") place.location = entry.value();
    if (entry.key() == "offset") place.offset = byte_count("offset", entry.value());
    if (entry.key() == "length") place.length = byte_count("length", entry.value());
  }
  return place;
}

/// Refuses whatever leads out of the folder, links too.
std::filesystem::path inside(const std::filesystem::path& folder, const std::string& location) {
  namespace fs = std::filesystem;
  const fs::path relative(location);
  bool plain = !location.empty() && location.find('\0') == std::string::npos && relative.is_relative();
  for (const fs::path& part : relative) plain = plain && part != "..";
  std::error_code failure;
  const fs::path home = fs::weakly_canonical(folder.empty() ? fs::path(".") : folder, failure);
  const fs::path whole = plain && !failure ? fs::weakly_canonical(home / relative, failure) : fs::path();
  const auto [at_home, at_whole] = std::mismatch(home.begin(), home.end(), whole.begin(), whole.end());
  GSNET_CHECK(plain && !failure && at_home == home.end(),
              fmt::format("its external data lies in '{}', which is outside the file's folder", shown(location)));
  return whole;
}

Tensor from_file(const Proto& proto, const Element& element, const Shape& shape, uint64_t bytes,
                 const std::filesystem::path& folder) {
  const Place place = place_of(proto);
  const InputFile file(inside(folder, place.location));
  GSNET_CHECK(place.length.value_or(bytes) == bytes,
              fmt::format("its external data has {} bytes, {} needs {}", *place.length, to_string(shape), bytes));
  GSNET_CHECK(place.offset <= file.size() && bytes <= file.size() - place.offset,
              fmt::format("its external data takes bytes {} to {} of '{}', which has {}", place.offset,
                          place.offset + bytes, shown(place.location), file.size()));
  std::string raw(static_cast<size_t>(bytes), '\0');
  file.read_at(place.offset, raw.data(), raw.size());
  return from_bytes(raw.data(), element, shape);
}

Tensor read(const Proto& proto, const std::filesystem::path& folder) {
  const Element& element = element_of(proto.data_type());
  const Shape shape = shape_of(proto);
  uint64_t bytes = 0;
  GSNET_CHECK(!__builtin_mul_overflow(static_cast<uint64_t>(shape.numel()), element.bytes, &bytes),
              fmt::format("{} is too large", to_string(shape)));
  GSNET_CHECK(!proto.has_segment(), "it is stored in segments");
  if (proto.data_location() == Proto::EXTERNAL) return from_file(proto, element, shape, bytes, folder);
  if (!proto.has_raw_data()) return from_lists(proto, element, shape);
  GSNET_CHECK(proto.raw_data().size() == bytes,
              fmt::format("it has {} bytes, {} needs {}", proto.raw_data().size(), to_string(shape), bytes));
  return from_bytes(proto.raw_data().data(), element, shape);
}

}  // namespace

Tensor tensor_of(const Proto& proto, const std::filesystem::path& folder) {
  try {
    const Tensor tensor = read(proto, folder);
    const bool half = tensor.dtype() == DType::f16 || tensor.dtype() == DType::bf16;
    return half ? with_dtype(tensor, DType::f32) : tensor;
  } catch (const Error& error) {
    throw Error(fmt::format("tensor '{}': {}", shown(proto.name()), error.what()));
  }
}

}  // namespace gsnet::io
