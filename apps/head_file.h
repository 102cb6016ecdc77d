// The file of a face head: centres, counters and settings, so that training can go on. It is never part of a model.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "faces/head.h"

namespace gsnet::apps {

struct HeadFile {
  std::shared_ptr<FaceHead> head;
  std::vector<std::string> class_names;  ///< identities, row by row of the centres
};

/// Writes head.weight and the counters as the machine holds them, and the settings as JSON ("gsnet.head",
/// "gsnet.classes") in the metadata. Throws Error for names that are not as many as the classes.
void save_head(const std::filesystem::path& path, FaceHead& head, const std::vector<std::string>& class_names);

/// Throws Error naming the file for anything that is no head of ours, a missing, superfluous or misshapen tensor, or a
/// number that is not finite.
HeadFile load_head(const std::filesystem::path& path, Backend& backend);

}  // namespace gsnet::apps
