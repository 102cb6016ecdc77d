// Numbers and names as the report's page writes them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gsnet::report {

/// Safe between tags and inside quoted attributes; control characters become U+FFFD.
std::string escaped(std::string_view text);

/// "1,234,567".
std::string count(int64_t value);

/// "1.23 M": three significant digits and a prefix.
std::string with_prefix(double value);

/// "62.1 %"; a dash for NaN.
std::string percent(double share, int decimals = 1);

/// A tabled radius: "36/255 (0.141)" where radius * 255 is within 1e-6 of an integer, else decimal.
std::string radius(double radius_l2);

/// The same without the decimal in brackets: "36/255".
std::string short_radius(double radius_l2);

/// A certificate, rounded down to three decimals.
std::string rounded_down(double radius_l2);

/// A bound, rounded up to seven significant digits; "none" where it is not finite.
std::string rounded_up(double bound);

/// Three decimals; a dash for NaN.
std::string decimal(double value);

}  // namespace gsnet::report
