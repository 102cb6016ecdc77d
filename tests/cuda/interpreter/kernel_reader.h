// One kernel of a module while its text is read, statement by statement.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cuda/interpreter/program.h"

namespace gsnet::ptx {

/// Names that mean an address.
using Symbols = std::map<std::string, uint64_t, std::less<>>;

class KernelReader {
 public:
  /// globals: variables of its module, which outlive this.
  KernelReader(std::string name, const Symbols& globals, int line);

  /// ".param .align 8 .b8 name[24]"
  void parameter(std::string_view text);
  void most_threads(int count) { kernel_->most_threads = count; }
  /// The name of the memory that is given at launch.
  void shared_at_launch(std::string_view name) { shared_at_launch_ = name; }
  /// A scope begins, and ends.
  void open() { scopes_.emplace_back(); }
  void close() { scopes_.pop_back(); }
  void label(std::string_view name) { labels_[std::string(name)] = static_cast<int32_t>(kernel_->code.size()); }
  /// A directive or an instruction, without its semicolon. Throws Fault for what it does not know.
  void statement(std::string_view text, int line);
  std::unique_ptr<Kernel> finish();

 private:
  struct Register {
    Slot slot;
    int bytes;  ///< of a number; 0: a predicate
  };
  struct Operand {
    std::string_view text;
    int bytes = -1;  ///< of a register, as above
    Slot slot = 0;
  };

  [[noreturn]] void fail(const std::string& what) const;
  Slot constant(uint64_t value, int bytes);
  Register make_register(int bytes);
  std::optional<Register> register_of(std::string_view name);
  std::optional<uint64_t> address_of(std::string_view name) const;
  /// "[%rd1+8]" or "[name]": its base is an operand, what is added goes to the instruction.
  std::string_view base_of(std::string_view text, Instruction& made);
  void directive(std::string_view text);
  void instruction(std::string_view text);
  void encode(const std::string& name, std::vector<Operand>& operands, Instruction& made);

  std::unique_ptr<Kernel> kernel_ = std::make_unique<Kernel>();
  const Symbols& globals_;
  Symbols variables_;
  std::string shared_at_launch_;
  std::vector<std::map<std::string, Register, std::less<>>> scopes_;
  std::map<std::string, int, std::less<>> families_;  ///< "%r" of "%r<19>", and their bytes
  std::map<std::pair<uint64_t, int>, Slot> constants_known_;
  std::map<std::string, int32_t, std::less<>> labels_;
  std::vector<std::pair<size_t, std::string>> jumps_;
  Slot registers_ = 0;
  int line_;
};

}  // namespace gsnet::ptx
