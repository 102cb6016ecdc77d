#include "cuda/interpreter/kernel_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "cuda/interpreter/fault.h"
#include "cuda/interpreter/text.h"

namespace gsnet::ptx {
namespace {

constexpr Slot kConstant = Slot{1} << 30;  // while a kernel is read: among constants

}  // namespace

KernelReader::KernelReader(std::string name, const Symbols& globals, int line) : globals_(globals), line_(line) {
  kernel_->name = std::move(name);
  scopes_.emplace_back();
  for (Slot* special : {&kernel_->thread, &kernel_->threads, &kernel_->block, &kernel_->blocks}) {
    *special = constant(0, 4);  // written at launch
    constants_known_.clear();
  }
}

void KernelReader::parameter(std::string_view text) {
  const Variable variable = variable_of(text.substr(text.find(' ')));
  const int at = place(kernel_->parameter_bytes, variable);
  kernel_->parameters.push_back({variable.name, at, variable.bytes});
}

void KernelReader::statement(std::string_view text, int line) {
  line_ = line;
  text = trimmed(text);
  if (text.empty()) return;
  if (text.front() == '.') {
    directive(text);
  } else {
    instruction(text);
  }
}

void KernelReader::fail(const std::string& what) const { throw Fault(fmt::format("[ptx] line {}: {}", line_, what)); }

std::unique_ptr<Kernel> KernelReader::finish() {
  for (const auto& [at, name] : jumps_) {
    const auto found = labels_.find(name);
    if (found == labels_.end()) fail("no label " + name);
    kernel_->code[at].target = found->second;
  }
  const auto constants = static_cast<Slot>(kernel_->constants.size());
  const auto settle = [&](Slot& slot) { slot = (slot & kConstant) != 0 ? slot & ~kConstant : slot + constants; };
  for (Instruction& i : kernel_->code) {
    for (Slot& slot : i.at) settle(slot);
    if (i.guard >= 0) settle(i.guard);
  }
  for (Slot* special : {&kernel_->thread, &kernel_->threads, &kernel_->block, &kernel_->blocks}) settle(*special);
  kernel_->register_bytes = static_cast<int>((constants + registers_ + 63) / 64 * 64);
  return std::move(kernel_);
}

Slot KernelReader::constant(uint64_t value, int bytes) {
  const auto [found, added] =
      constants_known_.try_emplace({value, bytes}, kConstant + static_cast<Slot>(kernel_->constants.size()));
  if (added) {
    std::vector<std::byte>& to = kernel_->constants;
    const size_t start = to.size(), each = bytes == 0 ? 4 : static_cast<size_t>(bytes);
    const uint64_t mask = value != 0 ? ~uint64_t{0} : 0;
    to.resize(start + (bytes == 0 ? 64 : each * kLanes));
    if (bytes == 0) {
      std::memcpy(to.data() + start, &mask, 4);
    } else {
      for (size_t lane = 0; lane < kLanes; ++lane) std::memcpy(to.data() + start + lane * each, &value, each);
    }
  }
  return found->second;
}

KernelReader::Register KernelReader::make_register(int bytes) {
  const Slot at = registers_;
  registers_ += bytes == 0 ? 64 : bytes * kLanes;
  return {at, bytes};
}

void KernelReader::directive(std::string_view text) {
  const auto words = words_of(text);
  if (words[0] == ".reg") {
    const int bytes = bytes_of(words[1]);
    const size_t names = text.find(words[1]) + words[1].size();
    for (std::string_view name : parts_of(text.substr(names))) {
      if (const size_t many = name.find('<'); many != std::string_view::npos) {
        families_[std::string(name.substr(0, many))] = bytes;
      } else {
        scopes_.back()[std::string(name)] = make_register(bytes);
      }
    }
  } else if (words[0] == ".shared") {
    const Variable variable = variable_of(text.substr(words[0].size()));
    variables_[variable.name] = static_cast<uint64_t>(place(kernel_->shared_bytes, variable));
  } else if (words[0] == ".local") {
    const Variable variable = variable_of(text.substr(words[0].size()));
    variables_[variable.name] = static_cast<uint64_t>(place(kernel_->local_bytes, variable));
  } else if (words[0] != ".pragma" && words[0] != ".param" && words[0] != ".loc") {
    fail(fmt::format("'{}'", words[0]));
  }
}

std::optional<KernelReader::Register> KernelReader::register_of(std::string_view name) {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const auto found = scope->find(name); found != scope->end()) return found->second;
  }
  const std::pair<std::string_view, Slot> special[] = {{"%tid.x", kernel_->thread},
                                                       {"%ntid.x", kernel_->threads},
                                                       {"%ctaid.x", kernel_->block},
                                                       {"%nctaid.x", kernel_->blocks}};
  for (const auto& [known, slot] : special) {
    if (name == known) return Register{slot, 4};
  }
  std::string_view family = name;
  while (!family.empty() && std::isdigit(static_cast<unsigned char>(family.back())) != 0) family.remove_suffix(1);
  const auto found = families_.find(family);
  if (found == families_.end() || family.size() == name.size()) return {};
  return scopes_.front()[std::string(name)] = make_register(found->second);
}

