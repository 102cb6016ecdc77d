#include "apps/recipe.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <cmath>
#include <regex>
#include <sstream>

#include "apps/command.h"
#include "apps/options.h"
#include "core/error.h"
#include "io/safetensors.h"

namespace gsnet::apps {
namespace {

/// One table of the file; every key is taken out as it is read, so that what is left is unknown.
class Section {
 public:
  Section(toml::table& root, std::string file, std::string name) : file_(std::move(file)), name_(std::move(name)) {
    toml::node* node = name_.empty() ? &root : root.get(name_);
    if (node == nullptr) return;
    table_ = node->as_table();
    GSNET_CHECK(table_ != nullptr, fmt::format("{}: '{}' must be a table", place(*node), name_));
  }

  template <class T>
  void read(const char* key, T& value, double least, double most) {
    if (toml::node* node = find(key)) {
      const auto number = node->value<double>();
      const bool whole = std::is_integral_v<T>;
      GSNET_CHECK(number && (!whole || node->is_integer()) && *number >= least && *number <= most,
                  fmt::format("{}: '{}' must be {} from {} to {}", place(*node), full(key),
                              whole ? "an integer" : "a number", least, most));
      value = static_cast<T>(*number);
      taken(key);
    }
  }

  void read(const char* key, bool& value) {
    if (toml::node* node = find(key)) {
      GSNET_CHECK(node->is_boolean(), fmt::format("{}: '{}' must be true or false", place(*node), full(key)));
      value = node->as_boolean()->get();
      taken(key);
    }
  }

  void read(const char* key, std::string& value) {
    if (toml::node* node = find(key)) {
      GSNET_CHECK(node->is_string(), fmt::format("{}: '{}' must be a text", place(*node), full(key)));
      value = node->as_string()->get();
      taken(key);
    }
  }

  /// A number, or a fraction as a text: "36/255".
  void read_fraction(const char* key, double& value) {
    toml::node* node = find(key);
    if (node == nullptr) return;
    try {
      value = node->is_string() ? parse_number(node->as_string()->get()) : node->value<double>().value_or(NAN);
    } catch (const Error& error) {
      throw Error(fmt::format("{}: '{}': {}", place(*node), full(key), error.what()));
    }
    GSNET_CHECK(
        std::isfinite(value) && value >= 0,
        fmt::format("{}: '{}' must be a number of at least 0 or a fraction like \"36/255\"", place(*node), full(key)));
    taken(key);
  }

  void read(const char* key, std::vector<double>& values) {
    toml::node* node = find(key);
    if (node == nullptr) return;
    const toml::array* list = node->as_array();
    GSNET_CHECK(list != nullptr, fmt::format("{}: '{}' must be a list of numbers", place(*node), full(key)));
    values.clear();
    for (const toml::node& item : *list) {
      const auto number = item.value<double>();
      GSNET_CHECK(number && std::isfinite(*number),
                  fmt::format("{}: '{}' must be a list of numbers", place(item), full(key)));
      values.push_back(*number);
    }
    taken(key);
  }

  template <class E>
  void read(const char* key, E& value, std::initializer_list<std::pair<const char*, E>> choices) {
    std::string text;
    toml::node* node = find(key);
    if (node == nullptr) return;
    const std::string where = place(*node);
    read(key, text);
    std::string known;
    for (const auto& [word, meaning] : choices) {
      if (text == word) {
        value = meaning;
        return;
      }
      known += fmt::format("{}{}", known.empty() ? "" : ", ", word);
    }
    throw Error(fmt::format("{}: '{}' must be one of {}, got '{}'", where, full(key), known, text));
  }

  /// All that is left, as a layer's or an architecture's settings.
  void read_rest(Attributes& attributes) {
    if (table_ == nullptr) return;
    for (auto& [key, node] : *table_) {
      const std::string name(key.str());
      if (node.is_boolean()) {
        attributes.set(name, node.as_boolean()->get());
      } else if (node.is_integer()) {
        attributes.set(name, node.as_integer()->get());
      } else if (node.is_floating_point()) {
        attributes.set(name, node.as_floating_point()->get());
      } else {
        GSNET_CHECK(node.is_string(),
                    fmt::format("{}: '{}' must be a flag, a number or a text", place(node), full(name)));
        attributes.set(name, node.as_string()->get());
      }
    }
    table_->clear();
  }

  void finish() const {
    if (table_ == nullptr || table_->empty()) return;
    const std::string key(table_->begin()->first.str());
    throw Error(fmt::format("{}: unknown key '{}'", place(*table_->get(key)), full(key)));
  }

