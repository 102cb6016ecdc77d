// Pictures inside the page: Windows bitmaps in data URIs, so that neither a codec nor a second file is needed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "certify/report.h"

namespace gsnet::report {

std::string base64(std::span<const uint8_t> bytes);

/// A 24-bit bitmap file. Throws Error where the bytes do not fit the size or the channels are neither 1 nor 3.
std::vector<uint8_t> bitmap(const Thumbnail& picture);

/// The picture as an element of the page. Small pictures grow by a whole factor with hard edges, large ones shrink
/// smoothly.
std::string image(const Thumbnail& picture, std::string_view description);

/// A row of pictures, each with its class and certified radius.
std::string gallery(const CertificationReport& report, const std::vector<Thumbnail>& pictures);

}  // namespace gsnet::report
