// The bytes of pickle opcodes. Those without an enumerator are refused by name.
#pragma once

#include <cstdint>
#include <string>

namespace gsnet {

enum class Opcode : uint8_t {
  mark = '(',
  stop = '.',
  pop = '0',
  pop_mark = '1',
  duplicate = '2',
  none = 'N',
  new_true = 0x88,
  new_false = 0x89,
  int1 = 'K',
  int2 = 'M',
  int4 = 'J',
  long1 = 0x8A,
  long4 = 0x8B,
  real = 'G',
  text1 = 0x8C,
  text4 = 'X',
  text8 = 0x8D,
  string1 = 'U',
  string4 = 'T',
  bytes1 = 'C',
  bytes4 = 'B',
  bytes8 = 0x8E,
  bytearray8 = 0x96,
  empty_tuple = ')',
  tuple = 't',
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  empty_list = ']',
  append = 'a',
  appends = 'e',
  empty_dict = '}',
  set_item = 's',
  set_items = 'u',
  put1 = 'q',
  put4 = 'r',
  memoize = 0x94,
  get1 = 'h',
  get4 = 'j',
  global = 'c',
  stack_global = 0x93,
  reduce = 'R',
  build = 'b',
  persistent = 'Q',
  protocol = 0x80,
  frame = 0x95,
};

/// Python's name of an opcode ("NEWOBJ"), or its byte where there is none ("0xff").
std::string opcode_name(uint8_t byte);

}  // namespace gsnet
