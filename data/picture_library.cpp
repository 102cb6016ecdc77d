#include "data/picture_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "core/error.h"

namespace gsnet::data {
namespace {

/// Never unloaded: OpenCV's threads may outlive main.
const PictureLibrary* load() {
  void* file = dlopen(kPictureLibraryFile, RTLD_NOW | RTLD_LOCAL);
  void* entry = file == nullptr ? nullptr : dlsym(file, kPictureLibraryEntry);
  GSNET_CHECK(entry != nullptr, dlerror());
  return reinterpret_cast<const PictureLibrary* (*)()>(entry)();
}

}  // namespace

const PictureLibrary& picture_library(const std::string& name) {
  try {
    static const PictureLibrary* const library = load();
    return *library;
  } catch (const Error& failure) {
    throw Error(fmt::format("{}: pictures need gsnet's picture library (a build with OpenCV has it): {}", name,
                            failure.what()));
  }
}

}  // namespace gsnet::data
