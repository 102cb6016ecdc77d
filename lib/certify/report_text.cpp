#include "certify/report_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace gsnet::report {
namespace {

constexpr const char* kDash = "–";
constexpr const char* kThinSpace = "\u202f";

bool is_step_of_255(double radius_l2) {
  const double steps = radius_l2 * 255;
  return steps > 0.5 && steps < 1e6 && std::abs(steps - std::round(steps)) <= 1e-6;
}

/// Fixed point where it stays readable, else a power of ten.
std::string plain(double value, int decimals) {
  return std::abs(value) < 1e6 ? fmt::format("{:.{}f}", value, decimals) : fmt::format("{:.4g}", value);
}

/// The text where it is UTF-8; U+FFFD in place of what is none.
std::string as_utf8(std::string_view text) {
  using Json = nlohmann::json;
  return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : as_utf8(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '\t':
      case '\n':
        out += ' ';
        break;
      default:
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
          out += "\ufffd";
        } else {
          out += c;
        }
    }
  }
  return out;
}

std::string count(int64_t value) {
  std::string digits = fmt::format("{}", value);
  const size_t first = value < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string with_prefix(double value) {
  constexpr std::array<const char*, 6> kPrefixes{"", "k", "M", "G", "T", "P"};
  if (!std::isfinite(value)) return kDash;
  size_t prefix = 0;
  while (std::abs(value) >= 999.5 && prefix + 1 < kPrefixes.size()) {
    value /= 1000;
    ++prefix;
  }
  if (prefix == 0) return fmt::format("{:.3g}", value);
  const int decimals = std::abs(value) < 9.995 ? 2 : std::abs(value) < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}{}", value, decimals, kThinSpace, kPrefixes[prefix]);
}

std::string percent(double share, int decimals) {
  if (std::isnan(share)) return kDash;
  return fmt::format("{:.{}f}{}%", share * 100, decimals, kThinSpace);
}

std::string short_radius(double radius_l2) {
  if (radius_l2 == 0) return "0";
  if (is_step_of_255(radius_l2)) return fmt::format("{:.0f}/255", radius_l2 * 255);
  return fmt::format("{:.4g}", radius_l2);
}

std::string radius(double radius_l2) {
  if (radius_l2 == 0 || !is_step_of_255(radius_l2)) return short_radius(radius_l2);
  return fmt::format("{} ({:.3f})", short_radius(radius_l2), radius_l2);
}

std::string rounded_down(double radius_l2) {
  if (radius_l2 > 0 && radius_l2 < 0.001) return "&lt; 0.001";
  return plain(radius_l2 < 1e6 ? std::floor(radius_l2 * 1000) / 1000 : radius_l2, 3);
}

std::string rounded_up(double bound) {
  if (!std::isfinite(bound)) return "none";
  std::string text = fmt::format("{:.7g}", bound);
  double shown = 0;
  std::from_chars(text.data(), text.data() + text.size(), shown);
  if (shown >= bound) return text;
  const double unit = std::pow(10, std::floor(std::log10(std::abs(bound))) - 6);
  return fmt::format("{:.7g}", bound + 0.75 * unit);
}

std::string decimal(double value) { return std::isnan(value) ? kDash : plain(value, 3); }

}  // namespace gsnet::report
