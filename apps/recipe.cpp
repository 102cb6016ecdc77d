#include "apps/recipe.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include "apps/command.h"
#include "apps/data_source.h"
#include "apps/recipe_face.h"
#include "apps/recipe_section.h"
#include "core/error.h"
#include "data/corruption.h"
#include "io/safetensors.h"

namespace gsnet::apps {
namespace {

toml::table parse(const std::string& text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    throw Error(fmt::format("{}:{}: not TOML: {}", file, error.source().begin.line, error.description()));
  }
}

/// Puts what a setting says into a table: tables are joined, anything else is replaced.
void join(toml::table& into, const toml::table& from, const std::string& setting) {
  for (const auto& [key, node] : from) {
    const toml::table* inner = node.as_table();
    if (inner == nullptr) {
      into.insert_or_assign(key, node);
      continue;
    }
    if (!into.contains(key)) into.insert(key, toml::table());
    toml::table* table = into.get(key)->as_table();
    GSNET_CHECK(table != nullptr, fmt::format("--set '{}': '{}' is no table", setting, key.str()));
    join(*table, *inner, setting);
  }
}

/// The one value of a table of tables becomes a text.
void put_text(toml::table& table, const std::string& text) {
  const std::string key(table.begin()->first.str());
  if (toml::table* inner = table.begin()->second.as_table()) return put_text(*inner, text);
  table.insert_or_assign(key, text);
}

/// "a.b=value" as TOML reads it, keys in quotes too; a value that is none is a text.
void apply_setting(toml::table& root, const std::string& setting) {
  const size_t equals = setting.find('=');
  if (equals == std::string::npos || equals == 0) throw UsageError(fmt::format("--set '{}': write key=value", setting));
  const std::string path = setting.substr(0, equals), value = setting.substr(equals + 1);
  toml::table parsed;
  try {
    parsed = toml::parse(path + " = 0");
  } catch (const toml::parse_error& error) {
    throw UsageError(fmt::format("--set '{}': '{}' is no key: {}", setting, path, error.description()));
  }
  try {
    parsed = toml::parse(path + " = " + value);
  } catch (const toml::parse_error&) {
    put_text(parsed, value);
  }
  join(root, parsed, setting);
}

constexpr double kMost = 1e15;

void read_data(toml::table& root, const std::string& file, Recipe& recipe) {
  Section data(root, file, "data");
  data.read("path", recipe.data);
  data.read("side", recipe.side, 0, 8192);
  data.read("limit", recipe.limit, 0, kMost);
  data.read("validation", recipe.validation, 0, kMost);
  data.read("glyphs", recipe.glyphs, 100, 1e8);
  data.read("classes", recipe.classes);
  data.read("least_pictures", recipe.least_pictures, 1, kMost);
  data.read("corruption", recipe.corruption);
  data.read("mean", recipe.normalisation.mean);
  data.read("stddev", recipe.normalisation.stddev);
  data.read("crop_padding", recipe.augmentation.crop_padding, 0, 1024);
  data.read("flip", recipe.augmentation.flip);
  data.finish();
  for (const std::string& condition : corrupted_conditions(recipe.corruption)) {
    try {
      data::parse_corruption_chain(condition);
    } catch (const Error& error) {
      throw Error(fmt::format("{}: 'data.corruption': {}", file, error.what()));
    }
  }
  GSNET_CHECK(recipe.normalisation.mean.size() == recipe.normalisation.stddev.size(),
              fmt::format("{}: data.mean and data.stddev must have as many entries", file));
  for (double value : recipe.normalisation.stddev) {
    GSNET_CHECK(value > 0, fmt::format("{}: data.stddev must be positive, got {}", file, value));
  }
}

void read_training(toml::table& root, const std::string& file, Recipe& recipe) {
  Section loss(root, file, "loss");
  loss.read("offset", recipe.train.loss.cross_entropy.offset, -1e6, 1e6);
  loss.read_fraction("offset_radius", recipe.offset_radius);
  loss.read("temperature", recipe.train.loss.cross_entropy.temperature, 1e-6, 1e6);
  loss.read("certificate_weight", recipe.train.loss.certificate_weight, 0, 1e6);
  loss.finish();
  GSNET_CHECK(recipe.offset_radius == 0 || recipe.train.loss.cross_entropy.offset == 0,
              fmt::format("{}: give loss.offset or loss.offset_radius, not both", file));
  OptimiserSpec& optimiser = recipe.train.optimiser;
  Section opt(root, file, "optimiser");
  opt.read("kind", optimiser.kind, {{"sgd", OptimiserKind::sgd}, {"adamw", OptimiserKind::adamw}});
  opt.read("rate", optimiser.rate, 1e-12, 1e6);
  opt.read("kernel_rate_factor", optimiser.kernel_rate_factor, 0, 1e6);
  opt.read("momentum", optimiser.momentum, 0, 0.9999);
  opt.read("nesterov", optimiser.nesterov);
  opt.read("beta1", optimiser.beta1, 0, 0.999999);
  opt.read("beta2", optimiser.beta2, 0, 0.9999999);
  opt.read("epsilon", optimiser.epsilon, 1e-20, 1);
  opt.read("weight_decay", optimiser.weight_decay, 0, 10);
  opt.read("lora_pro", optimiser.lora_pro);
  opt.finish();
  ScheduleSpec& schedule = recipe.train.schedule;
  Section rates(root, file, "schedule");
  rates.read("kind", schedule.kind,
             {{"constant", ScheduleKind::constant},
              {"multistep", ScheduleKind::multistep},
              {"cosine", ScheduleKind::cosine},
              {"one_cycle", ScheduleKind::one_cycle}});
  rates.read("warmup", schedule.warmup, 0, 0.99);
  rates.read("initial_fraction", schedule.initial_fraction, 0, 1);
  rates.read("final_fraction", schedule.final_fraction, 0, 1);
  rates.read("milestones", schedule.milestones);
  rates.read("gamma", schedule.gamma, 0, 1);
  rates.finish();
}

void read_adapter(toml::table& root, const std::string& file, Recipe& recipe) {
  Section table(root, file, "adapter");
  if (!table.exists()) return;
  AdaptRecipe& adapt = recipe.adapt.emplace();
  table.read("kind", adapt.method);
  table.read("layers", adapt.targets.layers);
  table.read("exclude", adapt.targets.exclude);
  table.read("kinds", adapt.targets.kinds);
  table.read("overrides", adapt.overrides);
  table.read("save", adapt.save);
  table.read("head", adapt.head,
             {{"auto", HeadPolicy::automatic},
              {"keep", HeadPolicy::keep},
              {"replace", HeadPolicy::replace},
              {"append", HeadPolicy::append}});
  table.read("head_epochs", adapt.head_epochs, 0, 1e6);
  table.read("batch_norm", adapt.batch_norm,
             {{"frozen", NormPolicy::frozen}, {"reestimate", NormPolicy::reestimate}, {"batch", NormPolicy::batch}});
  table.read("reestimate_batches", adapt.reestimate_batches, 1, 1e6);
  table.read_rest(adapt.settings);
  if (adapt.method == "full" || adapt.method == "head") {
    GSNET_CHECK(adapt.settings.entries().empty(), fmt::format("{}: [adapter] kind = \"{}\" has no setting '{}'", file,
                                                              adapt.method, adapt.settings.entries().front().first));
    return;
  }
  adapt.settings.set("kind", adapt.method);
  try {
    adapt.settings = AdapterSpec::from(adapt.settings).attributes();
  } catch (const Error& error) {
    throw Error(fmt::format("{}: [adapter]: {}", file, error.what()));
  }
}

}  // namespace

