#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "cuda/interpreter/fault.h"
#include "cuda/interpreter/kernel_reader.h"
#include "cuda/interpreter/text.h"

namespace gsnet::ptx {
namespace {

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
