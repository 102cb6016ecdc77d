#include "core/tensor.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "core/error.h"

namespace gsnet {

class Tensor::Storage {
 public:
  Storage(std::shared_ptr<Allocator> allocator, size_t bytes)
      : allocator_(std::move(allocator)), block_(allocator_->allocate(bytes)) {}
  ~Storage() { allocator_->release(block_); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* block() const { return block_; }
  Device device() const { return allocator_->device(); }

 private:
  std::shared_ptr<Allocator> allocator_;
  void* block_;
};

Tensor Tensor::empty(const Shape& shape, DType dtype, Layout layout, const std::shared_ptr<Allocator>& allocator) {
  GSNET_CHECK(layout == Layout::row_major || shape.rank() == 4,
              fmt::format("[tensor] channels-last needs four axes, got {}", to_string(shape)));
  int64_t bytes = 0;
  GSNET_CHECK(
      !__builtin_mul_overflow(shape.numel(), static_cast<int64_t>(size_of(dtype)), &bytes),
      fmt::format("[tensor] {} of {} needs more bytes than 64 bits can count", to_string(shape), to_string(dtype)));
  Tensor tensor;
  tensor.storage_ = std::make_shared<Storage>(allocator, static_cast<size_t>(bytes));
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  tensor.layout_ = layout;
  return tensor;
}

template <class T>
Tensor Tensor::of(const Shape& shape, std::span<const T> values, Layout layout) {
  GSNET_CHECK(static_cast<int64_t>(values.size()) == shape.numel(),
              fmt::format("[tensor] {} needs {} values, got {}", to_string(shape), shape.numel(), values.size()));
  Tensor tensor = empty(shape, dtype_of<T>(), layout);
  if (!values.empty()) std::memcpy(tensor.raw(), values.data(), values.size_bytes());
  return tensor;
}

Device Tensor::device() const {
  GSNET_CHECK(storage_ != nullptr, "[tensor] an empty tensor has no device");
  return storage_->device();
}

void* Tensor::raw() const {
  GSNET_CHECK(storage_ != nullptr, "[tensor] an empty tensor has no data");
  return static_cast<std::byte*>(storage_->block()) + offset_;
}

template <class T>
T* Tensor::data() const {
  GSNET_CHECK(dtype_ == dtype_of<T>(),
              fmt::format("[tensor] holds {}, asked for {}", to_string(dtype_), to_string(dtype_of<T>())));
  return static_cast<T*>(raw());
}

template <class T>
std::span<T> Tensor::host() const {
  GSNET_CHECK(device().kind == DeviceKind::host, "[tensor] the memory is not on the host");
  return {data<T>(), static_cast<size_t>(numel())};
}

Tensor Tensor::view(const Shape& shape) const {
  GSNET_CHECK(shape.numel() == numel(),
              fmt::format("[view] {} cannot be seen as {}", to_string(shape_), to_string(shape)));
  if (layout_ == Layout::channels_last) {
    const bool moves_nothing = shape_[1] == 1 || shape_[2] * shape_[3] == 1;
    GSNET_CHECK(moves_nothing, fmt::format("[view] channels-last {} has several channels and pixels; convert it first",
                                           to_string(shape_)));
  }
  Tensor viewed = *this;
  viewed.shape_ = shape;
  viewed.layout_ = Layout::row_major;
  return viewed;
}

Tensor Tensor::as_map() const {
  GSNET_CHECK(shape_.rank() == 2, fmt::format("[as_map] needs (N, C), got {}", to_string(shape_)));
  Tensor viewed = *this;
  viewed.shape_ = {shape_[0], shape_[1], 1, 1};
  viewed.layout_ = Layout::channels_last;
  return viewed;
}

Tensor Tensor::rows(int64_t first, int64_t count) const {
  GSNET_CHECK(shape_.rank() >= 1 && first >= 0 && count >= 0 && first + count <= shape_[0],
              fmt::format("[rows] {} has no rows {} to {}", to_string(shape_), first, first + count));
  Tensor part = *this;
  part.shape_ = shape_.with(0, count);
  const int64_t row = shape_[0] == 0 ? 0 : numel() / shape_[0];
  part.offset_ += static_cast<size_t>(first * row) * size_of(dtype_);
  return part;
}

Tensor with_layout(const Tensor& x, Layout layout) {
  GSNET_CHECK(x.device().kind == DeviceKind::host, "[with_layout] the memory is not on the host");
  Tensor y = Tensor::empty(x.shape(), x.dtype(), layout);
  if (layout == x.layout()) {
    std::memcpy(y.raw(), x.raw(), x.bytes());
    return y;
  }
  const size_t size = size_of(x.dtype());
  const int64_t batch = x.shape()[0], channels = x.shape()[1], pixels = x.shape()[2] * x.shape()[3];
  const bool to_last = layout == Layout::channels_last;
  const int64_t rows = to_last ? channels : pixels, columns = to_last ? pixels : channels;
  const auto* from = static_cast<const std::byte*>(x.raw());
  auto* to = static_cast<std::byte*>(y.raw());
  for (int64_t n = 0; n < batch; ++n) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        std::memcpy(to + static_cast<size_t>((n * columns + c) * rows + r) * size,
                    from + static_cast<size_t>((n * rows + r) * columns + c) * size, size);
      }
    }
  }
  return y;
}

