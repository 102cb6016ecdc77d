// What the pickle of a torch file says: tensors as views of storages, whose numbers lie elsewhere in the file.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/pickle.h"
#include "io/safetensors.h"

namespace gsnet::io {

struct TorchStorage {
  std::string key;
  DType dtype = DType::f32;
  int64_t numel = 0;

  bool operator==(const TorchStorage&) const = default;
};

/// A tensor of a state dict; strides and offset count elements.
struct TorchView {
  std::string name;
  size_t storage = 0;
  int64_t offset = 0;
  Shape shape;
  std::vector<int64_t> strides;
};

struct TorchContent {
  std::vector<TorchStorage> storages;
  std::vector<TorchView> views;
  std::map<std::string, std::string> metadata;  ///< numbers, flags and short texts by name
};

/// The names that a state dict's pickle may hold.
std::span<const std::string_view> torch_globals();

/// Walks dicts, lists and tuples; names are joined with '.'. Throws Error naming the entry for what is no tensor,
/// number, flag, text or None, for views that reach outside their storage or are larger than it, for element types
/// that Tensor lacks, names that come twice or are longer than 256 bytes, nesting beyond 32 and more than 2^18 entries.
TorchContent torch_content(const Pickle& pickle);

/// The tensors; `storages` (numel) in the content's order. Contiguous views share their storage's memory, others are
/// copied row-major; throws Error when the copies take more than four times the storages' bytes.
TensorFile torch_tensors(const TorchContent& content, std::span<const Tensor> storages);

}  // namespace gsnet::io
