// gsnet adapt
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "apps/adapt_network.h"
#include "apps/command.h"
#include "apps/data_source.h"
#include "apps/evaluate.h"
#include "apps/norm_statistics.h"
#include "apps/training_run.h"
#include "io/adapter_file.h"
#include "io/model_file.h"
#include "io/safetensors.h"
#include "layers/weight.h"

namespace gsnet::apps {
namespace {

constexpr const char* kAdapter = "adapter";

class AdaptRun final : public TrainingRun {
 public:
  AdaptRun(const Recipe& recipe, const std::string& base, const Options& options)
      : TrainingRun(recipe, options), base_(base), adapt_(*recipe_.adapt) {
    Model model = io::load_model(base_, *backend_);
    const Shape& input = model.graph->input();
    if (recipe_.side == 0 && input.rank() == 3) recipe_.side = static_cast<int>(input[1]);
    parts_ = split_data(recipe_);
    recipe_.normalisation = {model.info.mean, model.info.stddev};  // as the network was trained
    network_ = adapt_network(model.info, *model.graph, adapt_, parts_.train->class_names());
    keeps_head_ = std::ranges::find(network_.fresh, network_.head) == network_.fresh.end();
    adapted_ = io::adaptable(std::move(model), network_.changed ? std::optional(network_.info) : std::nullopt, {},
                             network_.fresh, RandomKey(recipe_.seed));
    adapted_.model.info = network_.info;
    check_fits(adapted_.model, *parts_.train);
    choose_parameters();
    if (adapt_.batch_norm == NormPolicy::reestimate) reestimate_statistics();
    start(*adapted_.model.graph, in_order(parts_.train, adapted_.model));
  }

 private:
  Graph& graph() { return *adapted_.model.graph; }

  /// What is trained; everything else costs no gradient.
  void choose_parameters() {
    std::vector<std::string> whole = adapt_.save, norms;
    whole.insert(whole.end(), network_.fresh.begin(), network_.fresh.end());
    for (const Graph::Node& node : graph().nodes()) {
      if (node.description.type == "batch_norm") norms.push_back(node.description.name);
    }
    if (adapt_.method == "head" && !network_.head.empty()) whole.push_back(network_.head);
    if (adapt_.batch_norm == NormPolicy::batch) whole.insert(whole.end(), norms.begin(), norms.end());
    saved_ = whole;
    if (adapt_.batch_norm == NormPolicy::reestimate) saved_.insert(saved_.end(), norms.begin(), norms.end());
    check_saved();
    if (adapt_.method != "full") {
      freeze(graph(), whole);
      GSNET_CHECK(adapt_.method != "head" || !whole.empty(), "the network has no linear head to train");
    }
    if (adapt_.method != "full" && adapt_.method != "head") attach();
    for (const NamedParameter& named : parameters_of(graph())) wanted_[named.name] = named.parameter->trainable;
  }

  void attach() {
    Targets targets = adapt_.targets;
    for (const std::string& layer : saved_) exclude(targets, layer);
    for (const Graph::Node& node : graph().nodes()) {
      const auto site = node.module->weight_site();
      if (site && !site->weight->chain().empty()) exclude(targets, node.description.name);
    }
    if (!network_.rotations.empty() && !any_site_left(targets)) return;
    rows_ = adapted_.bank->attach(kAdapter, AdapterSpec::from(adapt_.settings), targets,
                                  RandomKey(recipe_.seed).with(1), adapt_.overrides);
  }

  void check_saved() {
    for (const std::string& pattern : adapt_.save) {
      const auto fits = [&](const Graph::Node& node) { return matches(pattern, node.description.name); };
      GSNET_CHECK(std::ranges::any_of(graph().nodes(), fits),
                  fmt::format("[adapter] save: '{}' fits no layer of the network", pattern));
    }
  }

  /// Only layers that can be adapted may be named.
  void exclude(Targets& targets, const std::string& pattern) {
    for (const Graph::Node& node : graph().nodes()) {
      if (node.module->weight_site() && matches(pattern, node.description.name)) {
        targets.exclude.push_back(node.description.name);
      }
    }
  }

