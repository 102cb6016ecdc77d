#include "core/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/pickle_opcodes.h"
#include "core/text.h"

namespace gsnet {
namespace {

using Kind = PickleValue::Kind;
using Id = uint32_t;

static_assert(std::endian::native == std::endian::little, "pickles are little-endian");

constexpr size_t kMost = size_t{1} << 20U;  // values, stack entries, memo entries
constexpr size_t kMostMarks = 4096;
constexpr size_t kLongestName = 256;

class Machine {
 public:
  Machine(std::string_view text, size_t begin, std::span<const std::string_view> globals)
      : text_(text), at_(begin), globals_(globals) {}

  Pickle run();

 private:
  /// One opcode. False at the end.
  bool step(Opcode code);
  bool step_number(Opcode code);
  bool step_text(Opcode code);
  bool step_container(Opcode code);
  bool step_memo(Opcode code);
  bool step_object(Opcode code);

  std::string_view take(uint64_t bytes);
  uint64_t little(size_t bytes);
  std::string_view line();
  void long_integer(uint64_t bytes);

  Id pop();
  PickleValue& top(std::initializer_list<Kind> kinds);
  std::vector<Id> pop_to_mark();
  void push(Id id);
  void push(PickleValue value);
  void push_tuple(size_t items);
  void remember(uint64_t key);
  void recall(uint64_t key);
  void global(std::string name);
  void reduce();
  void fill_ordered(PickleValue& dict, const std::vector<Id>& arguments);
  void count_copies(size_t items);

