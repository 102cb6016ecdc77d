#include "support/amx_traps.h"

#include <signal.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>

namespace gsnet {
namespace {

constexpr int kTiles = 8, kRows = 16, kRowBytes = 64;

struct Tile {
  unsigned char bytes[kRows][kRowBytes];
  int rows, row_bytes;  // 0: not configured
};

thread_local Tile tiles[kTiles];
thread_local bool configured = false;
std::atomic<long> instructions{0};

[[noreturn]] void stop(const char* why) {
  // What may be called in a handler.
  [[maybe_unused]] const auto written = write(2, why, std::strlen(why));
  _exit(3);
}

Tile& tile(int number) {
  if (!configured) stop("AMX: tiles are used before ldtilecfg or after tilerelease on this thread\n");
  if (number >= kTiles || tiles[number].rows == 0) stop("AMX: a tile that is not configured\n");
  return tiles[number];
}

void configure(const unsigned char* from) {
  if (from[0] != 1) stop("AMX: ldtilecfg with a palette that is not 1\n");
  for (int i = 1; i < 16; ++i) {
    if (from[i] != 0) stop("AMX: ldtilecfg with reserved bytes that are not 0\n");
  }
  std::memset(tiles, 0, sizeof(tiles));
  for (int t = 0; t < 16; ++t) {
    uint16_t row_bytes = 0;
    std::memcpy(&row_bytes, from + 16 + 2 * t, sizeof(row_bytes));
    const int rows = from[48 + t];
    if (row_bytes == 0 && rows == 0) continue;
    if (t >= kTiles || row_bytes == 0 || rows == 0 || row_bytes > kRowBytes || rows > kRows || row_bytes % 4 != 0) {
      stop("AMX: ldtilecfg with a tile of a shape that there is not\n");
    }
    tiles[t].rows = rows;
    tiles[t].row_bytes = row_bytes;
  }
  configured = true;
}

float widened(const unsigned char* half) {
  uint16_t value = 0;
  std::memcpy(&value, half, sizeof(value));
  const bool subnormal = (value & 0x7F80) == 0;  // counts as zero
  const uint32_t bits = (subnormal ? value & 0x8000U : uint32_t{value}) << 16;
  float made = 0;
  std::memcpy(&made, &bits, sizeof(made));
  return made;
}

// sum[m][n] += (sum over pairs k of a[m][2k] b[k][2n]) + (the same of 2k + 1 and 2n + 1). Products of bf16 are floats,
// so that a multiply-add rounds once as it stands.
void multiply(Tile& sum, const Tile& a, const Tile& b) {
  const int pairs = a.row_bytes / 4, columns = sum.row_bytes / 4;
  if (&sum == &a || &sum == &b || &a == &b) stop("AMX: tdpbf16ps of a tile with itself\n");
  if (sum.rows != a.rows || pairs != b.rows || sum.row_bytes != b.row_bytes) {
    stop("AMX: tdpbf16ps of tiles that do not fit together\n");
  }
  for (int m = 0; m < sum.rows; ++m) {
    float even[kRowBytes / 4] = {}, odd[kRowBytes / 4] = {}, total[kRowBytes / 4] = {};
    for (int k = 0; k < pairs; ++k) {
      const float first = widened(a.bytes[m] + 4 * k), second = widened(a.bytes[m] + 4 * k + 2);
      for (int n = 0; n < columns; ++n) {
        even[n] += first * widened(b.bytes[k] + 4 * n);
        odd[n] += second * widened(b.bytes[k] + 4 * n + 2);
      }
    }
    std::memcpy(total, sum.bytes[m], kRowBytes);
    for (int n = 0; n < columns; ++n) total[n] += even[n] + odd[n];
    std::memcpy(sum.bytes[m], total, kRowBytes);
  }
}

/// A register by its number in instructions.
uint64_t value_of(const greg_t* registers, int number) {
  constexpr int kOrder[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                            REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return static_cast<uint64_t>(registers[kOrder[number]]);
}

/// A memory operand: base, and index times scale where there is one.
struct Operand {
  uint64_t base, index;
  int length;  ///< bytes of modrm, sib and displacement
};

Operand operand_at(const unsigned char* modrm, int vex, const greg_t* registers) {
  const int mode = *modrm >> 6, rm = *modrm & 7;
  const int base_high = (vex >> 5 & 1) != 0 ? 0 : 8, index_high = (vex >> 6 & 1) != 0 ? 0 : 8;
  Operand made = {0, 0, 1};
  int base = rm;
  if (rm == 4) {
    const int sib = modrm[made.length++], index = (sib >> 3 & 7) + index_high;
    base = sib & 7;
    if (index != 4) made.index = value_of(registers, index) << (sib >> 6);
  }
  if (mode == 0 && base == 5) stop("AMX: an address without a base\n");
  made.base = value_of(registers, base + base_high);
  if (mode == 1) {
    made.base += static_cast<uint64_t>(static_cast<int64_t>(static_cast<signed char>(modrm[made.length])));
    made.length += 1;
  } else if (mode == 2) {
    int32_t displacement = 0;
    std::memcpy(&displacement, modrm + made.length, sizeof(displacement));
    made.base += static_cast<uint64_t>(static_cast<int64_t>(displacement));
    made.length += 4;
  }
  return made;
}

/// VEX.128.0F38.W0 with opcodes 49, 4B and 5C. Returns its length, 0 if it is none of these.
int emulate(const unsigned char* at, const greg_t* registers) {
  if (at[0] != 0xC4 || (at[1] & 0x1F) != 2 || (at[2] & 0x84) != 0) return 0;
  const int prefix = at[2] & 3, opcode = at[3], third = ~(at[2] >> 3) & 15;  // prefixes: 0 none, 2 F3, 3 F2
  const unsigned char* modrm = at + 4;
  const bool memory = *modrm >> 6 != 3;
  const int first = *modrm >> 3 & 7, second = *modrm & 7;
  const auto pointer = [](uint64_t address) { return reinterpret_cast<unsigned char*>(address); };
  if (opcode == 0x49 && prefix == 0 && memory && first == 0) {
    const Operand from = operand_at(modrm, at[1], registers);
    configure(pointer(from.base + from.index));
    return 4 + from.length;
  }
  if (opcode == 0x49 && prefix == 0 && *modrm == 0xC0) {
    configured = false;
    return 5;
  }
  if (opcode == 0x49 && prefix == 3 && !memory) {
    std::memset(tile(first).bytes, 0, sizeof(tile(first).bytes));
    return 5;
  }
  if (opcode == 0x4B && (prefix == 3 || prefix == 2) && memory) {  // the index is the stride
    const Operand place = operand_at(modrm, at[1], registers);
    Tile& t = tile(first);
    if (prefix == 3) std::memset(t.bytes, 0, sizeof(t.bytes));
    for (int row = 0; row < t.rows; ++row) {
      unsigned char* there = pointer(place.base + place.index * static_cast<uint64_t>(row));
      if (prefix == 3) {
        std::memcpy(t.bytes[row], there, static_cast<size_t>(t.row_bytes));
      } else {
        std::memcpy(there, t.bytes[row], static_cast<size_t>(t.row_bytes));
      }
    }
    return 4 + place.length;
  }
  if (opcode == 0x5C && prefix == 2 && !memory) {
    multiply(tile(first), tile(second), tile(third));
    return 5;
  }
  return 0;
}

struct sigaction before_traps;

void trapped(int signal, siginfo_t* info, void* context) {
  auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const int length = emulate(reinterpret_cast<const unsigned char*>(registers[REG_RIP]), registers);
  if (length > 0) {
    registers[REG_RIP] += length;
    instructions.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  sigaction(SIGILL, &before_traps, nullptr);  // comes again, for whoever was there
  static_cast<void>(signal);
  static_cast<void>(info);
}

}  // namespace

AmxTraps::AmxTraps() {
  struct sigaction action = {};
  action.sa_sigaction = trapped;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGILL, &action, &before_traps);
}

AmxTraps::~AmxTraps() { sigaction(SIGILL, &before_traps, nullptr); }

long AmxTraps::count() { return instructions.load(); }

}  // namespace gsnet
