// Telling ONNX files from others, in every build.
#include <array>
#include <fstream>

#include "io/onnx_import.h"

namespace gsnet::io {

// Field 1, the format's version, comes first as a varint; then a field of those from 2 to 8 that hold bytes or a
// number.
bool is_onnx_file(const std::filesystem::path& path) {
  if (path.extension() == ".onnx") return true;
  std::array<unsigned char, 3> first = {};
  std::error_code unreadable;
  if (!std::filesystem::is_regular_file(path, unreadable)) return false;
  std::ifstream(path, std::ios::binary).read(reinterpret_cast<char*>(first.data()), first.size());
  const unsigned field = first[2] / 8U, wire = first[2] % 8U;
  return first[0] == 0x08 && first[1] >= 3 && first[1] <= 32 && field >= 2 && field <= 8 && (wire == 2 || field == 5);
}

}  // namespace gsnet::io
