#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "data/decode.h"

namespace gsnet::data {
namespace {

using Bytes = std::span<const uint8_t>;

bool starts_with(Bytes bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin(),
                                                    [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

/// Unsigned number of `count` bytes at an offset the caller has checked.
int64_t big_endian(Bytes bytes, size_t at, size_t count) {
  int64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
  return value;
}

int64_t little_endian(Bytes bytes, size_t at, size_t count) {
  int64_t value = 0;
  for (size_t i = count; i > 0; --i) value = value << 8 | bytes[at + i - 1];
  return value;
}

std::optional<PictureExtent> png_extent(Bytes b) {
  if (b.size() < 24 || !starts_with(b.subspan(12), "IHDR")) return std::nullopt;
  return PictureExtent{big_endian(b, 20, 4), big_endian(b, 16, 4)};
}

bool is_start_of_frame(uint8_t marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

/// Where the first segment with such a marker begins; what segments before it hold, thumbnails too, is stepped over.
std::optional<size_t> jpeg_segment(Bytes b, bool (*wanted)(uint8_t marker)) {
  for (size_t at = 2; at + 4 <= b.size();) {
    if (b[at] != 0xFF || b[at + 1] == 0xFF || b[at + 1] == 0) {
      ++at;
      continue;
    }
    const uint8_t marker = b[at + 1];
    if (wanted(marker)) return at;
    const bool bare = marker == 0x01 || (marker >= 0xD0 && marker <= 0xD9);
    at += bare ? 2 : 2 + static_cast<size_t>(std::max<int64_t>(2, big_endian(b, at + 2, 2)));
  }
  return std::nullopt;
}

std::optional<PictureExtent> jpeg_extent(Bytes b) {
  const auto frame = jpeg_segment(b, is_start_of_frame);
  if (!frame || *frame + 9 > b.size()) return std::nullopt;
  return PictureExtent{big_endian(b, *frame + 5, 2), big_endian(b, *frame + 7, 2)};
}

std::optional<PictureExtent> bmp_extent(Bytes b) {
  if (b.size() < 26) return std::nullopt;
  if (little_endian(b, 14, 4) == 12) return PictureExtent{little_endian(b, 20, 2), little_endian(b, 18, 2)};
  const auto height = int64_t{static_cast<int32_t>(little_endian(b, 22, 4))};  // negative: rows from the top
  return PictureExtent{std::abs(height), int64_t{static_cast<int32_t>(little_endian(b, 18, 4))}};
}

std::optional<int64_t> ppm_number(Bytes b, size_t& at) {
  const auto is_digit = [&] { return b[at] >= '0' && b[at] <= '9'; };
  for (bool comment = false; at < b.size() && (comment || !is_digit()); ++at) {
    comment = b[at] == '#' || (comment && b[at] != '\n' && b[at] != '\r');
  }
  int64_t value = 0;
  size_t digits = 0;
  for (; at < b.size() && is_digit() && digits < 9; ++at, ++digits) value = 10 * value + (b[at] - '0');
  if (digits == 0) return std::nullopt;
  return value;
}

std::optional<PictureExtent> ppm_extent(Bytes b) {
  size_t at = 2;
  const auto width = ppm_number(b, at), height = ppm_number(b, at);
  if (!width || !height) return std::nullopt;
  return PictureExtent{*height, *width};
}

std::optional<PictureExtent> extent_in(Bytes encoded, const std::string& name) {
  if (starts_with(encoded, "\x89PNG\r\n\x1A\n")) return png_extent(encoded);
  if (starts_with(encoded, "\xFF\xD8\xFF")) return jpeg_extent(encoded);
  if (starts_with(encoded, "BM")) return bmp_extent(encoded);
  if (starts_with(encoded, "P6") || starts_with(encoded, "P5")) return ppm_extent(encoded);
  throw Error(fmt::format("{}: expected PNG, JPEG, BMP or binary PPM/PGM at offset 0, found none of them ({} bytes)",
                          name, encoded.size()));
}

}  // namespace

PictureExtent announced_extent(std::span<const uint8_t> encoded, const std::string& name) {
  GSNET_CHECK(static_cast<int64_t>(encoded.size()) <= kMostPictureBytes,
              fmt::format("{}: {} bytes, at most {} are decoded", name, encoded.size(), kMostPictureBytes));
  const auto extent = extent_in(encoded, name);
  GSNET_CHECK(extent.has_value(),
              fmt::format("{}: the header is cut short or damaged, no size in its {} bytes", name, encoded.size()));
  const auto fits = [](int64_t side) { return side >= 1 && side <= kMostPictureSide; };
  GSNET_CHECK(fits(extent->height) && fits(extent->width),
              fmt::format("{}: the header announces {} x {} pixels, expected sides of 1 to {}", name, extent->height,
                          extent->width, kMostPictureSide));
  return *extent;
}

bool is_cut_jpeg(std::span<const uint8_t> encoded) {
  if (!starts_with(encoded, "\xFF\xD8\xFF")) return false;
  const auto scan = jpeg_segment(encoded, [](uint8_t marker) { return marker == 0xDA; });
  if (!scan) return true;
  for (size_t at = encoded.size(); at >= *scan + 2; --at) {
    if (encoded[at - 2] == 0xFF && encoded[at - 1] == 0xD9) return false;
  }
  return true;
}

}  // namespace gsnet::data
