#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "data/files.h"
#include "data/formats.h"

namespace gsnet::data {
namespace {

class MemoryDataset final : public Dataset {
 public:
  explicit MemoryDataset(MemoryPictures pictures) : held_(std::move(pictures)) {}

  int64_t size() const override { return static_cast<int64_t>(held_.labels.size()); }
  PictureShape picture() const override { return held_.shape; }
  const std::vector<std::string>& class_names() const override { return held_.class_names; }

  int label(int64_t i) const override {
    check_index(held_.what, i, size());
    return held_.labels[static_cast<size_t>(i)];
  }

  void read(int64_t i, std::span<uint8_t> pixels) const override {
    check_read(held_.what, i, size(), held_.shape, pixels);
    std::copy_n(held_.pixels.begin() + i * held_.shape.numel(), pixels.size(), pixels.begin());
  }

  std::string name(int64_t i) const override {
    check_index(held_.what, i, size());
    const auto after = std::find_if(held_.parts.begin(), held_.parts.end(),
                                    [i](const MemoryPictures::Part& part) { return part.first > i; });
    const auto& part = *(after - 1);
    return fmt::format("{}[{}]", part.name, i - part.first);
  }

 private:
  MemoryPictures held_;
};

}  // namespace

DatasetHandle make_memory_dataset(MemoryPictures pictures) {
  const auto count = static_cast<int64_t>(pictures.labels.size());
  GSNET_CHECK(
      !pictures.parts.empty() && static_cast<int64_t>(pictures.pixels.size()) == count * pictures.shape.numel(),
      fmt::format("{}: {} bytes of pixels do not make {} pictures", pictures.what, pictures.pixels.size(), count));
  return std::make_shared<MemoryDataset>(std::move(pictures));
}

}  // namespace gsnet::data