 private:
  toml::node* find(const char* key) { return table_ != nullptr ? table_->get(key) : nullptr; }
  void taken(const char* key) { table_->erase(key); }
  std::string full(const std::string& key) const { return name_.empty() ? key : name_ + "." + key; }
  std::string place(const toml::node& node) const {
    return node.source().begin.line > 0 ? fmt::format("{}:{}", file_, node.source().begin.line) : file_;
  }

  toml::table* table_ = nullptr;
  std::string file_, name_;
};

toml::table parse(const std::string& text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    throw Error(fmt::format("{}:{}: not TOML: {}", file, error.source().begin.line, error.description()));
  }
}

/// Puts "a.b=value" into the table.
void apply_setting(toml::table& root, const std::string& setting) {
  const size_t equals = setting.find('=');
  if (equals == std::string::npos || equals == 0) throw UsageError(fmt::format("--set '{}': write key=value", setting));
  const std::string path = setting.substr(0, equals), value = setting.substr(equals + 1);
  toml::table parsed;
  try {
    parsed = toml::parse("v = " + value);
  } catch (const toml::parse_error&) {
    parsed.insert("v", value);
  }
  toml::table* table = &root;
  size_t begin = 0;
  for (size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', begin)) {
    const std::string part = path.substr(begin, dot - begin);
    if (!table->contains(part)) table->insert(part, toml::table());
    table = table->get(part)->as_table();
    GSNET_CHECK(table != nullptr, fmt::format("--set '{}': '{}' is no table", setting, part));
    begin = dot + 1;
  }
  table->insert_or_assign(path.substr(begin), *parsed.get("v"));
}

constexpr double kMost = 1e15;

void read_data(toml::table& root, const std::string& file, Recipe& recipe) {
  Section data(root, file, "data");
  data.read("path", recipe.data);
  data.read("side", recipe.side, 0, 8192);
  data.read("limit", recipe.limit, 0, kMost);
  data.read("validation", recipe.validation, 0, kMost);
  data.read("glyphs", recipe.glyphs, 100, 1e8);
  data.read("mean", recipe.normalisation.mean);
  data.read("stddev", recipe.normalisation.stddev);
  data.read("crop_padding", recipe.augmentation.crop_padding, 0, 1024);
  data.read("flip", recipe.augmentation.flip);
  data.finish();
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

}  // namespace

Recipe read_recipe(const std::filesystem::path& path, const std::vector<std::string>& settings) {
  const std::string file = path.string();
  toml::table root = parse(io::read_text(path, size_t{4} << 20), file);
  for (const std::string& setting : settings) apply_setting(root, setting);
  Recipe recipe;
  recipe.name = path.stem().string();
  recipe.file = file;
  read_data(root, file, recipe);
  Section model(root, file, "model");
  model.read("architecture", recipe.architecture);
  model.read_rest(recipe.model);
  read_training(root, file, recipe);
  Section run(root, file, "run");
  run.read("epochs", recipe.epochs, 1, 1e6);
  run.read("batch", recipe.batch, 1, 1e6);
  run.read("seed", recipe.seed, 0, kMost);
  run.read_fraction("radius", recipe.radius);
  run.read("loader_threads", recipe.loader_threads, 1, 256);
  run.finish();
  for (const char* known : {"data", "model", "loss", "optimiser", "schedule", "run"}) root.erase(known);
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

namespace {

toml::array to_array(const std::vector<double>& values) {
  toml::array list;
  for (double value : values) list.push_back(value);
  return list;
}

toml::table model_table(const Recipe& recipe) {
  toml::table model{{"architecture", recipe.architecture}};
  for (const auto& [key, value] : recipe.model.entries()) {
    if (const auto* flag = std::get_if<bool>(&value)) model.insert(key, *flag);
    if (const auto* whole = std::get_if<int64_t>(&value)) model.insert(key, *whole);
    if (const auto* number = std::get_if<double>(&value)) model.insert(key, *number);
    if (const auto* text = std::get_if<std::string>(&value)) model.insert(key, *text);
  }
  return model;
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
  const toml::table root{{"name", recipe.name},
                         {"data", toml::table{{"path", recipe.data},
                                              {"side", recipe.side},
                                              {"limit", recipe.limit},
                                              {"validation", recipe.validation},
                                              {"glyphs", recipe.glyphs},
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
                                             {"batch", recipe.batch},
                                             {"seed", static_cast<int64_t>(recipe.seed)},
                                             {"radius", recipe.radius},
                                             {"loader_threads", recipe.loader_threads}}}};
  std::ostringstream text;
  text << root << "\n";
  return with_short_numbers(text.str());
}

}  // namespace gsnet::apps
