// Data sets that go on where a picture cannot be read.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "data/dataset.h"

namespace gsnet::data {

/// Which pictures could not be read, and why. Thread-safe.
class UnreadablePictures {
 public:
  void add(int64_t picture, std::string reason);
  /// Reasons by picture.
  std::map<int64_t, std::string> all() const;

 private:
  mutable std::mutex mutex_;
  std::map<int64_t, std::string> reasons_;
};

/// The same pictures; one that cannot be read is black, and put down in `unreadable`.
std::shared_ptr<const Dataset> tolerant(std::shared_ptr<const Dataset> whole,
                                        std::shared_ptr<UnreadablePictures> unreadable);

/// The same pictures with their channels in the opposite order: BGR of RGB.
std::shared_ptr<const Dataset> reversed_channels(std::shared_ptr<const Dataset> whole);

}  // namespace gsnet::data
