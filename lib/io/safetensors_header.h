// The JSON header of a safetensors file: parsed event by event, so that hostile text costs neither stack nor memory.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"
#include "core/text.h"

namespace gsnet::io {

/// What the header says of one tensor; offsets count from the end of the header.
struct HeaderEntry {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  uint64_t begin = 0, end = 0;
};

struct Header {
  std::vector<HeaderEntry> entries;  ///< in the text's order
  std::map<std::string, std::string> metadata;
};

/// Throws Error, without the file's name, for anything but objects of dtype, shape and data_offsets and one of texts,
/// for names that come twice, for an unknown dtype, and for offsets that do not fit dtype and shape.
Header parse_header(std::string_view text);

/// Throws Error unless the entries fill `bytes` bytes without gap or overlap.
void check_coverage(const Header& header, uint64_t bytes);

/// The text for entries in order, whose offsets are set, padded with blanks to a multiple of eight bytes.
std::string format_header(const Header& header);

}  // namespace gsnet::io
