// What folders and archives of pictures share: which paths are pictures of which class, and decoding on demand.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/formats.h"

namespace gsnet::data {

/// By their endings: pictures that are read (PNG, JPEG, BMP, PPM, PGM), or these and others that are known to be
/// pictures (GIF, TIFF, WebP, AVIF, HEIC, JPEG 2000), so that they are named where they are left out.
enum class PictureNames : uint8_t { readable, known };

/// A name of that kind, neither hidden nor below a hidden folder.
bool is_picture_name(const std::string& path, PictureNames names = PictureNames::readable);

struct PictureEntry {
  size_t source = 0;  ///< position among the paths given
  int label = 0;
};

struct PictureCatalogue {
  std::vector<PictureEntry> entries;  ///< by class, then by path
  std::vector<std::string> class_names;
};

/// Sorts relative paths into classes. A leading folder that all share is passed over. Where there are train/ and test/
/// (or val/, valid/, validation/) the classes lie below these, and a class has the same label in every part; without
/// them both splits are everything. Throws Error starting with `what` when the split has no picture.
PictureCatalogue arrange_pictures(const std::vector<std::string>& paths, Split split, const std::string& what);

/// Where the encoded bytes of picture i of a set come from. Const and thread-safe.
class EncodedPictures {
 public:
  virtual ~EncodedPictures() = default;

  virtual std::string name(size_t i) const = 0;
  /// May point into `scratch`.
  virtual std::span<const uint8_t> bytes(size_t i, std::vector<uint8_t>& scratch) const = 0;
};

/// Paths of all pictures below a folder, relative to it, sorted; what bears such a name and is no file is among them.
/// Throws Error for a folder that cannot be listed.
std::vector<std::string> picture_paths(const std::filesystem::path& folder, PictureNames names);
/// Pictures with their paths in the folder or archive, by number; sorted by path.
struct FoundPictures {
  std::unique_ptr<const EncodedPictures> encoded;
  std::vector<std::string> paths;
};
/// Every known picture below a folder, or in a tar archive (held in memory, encoded), also those whose bytes cannot be
/// had, or decoded. Throws Error for what cannot be read, and without a picture library.
FoundPictures find_folder_pictures(const std::filesystem::path& folder);
FoundPictures find_tar_pictures(const std::filesystem::path& archive);
/// Of either.
FoundPictures find_pictures(const std::filesystem::path& path);

/// `entries` index `encoded`; side as in OpenSpec.
DatasetHandle make_picture_set(std::unique_ptr<const EncodedPictures> encoded, PictureCatalogue catalogue, int side);

}  // namespace gsnet::data