namespace {

float half_to_float(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000U) << 16U;
  const uint32_t exponent = (bits >> 10U) & 0x1FU;
  const uint32_t mantissa = bits & 0x3FFU;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000U | (mantissa << 13U));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23U) | (mantissa << 13U));
  const float value = std::ldexp(static_cast<float>(mantissa), -24);
  return sign != 0 ? -value : value;
}

uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16U) & 0x8000U;
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7E00U);
  if (magnitude >= 65520.0F) return static_cast<uint16_t>(sign | 0x7C00U);
  if (magnitude < 6.103515625e-5F) {  // subnormal: a multiple of 2^-24
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(std::ldexp(magnitude, 24))));
  }
  const uint32_t shifted = (bits & 0x7FFFFFFFU) - (112U << 23U);
  return static_cast<uint16_t>(sign | ((shifted + 0xFFFU + ((shifted >> 13U) & 1U)) >> 13U));
}

float bfloat_to_float(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16U); }

uint16_t float_to_bfloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16U) | 0x40U);
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

template <class T>
double element(const Tensor& x, int64_t i) {
  return static_cast<double>(static_cast<const T*>(x.raw())[i]);
}

double read(const Tensor& x, int64_t i) {
  switch (x.dtype()) {
    case DType::f32:
      return element<float>(x, i);
    case DType::f64:
      return element<double>(x, i);
    case DType::i32:
      return element<int32_t>(x, i);
    case DType::i64:
      return element<int64_t>(x, i);
    case DType::u8:
      return element<uint8_t>(x, i);
    case DType::f16:
      return half_to_float(static_cast<const uint16_t*>(x.raw())[i]);
    case DType::bf16:
      return bfloat_to_float(static_cast<const uint16_t*>(x.raw())[i]);
  }
  throw Error("[tensor] unknown element type");
}

void write(const Tensor& y, int64_t i, double value) {
  switch (y.dtype()) {
    case DType::f32:
      static_cast<float*>(y.raw())[i] = static_cast<float>(value);
      return;
    case DType::f64:
      static_cast<double*>(y.raw())[i] = value;
      return;
    case DType::i32:
      static_cast<int32_t*>(y.raw())[i] = static_cast<int32_t>(value);
      return;
    case DType::i64:
      static_cast<int64_t*>(y.raw())[i] = static_cast<int64_t>(value);
      return;
    case DType::u8:
      static_cast<uint8_t*>(y.raw())[i] = static_cast<uint8_t>(value);
      return;
    case DType::f16:
      static_cast<uint16_t*>(y.raw())[i] = float_to_half(static_cast<float>(value));
      return;
    case DType::bf16:
      static_cast<uint16_t*>(y.raw())[i] = float_to_bfloat(static_cast<float>(value));
      return;
  }
}

}  // namespace

Tensor with_dtype(const Tensor& x, DType dtype) {
  GSNET_CHECK(x.device().kind == DeviceKind::host, "[with_dtype] the memory is not on the host");
  Tensor y = Tensor::empty(x.shape(), dtype, x.layout());
  if (dtype == x.dtype()) {
    std::memcpy(y.raw(), x.raw(), x.bytes());
    return y;
  }
  for (int64_t i = 0; i < x.numel(); ++i) write(y, i, read(x, i));
  return y;
}

// A type cannot be put in parentheses: NOLINTBEGIN(bugprone-macro-parentheses)
#define GSNET_TENSOR_OF(T)                                                       \
  template Tensor Tensor::of<T>(const Shape& shape, std::span<const T>, Layout); \
  template T* Tensor::data<T>() const;                                           \
  template std::span<T> Tensor::host<T>() const;
// NOLINTEND(bugprone-macro-parentheses)
GSNET_TENSOR_OF(float)
GSNET_TENSOR_OF(double)
GSNET_TENSOR_OF(int32_t)
GSNET_TENSOR_OF(int64_t)
GSNET_TENSOR_OF(uint8_t)
#undef GSNET_TENSOR_OF

}  // namespace gsnet
