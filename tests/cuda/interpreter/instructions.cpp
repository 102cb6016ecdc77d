// What each instruction does, to all lanes of a warp that are active.
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <unordered_map>

#include "cuda/interpreter/grid.h"
#include "cuda/interpreter/program.h"

namespace gsnet::ptx {
namespace {

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

template <auto kDo, class A>
void compare(const Instruction& i, Warp& warp) {
  const A* a = warp.at<A>(i.at[1]);
  const A* b = warp.at<A>(i.at[2]);
  uint32_t bits = 0;
  for (int l = 0; l < kLanes; ++l) bits |= static_cast<uint32_t>(kDo(a[l], b[l])) << l;
  uint32_t& to = *warp.at<uint32_t>(i.at[0]);
  to = (to & ~warp.active()) | (bits & warp.active());
}

template <auto kDo>
void of_predicates(const Instruction& i, Warp& warp) {
  uint32_t& to = *warp.at<uint32_t>(i.at[0]);
  to = (to & ~warp.active()) | (kDo(*warp.at<uint32_t>(i.at[1]), *warp.at<uint32_t>(i.at[2])) & warp.active());
}

template <auto kDo>
void of_predicate(const Instruction& i, Warp& warp) {
  uint32_t& to = *warp.at<uint32_t>(i.at[0]);
  to = (to & ~warp.active()) | (kDo(*warp.at<uint32_t>(i.at[1])) & warp.active());
}

template <class T>
void select(const Instruction& i, Warp& warp) {
  T* to = warp.at<T>(i.at[0]);
  const T* a = warp.at<T>(i.at[1]);
  const T* b = warp.at<T>(i.at[2]);
  const uint32_t which = *warp.at<uint32_t>(i.at[3]);
  each_lane(warp, [&](int l) { to[l] = (which >> l & 1) != 0 ? a[l] : b[l]; });
}

/// A quotient or a remainder.
template <auto kDo, class T>
void divide(const Instruction& i, Warp& warp) {
  T* to = warp.at<T>(i.at[0]);
  const T* a = warp.at<T>(i.at[1]);
  const T* b = warp.at<T>(i.at[2]);
  each_lane(warp, [&](int l) {
    if (b[l] == 0) warp.fail("a division by zero");
    const bool by_minus_one = std::is_signed_v<T> && b[l] == static_cast<T>(-1);  // of the least number it wraps
    to[l] = by_minus_one ? kDo(static_cast<T>(-static_cast<std::make_unsigned_t<T>>(a[l])), T{1}) : kDo(a[l], b[l]);
  });
}

template <Space space, int kCount, class Number, class Register>
void load(const Instruction& i, Warp& warp) {
  const uint64_t* wide = warp.at<uint64_t>(i.at[kCount]);
  const uint32_t* narrow = warp.at<uint32_t>(i.at[kCount]);
  each_lane(warp, [&](int l) {
    const uint64_t base = space == Space::shared ? narrow[l] : wide[l];
    const std::byte* from = warp.reach<space>(l, base + static_cast<uint64_t>(i.offset),
                                              kCount * static_cast<int>(sizeof(Number)), Use::read);
    for (int e = 0; e < kCount; ++e) {
      Number number;
      std::memcpy(&number, from + static_cast<size_t>(e) * sizeof(Number), sizeof(Number));
      warp.at<Register>(i.at[e])[l] = static_cast<Register>(number);
    }
  });
}

template <Space space, int kCount, class Number, class Register>
void store(const Instruction& i, Warp& warp) {
  const uint64_t* wide = warp.at<uint64_t>(i.at[0]);
  const uint32_t* narrow = warp.at<uint32_t>(i.at[0]);
  each_lane(warp, [&](int l) {
    const uint64_t base = space == Space::shared ? narrow[l] : wide[l];
    Number numbers[kCount];
    for (int e = 0; e < kCount; ++e) numbers[e] = static_cast<Number>(warp.at<Register>(i.at[1 + e])[l]);
    const uint64_t address = base + static_cast<uint64_t>(i.offset);
    // Threads may write one number to one place: what is there already is not written.
    if (space == Space::global &&
        std::memcmp(warp.reach<space>(l, address, sizeof(numbers), Use::look), numbers, sizeof(numbers)) == 0) {
      return;
    }
    std::memcpy(warp.reach<space>(l, address, sizeof(numbers), Use::write), numbers, sizeof(numbers));
  });
}

template <int kCount, class Number, class Register>
void load_parameter(const Instruction& i, Warp& warp) {
  const std::byte* from = warp.parameters(static_cast<uint64_t>(i.offset), kCount * sizeof(Number));
  for (int e = 0; e < kCount; ++e) {
    Number number;
    std::memcpy(&number, from + static_cast<size_t>(e) * sizeof(Number), sizeof(Number));
    Register* to = warp.at<Register>(i.at[e]);
    each_lane(warp, [&](int l) { to[l] = static_cast<Register>(number); });
  }
}

/// At an address that a register holds.
template <int kCount, class Number, class Register>
void load_parameter_at(const Instruction& i, Warp& warp) {
  const uint64_t* base = warp.at<uint64_t>(i.at[kCount]);
  each_lane(warp, [&](int l) {
    const std::byte* from = warp.parameters(base[l] + static_cast<uint64_t>(i.offset), kCount * sizeof(Number));
    for (int e = 0; e < kCount; ++e) {
      Number number;
      std::memcpy(&number, from + static_cast<size_t>(e) * sizeof(Number), sizeof(Number));
      warp.at<Register>(i.at[e])[l] = static_cast<Register>(number);
    }
  });
}

void branch(const Instruction& i, Warp& warp) { warp.branch(warp.active(), i.target); }
void finish(const Instruction&, Warp& warp) { warp.finish(); }
void barrier(const Instruction&, Warp& warp) { warp.wait_for_block(); }
void warp_barrier(const Instruction&, Warp& warp) {
  warp.needs_all_lanes();
  warp.synchronise_warp();
}
void land(const Instruction&, Warp& warp) { warp.land_copies(); }
void nothing(const Instruction&, Warp&) {}
void trap(const Instruction&, Warp& warp) { warp.fail("a call, which is not interpreted"); }

template <int kBytes>
void copy_later(const Instruction& i, Warp& warp) {
  const uint32_t* to = warp.at<uint32_t>(i.at[0]);
  const uint64_t* from = warp.at<uint64_t>(i.at[1]);
  const int32_t* given = warp.at<int32_t>(i.at[3]);
  each_lane(warp, [&](int l) { warp.copy_later(l, to[l], from[l], kBytes, given[l]); });
}

/// Two numbers of half the size as one, the first in the low bits; and back.
template <class Whole, class Half>
void join(const Instruction& i, Warp& warp) {
  Whole* to = warp.at<Whole>(i.at[0]);
  const Half* low = warp.at<Half>(i.at[1]);
  const Half* high = warp.at<Half>(i.at[2]);
  each_lane(warp,
            [&](int l) { to[l] = static_cast<Whole>(low[l]) | static_cast<Whole>(high[l]) << (8 * sizeof(Half)); });
}

template <class Whole, class Half>
void split(const Instruction& i, Warp& warp) {
  Half* low = warp.at<Half>(i.at[0]);
  Half* high = warp.at<Half>(i.at[1]);
  const Whole* from = warp.at<Whole>(i.at[2]);
  each_lane(warp, [&](int l) {
    const Whole whole = from[l];
    low[l] = static_cast<Half>(whole);
    high[l] = static_cast<Half>(whole >> (8 * sizeof(Half)));
  });
}

template <class T>
void insert_bits(const Instruction& i, Warp& warp) {
  T* to = warp.at<T>(i.at[0]);
  const T* from = warp.at<T>(i.at[1]);
  const T* into = warp.at<T>(i.at[2]);
  const uint32_t* position = warp.at<uint32_t>(i.at[3]);
  const uint32_t* length = warp.at<uint32_t>(i.at[4]);
  constexpr uint32_t kBits = 8 * sizeof(T);
  each_lane(warp, [&](int l) {
    const uint32_t p = position[l] & 0xFF, n = length[l] & 0xFF;
    T mask = n >= kBits ? ~T{0} : (T{1} << n) - 1;
    mask = p >= kBits ? 0 : mask << p;
    to[l] = (into[l] & ~mask) | (p >= kBits ? 0 : (from[l] << p) & mask);
  });
}

float bits_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }
float from_bf16(uint32_t half) { return bits_as_float(half << 16); }

uint16_t to_bf16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FFF;
  bits += 0x7FFF + (bits >> 16 & 1);
  return static_cast<uint16_t>(bits >> 16);
}

