#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>
#include <optional>

#include "cuda/interpreter/fault.h"
#include "cuda/interpreter/memory.h"
#include "cuda/interpreter/program.h"

namespace gsnet::ptx {
namespace {

constexpr Slot kConstant = Slot{1} << 30;  // while a kernel is read: among constants

bool is_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%' || c == '.';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.remove_suffix(1);
  return text;
}

/// Parts between commas outside of braces and brackets.
std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  int depth = 0;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '{' || text[i] == '[' || text[i] == '(') ++depth;
    if (text[i] == '}' || text[i] == ']' || text[i] == ')') --depth;
    if (text[i] == ',' && depth == 0) {
      parts.push_back(trimmed(text.substr(start, i - start)));
      start = i + 1;
    }
  }
  if (!trimmed(text.substr(start)).empty()) parts.push_back(trimmed(text.substr(start)));
  return parts;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  size_t i = 0;
  while (i < text.size()) {
    while (i < text.size() && std::isspace(static_cast<unsigned char>(text[i])) != 0) ++i;
    const size_t start = i;
    while (i < text.size() && std::isspace(static_cast<unsigned char>(text[i])) == 0) ++i;
    if (i > start) words.push_back(text.substr(start, i - start));
  }
  return words;
}

std::optional<uint64_t> number_of(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text.front())) == 0) return {};
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && std::strchr("xXfFdD", text[1]) != nullptr) {
    base = 16;
    text.remove_prefix(2);
  }
  if (text.ends_with('U')) text.remove_suffix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return negative ? ~value + 1 : value;
}

/// Bytes of a type's number: ".f32"; 0 for ".pred".
int bytes_of(std::string_view type) {
  if (type == ".pred") return 0;
  if (type.ends_with("64")) return 8;
  if (type.ends_with("32")) return 4;
  if (type.ends_with("16")) return 2;
  return 1;
}

/// A variable's declaration, from its type on: ".align 8 .b8 name[24]".
struct Variable {
  std::string name;
  int alignment = 1, bytes = 0;
};

Variable variable_of(std::string_view text) {
  Variable made;
  int each = 1;
  const auto words = words_of(text);
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == ".align") {
      made.alignment = static_cast<int>(number_of(words[++i]).value_or(1));
    } else if (words[i].front() == '.') {
      each = bytes_of(words[i]);
    } else {
      const size_t bracket = words[i].find('[');
      made.name = words[i].substr(0, bracket);
      const auto count = bracket == std::string_view::npos
                             ? std::optional<uint64_t>(1)
                             : number_of(words[i].substr(bracket + 1, words[i].find(']') - bracket - 1));
      made.bytes = each * static_cast<int>(count.value_or(0));
    }
  }
  made.alignment = std::max(made.alignment, each);
  return made;
}

int place(int& total, const Variable& variable) {
  total = (total + variable.alignment - 1) / variable.alignment * variable.alignment;
  const int at = total;
  total += variable.bytes;
  return at;
}

struct Register {
  Slot slot;
  int bytes;
};

/// Names that mean an address.
using Symbols = std::map<std::string, uint64_t, std::less<>>;

class KernelReader {
 public:
  KernelReader(std::string name, const Symbols& globals, int line) : globals_(globals), line_(line) {
    kernel_->name = std::move(name);
    scopes_.emplace_back();
    for (Slot* special : {&kernel_->thread, &kernel_->threads, &kernel_->block, &kernel_->blocks}) {
      *special = constant(0, 4);  // written at launch
      constants_known_.clear();
    }
  }

  void parameter(std::string_view text) {
    const Variable variable = variable_of(text.substr(text.find(' ')));
    const int at = place(kernel_->parameter_bytes, variable);
    kernel_->parameters.push_back({variable.name, at, variable.bytes});
  }
  void most_threads(int count) { kernel_->most_threads = count; }
  void open() { scopes_.emplace_back(); }
  void close() { scopes_.pop_back(); }
  void label(std::string_view name) { labels_[std::string(name)] = static_cast<int32_t>(kernel_->code.size()); }

