// A recipe written as TOML.
#include <fmt/format.h>
#include <toml++/toml.h>

#include <regex>
#include <sstream>

#include "apps/recipe.h"
#include "apps/recipe_face.h"

namespace gsnet::apps {
namespace {

toml::array to_array(const std::vector<double>& values) {
  toml::array list;
  for (double value : values) list.push_back(value);
  return list;
}

toml::array to_array(const std::vector<std::string>& values) {
  toml::array list;
  for (const std::string& value : values) list.push_back(value);
  return list;
}

void insert(toml::table& table, const Attributes& attributes) {
  for (const auto& [key, value] : attributes.entries()) {
    if (const auto* flag = std::get_if<bool>(&value)) table.insert(key, *flag);
    if (const auto* whole = std::get_if<int64_t>(&value)) table.insert(key, *whole);
    if (const auto* number = std::get_if<double>(&value)) table.insert(key, *number);
    if (const auto* text = std::get_if<std::string>(&value)) table.insert(key, *text);
  }
}

toml::table model_table(const Recipe& recipe) {
  toml::table model{{"architecture", recipe.architecture}};
  insert(model, recipe.model);
  return model;
}

toml::table adapter_table(const AdaptRecipe& adapt) {
  constexpr const char* kHeads[] = {"auto", "keep", "replace", "append"};
  constexpr const char* kNorms[] = {"frozen", "reestimate", "batch"};
  toml::table overrides;
  for (const auto& [pattern, settings] : adapt.overrides) {
    toml::table one;
    insert(one, settings);
    overrides.insert(pattern, one);
  }
  toml::table table{{"kind", adapt.method},
                    {"layers", to_array(adapt.targets.layers)},
                    {"exclude", to_array(adapt.targets.exclude)},
                    {"kinds", to_array(adapt.targets.kinds)},
                    {"overrides", overrides},
                    {"save", to_array(adapt.save)},
                    {"head", kHeads[static_cast<size_t>(adapt.head)]},
                    {"head_epochs", adapt.head_epochs},
                    {"batch_norm", kNorms[static_cast<size_t>(adapt.batch_norm)]},
                    {"reestimate_batches", adapt.reestimate_batches}};
  Attributes settings;
  for (const auto& [key, value] : adapt.settings.entries()) {
    if (key != "kind") settings.set(key, value);
  }
  insert(table, settings);
  return table;
}

/// The library writes 0.1 as 0.10000000000000001: here the fewest digits that read back to the same number.
std::string with_short_numbers(const std::string& toml) {
  static const std::regex number(R"(-?\d+\.\d+(e[-+]?\d+)?)");
  std::istringstream lines(toml);
  std::string text, line;
  while (std::getline(lines, line)) {
    std::smatch found;
    while (line.find_first_of("'\"") == std::string::npos && std::regex_search(line, found, number)) {
      const std::string shortest = fmt::format("{}", std::stod(found.str()));
      const bool whole = shortest.find_first_of(".e") == std::string::npos;
      text += found.prefix().str() + shortest + (whole ? ".0" : "");
      line = found.suffix().str();
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace

std::string recipe_text(const Recipe& recipe) {
  const OptimiserSpec& optimiser = recipe.train.optimiser;
  const ScheduleSpec& schedule = recipe.train.schedule;
  const LossSpec& loss = recipe.train.loss;
  toml::table loss_table{{"temperature", loss.cross_entropy.temperature},
                         {"certificate_weight", loss.certificate_weight}};
  if (recipe.offset_radius > 0) {
    loss_table.insert("offset_radius", recipe.offset_radius);
  } else {
    loss_table.insert("offset", loss.cross_entropy.offset);
  }
  constexpr const char* kSchedules[] = {"constant", "multistep", "cosine", "one_cycle"};
  toml::table root{{"name", recipe.name},
                   {"data", toml::table{{"path", recipe.data},
                                        {"side", recipe.side},
                                        {"limit", recipe.limit},
                                        {"validation", recipe.validation},
                                        {"glyphs", recipe.glyphs},
                                        {"classes", recipe.classes},
                                        {"least_pictures", recipe.least_pictures},
                                        {"corruption", recipe.corruption},
                                        {"mean", to_array(recipe.normalisation.mean)},
                                        {"stddev", to_array(recipe.normalisation.stddev)},
                                        {"crop_padding", recipe.augmentation.crop_padding},
                                        {"flip", recipe.augmentation.flip}}},
                   {"model", model_table(recipe)},
                   {"loss", loss_table},
                   {"optimiser", toml::table{{"kind", optimiser.kind == OptimiserKind::sgd ? "sgd" : "adamw"},
                                             {"rate", optimiser.rate},
                                             {"kernel_rate_factor", optimiser.kernel_rate_factor},
                                             {"momentum", optimiser.momentum},
                                             {"nesterov", optimiser.nesterov},
                                             {"beta1", optimiser.beta1},
                                             {"beta2", optimiser.beta2},
                                             {"epsilon", optimiser.epsilon},
                                             {"weight_decay", optimiser.weight_decay},
                                             {"lora_pro", optimiser.lora_pro}}},
                   {"schedule", toml::table{{"kind", kSchedules[static_cast<size_t>(schedule.kind)]},
                                            {"warmup", schedule.warmup},
                                            {"initial_fraction", schedule.initial_fraction},
                                            {"final_fraction", schedule.final_fraction},
                                            {"milestones", to_array(schedule.milestones)},
                                            {"gamma", schedule.gamma}}},
                   {"run", toml::table{{"epochs", recipe.epochs},
                                       {"minutes", recipe.minutes},
                                       {"batch", recipe.batch},
                                       {"seed", static_cast<int64_t>(recipe.seed)},
                                       {"radius", recipe.radius},
                                       {"loader_threads", recipe.loader_threads},
                                       {"segments", recipe.train.segments},
                                       {"precision", kPrecisions[static_cast<size_t>(recipe.train.precision)]}}}};
  if (recipe.adapt) {
    root.insert("adapter", adapter_table(*recipe.adapt));
    root.erase("model");
  }
  if (recipe.face) {
    root.insert("face", face_table(*recipe.face));
    root.erase("loss");
  }
  std::ostringstream text;
  text << root << "\n";
  return with_short_numbers(text.str());
}

}  // namespace gsnet::apps