  bool any_site_left(const Targets& targets) {
    try {
      find_targets(graph(), targets);
      return true;
    } catch (const Error&) {
      return false;
    }
  }

  void reestimate_statistics() {
    const int64_t layers = gsnet::apps::reestimate_statistics(
        adapted_.model, in_order(parts_.train, adapted_.model),
        {.batch = recipe_.batch, .batches = adapt_.reestimate_batches, .seed = recipe_.seed});
    if (layers == 0) fmt::print("no batch norms to re-estimate: they are folded into the convolutions\n");
  }

  void announce() override {
    fmt::print("{}: {} on {}; {} training and {} validation pictures, {} classes; {} ({})\n", recipe_.name,
               adapt_.method, base_, parts_.train->size(), parts_.validation->size(), network_.info.class_names.size(),
               backend_->name(), backend_->description());
    for (const AdapterBank::Row& row : rows_) {
      const std::string what = row.skipped.empty() ? fmt::format("{:<24} {}", row.report.shape, row.report.note)
                                                   : "left out: " + row.skipped;
      fmt::print("  {:<32} {:<20} {}\n", row.layer, row.kind, what);
    }
    for (const std::string& layer : network_.rotations) fmt::print("  {:<32} rotation of its channels\n", layer);
    fmt::print("{}\n", trainable_line(graph()));
  }

  /// The head comes first: random outputs would drag the rest along.
  void before_epoch(int64_t epoch) override {
    if (adapt_.head_epochs == 0) return;
    for (const NamedParameter& named : parameters_of(graph())) {
      const bool is_head = !network_.head.empty() && named.name.starts_with(network_.head + ".");
      named.parameter->trainable = wanted_.at(named.name) && (is_head || epoch >= adapt_.head_epochs);
    }
  }

  Validation validate() override {
    const Accuracy found = measure(adapted_.model, parts_.validation, evaluation());
    return {.score = found.clean,
            .numbers = {{"validation_loss", found.loss}, {"validation_accuracy", found.clean}},
            .text = fmt::format("validation: {:5.1f} %", 100 * found.clean),
            .brief = fmt::format("  validation {:.1f} %", 100 * found.clean)};
  }

  EvaluateSpec evaluation() const { return {.batch = recipe_.batch, .loader_threads = recipe_.loader_threads}; }

  void keep(int64_t epoch) override {
    if (adapt_.method == "full") {
      adapted_.model.info.provenance = provenance(epoch);
      io::save_model(folder_.model_path(), adapted_.model);
      return;
    }
    io::AdapterFile file;
    if (!adapted_.bank->names().empty()) {
      file = io::adapter_of(graph(), *adapted_.bank, kAdapter, saved_);
    } else {
      io::store_saved(graph(), saved_, file);
    }
    if (network_.changed) file.network = network_.info;
    file.provenance = provenance(epoch);
    io::write_adapter(folder_.adapter_path(), file);
  }

  Model best() {
    if (adapt_.method == "full") return io::load_model(folder_.model_path(), *backend_);
    io::AdaptedModel best =
        io::adapted_model(io::load_model(base_, *backend_), io::read_adapter(folder_.adapter_path()), kAdapter);
    if (!best.bank->names().empty()) best.bank->merge();
    return std::move(best.model);
  }

