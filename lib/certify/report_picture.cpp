#include "certify/report_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "certify/report_text.h"
#include "core/error.h"

namespace gsnet::report {
namespace {

constexpr size_t kHeaderBytes = 54;
constexpr int kLargestSide = 4096;
constexpr int kShownWidth = 96;

/// Little-endian, as bitmaps are.
void append(std::vector<uint8_t>& out, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void append_header(std::vector<uint8_t>& out, const Thumbnail& picture, size_t data_bytes) {
  out.push_back('B');
  out.push_back('M');
  append(out, static_cast<uint32_t>(kHeaderBytes + data_bytes), 4);
  append(out, 0, 4);
  append(out, kHeaderBytes, 4);
  append(out, 40, 4);  // what follows is a BITMAPINFOHEADER
  append(out, static_cast<uint32_t>(picture.width), 4);
  append(out, static_cast<uint32_t>(picture.height), 4);
  append(out, 1, 2);   // planes
  append(out, 24, 2);  // bits a pixel
  append(out, 0, 4);   // not compressed
  append(out, static_cast<uint32_t>(data_bytes), 4);
  for (int i = 0; i < 4; ++i) append(out, 0, 4);  // resolution, palette
}

void check(const Thumbnail& picture) {
  const auto side = [](int pixels) { return pixels >= 1 && pixels <= kLargestSide; };
  const bool sized = side(picture.height) && side(picture.width) && (picture.channels == 1 || picture.channels == 3);
  const size_t expected = sized ? static_cast<size_t>(picture.height) * static_cast<size_t>(picture.width) *
                                      static_cast<size_t>(picture.channels)
                                : 0;
  GSNET_CHECK(sized && picture.pixels.size() == expected,
              fmt::format("[report] a picture of {} x {} pixels and {} channels (1 or 3, sides up to {}) has {} bytes",
                          picture.height, picture.width, picture.channels, kLargestSide, picture.pixels.size()));
}

}  // namespace

std::string image(const Thumbnail& picture, std::string_view description) {
  const bool small = picture.width <= kShownWidth;
  const int width = small ? kShownWidth / picture.width * picture.width : kShownWidth;
  return fmt::format(R"(<img class="{}" style="width:{}px" alt="{}" src="data:image/bmp;base64,{}">)",
                     small ? "pixels" : "photo", width, description, base64(bitmap(picture)));
}

std::string base64(std::span<const uint8_t> bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t here = std::min<size_t>(3, bytes.size() - i);
    uint32_t block = 0;
    for (size_t k = 0; k < 3; ++k) block = block << 8 | (k < here ? bytes[i + k] : 0U);
    for (size_t k = 0; k < 4; ++k) out += k <= here ? kDigits[block >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::vector<uint8_t> bitmap(const Thumbnail& picture) {
  check(picture);
  const auto width = static_cast<size_t>(picture.width), height = static_cast<size_t>(picture.height);
  const auto channels = static_cast<size_t>(picture.channels);
  const size_t row_bytes = (3 * width + 3) / 4 * 4;
  std::vector<uint8_t> out;
  out.reserve(kHeaderBytes + row_bytes * height);
  append_header(out, picture, row_bytes * height);
  for (size_t y = height; y-- > 0;) {  // from the bottom up, blue first
    for (size_t x = 0; x < width; ++x) {
      const uint8_t* pixel = picture.pixels.data() + (y * width + x) * channels;
      for (size_t c = 3; c-- > 0;) out.push_back(pixel[channels == 3 ? c : 0]);
    }
    out.resize(out.size() + row_bytes - 3 * width);
  }
  return out;
}

std::string gallery(const CertificationReport& report, const std::vector<Thumbnail>& pictures) {
  std::string out = "<ul class=\"gallery\">\n";
  for (const Thumbnail& picture : pictures) {
    GSNET_CHECK(picture.sample >= 0 && static_cast<size_t>(picture.sample) < report.samples.size(),
                fmt::format("[report] a picture belongs to sample {} of {}", picture.sample, report.samples.size()));
    const CertifiedSample& sample = report.samples[static_cast<size_t>(picture.sample)];
    GSNET_CHECK(is_correct(sample),
                fmt::format("[report] the picture of sample {} is not correctly classified", sample.index));
    const std::string name = escaped(report.class_names[static_cast<size_t>(sample.label)]);
    out += fmt::format("<li title=\"{}\">{}<span class=\"name\">{}</span><span class=\"radius\">{}</span></li>\n",
                       escaped(sample.name.empty() ? fmt::format("sample {}", sample.index) : sample.name),
                       image(picture, name), name, rounded_down(sample.radius_l2));
  }
  return out + "</ul>\n";
}

}  // namespace gsnet::report