  void statement(std::string_view text, int line) {
    line_ = line;
    text = trimmed(text);
    if (text.empty()) return;
    if (text.front() == '.') {
      directive(text);
    } else {
      instruction(text);
    }
  }

  std::unique_ptr<Kernel> finish() {
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

 private:
  struct Operand {
    std::string_view text;
    int bytes = -1;  ///< of a register; 0: a predicate
    Slot slot = 0;
  };

  [[noreturn]] void fail(const std::string& what) const { throw Fault(fmt::format("[ptx] line {}: {}", line_, what)); }

  Slot constant(uint64_t value, int bytes) {
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

  Register make_register(int bytes) {
    const Slot at = registers_;
    registers_ += bytes == 0 ? 64 : bytes * kLanes;
    return {at, bytes};
  }

  void directive(std::string_view text) {
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

  std::optional<Register> register_of(std::string_view name) {
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

  std::optional<uint64_t> address_of(std::string_view name) const {
    if (name == shared_at_launch_) return (static_cast<uint64_t>(kernel_->shared_bytes) + 127) / 128 * 128;
    const auto given = std::ranges::find(kernel_->parameters, name, &Parameter::name);
    if (given != kernel_->parameters.end()) return static_cast<uint64_t>(given->offset);
    if (const auto found = variables_.find(name); found != variables_.end()) return found->second;
    if (const auto found = globals_.find(name); found != globals_.end()) return found->second;
    return {};
  }

  /// "[%rd1+8]" or "[name]": its base is an operand, what is added goes to the instruction.
  std::string_view base_of(std::string_view text, Instruction& made) {
    text = trimmed(text.substr(1, text.size() - 2));
    if (const size_t plus = text.find('+'); plus != std::string_view::npos) {
      const auto offset = number_of(text.substr(plus + 1));
      if (!offset) fail(fmt::format("address '{}'", text));
      made.offset += static_cast<int64_t>(*offset);
      text = trimmed(text.substr(0, plus));
    }
    return text;
  }

  void instruction(std::string_view text) {
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

  void encode(const std::string& name, std::vector<Operand>& operands, Instruction& made) {
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

 public:
  void shared_at_launch(std::string_view name) { shared_at_launch_ = name; }

 private:
  std::unique_ptr<Kernel> kernel_ = std::make_unique<Kernel>();
  const Symbols& globals_;
  Symbols variables_;
  std::string shared_at_launch_;
  std::vector<std::map<std::string, Register, std::less<>>> scopes_;
  std::map<std::string, int, std::less<>> families_;
  std::map<std::pair<uint64_t, int>, Slot> constants_known_;
  std::map<std::string, int32_t, std::less<>> labels_;
  std::vector<std::pair<size_t, std::string>> jumps_;
  Slot registers_ = 0;
  int line_;
};

class ModuleReader {
 public:
  ModuleReader(std::string_view text, void (*on_variable)(void*, size_t)) : on_variable_(on_variable) {
    text_.reserve(text.size());
    for (size_t i = 0; i < text.size(); ++i) {  // without comments
      if (text.substr(i).starts_with("//")) i = std::min(text.find('\n', i), text.size() - 1);
      text_.push_back(text[i]);
    }
  }

  Module read() {
    while (skip_space()) {
      const size_t end = text_.find_first_of(";{\n", at_);
      if (end == std::string::npos) break;
      const std::string_view line = trimmed(std::string_view(text_).substr(at_, end - at_));
      if (line.starts_with(".version") || line.starts_with(".target") || line.starts_with(".address_size")) {
        move_to(end);
      } else if (line.find(".entry") != std::string_view::npos) {
        entry();
      } else if (line.find(".func") != std::string_view::npos) {
        skip_function();
      } else {
        variable(take_to(';'));
      }
    }
    return std::move(module_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Fault(fmt::format("[ptx] line {}: {}", line_, what)); }

  void move_to(size_t to) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }
  bool skip_space() {
    size_t to = at_;
    while (to < text_.size() && std::isspace(static_cast<unsigned char>(text_[to])) != 0) ++to;
    move_to(to);
    return at_ < text_.size();
  }
  /// What comes before it; goes on after it.
  std::string_view take_to(char end) {
    const size_t found = text_.find(end, at_), start = at_;
    if (found == std::string::npos) fail(fmt::format("no '{}'", end));
    move_to(found + 1);
    return std::string_view(text_).substr(start, found - start);
  }

  void variable(std::string_view text) {
    text = trimmed(text);
    for (const std::string_view word : {".visible", ".extern", ".weak"}) {
      if (text.starts_with(word)) text = trimmed(text.substr(word.size()));
    }
    const size_t equals = text.find('=');
    const bool shared = text.starts_with(".shared");
    if (!shared && !text.starts_with(".global") && !text.starts_with(".const"))
      fail(fmt::format("'{}'", text.substr(0, 40)));
    const std::string_view declared = text.substr(0, equals);
    const Variable made = variable_of(declared.substr(declared.find(' ')));
    if (shared) {
      if (made.bytes != 0) fail("shared memory of a module");
      shared_at_launch_ = made.name;
      return;
    }
    auto memory = std::make_unique<std::vector<uint64_t>>((made.bytes + 7) / 8);
    if (equals != std::string_view::npos) {
      const size_t open = text.find('{');
      auto* bytes = reinterpret_cast<unsigned char*>(memory->data());
      const int each = declared.find(".b8") != std::string_view::npos ? 1 : 4;
      for (const std::string_view part : parts_of(text.substr(open + 1, text.rfind('}') - open - 1))) {
        const uint64_t value = number_of(part).value_or(0);
        std::memcpy(bytes, &value, static_cast<size_t>(each));
        bytes += each;
      }
    }
    on_variable_(memory->data(), memory->size() * 8);
    globals_[made.name] = reinterpret_cast<uint64_t>(memory->data());
    module_.variables.push_back(std::move(memory));
  }

  void skip_function() {
    const size_t end = text_.find_first_of(";{", at_);
    if (end == std::string::npos) fail("a function without an end");
    const bool declared = text_[end] == ';';
    move_to(end + 1);
    int depth = declared ? 0 : 1;
    while (depth > 0) {
      const size_t brace = text_.find_first_of("{}", at_);
      if (brace == std::string::npos) fail("a function without an end");
      depth += text_[brace] == '{' ? 1 : -1;
      move_to(brace + 1);
    }
  }

  void entry() {
    const int line = line_;
    const std::string_view header = take_to('{');
    const size_t open = header.find('('), start = header.find(".entry") + 6;
    KernelReader reader(std::string(trimmed(header.substr(start, open - start))), globals_, line);
    reader.shared_at_launch(shared_at_launch_);
    std::string_view after = header.substr(open);
    if (open != std::string_view::npos) {
      const size_t close = header.find(')');
      for (const std::string_view part : parts_of(header.substr(open + 1, close - open - 1))) reader.parameter(part);
      after = header.substr(close);
    }
    if (const size_t most = after.find(".maxntid"); most != std::string_view::npos) {
      const std::string_view count = words_of(after.substr(most))[1];
      reader.most_threads(static_cast<int>(number_of(count.substr(0, count.find(','))).value_or(1024)));
    }
    for (int depth = 1; depth > 0;) {
      if (!skip_space()) fail("a kernel without an end");
      if (text_[at_] == '{') {
        ++depth;
        reader.open();
        move_to(at_ + 1);
      } else if (text_[at_] == '}') {
        --depth;
        reader.close();
        move_to(at_ + 1);
      } else {
        size_t end = at_;
        while (end < text_.size() && is_name(text_[end])) ++end;
        if (text_[end] == ':') {
          reader.label(std::string_view(text_).substr(at_, end - at_));
          move_to(end + 1);
        } else {
          const int where = line_;
          reader.statement(take_to(';'), where);
        }
      }
    }
    auto made = reader.finish();
    module_.kernels[made->name] = std::move(made);
  }

  std::string text_;
  size_t at_ = 0;
  int line_ = 1;
  Module module_;
  Symbols globals_;
  std::string shared_at_launch_;
  void (*on_variable_)(void*, size_t);
};

}  // namespace

Module read_module(std::string_view text, void (*on_variable)(void* memory, size_t bytes)) {
  return ModuleReader(text, on_variable).read();
}

}  // namespace gsnet::ptx
