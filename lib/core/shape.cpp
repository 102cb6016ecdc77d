#include "core/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/error.h"

namespace gsnet {

Shape::Shape(std::initializer_list<int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}

Shape::Shape(std::span<const int64_t> extents) : rank_(static_cast<int>(extents.size())) {
  GSNET_CHECK(extents.size() <= kMaxRank,
              fmt::format("[shape] at most {} axes are supported, got {}", kMaxRank, extents.size()));
  int64_t product = 1;
  for (size_t i = 0; i < extents.size(); ++i) {
    GSNET_CHECK(extents[i] >= 0, fmt::format("[shape] extents must be >= 0, got {}", extents[i]));
    GSNET_CHECK(!__builtin_mul_overflow(product, extents[i], &product),
                fmt::format("[shape] ({}) has more elements than 64 bits can count", fmt::join(extents, ", ")));
    extents_[i] = extents[i];
  }
}

int Shape::axis(int i) const {
  const int at = i < 0 ? i + rank_ : i;
  GSNET_CHECK(at >= 0 && at < rank_, fmt::format("[shape] {} has no axis {}", to_string(*this), i));
  return at;
}

int64_t Shape::operator[](int i) const { return extents_[static_cast<size_t>(axis(i))]; }

int64_t Shape::numel() const {
  int64_t product = 1;
  for (int64_t extent : extents()) product *= extent;
  return product;
}

Shape Shape::with(int i, int64_t extent) const {
  std::array<int64_t, kMaxRank> changed = extents_;
  changed[static_cast<size_t>(axis(i))] = extent;
  return Shape(std::span<const int64_t>(changed.data(), static_cast<size_t>(rank_)));
}

std::string to_string(const Shape& shape) { return fmt::format("({})", fmt::join(shape.extents(), ", ")); }

}  // namespace gsnet
