#include "apps/adapt_run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/data_source.h"
#include "apps/norm_statistics.h"
#include "apps/outputs.h"
#include "io/model_file.h"
#include "io/safetensors.h"
#include "layers/weight.h"

namespace gsnet::apps {
namespace {

constexpr const char* kAdapter = "adapter";

/// Where a merged network can be written, told before the hours and not after.
std::string merged_path(const Options& options, const RunFolder& folder) {
  const std::filesystem::path file = options.text("merged");
  if (!options.given("merged")) return "";
  if (file.extension() != ".onnx" && file.extension() != ".safetensors") {
    throw UsageError(fmt::format("--merged {}: the name must end in .onnx or .safetensors", file.string()));
  }
  for (const auto& own : {folder.model_path(), folder.adapter_path(), folder.checkpoint_path(), folder.head_path()}) {
    if (same_file(file.string(), own.string())) {
      throw UsageError(fmt::format("--merged {}: the run writes a file of this name", file.string()));
    }
  }
  if (same_file(file.parent_path().string(), folder.path().string())) folder.prepare();
  require_writable(options, {"merged"}, {"MODEL", "recipe", "data"});
  return file.string();
}

}  // namespace

AdaptRun::AdaptRun(const Recipe& recipe, const std::string& base, const Options& options)
    : TrainingRun(recipe, options), base_(base), merged_(merged_path(options, folder_)), adapt_(*recipe_.adapt) {
  read_ = io::load_model(base_, *backend_);
  const Shape& input = read_.graph->input();
  if (recipe_.side == 0 && input.rank() == 3) recipe_.side = static_cast<int>(input[1]);
  const data::Normalisation given = recipe_.normalisation;
  recipe_.normalisation = {read_.info.mean, read_.info.stddev};  // as the network was trained
  GSNET_CHECK(
      given.mean.empty() || (given.mean == read_.info.mean && given.stddev == read_.info.stddev),
      fmt::format("{}: data.mean and data.stddev are the network's, which was trained with mean {} and stddev {}",
                  recipe_.file, fmt::join(read_.info.mean, ", "), fmt::join(read_.info.stddev, ", ")));
  GSNET_CHECK(recipe_.model.entries().empty() && recipe_.architecture == Recipe{}.architecture,
              fmt::format("{}: [model] has no meaning: the network is {}", recipe_.file, base_));
  base_fingerprint_ = io::fingerprint(*read_.graph);
}

void AdaptRun::build(const std::optional<std::vector<std::string>>& classes) {
  network_ = adapt_network(read_.info, *read_.graph, adapt_, classes);
  keeps_head_ = std::ranges::find(network_.fresh, network_.head) == network_.fresh.end();
  adapted_ = io::adaptable(std::move(read_), network_.changed ? std::optional(network_.info) : std::nullopt, {},
                           network_.fresh, RandomKey(recipe_.seed));
  adapted_.model.info = network_.info;
  choose_parameters();
}

/// What is trained; everything else costs no gradient.
void AdaptRun::begin(std::shared_ptr<const data::Dataset> train, std::shared_ptr<Objective> objective) {
  train = in_order(std::move(train), adapted_.model);
  if (adapt_.batch_norm == NormPolicy::reestimate) {
    const int64_t layers = reestimate_statistics(
        adapted_.model, train, {.batch = recipe_.batch, .batches = adapt_.reestimate_batches, .seed = recipe_.seed});
    if (layers == 0) fmt::print("no batch norms to re-estimate: they are folded into the convolutions\n");
  }
  start(graph(), std::move(train), std::move(objective), base_fingerprint_);
}

void AdaptRun::choose_parameters() {
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

void AdaptRun::attach() {
  Targets targets = adapt_.targets;
  for (const std::string& layer : saved_) exclude(targets, layer);
  for (const Graph::Node& node : graph().nodes()) {
    const auto site = node.module->weight_site();
    if (site && !site->weight->chain().empty()) exclude(targets, node.description.name);
  }
  if (!network_.rotations.empty() && !any_site_left(targets)) return;
  rows_ = adapted_.bank->attach(kAdapter, AdapterSpec::from(adapt_.settings), targets, RandomKey(recipe_.seed).with(1),
                                adapt_.overrides);
}

void AdaptRun::check_saved() {
  for (const std::string& pattern : adapt_.save) {
    const auto fits = [&](const Graph::Node& node) { return matches(pattern, node.description.name); };
    GSNET_CHECK(std::ranges::any_of(graph().nodes(), fits),
                fmt::format("[adapter] save: '{}' fits no layer of the network", pattern));
  }
}

/// Only layers that can be adapted may be named.
void AdaptRun::exclude(Targets& targets, const std::string& pattern) {
  for (const Graph::Node& node : graph().nodes()) {
    if (node.module->weight_site() && matches(pattern, node.description.name)) {
      targets.exclude.push_back(node.description.name);
    }
  }
}

bool AdaptRun::any_site_left(const Targets& targets) {
  try {
    find_targets(graph(), targets);
    return true;
  } catch (const Error&) {
    return false;
  }
}

void AdaptRun::announce_layers() {
  for (const AdapterBank::Row& row : rows_) {
    const std::string what =
        row.skipped.empty() ? fmt::format("{:<24} {}", row.report.shape, row.report.note) : "left out: " + row.skipped;
    fmt::print("  {:<32} {:<20} {}\n", row.layer, row.kind, what);
  }
  for (const std::string& layer : network_.rotations) fmt::print("  {:<32} rotation of its channels\n", layer);
  fmt::print("{}\n", trainable_line(graph()));
}

void AdaptRun::before_epoch(int64_t epoch) {
  if (adapt_.head_epochs == 0) return;
  for (const NamedParameter& named : parameters_of(graph())) {
    const bool is_head = !network_.head.empty() && named.name.starts_with(network_.head + ".");
    named.parameter->trainable = wanted_.at(named.name) && (is_head || epoch >= adapt_.head_epochs);
  }
}

void AdaptRun::keep(int64_t epoch) {
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

std::filesystem::path AdaptRun::kept_path() const {
  return adapt_.method == "full" ? folder_.model_path() : folder_.adapter_path();
}

Model AdaptRun::best() {
  if (adapt_.method == "full") return io::load_model(folder_.model_path(), *backend_);
  io::AdaptedModel best =
      io::adapted_model(io::load_model(base_, *backend_), io::read_adapter(folder_.adapter_path()), kAdapter);
  if (!best.bank->names().empty()) best.bank->merge();
  return std::move(best.model);
}

int AdaptRun::finish(const RunState& state) {
  fmt::print("best epoch {} (validation {:.2f} %): {}\n", state.best_epoch, 100 * state.best_score,
             kept_path().string());
  Model after = best();
  const int64_t trained = trained_numbers();
  nlohmann::ordered_json result = {
      {"method", adapt_.method},
      {"trained", trained},
      {"free", free_numbers(trained)},
      {"bytes", std::filesystem::file_size(kept_path())},
      {"seconds_a_step", state.seconds / std::max<double>(1, static_cast<double>(trainer_->steps_done()))},
      {"peak_process_bytes", peak_bytes()},
      {"peak_tensor_bytes", backend_->memory()->stats().peak_bytes},
      {"validation", state.best_score}};
  if (!merged_.empty()) write_merged(after);
  result.update(nlohmann::ordered_json::parse(test(after)));
  io::write_atomically(folder_.path() / "result.json", result.dump(2) + "\n");
  return 0;
}

void AdaptRun::write_merged(Model& model) const {
  if (adapt_.method != "full") model.info.provenance["adapter"] = kept_path().string();
  write_network(merged_, model);
  fmt::print("merged network: {}\n", merged_);
}

int64_t AdaptRun::trained_numbers() {
  int64_t trained = 0;
  for (const NamedParameter& named : parameters_of(graph())) {
    trained += wanted_.at(named.name) ? named.parameter->value.numel() : 0;
  }
  return trained;
}

int64_t AdaptRun::free_numbers(int64_t trained) const {
  if (adapted_.bank->names().empty()) return trained;
  int64_t free = trained;
  for (const AdapterBank::Row& row : adapted_.bank->rows(kAdapter)) free += row.report.free - row.report.stored;
  return free;
}

}  // namespace gsnet::apps
