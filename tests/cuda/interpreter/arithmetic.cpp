// Numbers, bits and predicates.
#include <bit>
#include <cmath>
#include <limits>

#include "cuda/interpreter/forms.h"

namespace gsnet::ptx {
namespace {

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

template <class T>
T rounded_down(T a, T b, T c) {
  const double exact = static_cast<double>(a) * b + c;
  const auto near = static_cast<T>(exact);
  return static_cast<double>(near) > exact ? std::nextafter(near, -std::numeric_limits<T>::infinity()) : near;
}

template <class To, class From>
To to_integer(From value, From rounded) {
  if (std::isnan(value)) return sizeof(To) == 8 || sizeof(From) == 8 ? std::numeric_limits<To>::min() : 0;
  if (rounded <= static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (rounded >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(rounded);
}

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

}  // namespace

void enter_arithmetic(Table& t) {
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
  enter(t, "fma.rm.f32",
        three<[](float a, float b, float c) { return rounded_down(a, b, c); }, float, float, float, float>, 4, 4, 4, 4);
  enter(t, "ex2.approx.ftz.f32", one<[](float a) { return std::exp2(a); }, float, float>, 4, 4);
}

}  // namespace gsnet::ptx