  std::string_view text_;
  size_t at_;
  std::span<const std::string_view> globals_;
  std::vector<PickleValue> values_;
  std::vector<Id> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, Id> memo_;
  size_t copies_ = 0;
};

std::string_view Machine::take(uint64_t bytes) {
  const size_t left = text_.size() - at_;
  GSNET_CHECK(bytes <= left, fmt::format("needs {} bytes, {} are left", bytes, left));
  const std::string_view taken = text_.substr(at_, static_cast<size_t>(bytes));
  at_ += taken.size();
  return taken;
}

uint64_t Machine::little(size_t bytes) {
  uint64_t value = 0;
  std::memcpy(&value, take(bytes).data(), bytes);
  return value;
}

std::string_view Machine::line() {
  const size_t length = text_.substr(at_, kLongestName + 1).find('\n');
  GSNET_CHECK(length != std::string_view::npos, fmt::format("has a name without an end in {} bytes", kLongestName));
  return take(length + 1).substr(0, length);
}

void Machine::long_integer(uint64_t bytes) {
  const std::string_view digits = take(bytes);
  if (bytes > sizeof(int64_t)) return push({.kind = Kind::long_integer, .text = std::string(digits)});
  const bool negative = !digits.empty() && (static_cast<unsigned char>(digits.back()) & 0x80U) != 0;
  int64_t value = negative ? -1 : 0;
  std::memcpy(&value, digits.data(), digits.size());
  push({.kind = Kind::integer, .integer = value});
}

Id Machine::pop() {
  const size_t floor = marks_.empty() ? 0 : marks_.back();
  GSNET_CHECK(stack_.size() > floor, "finds an empty stack");
  const Id id = stack_.back();
  stack_.pop_back();
  return id;
}

/// The value on top, which stays.
PickleValue& Machine::top(std::initializer_list<Kind> kinds) {
  const Id id = pop();
  stack_.push_back(id);
  const Kind kind = values_[id].kind;
  GSNET_CHECK(std::ranges::find(kinds, kind) != kinds.end(),
              fmt::format("expected {}, got {}", kind_name(*kinds.begin()), kind_name(kind)));
  return values_[id];
}

std::vector<Id> Machine::pop_to_mark() {
  GSNET_CHECK(!marks_.empty(), "finds no mark on the stack");
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Id> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

void Machine::push(Id id) {
  GSNET_CHECK(stack_.size() < kMost, fmt::format("makes the stack deeper than {}", kMost));
  stack_.push_back(id);
}

void Machine::push(PickleValue value) {
  GSNET_CHECK(values_.size() < kMost, fmt::format("makes more than {} values", kMost));
  values_.push_back(std::move(value));
  push(static_cast<Id>(values_.size() - 1));
}

void Machine::push_tuple(size_t items) {
  std::vector<Id> ids(items);
  for (size_t i = items; i-- > 0;) ids[i] = pop();
  push({.kind = Kind::tuple, .items = std::move(ids)});
}

void Machine::remember(uint64_t key) {
  const Id id = pop();
  stack_.push_back(id);
  GSNET_CHECK(memo_.size() < kMost || memo_.contains(key), fmt::format("remembers more than {} values", kMost));
  memo_[key] = id;
}

void Machine::recall(uint64_t key) {
  const auto found = memo_.find(key);
  GSNET_CHECK(found != memo_.end(), fmt::format("asks for entry {} of the memo, which is not there", key));
  push(found->second);
}

void Machine::global(std::string name) {
  GSNET_CHECK(std::ranges::find(globals_, name) != globals_.end(),
              fmt::format("names '{}', which does not belong here; nothing was run", shown(name)));
  push({.kind = Kind::global, .text = std::move(name)});
}

/// Arguments may be recalled from the memo any number of times: what calls copy of them is limited.
void Machine::count_copies(size_t items) {
  copies_ += items;
  GSNET_CHECK(copies_ <= 8 * kMost, fmt::format("gives calls more than {} arguments", 8 * kMost));
}

void Machine::reduce() {
  count_copies(top({Kind::tuple}).items.size());
  std::vector<Id> arguments = values_[pop()].items;
  const PickleValue& callable = top({Kind::global});
  const Id id = pop();
  if (callable.text != "collections.OrderedDict") {
    arguments.insert(arguments.begin(), id);
    return push({.kind = Kind::call, .items = std::move(arguments)});
  }
  PickleValue dict{.kind = Kind::dict};
  fill_ordered(dict, arguments);
  push(std::move(dict));
}

/// OrderedDict() or OrderedDict([(key, value), …]), as Python 2 writes it.
void Machine::fill_ordered(PickleValue& dict, const std::vector<Id>& arguments) {
  if (arguments.empty()) return;
  const auto is_row = [this](Id id) { return values_[id].kind == Kind::list || values_[id].kind == Kind::tuple; };
  GSNET_CHECK(arguments.size() == 1 && is_row(arguments[0]), "expected a list of pairs for an OrderedDict");
  count_copies(values_[arguments[0]].items.size());
  for (const Id pair : values_[arguments[0]].items) {
    GSNET_CHECK(is_row(pair) && values_[pair].items.size() == 2, "expected a list of pairs for an OrderedDict");
    dict.items.insert(dict.items.end(), values_[pair].items.begin(), values_[pair].items.end());
  }
}

bool Machine::step_number(Opcode code) {
  switch (code) {
    case Opcode::none:
      push(PickleValue{});
      return true;
    case Opcode::new_true:
    case Opcode::new_false:
      push({.kind = Kind::flag, .integer = code == Opcode::new_true ? 1 : 0});
      return true;
    case Opcode::int4:
      push({.kind = Kind::integer, .integer = static_cast<int32_t>(little(4))});
      return true;
    case Opcode::int1:
    case Opcode::int2:
      push({.kind = Kind::integer, .integer = static_cast<int64_t>(little(code == Opcode::int1 ? 1 : 2))});
      return true;
    case Opcode::long1:
    case Opcode::long4:
      long_integer(little(code == Opcode::long1 ? 1 : 4));
      return true;
    case Opcode::real: {
      uint64_t bits = 0;
      for (const char byte : take(8)) bits = bits << 8U | static_cast<unsigned char>(byte);
      push({.kind = Kind::real, .real = std::bit_cast<double>(bits)});
      return true;
    }
    default:
      return false;
  }
}

bool Machine::step_text(Opcode code) {
  const auto counted = [&](size_t bytes, Kind kind) {
    push({.kind = kind, .text = std::string(take(little(bytes)))});
    return true;
  };
  switch (code) {
    case Opcode::text1:
    case Opcode::string1:
      return counted(1, Kind::text);
    case Opcode::text4:
    case Opcode::string4:
      return counted(4, Kind::text);
    case Opcode::text8:
      return counted(8, Kind::text);
    case Opcode::bytes1:
      return counted(1, Kind::bytes);
    case Opcode::bytes4:
      return counted(4, Kind::bytes);
    case Opcode::bytes8:
    case Opcode::bytearray8:
      return counted(8, Kind::bytes);
    default:
      return false;
  }
}

bool Machine::step_container(Opcode code) {
  const auto append = [](PickleValue& to, const std::vector<Id>& ids) {
    to.items.insert(to.items.end(), ids.begin(), ids.end());
  };
  switch (code) {
    case Opcode::mark:
      GSNET_CHECK(marks_.size() < kMostMarks, fmt::format("nests marks deeper than {}", kMostMarks));
      marks_.push_back(stack_.size());
      return true;
    case Opcode::empty_tuple:
      push_tuple(0);
      return true;
    case Opcode::tuple1:
    case Opcode::tuple2:
    case Opcode::tuple3:
      push_tuple(static_cast<size_t>(code) - static_cast<size_t>(Opcode::tuple1) + 1);
      return true;
    case Opcode::tuple:
      push({.kind = Kind::tuple, .items = pop_to_mark()});
      return true;
    case Opcode::empty_list:
    case Opcode::empty_dict:
      push({.kind = code == Opcode::empty_list ? Kind::list : Kind::dict});
      return true;
    case Opcode::append: {
      const Id item = pop();
      append(top({Kind::list}), {item});
      return true;
    }
    case Opcode::appends: {
      const std::vector<Id> items = pop_to_mark();
      append(top({Kind::list}), items);
      return true;
    }
    case Opcode::set_item: {
      const Id value = pop(), key = pop();
      append(top({Kind::dict}), {key, value});
      return true;
    }
    case Opcode::set_items: {
      const std::vector<Id> items = pop_to_mark();
      GSNET_CHECK(items.size() % 2 == 0, "has a key without a value");
      append(top({Kind::dict}), items);
      return true;
    }
    default:
      return false;
  }
}

bool Machine::step_memo(Opcode code) {
  switch (code) {
    case Opcode::put1:
    case Opcode::put4:
      remember(little(code == Opcode::put1 ? 1 : 4));
      return true;
    case Opcode::memoize:
      remember(memo_.size());
      return true;
    case Opcode::get1:
    case Opcode::get4:
      recall(little(code == Opcode::get1 ? 1 : 4));
      return true;
    case Opcode::pop:
      pop();
      return true;
    case Opcode::pop_mark:
      pop_to_mark();
      return true;
    case Opcode::duplicate: {
      const Id id = pop();
      stack_.push_back(id);
      push(id);
      return true;
    }
    default:
      return false;
  }
}

bool Machine::step_object(Opcode code) {
  switch (code) {
    case Opcode::global: {
      const std::string module(line());
      global(fmt::format("{}.{}", module, line()));
      return true;
    }
    case Opcode::stack_global: {
      const std::string name = top({Kind::text}).text;
      pop();
      const std::string module = top({Kind::text}).text;
      pop();
      GSNET_CHECK(name.size() + module.size() < kLongestName,
                  fmt::format("has a name longer than {} bytes", kLongestName));
      global(fmt::format("{}.{}", module, name));
      return true;
    }
    case Opcode::reduce:
      reduce();
      return true;
    case Opcode::build: {
      const Id state = pop();
      top({Kind::dict, Kind::call}).state = state;
      return true;
    }
    case Opcode::persistent: {
      const Id id = pop();
      push({.kind = Kind::persistent, .items = {id}});
      return true;
    }
    case Opcode::protocol: {
      const uint64_t version = little(1);
      GSNET_CHECK(version >= 2 && version <= 5, fmt::format("says protocol {}, expected 2 to 5", version));
      return true;
    }
    case Opcode::frame: {
      const uint64_t length = little(8), left = text_.size() - at_;
      GSNET_CHECK(length <= left, fmt::format("says {} bytes, {} are left", length, left));
      return true;
    }
    default:
      return false;
  }
}

bool Machine::step(Opcode code) {
  if (code == Opcode::stop) {
    GSNET_CHECK(stack_.size() == 1 && marks_.empty(),
                fmt::format("leaves {} values and {} marks, expected one value", stack_.size(), marks_.size()));
    return false;
  }
  const bool known =
      step_number(code) || step_text(code) || step_container(code) || step_memo(code) || step_object(code);
  GSNET_CHECK(known, "is none that plain data needs in protocols 2 to 5, which are read");
  return true;
}

Pickle Machine::run() {
  for (bool more = true; more;) {
    const size_t place = at_;
    GSNET_CHECK(place < text_.size(), fmt::format("the pickle has no end: byte {} is the file's last", place));
    const auto byte = static_cast<unsigned char>(text_[at_++]);
    try {
      more = step(static_cast<Opcode>(byte));
    } catch (const Error& error) {
      throw Error(fmt::format("pickle opcode {} at byte {} {}", opcode_name(byte), place, error.what()));
    }
  }
  return {std::move(values_), stack_.front(), at_};
}

}  // namespace

Pickle read_pickle(std::string_view text, size_t begin, std::span<const std::string_view> globals) {
  GSNET_CHECK(begin < text.size(),
              fmt::format("a pickle should begin at byte {}, but there are {} bytes", begin, text.size()));
  return Machine(text, begin, globals).run();
}

const char* kind_name(PickleValue::Kind kind) {
  constexpr std::array kNames = {"None",
                                 "a flag",
                                 "an integer",
                                 "a long integer",
                                 "a number",
                                 "a text",
                                 "bytes",
                                 "a tuple",
                                 "a list",
                                 "a dict",
                                 "a class",
                                 "a call",
                                 "a reference out of the pickle"};
  return kNames.at(static_cast<size_t>(kind));
}

}  // namespace gsnet
