// The folder of a training run: recipe.toml, log.jsonl, checkpoint.safetensors, model.safetensors (the best so far).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "layers/model.h"
#include "train/trainer.h"

namespace gsnet::apps {

/// Where a run stands, beside the tensors.
struct RunState {
  int64_t epoch = 0;    ///< under way, from 0
  int64_t batch = 0;    ///< batches of it that are done
  double loss_sum = 0;  ///< over the samples of the epoch so far
  int64_t samples = 0, correct = 0;
  double seconds = 0;      ///< of training so far, interruptions left out
  double best_score = -1;  ///< of the model kept, on the validation part
  int64_t best_epoch = 0;
};

class RunFolder {
 public:
  /// Throws Error when the folder holds a run and `resume` is false, or one without a checkpoint, or a file has its
  /// name.
  RunFolder(std::filesystem::path folder, bool resume);

  /// Makes the folder if need be. Throws Error when it cannot be written to.
  void prepare() const;

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path model_path() const { return folder_ / "model.safetensors"; }
  std::filesystem::path adapter_path() const { return folder_ / "adapter.safetensors"; }
  std::filesystem::path head_path() const { return folder_ / "head.safetensors"; }
  std::filesystem::path recipe_path() const { return folder_ / "recipe.toml"; }
  std::filesystem::path checkpoint_path() const { return folder_ / "checkpoint.safetensors"; }
  bool has_checkpoint() const;

  void write_recipe(const std::string& toml) const;
  /// Appends a line and flushes it to the disk.
  void log(const std::string& json_line) const;
  /// Cuts from the log what a killed run wrote after the checkpoint: lines of epochs >= `epoch`.
  void rewind_log(int64_t epoch) const;

  /// Everything that the next step depends on, atomically. The recipe goes along, so that a resumed run can tell when
  /// it is another one.
  void save_checkpoint(Trainer& trainer, const RunState& state, const std::string& recipe) const;
  /// Throws Error naming the file when it is damaged or of another recipe.
  RunState load_checkpoint(Trainer& trainer, const std::string& recipe) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace gsnet::apps
