// Pictures by what lists call them.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gsnet::data {

/// Lists of pairs and of landmarks name pictures by a path whose ending may be left out, and its beginning where the
/// rest has at most four parts: "A/A_0001" is lfw/A/A_0001.jpg. Names as they are printed, "root/path" or "root:path",
/// are known too.
class PictureIndex {
 public:
  explicit PictureIndex(std::vector<std::string> paths, std::string root = {});
  PictureIndex(const PictureIndex&) = delete;  // it points into itself
  PictureIndex& operator=(const PictureIndex&) = delete;

  const std::vector<std::string>& paths() const { return paths_; }
  /// The picture whose path is `name`, or ends so after a '/', with or without the file's ending; nothing when there is
  /// none. Throws Error naming `name` when there are several, none of them exactly that.
  std::optional<size_t> find(std::string_view name) const;

 private:
  void add(std::string_view key, size_t picture);
  std::optional<size_t> find_path(std::string_view path) const;

  std::string root_;
  std::vector<std::string> paths_;
  std::unordered_map<std::string_view, size_t> exact_;  // views of paths_
  std::unordered_map<std::string_view, size_t> ends_;   // kSeveral where a name is not one picture's
};

/// The fields of a line of a list: between tabs if it has one, else between commas if it has one, else between blanks.
std::vector<std::string> split_fields(std::string_view line);

}  // namespace gsnet::data
