// State dicts as PyTorch saves them, without PyTorch. Nothing in the file is executed; every byte is hostile.
#pragma once

#include <filesystem>

#include "io/safetensors.h"

namespace gsnet::io {

/// Reads what torch.save wrote, as zip archive (since 1.6) or as the stream of pickles and storages before: dicts,
/// lists and tuples of tensors, nested; names are keys and indices joined with '.' ("state_dict.0.conv.weight").
/// Numbers, flags and texts of at most 256 bytes become metadata, integers beyond 64 bits and None are left out; bool
/// elements become u8. Tensors may share memory. Throws Error naming the file and the place for TorchScript and tar
/// files, for anything but tensors and plain values (whole modules, argument objects, NumPy numbers: save the
/// state_dict alone), for damaged or inconsistent files, and for archives that unpack to more than 64 times the file's
/// size. Nothing is allocated before it is checked.
TensorFile read_torch(const std::filesystem::path& path);

/// A file of either kind, told by its content: safetensors or torch.
TensorFile read_tensors(const std::filesystem::path& path);

}  // namespace gsnet::io
