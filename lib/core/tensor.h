// Tensor: a dense array of numbers on one device.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/allocator.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace gsnet {

/// How the logical axes lie in memory. Activations (N, C, H, W) are channels-last on every machine (C fastest, then W,
/// H, N); parameters and everything that is not of rank 4 are row-major (last axis fastest).
enum class Layout : uint8_t { row_major, channels_last };

/// A handle: copies share the storage, which lives until the last handle goes. A default-made tensor is empty (false).
/// Nothing converts, moves or copies by itself.
class Tensor {
 public:
  Tensor() = default;

  /// Uninitialised memory from the allocator. Throws Error for channels_last with a rank other than 4.
  static Tensor empty(const Shape& shape, DType dtype, Layout layout = Layout::row_major,
                      const std::shared_ptr<Allocator>& allocator = default_host_allocator());
  /// Host tensor with a copy of the values, in memory order of the layout.
  template <class T>
  static Tensor of(const Shape& shape, std::span<const T> values, Layout layout = Layout::row_major);
  template <class T>
  static Tensor of(const Shape& shape, std::initializer_list<T> values) {
    return of(shape, std::span<const T>(values.begin(), values.size()));
  }

  explicit operator bool() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Layout layout() const { return layout_; }
  int64_t numel() const { return shape_.numel(); }
  size_t bytes() const { return static_cast<size_t>(numel()) * size_of(dtype_); }
  Device device() const;

  /// The elements in memory order. Throws Error when T is not the dtype; for machines and host code only: on a device
  /// the pointer is the device's.
  template <class T>
  T* data() const;
  void* raw() const;
  /// data() as a span; throws Error when the memory is not the host's.
  template <class T>
  std::span<T> host() const;

  /// The same memory under another row-major shape with as many elements. A channels-last tensor may be viewed so only
  /// if that moves nothing (one pixel, or one channel).
  Tensor view(const Shape& shape) const;
  /// The same memory read as (N, C, 1, 1) channels-last, from (N, C).
  Tensor as_map() const;
  /// Rows [first, first + count) of the first axis, sharing memory.
  Tensor rows(int64_t first, int64_t count) const;

  bool shares_storage_with(const Tensor& other) const { return storage_ && storage_ == other.storage_; }
  /// Whether no other tensor shares the storage.
  bool is_only_handle() const { return storage_.use_count() == 1; }

 private:
  class Storage;

  std::shared_ptr<Storage> storage_;
  size_t offset_ = 0;  // bytes
  Shape shape_;
  DType dtype_ = DType::f32;
  Layout layout_ = Layout::row_major;
};

/// A host copy in the other layout, or in the same; the dtype stays. Throws Error when x is not on the host.
Tensor with_layout(const Tensor& x, Layout layout);
/// A host copy with elements converted (f16 and bf16 round to nearest even), layout kept.
Tensor with_dtype(const Tensor& x, DType dtype);

}  // namespace gsnet