std::optional<uint64_t> KernelReader::address_of(std::string_view name) const {
  if (name == shared_at_launch_) return (static_cast<uint64_t>(kernel_->shared_bytes) + 127) / 128 * 128;
  const auto given = std::ranges::find(kernel_->parameters, name, &Parameter::name);
  if (given != kernel_->parameters.end()) return static_cast<uint64_t>(given->offset);
  if (const auto found = variables_.find(name); found != variables_.end()) return found->second;
  if (const auto found = globals_.find(name); found != globals_.end()) return found->second;
  return {};
}

std::string_view KernelReader::base_of(std::string_view text, Instruction& made) {
  text = trimmed(text.substr(1, text.size() - 2));
  if (const size_t plus = text.find('+'); plus != std::string_view::npos) {
    const auto offset = number_of(text.substr(plus + 1));
    if (!offset) fail(fmt::format("address '{}'", text));
    made.offset += static_cast<int64_t>(*offset);
    text = trimmed(text.substr(0, plus));
  }
  return text;
}

void KernelReader::instruction(std::string_view text) {
  Instruction made;
  made.line = line_;
  if (text.front() == '@') {
    made.unless = text[1] == '!';
    const size_t end = text.find_first_of(" \t");
    const auto guard = register_of(text.substr(made.unless ? 2 : 1, end - (made.unless ? 2 : 1)));
    if (!guard || guard->bytes != 0) fail("a guard that is no predicate");
    made.guard = guard->slot;
    text = trimmed(text.substr(end));
  }
  const size_t end = std::min(text.find_first_of(" \t\n"), text.size());
  std::string name(text.substr(0, end));
  const auto parts = parts_of(text.substr(end));
  if (name == "call.uni" || name.starts_with("st.param")) {
    made.run = decode(name == "call.uni" ? name : "nothing", {}).run;
    kernel_->code.push_back(made);
    return;
  }
  if (name.starts_with("bra")) {
    made.run = decode(name, {}).run;
    jumps_.emplace_back(kernel_->code.size(), std::string(parts.at(0)));
    kernel_->code.push_back(made);
    return;
  }
  std::vector<Operand> operands;
  for (size_t p = 0; p < parts.size(); ++p) {
    const std::string_view part = parts[p];
    if (part.front() == '{') {
      if (name.starts_with("mov.b")) name += p == 0 ? "/split" : "/join";
      for (const std::string_view each : parts_of(part.substr(1, part.size() - 2))) operands.push_back({each});
    } else if (part.front() == '[') {
      const std::string_view base = base_of(part, made);
      const auto given = std::ranges::find(kernel_->parameters, base, &Parameter::name);
      if (given != kernel_->parameters.end()) {
        made.offset += given->offset;
      } else if (name.starts_with("ld.param") && register_of(base)) {
        name.insert(8, ".at");
        operands.push_back({base});
      } else if (name.starts_with("ld.param")) {
        name = "nothing";  // what a call would have given
        operands.clear();
        break;
      } else {
        operands.push_back({base});
      }
    } else {
      operands.push_back({part});
    }
  }
  encode(name, operands, made);
  kernel_->code.push_back(made);
}

void KernelReader::encode(const std::string& name, std::vector<Operand>& operands, Instruction& made) {
  std::vector<int> registers;
  for (Operand& operand : operands) {
    if (const auto found = register_of(operand.text)) {
      operand.bytes = found->bytes;
      operand.slot = found->slot;
    }
    registers.push_back(operand.bytes);
  }
  const Decoded decoded = decode(name, registers);
  if (decoded.run == nullptr) fail(fmt::format("no instruction '{}'", name));
  if (decoded.bytes.size() != operands.size()) fail(fmt::format("'{}' of {} operands", name, operands.size()));
  for (size_t k = 0; k < operands.size(); ++k) {
    Operand& operand = operands[k];
    const int bytes = decoded.bytes[k];
    if (operand.bytes < 0) {
      auto value = number_of(operand.text);
      if (!value) value = address_of(operand.text);
      if (!value) fail(fmt::format("'{}' of '{}'", operand.text, name));
      operand.slot = constant(*value, bytes);
    } else if (name.starts_with("cvt.") && k > 0 && operand.bytes > bytes) {
      // Of a larger register its low bits are converted.
      Instruction low;
      low.line = line_;
      low.run = decode(fmt::format("cvt.u{}.u{}", 8 * bytes, 8 * operand.bytes), {}).run;
      low.at[0] = make_register(bytes).slot;
      low.at[1] = operand.slot;
      kernel_->code.push_back(low);
      operand.slot = low.at[0];
    } else if (operand.bytes != bytes) {
      fail(fmt::format("'{}' of '{}' has {} bytes, not {}", operand.text, name, operand.bytes, bytes));
    }
    made.at[k] = operand.slot;
  }
  made.run = decoded.run;
}

}  // namespace gsnet::ptx
