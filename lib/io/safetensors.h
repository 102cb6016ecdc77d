// The safetensors format: a u64 header length, a JSON header, raw little-endian numbers. Every byte is hostile.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace gsnet::io {

/// A file's content: host tensors, row-major, by name in the file's order, and the header's "__metadata__".
struct TensorFile {
  std::vector<std::pair<std::string, Tensor>> tensors;
  std::map<std::string, std::string> metadata;

  /// Null when there is none.
  const Tensor* find(const std::string& name) const;
  /// Throws Error naming the tensor when there is none.
  const Tensor& at(const std::string& name) const;
};

/// Reads a whole file: element types F64 F32 BF16 F16 I64 I32 U8, up to Shape::kMaxRank axes. Throws Error naming the
/// file, the place, what was expected and what came: header longer than the file or 100 MB, JSON that does not parse,
/// duplicate names, unknown dtype, offsets outside the file, overlapping, with gaps, or not fitting dtype and shape.
/// Nothing is allocated before its size is checked against the file's.
TensorFile read_safetensors(const std::filesystem::path& path);

/// Writes under a temporary name in the same folder, flushes to the disk and renames: a reader sees the old file or the
/// new one. Throws Error naming the file and the system's reason (full disk, no permission); the old file stays.
/// Tensors are written row-major (channels-last ones are converted), keys in the order given. Throws Error for names
/// that come twice or are not UTF-8, and for tensors that are empty handles or not on the host.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

/// The same discipline for any bytes (logs, reports, recipes). Only a regular file is ever replaced.
void write_atomically(const std::filesystem::path& path, std::string_view bytes);

/// A whole text file of at most `limit` bytes. Throws Error naming it.
std::string read_text(const std::filesystem::path& path, size_t limit = size_t{64} << 20);

}  // namespace gsnet::io
