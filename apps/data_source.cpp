#include "apps/data_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/command.h"
#include "apps/options.h"
#include "data/corruption.h"
#include "data/tolerant.h"

namespace gsnet::apps {
namespace {

constexpr const char* kClean = "clean";

/// What lies between the commas, without blanks around it.
std::vector<std::string> all_conditions(const std::string& name) {
  if (name.empty()) return {};
  std::vector<std::string> conditions = split_list(name);
  for (std::string& condition : conditions) {
    condition.erase(0, condition.find_first_not_of(' '));
    condition.erase(condition.find_last_not_of(' ') + 1);
  }
  return conditions;
}

}  // namespace

std::shared_ptr<const data::Dataset> open_named(const std::string& name, data::Split split, int side, int64_t glyphs) {
  if (name != "glyphs") return data::padded(data::open_dataset(name, {.split = split, .side = side}), side);
  constexpr uint64_t kTrainSeed = 20240610, kTestSeed = 20240611;
  const bool train = split == data::Split::train;
  return data::make_glyphs({.size = train ? glyphs : std::max<int64_t>(1000, glyphs / 5),
                            .seed = train ? kTrainSeed : kTestSeed,
                            .side = side > 0 ? side : 32});
}

std::shared_ptr<const data::Dataset> open_for(const Model& model, const std::string& name, data::Split split) {
  const Shape input = model.graph->input();
  return open_named(name, split, input.rank() == 3 ? static_cast<int>(input[1]) : 0, 10'000);
}

data::Normalisation usual_normalisation(const data::Dataset& dataset) {
  const data::PictureShape picture = dataset.picture();
  if (picture == data::PictureShape{3, 32, 32}) {
    return {{0.4914, 0.4822, 0.4465}, {0.2507, 0.2507, 0.2507}};
  }
  const auto channels = static_cast<size_t>(picture.channels);
  return {std::vector<double>(channels, 0.5), std::vector<double>(channels, 0.25)};
}

data::CorruptionChain parse_chain(const std::string& text, uint64_t seed) {
  try {
    return data::parse_corruption_chain(text, seed);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

std::shared_ptr<const data::Dataset> open_corrupted(std::shared_ptr<const data::Dataset> clean, const std::string& name,
                                                    uint64_t seed) {
  if (name.empty()) return clean;
  std::vector<std::shared_ptr<const data::Dataset>> conditions;
  for (const std::string& condition : all_conditions(name)) {
    conditions.push_back(condition == kClean ? clean : data::corrupted(clean, parse_chain(condition, seed)));
  }
  return data::one_of(std::move(conditions), seed);
}

std::vector<std::string> corrupted_conditions(const std::string& name) {
  std::vector<std::string> conditions = all_conditions(name);
  std::erase(conditions, kClean);
  return conditions;
}

std::shared_ptr<const data::Dataset> in_order(std::shared_ptr<const data::Dataset> dataset, const Model& model) {
  return model.info.order == ChannelOrder::bgr ? data::reversed_channels(std::move(dataset)) : dataset;
}

Thumbnail thumbnail(const data::Dataset& pictures, int64_t picture) {
  const data::PictureShape shape = pictures.picture();
  Thumbnail shown{picture, shape.height, shape.width, shape.channels, {}};
  shown.pixels.resize(static_cast<size_t>(shape.numel()));
  pictures.read(picture, shown.pixels);
  return shown;
}

data::Split parse_split(const std::string& text) {
  if (text == "train") return data::Split::train;
  if (text == "test") return data::Split::test;
  throw UsageError(fmt::format("--split must be train or test, got '{}'", text));
}

}  // namespace gsnet::apps
