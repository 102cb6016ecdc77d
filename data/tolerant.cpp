#include "data/tolerant.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "data/files.h"
#include "data/wrapped.h"

namespace gsnet::data {
namespace {

class Tolerant final : public Wrapped {
 public:
  Tolerant(std::shared_ptr<const Dataset> whole, std::shared_ptr<UnreadablePictures> unreadable)
      : Wrapped(std::move(whole)), unreadable_(std::move(unreadable)) {}

  void read(int64_t i, std::span<uint8_t> pixels) const override {
    check_read("pictures", i, size(), picture(), pixels);
    try {
      whole().read(i, pixels);
    } catch (const Error& error) {
      std::ranges::fill(pixels, uint8_t{0});
      unreadable_->add(i, error.what());
    }
  }

 private:
  std::shared_ptr<UnreadablePictures> unreadable_;
};

class Reversed final : public Wrapped {
 public:
  using Wrapped::Wrapped;

  void read(int64_t i, std::span<uint8_t> pixels) const override {
    whole().read(i, pixels);
    const auto channels = static_cast<size_t>(picture().channels);
    for (size_t at = 0; at < pixels.size(); at += channels) std::ranges::reverse(pixels.subspan(at, channels));
  }
};

}  // namespace

void UnreadablePictures::add(int64_t picture, std::string reason) {
  const std::lock_guard lock(mutex_);
  reasons_.emplace(picture, std::move(reason));
}

std::map<int64_t, std::string> UnreadablePictures::all() const {
  const std::lock_guard lock(mutex_);
  return reasons_;
}

std::shared_ptr<const Dataset> tolerant(std::shared_ptr<const Dataset> whole,
                                        std::shared_ptr<UnreadablePictures> unreadable) {
  GSNET_CHECK(unreadable != nullptr, "pictures: no list of unreadable ones was given");
  return std::make_shared<Tolerant>(std::move(whole), std::move(unreadable));
}

std::shared_ptr<const Dataset> reversed_channels(std::shared_ptr<const Dataset> whole) {
  return std::make_shared<Reversed>(std::move(whole));
}

}  // namespace gsnet::data
