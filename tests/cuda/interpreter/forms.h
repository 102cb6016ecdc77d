// Forms of instructions: what is done to all lanes of a warp that are active; and the table of those that are known.
#pragma once

#include <cstring>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "cuda/interpreter/grid.h"
#include "cuda/interpreter/program.h"

namespace gsnet::ptx {

using Table = std::unordered_map<std::string, Decoded>;

/// Enter what they know. By name; of accesses to memory followed by "/" and a register's bytes.
void enter_arithmetic(Table& table);
void enter_accesses(Table& table);
void enter_tensor_cores(Table& table);

template <class... Bytes>
void enter(Table& table, const std::string& name, Handler run, Bytes... bytes) {
  table[name] = {run, {bytes...}};
}

template <class T>
constexpr int kBytes = static_cast<int>(sizeof(T));

constexpr uint32_t kAll = ~uint32_t{0};

template <class Body>
void each_lane(const Warp& warp, Body body) {
  const uint32_t active = warp.active();
  if (active == kAll) {
    for (int lane = 0; lane < kLanes; ++lane) body(lane);
  } else {
    for (int lane = 0; lane < kLanes; ++lane) {
      if ((active >> lane & 1) != 0) body(lane);
    }
  }
}

template <auto kDo, class To, class A>
void one(const Instruction& i, Warp& warp) {
  To* to = warp.at<To>(i.at[0]);
  const A* a = warp.at<A>(i.at[1]);
  each_lane(warp, [&](int l) { to[l] = kDo(a[l]); });
}

template <auto kDo, class To, class A, class B>
void two(const Instruction& i, Warp& warp) {
  To* to = warp.at<To>(i.at[0]);
  const A* a = warp.at<A>(i.at[1]);
  const B* b = warp.at<B>(i.at[2]);
  each_lane(warp, [&](int l) { to[l] = kDo(a[l], b[l]); });
}

template <auto kDo, class To, class A, class B, class C>
void three(const Instruction& i, Warp& warp) {
  To* to = warp.at<To>(i.at[0]);
  const A* a = warp.at<A>(i.at[1]);
  const B* b = warp.at<B>(i.at[2]);
  const C* c = warp.at<C>(i.at[3]);
  each_lane(warp, [&](int l) { to[l] = kDo(a[l], b[l], c[l]); });
}

}  // namespace gsnet::ptx