Recipe read_recipe(const std::filesystem::path& path, const std::vector<std::string>& settings) {
  const std::string file = path.empty() ? "the settings" : path.string();
  toml::table root = path.empty() ? toml::table() : parse(io::read_text(path, size_t{4} << 20), file);
  for (const std::string& setting : settings) apply_setting(root, setting);
  Recipe recipe;
  recipe.name = path.stem().string();
  recipe.file = file;
  read_data(root, file, recipe);
  Section model(root, file, "model");
  model.read("architecture", recipe.architecture);
  model.read_rest(recipe.model);
  read_training(root, file, recipe);
  read_adapter(root, file, recipe);
  read_face(root, file, recipe);
  Section run(root, file, "run");
  run.read("epochs", recipe.epochs, 1, 1e6);
  run.read("minutes", recipe.minutes, 0, 1e6);
  run.read("batch", recipe.batch, 1, 1e6);
  run.read("seed", recipe.seed, 0, kMost);
  run.read_fraction("radius", recipe.radius);
  run.read("loader_threads", recipe.loader_threads, 1, 256);
  run.read("segments", recipe.train.segments, 0, 100'000);
  run.read("precision", recipe.train.precision,
           {{"f32", Precision::f32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}});
  run.finish();
  for (const char* known : {"data", "model", "loss", "optimiser", "schedule", "adapter", "face", "run"})
    root.erase(known);
  Section top(root, file, "");
  top.read("name", recipe.name);
  top.finish();
  return recipe;
}

Attributes parse_settings(const std::vector<std::string>& settings) {
  toml::table root;
  for (const std::string& setting : settings) apply_setting(root, setting);
  Attributes attributes;
  Section(root, "--set", "").read_rest(attributes);
  return attributes;
}

}  // namespace gsnet::apps
