#include "apps/run_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/model_file.h"
#include "io/safetensors.h"

namespace gsnet::apps {
namespace fs = std::filesystem;
namespace {

constexpr const char* kModel = "model/";
constexpr const char* kOptimiser = "optimiser/";
constexpr const char* kState = "gsnet.run";

nlohmann::json to_json(const RunState& state, int64_t steps) {
  return {{"epoch", state.epoch},           {"batch", state.batch},           {"loss_sum", state.loss_sum},
          {"samples", state.samples},       {"correct", state.correct},       {"seconds", state.seconds},
          {"best_score", state.best_score}, {"best_epoch", state.best_epoch}, {"steps", steps}};
}

RunState from_json(const nlohmann::json& json) {
  return {json.at("epoch"),   json.at("batch"),   json.at("loss_sum"),   json.at("samples"),
          json.at("correct"), json.at("seconds"), json.at("best_score"), json.at("best_epoch")};
}

}  // namespace

RunFolder::RunFolder(fs::path folder, bool resume) : folder_(std::move(folder)) {
  GSNET_CHECK(!fs::exists(folder_) || fs::is_directory(folder_),
              fmt::format("{}: cannot make the run folder: a file has this name", folder_.string()));
  if (resume && has_checkpoint()) return;
  GSNET_CHECK(
      !has_checkpoint() && !fs::exists(model_path()) && !fs::exists(adapter_path()),
      resume ? fmt::format("{}: holds what a run made, but no checkpoint to go on from: choose another --out",
                           folder_.string())
             : fmt::format("{}: holds a run already; go on with --resume or choose another --out", folder_.string()));
}

void RunFolder::prepare() const {
  std::error_code code;
  fs::create_directories(folder_, code);
  GSNET_CHECK(fs::is_directory(folder_),
              fmt::format("{}: cannot make the run folder: {}", folder_.string(), code.message()));
  GSNET_CHECK(access(folder_.c_str(), W_OK) == 0,
              fmt::format("{}: cannot write to the run folder: {}", folder_.string(), std::strerror(errno)));
}

bool RunFolder::has_checkpoint() const { return fs::exists(checkpoint_path()); }

void RunFolder::write_recipe(const std::string& toml) const { io::write_atomically(recipe_path(), toml); }

void RunFolder::log(const std::string& json_line) const {
  const fs::path path = folder_ / "log.jsonl";
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  GSNET_CHECK(file >= 0, fmt::format("{}: {}", path.string(), std::strerror(errno)));
  const std::string line = json_line + "\n";
  const auto written = write(file, line.data(), line.size());
  const int problem = errno;
  const bool flushed = fsync(file) == 0 || errno == EINVAL;
  close(file);
  GSNET_CHECK(written == static_cast<ssize_t>(line.size()) && flushed,
              fmt::format("{}: {}", path.string(), std::strerror(problem)));
}

void RunFolder::rewind_log(int64_t epoch) const {
  const fs::path path = folder_ / "log.jsonl";
  if (!fs::exists(path)) return;
  const std::string text = io::read_text(path, size_t{1} << 30);
  std::string kept;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
    const bool later = json.is_discarded() ||
                       (json.contains("epoch") && json["epoch"].is_number() && json["epoch"].get<int64_t>() > epoch);
    if (!later) kept += line + "\n";
  }
  io::write_atomically(path, kept);
}

namespace {

/// Results are the same bit for bit on the same machine with as many threads.
std::string machine_of(const Graph& graph) { return graph.backend().name() + ", " + graph.backend().description(); }

}  // namespace

void RunFolder::save_checkpoint(Trainer& trainer, const RunState& state, const std::string& recipe) const {
  Graph& graph = trainer.graph();
  io::TensorFile file;
  io::store_tensors(trainer.state(), file, kModel, true, graph.backend());
  for (const NamedTensor& named : trainer.optimiser().state()) {
    file.tensors.emplace_back(kOptimiser + named.name, graph.backend().download(*named.tensor));
  }
  file.metadata = {{kState, to_json(state, trainer.steps_done()).dump()},
                   {"gsnet.recipe", recipe},
                   {"gsnet.machine", machine_of(graph)}};
  io::write_safetensors(checkpoint_path(), file);
}

RunState RunFolder::load_checkpoint(Trainer& trainer, const std::string& recipe) const {
  Graph& graph = trainer.graph();
  const std::string name = checkpoint_path().string();
  const io::TensorFile file = io::read_safetensors(checkpoint_path());
  const auto state = file.metadata.find(kState), kept = file.metadata.find("gsnet.recipe");
  GSNET_CHECK(state != file.metadata.end() && kept != file.metadata.end(),
              fmt::format("{}: no checkpoint of a training run", name));
  GSNET_CHECK(
      kept->second == recipe,
      fmt::format(
          "{}: was made by another recipe, or on another base; resume with the same recipe, settings and network",
          name));
  const auto machine = file.metadata.find("gsnet.machine");
  if (machine != file.metadata.end() && machine->second != machine_of(graph)) {
    fmt::print(stderr, "gsnet: note: the run was on {}, goes on with {}: not bit for bit what it would have been\n",
               machine->second, machine_of(graph));
  }
  try {
    const std::vector<NamedTensor> wanted = trainer.state();
    io::refuse_others(wanted, file, kModel);
    io::load_tensors(wanted, file, kModel, graph.backend());
    trainer.state_assigned();
    for (const NamedTensor& named : trainer.optimiser().state()) {
      const Tensor& stored = file.at(kOptimiser + named.name);
      GSNET_CHECK(stored.shape() == named.tensor->shape() && stored.dtype() == named.tensor->dtype(),
                  fmt::format("tensor '{}' has another shape or type", kOptimiser + named.name));
      *named.tensor = graph.backend().upload(stored);
    }
    const nlohmann::json json = nlohmann::json::parse(state->second);
    trainer.optimiser().set_steps(json.at("steps"));
    return from_json(json);
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{}: damaged run state: {}", name, error.what()));
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", name, error.what()));
  }
}

}  // namespace gsnet::apps
