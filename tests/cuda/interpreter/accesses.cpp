// Memory: what is read, written, copied past the registers, and addresses.
#include "cuda/interpreter/forms.h"

namespace gsnet::ptx {
namespace {

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

void land(const Instruction&, Warp& warp) { warp.land_copies(); }

template <int kBytes>
void copy_later(const Instruction& i, Warp& warp) {
  const uint32_t* to = warp.at<uint32_t>(i.at[0]);
  const uint64_t* from = warp.at<uint64_t>(i.at[1]);
  const int32_t* given = warp.at<int32_t>(i.at[3]);
  each_lane(warp, [&](int l) { warp.copy_later(l, to[l], from[l], kBytes, given[l]); });
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
void enter_spaces(Table& table, const std::string& type) {
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
    enter_spaces<1, Number, Register>(table, type);
    enter_spaces<2, Number, Register>(table, type);
    if constexpr (sizeof(Number) <= 4) enter_spaces<4, Number, Register>(table, type);
  };
  (with(Registers{}), ...);
}

}  // namespace

void enter_accesses(Table& t) {
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

  enter(t, "cp.async.wait_all", land);
  enter(t, "cp.async.ca.shared.global", copy_later<4>, 4, 8, 4, 4);
  enter(t, "cp.async.cg.shared.global", copy_later<16>, 4, 8, 4, 4);
}

}  // namespace gsnet::ptx
