// Some of a set's classes: those that a list names, those with enough pictures, as many as fit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace gsnet::data {

/// Pictures of every class, by label.
std::vector<int64_t> class_sizes(const Dataset& set);

/// The pictures of the classes that are kept (one flag a label), in their order; classes are numbered anew, in theirs.
/// Throws Error unless there is a flag for every class and a picture is left.
std::shared_ptr<const Dataset> of_classes(std::shared_ptr<const Dataset> whole, const std::vector<bool>& kept);

/// Which of these classes a file names, one a line; blanks around a name and empty lines are passed over. Throws Error
/// with file and line for a name that is no class's, or comes twice, and for a file without a name.
std::vector<bool> listed_classes(const std::filesystem::path& list, const std::vector<std::string>& class_names);

/// Classes drawn in an order that depends on the seed, each whole, until the next one would bring more than `limit`
/// pictures; at least one.
std::vector<bool> drawn_classes(const Dataset& set, int64_t limit, uint64_t seed);

}  // namespace gsnet::data