/// To the nearest, halves away from zero.
uint32_t to_tf32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7F800000) == 0x7F800000) return bits;
  return (bits + 0x1000) & ~uint32_t{0x1FFF};
}

void pack_bf16(const Instruction& i, Warp& warp) {
  uint32_t* to = warp.at<uint32_t>(i.at[0]);
  const float* high = warp.at<float>(i.at[1]);
  const float* low = warp.at<float>(i.at[2]);
  each_lane(warp, [&](int l) { to[l] = uint32_t{to_bf16(high[l])} << 16 | to_bf16(low[l]); });
}

/// Matrices of 8 rows of 8 numbers of 16 bits: the lanes 8 m to 8 m + 7 say where the rows of matrix m lie.
template <bool kColumns>
void load_matrices(const Instruction& i, Warp& warp) {
  warp.needs_all_lanes();
  const uint32_t* address = warp.at<uint32_t>(i.at[4]);
  for (int m = 0; m < 4; ++m) {
    uint16_t of[8][8];
    for (int row = 0; row < 8; ++row) {
      const int lane = 8 * m + row;
      std::memcpy(of[row],
                  warp.reach<Space::shared>(lane, address[lane] + static_cast<uint64_t>(i.offset), 16, Use::read), 16);
    }
    uint32_t* to = warp.at<uint32_t>(i.at[m]);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int along = lane / 4, first = 2 * (lane % 4);
      const uint16_t low = kColumns ? of[first][along] : of[along][first];
      const uint16_t high = kColumns ? of[first + 1][along] : of[along][first + 1];
      to[lane] = uint32_t{high} << 16 | low;
    }
  }
}

