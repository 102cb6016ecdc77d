// Adapters in the files of Hugging Face's PEFT: adapter_model.safetensors beside adapter_config.json.
#pragma once

#include <filesystem>

#include "io/adapter_file.h"

namespace gsnet::io {

/// A folder that PEFT's save_pretrained wrote, for the network whose weights it adapts (docs/adapters.md has the
/// formulas): LORA with use_dora, use_rslora, rank_pattern, alpha_pattern and lora_bias; OFT, exact or by any number of
/// Cayley-Neumann terms, with coft and block_share; BOFT of any number of factors. Linear layers and convolutions in
/// one group. Where config and tensors differ, tensors are believed: PEFT changes block sizes and BOFT's factors
/// silently. modules_to_save and trained biases come in `saved`, lora_bias as the bias that it makes of the network's.
/// A LoRA of more rows than its matrix has is read as the same product of fewer. Unknown config keys are ignored.
/// Throws Error naming the folder and the tensor or key for another method or a variant of LoRA that changes the base
/// or how it is used (pissa, corda, olora, loftq, lora_ga, target_parameters, …), for layers that the network has not,
/// grouped convolutions, tensors that are missing, misshapen or not finite.
AdapterFile read_peft(const std::filesystem::path& folder, Graph& graph);

/// Writes such a folder, made where it is missing, for a network of the graph's layers: LoRA and DoRA as LORA; OFT as
/// OFT, or with a trained scale as BOFT of one factor; BOFT as BOFT. Rotations of the channels of k x k convolutions
/// become rotations of k k times as many places; exponentials become the Cayley transforms of other generators. `saved`
/// is written as modules_to_save, biases of adapted layers as trained biases. Throws Error, and writes nothing, for
/// what PEFT's files cannot say: GSOFT and Double GSOFT (convert them first: adapters/convert.h), several methods in
/// one adapter, block sizes that no single config leads to, grouped convolutions, rotations on kernels that are not
/// square, blocks above 4096, a polynomial of three terms.
void write_peft(const std::filesystem::path& folder, const AdapterFile& file, Graph& graph);

/// Whether it is a folder with an adapter_config.json.
bool is_peft_folder(const std::filesystem::path& path);

/// Such a folder, or an adapter file of ours.
AdapterFile read_any_adapter(const std::filesystem::path& path, Graph& graph);

}  // namespace gsnet::io
