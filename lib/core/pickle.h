// Python's pickle format, protocols 2 to 5, read as data: a stack machine that builds a tree and runs nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gsnet {

/// One Python value. `items` are indices into Pickle::values; a value may be reached on several ways, also from itself.
struct PickleValue {
  enum class Kind : uint8_t {
    none,
    flag,          ///< integer 0 or 1
    integer,       ///< 64 bits
    long_integer,  ///< text: more than 8 bytes, little-endian, two's complement
    real,
    text,
    bytes,       ///< in text
    tuple,       ///< items
    list,        ///< items
    dict,        ///< items: key, value, key, value, …; a collections.OrderedDict too
    global,      ///< text: "torch.FloatStorage"
    call,        ///< items: a global, then its arguments. Nobody has called it.
    persistent,  ///< items: what stands for an object outside the pickle
  };

  Kind kind = Kind::none;
  int64_t integer = 0;
  double real = 0;
  std::string text = {};
  std::vector<uint32_t> items = {};
  uint32_t state = kNoState;  ///< what BUILD set on a dict or a call: numpy's arrays hold their numbers there

  static constexpr uint32_t kNoState = UINT32_MAX;
};

struct Pickle {
  std::vector<PickleValue> values;
  uint32_t root = 0;
  size_t end = 0;  ///< where the next byte after the pickle is

  const PickleValue& at(uint32_t id) const { return values[id]; }
};

/// Reads the pickle that begins at a byte of a text. Only the names in `globals` may occur; what is set on an
/// object is kept as its state. Throws Error, with the byte and the opcode's name but without the file's, for any other
/// name or opcode, for operands that do not fit, and beyond 2^20 values, stack entries or memo entries.
Pickle read_pickle(std::string_view text, size_t begin, std::span<const std::string_view> globals);

/// "a list", for messages.
const char* kind_name(PickleValue::Kind kind);

}  // namespace gsnet