/// d (16, 8) = a (16, k) b (k, 8) + c: with g = lane / 4 and t = lane % 4 a lane has of d and c (g, 2 t), (g, 2 t + 1)
/// and the same of row g + 8. Sums are taken in double: a device's own order is not said.
void multiply(Warp& warp, const Instruction& i, const float (&a)[16][16], const float (&b)[16][8], int inner) {
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int e = 0; e < 4; ++e) {
      const int row = lane / 4 + (e / 2) * 8, column = 2 * (lane % 4) + e % 2;
      double total = warp.at<float>(i.at[10 + e])[lane];
      for (int k = 0; k < inner; ++k) total += static_cast<double>(a[row][k]) * b[k][column];
      warp.at<float>(i.at[e])[lane] = static_cast<float>(total);
    }
  }
}

void multiply_bf16(const Instruction& i, Warp& warp) {
  warp.needs_all_lanes();
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int r = 0; r < 4; ++r) {
      const uint32_t two = warp.at<uint32_t>(i.at[4 + r])[lane];
      const int row = g + (r % 2) * 8, k = 2 * t + (r / 2) * 8;
      a[row][k] = from_bf16(two & 0xFFFF);
      a[row][k + 1] = from_bf16(two >> 16);
    }
    for (int r = 0; r < 2; ++r) {
      const uint32_t two = warp.at<uint32_t>(i.at[8 + r])[lane];
      b[2 * t + 8 * r][g] = from_bf16(two & 0xFFFF);
      b[2 * t + 8 * r + 1][g] = from_bf16(two >> 16);
    }
  }
  multiply(warp, i, a, b, 16);
}

