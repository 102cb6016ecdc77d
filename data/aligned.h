// Faces brought to one place by their landmarks as they are read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "data/align.h"
#include "data/picture_set.h"

namespace gsnet::data {

/// Landmarks by picture of the index, from a file (read_landmarks); `unused` counts lines that name none. Throws Error
/// where no picture has any.
std::vector<std::optional<Landmarks>> landmarks_for(const PictureIndex& index, const std::filesystem::path& file,
                                                    int64_t& unused);

/// Entries index `encoded` and `landmarks`. A picture without landmarks cannot be read.
DatasetHandle make_aligned_set(std::unique_ptr<const EncodedPictures> encoded, PictureCatalogue catalogue,
                               std::vector<std::optional<Landmarks>> landmarks, int side);

/// The training pictures in the class folders of a folder or a tar archive, aligned by the landmarks in a file.
DatasetHandle open_aligned_classes(const std::filesystem::path& path, const std::filesystem::path& landmarks, int side,
                                   int64_t& unused);

}  // namespace gsnet::data
