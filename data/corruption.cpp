#include "data/corruption.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "data/corruption_kinds.h"
#include "data/files.h"
#include "data/wrapped.h"

namespace gsnet::data {
namespace {

constexpr std::array<std::string_view, 13> kNames = {
    "gaussian_noise", "shot_noise",     "impulse_noise", "gaussian_blur", "motion_blur", "defocus_blur", "jpeg",
    "occlusion",      "low_resolution", "brightness",    "contrast",      "distant",     "mask"};

using Corrupt = void (*)(Pixels&, size_t, Random&);
constexpr std::array<Corrupt, kNames.size()> kKinds = {
    gaussian_noise, shot_noise,     impulse_noise, gaussian_blur, motion_blur, defocus_blur, jpeg,
    occlusion,      low_resolution, brightness,    contrast,      distant,     mask};

class Corrupted final : public Wrapped {
 public:
  Corrupted(std::shared_ptr<const Dataset> clean, const CorruptionSpec& spec)
      : Wrapped(std::move(clean)), spec_(spec), name_(to_string(spec)) {}

  std::string name(int64_t i) const override { return fmt::format("{} {}", whole().name(i), name_); }

  void read(int64_t i, std::span<uint8_t> pixels) const override {
    check_read("corrupted", i, size(), picture(), pixels);
    whole().read(i, pixels);
    Pixels numbers{picture(), std::vector<float>(pixels.size())};
    std::ranges::transform(pixels, numbers.values.begin(), [](uint8_t p) { return static_cast<float>(p) / 255; });
    const auto kind = static_cast<size_t>(spec_.kind);
    Random random(RandomKey(spec_.seed).with(kind).with(static_cast<uint64_t>(i)));
    kKinds[kind](numbers, static_cast<size_t>(spec_.severity - 1), random);
    std::ranges::transform(numbers.values, pixels.begin(),
                           [](float v) { return static_cast<uint8_t>(std::lround(std::clamp(v, 0.0F, 1.0F) * 255)); });
  }

 private:
  CorruptionSpec spec_;
  std::string name_;
};

class OneOf final : public Dataset {
 public:
  OneOf(std::vector<std::shared_ptr<const Dataset>> sets, uint64_t seed) : sets_(std::move(sets)), key_(seed) {}

  int64_t size() const override { return sets_[0]->size(); }
  PictureShape picture() const override { return sets_[0]->picture(); }
  const std::vector<std::string>& class_names() const override { return sets_[0]->class_names(); }
  int label(int64_t i) const override { return sets_[0]->label(i); }
  std::string name(int64_t i) const override { return drawn(i).name(i); }
  void read(int64_t i, std::span<uint8_t> pixels) const override { drawn(i).read(i, pixels); }

 private:
  const Dataset& drawn(int64_t i) const {
    Random random(key_.with(static_cast<uint64_t>(i)));
    return *sets_[random.below(static_cast<uint32_t>(sets_.size()))];
  }

  std::vector<std::shared_ptr<const Dataset>> sets_;
  RandomKey key_;
};

}  // namespace

double Pixels::scale() const { return std::min(shape.height, shape.width) / 32.0; }

std::span<const std::string_view> corruption_names() { return kNames; }

std::string to_string(const CorruptionSpec& spec) {
  const auto kind = static_cast<size_t>(spec.kind);
  GSNET_CHECK(kind < kNames.size(), fmt::format("corruption: there is no kind {}", kind));
  return fmt::format("{}:{}", kNames[kind], spec.severity);
}

std::string to_string(const CorruptionChain& chain) {
  std::string text;
  for (const CorruptionSpec& spec : chain) text += (text.empty() ? "" : "+") + to_string(spec);
  return text;
}

CorruptionSpec parse_corruption(std::string_view text, uint64_t seed) {
  const size_t colon = std::min(text.find(':'), text.size());
  const auto found = std::ranges::find(kNames, text.substr(0, colon));
  GSNET_CHECK(found != kNames.end(), fmt::format("corruption '{}': the kinds are {}", text, fmt::join(kNames, ", ")));
  const std::string_view severity = text.substr(std::min(colon + 1, text.size()));
  GSNET_CHECK(severity.size() == 1 && severity[0] >= '1' && severity[0] <= '5',
              fmt::format("corruption '{}': expected a severity 1 to 5, as in {}:3", text, *found));
  return {static_cast<Corruption>(found - kNames.begin()), severity[0] - '0', seed};
}

CorruptionChain parse_corruption_chain(std::string_view text, uint64_t seed) {
  CorruptionChain chain;
  for (size_t begin = 0, end = 0; begin <= text.size(); begin = end + 1) {
    end = std::min(text.find('+', begin), text.size());
    chain.push_back(parse_corruption(text.substr(begin, end - begin), seed));
    const Corruption kind = chain.back().kind;
    GSNET_CHECK(std::ranges::count(chain, kind, &CorruptionSpec::kind) == 1,
                fmt::format("corruption '{}': {} is there twice", text, kNames[static_cast<size_t>(kind)]));
  }
  return chain;
}

std::shared_ptr<const Dataset> corrupted(std::shared_ptr<const Dataset> clean, const CorruptionSpec& spec) {
  GSNET_CHECK(clean != nullptr, "corruption: no data set was given");
  GSNET_CHECK(spec.severity >= 1 && spec.severity <= 5,
              fmt::format("corruption {}: severities are 1 to 5", to_string(spec)));
  const PictureShape shape = clean->picture();
  GSNET_CHECK(shape.numel() > 0, fmt::format("corruption {}: the pictures are empty", to_string(spec)));
  if (spec.kind == Corruption::jpeg) require_jpeg(shape);
  return std::make_shared<Corrupted>(std::move(clean), spec);
}

std::shared_ptr<const Dataset> corrupted(std::shared_ptr<const Dataset> clean, const CorruptionChain& chain) {
  for (const CorruptionSpec& spec : chain) clean = corrupted(std::move(clean), spec);
  return clean;
}

std::shared_ptr<const Dataset> one_of(std::vector<std::shared_ptr<const Dataset>> sets, uint64_t seed) {
  GSNET_CHECK(!sets.empty() && std::ranges::find(sets, nullptr) == sets.end(), "mixture: a data set is missing");
  for (const auto& set : sets) {
    GSNET_CHECK(set->size() == sets[0]->size() && set->picture() == sets[0]->picture() &&
                    set->class_names() == sets[0]->class_names(),
                fmt::format("mixture: {} pictures of {} classes beside {} of {}, expected the same", set->size(),
                            set->class_names().size(), sets[0]->size(), sets[0]->class_names().size()));
  }
  if (sets.size() == 1) return std::move(sets[0]);
  return std::make_shared<OneOf>(std::move(sets), seed);
}

}  // namespace gsnet::data