void multiply_tf32(const Instruction& i, Warp& warp) {
  warp.needs_all_lanes();
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int r = 0; r < 4; ++r) {
      a[g + (r % 2) * 8][t + (r / 2) * 4] = bits_as_float(warp.at<uint32_t>(i.at[4 + r])[lane] & ~uint32_t{0x1FFF});
    }
    for (int r = 0; r < 2; ++r)
      b[t + 4 * r][g] = bits_as_float(warp.at<uint32_t>(i.at[8 + r])[lane] & ~uint32_t{0x1FFF});
  }
  multiply(warp, i, a, b, 8);
}

template <class T>
T rounded_down(T a, T b, T c) {
  const double exact = static_cast<double>(a) * b + c;
  const auto near = static_cast<T>(exact);
  return static_cast<double>(near) > exact ? std::nextafter(near, -std::numeric_limits<T>::infinity()) : near;
}

template <class To, class From>
To to_integer(From value, From rounded) {
  if (std::isnan(value)) return 0;
  if (rounded <= static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (rounded >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(rounded);
}

using Table = std::unordered_map<std::string, Decoded>;

template <class... Bytes>
void enter(Table& table, const std::string& name, Handler run, Bytes... bytes) {
  table[name] = {run, {bytes...}};
}

template <class T>
constexpr int kBytes = static_cast<int>(sizeof(T));

// Overflow of integers wraps.
template <class T>
using Wrapping = std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<T>>::type;

template <class T>
void enter_sums(Table& table, const std::string& type) {
  using W = Wrapping<T>;
  constexpr int n = kBytes<T>;
  enter(table, "add." + type, two<[](W a, W b) { return static_cast<W>(a + b); }, W, W, W>, n, n, n);
  enter(table, "sub." + type, two<[](W a, W b) { return static_cast<W>(a - b); }, W, W, W>, n, n, n);
  enter(table, "neg." + type, one<[](W a) { return static_cast<W>(-a); }, W, W>, n, n);
}

template <class T>
void enter_comparisons(Table& table, const std::string& type) {
  const auto put = [&](const char* name, Handler run) {
    enter(table, "setp." + std::string(name) + "." + type, run, 0, kBytes<T>, kBytes<T>);
  };
  put("eq", compare<[](T a, T b) { return a == b; }, T>);
  put("lt", compare<[](T a, T b) { return a < b; }, T>);
  put("le", compare<[](T a, T b) { return a <= b; }, T>);
  put("gt", compare<[](T a, T b) { return (a > b); }, T>);
  put("ge", compare<[](T a, T b) { return a >= b; }, T>);
  if constexpr (std::is_floating_point_v<T>) {
    put("ne", compare<[](T a, T b) { return (a < b || a > b); }, T>);
    put("equ", compare<[](T a, T b) { return (!(a < b || a > b)); }, T>);
    put("neu", compare<[](T a, T b) { return !(a == b); }, T>);
    put("ltu", compare<[](T a, T b) { return !(a >= b); }, T>);
    put("leu", compare<[](T a, T b) { return !(a > b); }, T>);
    put("gtu", compare<[](T a, T b) { return !(a <= b); }, T>);
    put("geu", compare<[](T a, T b) { return !(a < b); }, T>);
    put("num", compare<[](T a, T b) { return a == a && b == b; }, T>);
    put("nan", compare<[](T a, T b) { return !(a == a && b == b); }, T>);
  } else {
    put("ne", compare<[](T a, T b) { return a != b; }, T>);
  }
}

template <class T>
void enter_integers(Table& table, const std::string& type) {
  using U = std::make_unsigned_t<T>;
  constexpr int n = kBytes<T>;
  enter_sums<T>(table, type);
  enter_comparisons<T>(table, type);
  enter(table, "mul.lo." + type, two<[](U a, U b) { return static_cast<U>(a * b); }, U, U, U>, n, n, n);
  enter(table, "mad.lo." + type, three<[](U a, U b, U c) { return static_cast<U>(a * b + c); }, U, U, U, U>, n, n, n,
        n);
  enter(table, "div." + type, divide<[](T a, T b) { return static_cast<T>(a / b); }, T>, n, n, n);
  enter(table, "rem." + type, divide<[](T a, T b) { return static_cast<T>(a - a / b * b); }, T>, n, n, n);
  enter(table, "min." + type, two<[](T a, T b) { return a < b ? a : b; }, T, T, T>, n, n, n);
  enter(table, "max." + type, two<[](T a, T b) { return a < b ? b : a; }, T, T, T>, n, n, n);
  enter(table, "shr." + type,
        two<[](T a, uint32_t b) { return b < 8 * sizeof(T) ? static_cast<T>(a >> b) : static_cast<T>(a < 0 ? -1 : 0); },
            T, T, uint32_t>,
        n, n, 4);
  if constexpr (std::is_signed_v<T>) {
    enter(table, "abs." + type, one<[](T a) { return a < 0 ? static_cast<T>(-static_cast<U>(a)) : a; }, T, T>, n, n);
  }
  if constexpr (sizeof(T) == 4) {
    using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
    enter(table, "mul.wide." + type, two<[](T a, T b) { return static_cast<Wide>(a) * b; }, Wide, T, T>, 8, 4, 4);
    enter(table, "mad.wide." + type,
          three<[](T a, T b, Wide c) { return static_cast<Wide>(a) * b + c; }, Wide, T, T, Wide>, 8, 4, 4, 8);
    enter(table, "mul.hi." + type,
          two<[](T a, T b) { return static_cast<T>((static_cast<Wide>(a) * b) >> 32); }, T, T, T>, 4, 4, 4);
  }
}

template <class T>
void enter_bits(Table& table, const std::string& type) {
  constexpr int n = kBytes<T>;
  enter(table, "and." + type, two<[](T a, T b) { return static_cast<T>(a & b); }, T, T, T>, n, n, n);
  enter(table, "or." + type, two<[](T a, T b) { return static_cast<T>(a | b); }, T, T, T>, n, n, n);
  enter(table, "xor." + type, two<[](T a, T b) { return static_cast<T>(a ^ b); }, T, T, T>, n, n, n);
  enter(table, "not." + type, one<[](T a) { return static_cast<T>(~a); }, T, T>, n, n);
  enter(table, "shl." + type,
        two<[](T a, uint32_t b) { return b < 8 * sizeof(T) ? static_cast<T>(a << b) : T{0}; }, T, T, uint32_t>, n, n,
        4);
  enter_comparisons<T>(table, type);
  if constexpr (sizeof(T) >= 4) {
    enter(table, "bfi." + type, insert_bits<T>, n, n, n, 4, 4);
    enter(table, "clz." + type, one<[](T a) { return static_cast<uint32_t>(std::countl_zero(a)); }, uint32_t, T>, 4, n);
  }
}

template <class T>
void enter_floats(Table& table, const std::string& type) {
  constexpr int n = kBytes<T>;
  enter_sums<T>(table, type);
  enter_comparisons<T>(table, type);
  for (const char* rounding : {"", "rn."}) {
    const std::string to = rounding + type;
    enter(table, "add." + to, two<[](T a, T b) { return a + b; }, T, T, T>, n, n, n);
    enter(table, "sub." + to, two<[](T a, T b) { return a - b; }, T, T, T>, n, n, n);
    enter(table, "mul." + to, two<[](T a, T b) { return a * b; }, T, T, T>, n, n, n);
  }
  enter(table, "fma.rn." + type, three<[](T a, T b, T c) { return std::fma(a, b, c); }, T, T, T, T>, n, n, n, n);
  enter(table, "div.rn." + type, two<[](T a, T b) { return a / b; }, T, T, T>, n, n, n);
  enter(table, "min." + type, two<[](T a, T b) { return std::fmin(a, b); }, T, T, T>, n, n, n);
  enter(table, "max." + type, two<[](T a, T b) { return std::fmax(a, b); }, T, T, T>, n, n, n);
  enter(table, "abs." + type, one<[](T a) { return std::fabs(a); }, T, T>, n, n);
  enter(table, "sqrt.rn." + type, one<[](T a) { return std::sqrt(a); }, T, T>, n, n);
  for (const char* name : {"rcp.rn.", "rcp.approx.ftz."})
    enter(table, name + type, one<[](T a) { return 1 / a; }, T, T>, n, n);
  enter(table, "rsqrt.approx.ftz." + type, one<[](T a) { return 1 / std::sqrt(a); }, T, T>, n, n);
  enter(table, "copysign." + type, two<[](T sign, T of) { return std::copysign(of, sign); }, T, T, T>, n, n, n);
  enter(table, "cvt.rpi." + type + "." + type, one<[](T a) { return std::ceil(a); }, T, T>, n, n);
  enter(table, "cvt.rmi." + type + "." + type, one<[](T a) { return std::floor(a); }, T, T>, n, n);
  enter(table, "cvt.sat." + type + "." + type, one<[](T a) { return (a > 0) ? (a < 1 ? a : T{1}) : T{0}; }, T, T>, n,
        n);
  const auto integer = [&]<class I>(I, const std::string& name) {
    enter(table, "cvt.rni." + name + "." + type, one<[](T a) { return to_integer<I>(a, std::nearbyint(a)); }, I, T>,
          kBytes<I>, n);
    enter(table, "cvt.rzi." + name + "." + type, one<[](T a) { return to_integer<I>(a, std::trunc(a)); }, I, T>,
          kBytes<I>, n);
    enter(table, "cvt.rn." + type + "." + name, one<[](I a) { return static_cast<T>(a); }, T, I>, n, kBytes<I>);
  };
  integer(int32_t{}, "s32");
  integer(uint32_t{}, "u32");
  integer(int64_t{}, "s64");
  integer(uint64_t{}, "u64");
}

template <class To, class From>
void enter_conversion(Table& table, const std::string& to, const std::string& from) {
  enter(table, "cvt." + to + "." + from, one<[](From a) { return static_cast<To>(a); }, To, From>, kBytes<To>,
        kBytes<From>);
}

template <class From>
void enter_conversions(Table& table, const std::string& from) {
  enter_conversion<int16_t, From>(table, "s16", from);
  enter_conversion<uint16_t, From>(table, "u16", from);
  enter_conversion<int32_t, From>(table, "s32", from);
  enter_conversion<uint32_t, From>(table, "u32", from);
  enter_conversion<int64_t, From>(table, "s64", from);
  enter_conversion<uint64_t, From>(table, "u64", from);
}

template <class T>
void enter_moves(Table& table, const std::string& type) {
  enter(table, "mov." + type, one<[](T a) { return a; }, T, T>, kBytes<T>, kBytes<T>);
  enter(table, "selp." + type, select<T>, kBytes<T>, kBytes<T>, kBytes<T>, 0);
}

/// Registers may be larger than the numbers in memory.
template <Space space, int kCount, class Number, class Register>
void enter_access(Table& table, const std::string& suffix, const std::string& key) {
  constexpr int address = space == Space::shared ? 4 : 8, n = kBytes<Register>;
  const auto of = [&](const std::string& name, Handler run, bool loads) {
    std::vector<int> bytes(kCount, n);
    bytes.insert(loads ? bytes.end() : bytes.begin(), address);
    table[name + key] = {run, bytes};
  };
  const auto named = [&](const std::string& where) {
    of("ld" + where + suffix, load<space, kCount, Number, Register>, true);
    of("st" + where + suffix, store<space, kCount, Number, Register>, false);
  };
  if constexpr (space == Space::global) {
    named(".global");
    of("ld.global.nc" + suffix, load<space, kCount, Number, Register>, true);
  } else if constexpr (space == Space::shared) {
    named(".shared");
  } else if constexpr (space == Space::local) {
    named(".local");
  } else {
    named("");
    table["ld.param" + suffix + key] = {load_parameter<kCount, Number, Register>, std::vector<int>(kCount, n)};
    of("ld.param.at" + suffix, load_parameter_at<kCount, Number, Register>, true);
  }
}

template <int kCount, class Number, class Register>
void enter_accesses(Table& table, const std::string& type) {
  const std::string suffix = (kCount == 1 ? "" : ".v" + std::to_string(kCount)) + "." + type,
                    key = "/" + std::to_string(sizeof(Register));
  enter_access<Space::global, kCount, Number, Register>(table, suffix, key);
  enter_access<Space::shared, kCount, Number, Register>(table, suffix, key);
  enter_access<Space::local, kCount, Number, Register>(table, suffix, key);
  enter_access<Space::generic, kCount, Number, Register>(table, suffix, key);
}

template <class Number, class... Registers>
void enter_memory(Table& table, const std::string& type) {
  const auto with = [&]<class Register>(Register) {
    enter_accesses<1, Number, Register>(table, type);
    enter_accesses<2, Number, Register>(table, type);
    if constexpr (sizeof(Number) <= 4) enter_accesses<4, Number, Register>(table, type);
  };
  (with(Registers{}), ...);
}

Table make_table() {
  Table t;
  enter_integers<int32_t>(t, "s32");
  enter_integers<uint32_t>(t, "u32");
  enter_integers<int64_t>(t, "s64");
  enter_integers<uint64_t>(t, "u64");
  enter_comparisons<int16_t>(t, "s16");
  enter_comparisons<uint16_t>(t, "u16");
  enter_bits<uint16_t>(t, "b16");
  enter_bits<uint32_t>(t, "b32");
  enter_bits<uint64_t>(t, "b64");
  enter_floats<float>(t, "f32");
  enter_floats<double>(t, "f64");
  enter(t, "and.pred", of_predicates<[](uint32_t a, uint32_t b) { return a & b; }>, 0, 0, 0);
  enter(t, "or.pred", of_predicates<[](uint32_t a, uint32_t b) { return a | b; }>, 0, 0, 0);
  enter(t, "xor.pred", of_predicates<[](uint32_t a, uint32_t b) { return a ^ b; }>, 0, 0, 0);
  enter(t, "not.pred", of_predicate<[](uint32_t a) { return ~a; }>, 0, 0);
  enter(t, "mov.pred", of_predicate<[](uint32_t a) { return a; }>, 0, 0);
  for (const char* type : {"b16", "u16", "s16"}) enter_moves<uint16_t>(t, type);
  for (const char* type : {"b32", "u32", "s32", "f32"}) enter_moves<uint32_t>(t, type);
  for (const char* type : {"b64", "u64", "s64", "f64"}) enter_moves<uint64_t>(t, type);
  enter(t, "mov.b64/join", join<uint64_t, uint32_t>, 8, 4, 4);
  enter(t, "mov.b64/split", split<uint64_t, uint32_t>, 4, 4, 8);
  enter(t, "mov.b32/join", join<uint32_t, uint16_t>, 4, 2, 2);
  enter(t, "mov.b32/split", split<uint32_t, uint16_t>, 2, 2, 4);

  enter_conversions<int16_t>(t, "s16");
  enter_conversions<uint16_t>(t, "u16");
  enter_conversions<int32_t>(t, "s32");
  enter_conversions<uint32_t>(t, "u32");
  enter_conversions<int64_t>(t, "s64");
  enter_conversions<uint64_t>(t, "u64");
  enter_conversion<double, float>(t, "f64", "f32");
  enter(t, "cvt.rn.f32.f64", one<[](double a) { return static_cast<float>(a); }, float, double>, 4, 8);
  enter(t, "cvt.rna.tf32.f32", one<[](float a) { return to_tf32(a); }, uint32_t, float>, 4, 4);
  enter(t, "cvt.rn.bf16.f32", one<[](float a) { return to_bf16(a); }, uint16_t, float>, 2, 4);
  enter(t, "cvt.rn.bf16x2.f32", pack_bf16, 4, 4, 4);
  enter(t, "fma.rm.f32",
        three<[](float a, float b, float c) { return rounded_down(a, b, c); }, float, float, float, float>, 4, 4, 4, 4);
  enter(t, "ex2.approx.ftz.f32", one<[](float a) { return std::exp2(a); }, float, float>, 4, 4);

  enter_memory<uint8_t, uint16_t, uint32_t>(t, "u8");
  enter_memory<int8_t, int16_t, int32_t>(t, "s8");
  enter_memory<uint16_t, uint16_t, uint32_t>(t, "u16");
  enter_memory<int16_t, int16_t, int32_t>(t, "s16");
  for (const char* type : {"u32", "b32", "f32"}) enter_memory<uint32_t, uint32_t, uint64_t>(t, type);
  enter_memory<int32_t, int32_t, int64_t>(t, "s32");
  for (const char* type : {"u64", "b64", "f64", "s64"}) enter_memory<uint64_t, uint64_t>(t, type);

  enter(t, "cvta.to.global.u64", one<[](uint64_t a) { return a; }, uint64_t, uint64_t>, 8, 8);
  enter(t, "cvta.to.shared.u64", one<[](uint64_t a) { return a - kSharedWindow; }, uint64_t, uint64_t>, 8, 8);
  enter(t, "cvta.shared.u64", one<[](uint64_t a) { return a + kSharedWindow; }, uint64_t, uint64_t>, 8, 8);
  enter(t, "cvta.to.local.u64", one<[](uint64_t a) { return a - kLocalWindow; }, uint64_t, uint64_t>, 8, 8);
  enter(t, "cvta.local.u64", one<[](uint64_t a) { return a + kLocalWindow; }, uint64_t, uint64_t>, 8, 8);
  enter(t, "cvta.global.u64", one<[](uint64_t a) { return a; }, uint64_t, uint64_t>, 8, 8);

  enter(t, "bra", branch);
  enter(t, "bra.uni", branch);
  enter(t, "ret", finish);
  enter(t, "exit", finish);
  enter(t, "bar.sync", barrier, 4);
  enter(t, "bar.warp.sync", warp_barrier, 4);
  enter(t, "call.uni", trap);
  enter(t, "nothing", nothing);
  enter(t, "cp.async.wait_all", land);
  enter(t, "cp.async.ca.shared.global", copy_later<4>, 4, 8, 4, 4);
  enter(t, "cp.async.cg.shared.global", copy_later<16>, 4, 8, 4, 4);
  enter(t, "ldmatrix.sync.aligned.m8n8.x4.shared.b16", load_matrices<false>, 4, 4, 4, 4, 4);
  enter(t, "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16", load_matrices<true>, 4, 4, 4, 4, 4);
  t["mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"] = {multiply_bf16, std::vector<int>(14, 4)};
  t["mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"] = {multiply_tf32, std::vector<int>(14, 4)};
  return t;
}

}  // namespace

Decoded decode(const std::string& name, const std::vector<int>& registers) {
  static const Table kTable = make_table();
  if (const auto found = kTable.find(name); found != kTable.end()) return found->second;
  // Accesses are told apart by their registers.
  for (const int bytes : registers) {
    if (const auto found = kTable.find(name + "/" + std::to_string(bytes));
        found != kTable.end() && (name.starts_with("ld") ? registers.front() == bytes : registers.back() == bytes)) {
      return found->second;
    }
  }
  return {};
}

}  // namespace gsnet::ptx