  /// The kept adapter on test pictures as the recipe corrupts them, and on clean ones: what was won, and what was lost.
  int finish(const RunState& state) override {
    const std::string kept = (adapt_.method == "full" ? folder_.model_path() : folder_.adapter_path()).string();
    fmt::print("best epoch {} (validation {:.2f} %): {}\n", state.best_epoch, 100 * state.best_score, kept);
    const Model after = best();
    int64_t trained = 0;
    for (const NamedParameter& named : parameters_of(graph())) {
      trained += wanted_.at(named.name) ? named.parameter->value.numel() : 0;
    }
    nlohmann::ordered_json result = {
        {"method", adapt_.method},
        {"trained", trained},
        {"free", free_numbers(trained)},
        {"bytes", std::filesystem::file_size(kept)},
        {"seconds_a_step", state.seconds / std::max<double>(1, static_cast<double>(trainer_->steps_done()))},
        {"peak_process_bytes", peak_bytes()},
        {"peak_tensor_bytes", backend_->memory()->stats().peak_bytes},
        {"validation", state.best_score}};
    const Model base = io::load_model(base_, *backend_);
    const auto clean = open_named(recipe_.data, data::Split::test, recipe_.side, recipe_.glyphs);
    std::vector<std::pair<std::string, std::shared_ptr<const data::Dataset>>> sets = {{"test", clean}};
    if (!recipe_.corruption.empty()) {
      sets = {{recipe_.corruption, open_corrupted(clean, recipe_.corruption, recipe_.seed)}, {"clean", clean}};
    }
    for (const auto& [name, set] : sets) {
      const double now = measure(after, set, evaluation()).clean;
      const std::string before =
          keeps_head_ ? fmt::format("{:6.2f} % before, ", 100 * measure(base, set, evaluation()).clean) : "";
      fmt::print("{:<32} {}{:6.2f} % after\n", fmt::format("{} ({} pictures)", name, set->size()), before, 100 * now);
      result["accuracy"][name] = now;
    }
    io::write_atomically(folder_.path() / "result.json", result.dump(2) + "\n");
    return 0;
  }

  int64_t free_numbers(int64_t trained) const {
    if (adapted_.bank->names().empty()) return trained;
    int64_t free = trained;
    for (const AdapterBank::Row& row : adapted_.bank->rows(kAdapter)) free += row.report.free - row.report.stored;
    return free;
  }

  std::string base_;
  AdaptRecipe adapt_;
  Parts parts_;
  AdaptedNetwork network_;
  io::AdaptedModel adapted_;
  std::vector<AdapterBank::Row> rows_;
  std::vector<std::string> saved_;
  bool keeps_head_ = true;
  std::map<std::string, bool> wanted_;  // which parameters are trained once the head had its epochs
};

}  // namespace

int adapt_command(const std::vector<std::string>& arguments) {
  Options options(
      "adapt MODEL [--recipe R.toml] [--adapter KIND] [--data DIR] [--out DIR] [--set key=value …] [--resume]",
      "Fine-tunes a pretrained network: trains an adapter (gsoft, double_gsoft, oft, boft, lora, dora), all weights\n"
      "(full) or the head alone (head), and keeps the best epoch on pictures held out. The run folder holds\n"
      "recipe.toml, log.jsonl, checkpoint.safetensors, adapter.safetensors (full: model.safetensors) and result.json.\n"
      "`gsnet merge` folds the adapter into the network. docs/adapters.md explains kinds, settings and patterns.");
  options.positional("MODEL", "a model file (gsnet import makes one of ONNX and PyTorch files)")
      .value("recipe", "a TOML file: [adapter] and the tables of gsnet train")
      .value("adapter", "kind of adapter, in place of the recipe's")
      .value("data", std::string("in place of the recipe's; ") + kDataHelp)
      .value("out", "run folder (runs/NAME)")
      .values("set", "key=value, in place of a recipe's entry: --set adapter.block=8")
      .flag("resume", "go on from the run folder's checkpoint, or begin when there is none")
      .flag("quiet", "no progress")
      .machine();
  if (!options.parse(arguments)) return 0;
  std::vector<std::string> settings = options.texts("set");
  if (options.given("adapter")) settings.insert(settings.begin(), "adapter.kind=\"" + options.text("adapter") + "\"");
  Recipe recipe = read_recipe(options.text("recipe"), settings);
  if (recipe.name.empty()) recipe.name = "adapt";
  if (!recipe.adapt) throw UsageError("adapt needs --adapter KIND, or a recipe with [adapter]");
  if (options.given("data")) recipe.data = options.text("data");
  return AdaptRun(recipe, options.text("MODEL"), options).execute();
}

}  // namespace gsnet::apps
