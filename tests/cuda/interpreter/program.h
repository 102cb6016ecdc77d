// PTX as nvcc writes it, read and decoded: kernels of instructions that a warp of the interpreter can do.
//
// Facts are the PTX ISA's (version 9.0). What nvcc made no use of so far is not there: decoding such a kernel is a
// Fault that names the instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gsnet::ptx {

constexpr int kLanes = 32;

class Warp;
struct Instruction;
using Handler = void (*)(const Instruction&, Warp&);

/// Where a register's 32 numbers lie among a warp's registers, in bytes. A predicate is one word, a bit a lane.
using Slot = int32_t;

struct Instruction {
  Handler run = nullptr;
  Slot guard = -1;      ///< a predicate; -1: always
  bool unless = false;  ///< done where the guard is false
  int32_t target = -1;  ///< of a branch: an instruction
  int64_t offset = 0;   ///< added to an address
  Slot at[16] = {};     ///< operands in the order they are written, those in braces one by one
  int line = 0;         ///< of the text
};

struct Parameter {
  std::string name;
  int offset, bytes;
};

/// A kernel. Its registers: first constants and what tells threads apart, which are there when a block starts.
struct Kernel {
  std::string name;
  std::vector<Instruction> code;
  std::vector<Parameter> parameters;
  int parameter_bytes = 0;
  int shared_bytes = 0;  ///< its own variables; what is given at launch follows, aligned to 128
  int local_bytes = 0;   ///< a thread
  int most_threads = 1024;
  int register_bytes = 0;
  std::vector<std::byte> constants;  ///< the first bytes of its registers
  Slot thread = 0, threads = 0, block = 0, blocks = 0;
};

/// Memory of a module's variables, as long as the module.
struct Module {
  std::map<std::string, std::unique_ptr<Kernel>, std::less<>> kernels;
  std::vector<std::unique_ptr<std::vector<uint64_t>>> variables;
};

/// Throws Fault "LINE: …" for what it cannot read. on_variable is told where a variable in global memory lies.
Module read_module(std::string_view text, void (*on_variable)(void* memory, size_t bytes));

/// What does an instruction, and what its operands are.
struct Decoded {
  Handler run = nullptr;
  std::vector<int> bytes;  ///< of the operands' numbers, in the order written; 0: a predicate
};

/// name: "add.s32"; registers: bytes of those in its operands, 0 for predicates, -1 where there is none (an immediate).
/// run is null for an unknown name.
Decoded decode(const std::string& name, const std::vector<int>& registers);

}  // namespace gsnet::ptx
