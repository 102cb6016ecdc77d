// One model, one safetensors file: weights by path name, and in the metadata everything needed to run it anywhere.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "io/safetensors.h"
#include "layers/model.h"

namespace gsnet::io {

/// JSON text of a description and back: {"input":[3,32,32],"nodes":[{"name","type","inputs","attributes":{…}}]}, the
/// last two left out where empty. Integers, numbers, texts, flags and lists of one of the first three keep their kinds
/// (an empty list reads as one of integers); throws Error naming the node and the key for anything else.
std::string to_json(const Description& description);
Description description_from_json(const std::string& text);

/// Metadata of a model file: "gsnet.format" ("1"), "gsnet.description", "gsnet.mean", "gsnet.stddev", "gsnet.classes",
/// "gsnet.provenance" (JSON texts), and "gsnet.order" ("rgb", "bgr"; rgb where there is none). Throws Error unless mean
/// and stddev have one finite entry an input channel (or feature), stddev a positive one, and for another order than
/// rgb of an input that has not three channels.
std::map<std::string, std::string> model_metadata(const ModelInfo& info);
ModelInfo model_info(const std::map<std::string, std::string>& metadata);

/// "rgb" or "bgr". Throws Error for anything else.
ChannelOrder channel_order(const std::string& text);

/// Saves the graph's state (downloaded, f32; integers as they are) with its info, atomically.
void save_model(const std::filesystem::path& path, const Model& model);

/// Builds the network on the machine and loads its state. Throws Error naming the file for a file that is no model of
/// ours, a missing, superfluous or misshapen tensor, or a number that is not finite.
Model load_model(const std::filesystem::path& path, Backend& backend);

/// Throws Error for a layer with more channels or features, or a larger kernel or stride, than an extent of the tensors
/// under its name: the builder trusts a description's sizes, so that files are held against them before it allocates.
void check_sizes(const Description& description, const TensorFile& file);

/// Puts tensors into the graph's state by name; every name of the state must be there, with its shape and kind (integer
/// or real) and finite. `prefix` is put before the names looked for. Superfluous names under the prefix are an Error
/// too. The graph is untouched when an Error is thrown.
void load_state(Graph& graph, const TensorFile& file, const std::string& prefix = "");
/// The same for some tensors of a graph on this machine: each must be in the file under prefix + name, others may be.
void load_tensors(const std::vector<NamedTensor>& wanted, const TensorFile& file, const std::string& prefix,
                  Backend& backend);
/// Throws Error naming the first tensor under the prefix that is not among these.
void refuse_others(const std::vector<NamedTensor>& wanted, const TensorFile& file, const std::string& prefix);
/// Adds tensors under prefix + name, downloaded; as f32 unless `exact`, integers as they are.
void store_tensors(const std::vector<NamedTensor>& tensors, TensorFile& file, const std::string& prefix, bool exact,
                   Backend& backend);
/// Adds the graph's state to a file under prefix + name. `exact` keeps the machine's dtype, else f32.
void store_state(Graph& graph, TensorFile& file, const std::string& prefix = "", bool exact = false);

}  // namespace gsnet::io
