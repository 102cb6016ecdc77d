// What the readers share: whole files, lines of text, checks of an index.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace gsnet::data {

/// Bytes of a regular file. Throws Error when there is none.
int64_t file_bytes(const std::filesystem::path& path);

/// The whole file. Throws Error naming it when it is larger than `limit` (nothing is allocated then) or cannot be read.
std::vector<uint8_t> read_file(const std::filesystem::path& path, int64_t limit);

struct NumberedLine {
  int64_t number = 0;  ///< in the file, from 1
  std::string text;
};

/// Lines of a text file of at most `limit` bytes, without their ends and blanks there; empty lines are left out.
std::vector<NumberedLine> numbered_lines(const std::filesystem::path& path, int64_t limit);
/// Their texts.
std::vector<std::string> read_lines(const std::filesystem::path& path, int64_t limit = 1 << 20);

/// Names of the regular files of a folder, shorter ones first, then by bytes: data_batch_2.bin before
/// data_batch_10.bin.
std::vector<std::string> file_names(const std::filesystem::path& folder);

std::string lower_case(std::string_view text);

/// Throws Error unless 0 <= i < size.
void check_index(std::string_view what, int64_t i, int64_t size);

/// The check of Dataset::read: the index, and the size of the span that was given.
void check_read(std::string_view what, int64_t i, int64_t size, const PictureShape& shape, std::span<uint8_t> pixels);

}  // namespace gsnet::data
