// Element types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace gsnet {

enum class DType : uint8_t { f32, f64, bf16, f16, i32, i64, u8 };

size_t size_of(DType dtype);
/// "f32", "f64", ...
std::string to_string(DType dtype);

/// The DType of a C++ scalar: dtype_of<float>() is DType::f32.
template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::i64;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::u8;
}

}  // namespace gsnet
