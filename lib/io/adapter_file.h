// Adapter files: what was trained, beside the network that it was trained on.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/bank.h"
#include "io/safetensors.h"
#include "layers/model.h"

namespace gsnet::io {

/// One adapter, and what was trained with it.
struct AdapterFile {
  std::vector<LayerAdapter> layers;
  TensorFile tensors;  ///< "<layer>.<tensor>", named and shaped as AdapterBank::parameters() does
  TensorFile saved;    ///< whole layers that were trained besides (a head, batch norms): the model's state names
  /// The adapted network where it is not the base: another head, rotations put in. Layers whose names and shapes the
  /// base has take its tensors, all others must be in `saved`.
  std::optional<ModelInfo> network;
  std::string base;  ///< fingerprint() of the weights that it was trained on; empty: not known
  std::map<std::string, std::string> provenance;
};

/// 16 hexadecimal digits of the stored weights that the adapter sits on, in f32.
std::string fingerprint(Graph& graph, const std::vector<LayerAdapter>& layers);
/// The same of all of a network's numbers.
std::string fingerprint(Graph& graph);

/// The adapter `name` of a bank, with the state of all layers that fit one of the `saved` patterns.
AdapterFile adapter_of(Graph& graph, const AdapterBank& bank, const std::string& name,
                       const std::vector<std::string>& saved);

/// The state of all layers that fit one of the patterns, into file.saved.
void store_saved(Graph& graph, const std::vector<std::string>& patterns, AdapterFile& file);

/// One safetensors file: tensors "adapter.<layer>.<tensor>" and "saved.<name>"; metadata "gsnet.adapter" ("1"),
/// "gsnet.adapter.config" (JSON: the layers' settings, base, provenance) and, with `network`, a model file's metadata.
/// Rotations are strict triangles: half the numbers of their matrices. Written atomically.
void write_adapter(const std::filesystem::path& path, const AdapterFile& file);
/// Throws Error naming the file for one that is no adapter of ours, settings that are impossible, numbers not finite.
AdapterFile read_adapter(const std::filesystem::path& path);

/// A network with adapters on it.
struct AdaptedModel {
  Model model;
  std::unique_ptr<AdapterBank> bank;
};

/// The base, or the network with the base's tensors, and no adapter yet. Tensors that are in `saved` stay as they were
/// drawn from the key, as do those of layers in `fresh`; all others must be the base's.
AdaptedModel adaptable(Model base, const std::optional<ModelInfo>& network, const TensorFile& saved,
                       const std::vector<std::string>& fresh = {}, RandomKey key = RandomKey(0));
/// A base with the file's adapter on it.
AdaptedModel adapted_model(Model base, const AdapterFile& file, const std::string& name);

/// Puts the file's adapter on a network as `name`, and its saved layers in. Throws Error when the network is another:
/// a layer is missing, a shape is another, a tensor is missing or left over; the network is unchanged then.
void put_adapter(const AdapterFile& file, AdaptedModel& adapted, const std::string& name);

}  // namespace gsnet::io
