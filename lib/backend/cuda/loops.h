// Loops and reductions on the device. nvcc makes kernels of them; a host compiler makes loops over the same bodies,
// which is how tests run this machine's arithmetic where there is no device. No atomics: the same input gives the same
// bits.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define GSNET_DEVICE __device__
#define GSNET_ANYWHERE __host__ __device__
#define GSNET_UNROLL _Pragma("unroll")
#else
#define GSNET_DEVICE
#define GSNET_ANYWHERE
#define GSNET_UNROLL
#endif

namespace gsnet::cuda {

/// A cudaStream_t.
using Stream = void*;

struct Sum {
  using Value = double;
  GSNET_ANYWHERE static Value start() { return 0; }
  GSNET_DEVICE static Value join(Value a, Value b) { return a + b; }
};
struct Max {
  using Value = double;
  GSNET_ANYWHERE static Value start() { return -1.7976931348623157e308; }
  GSNET_DEVICE static Value join(Value a, Value b) { return a < b ? b : a; }
};
struct TwoSums {
  struct Value {
    double first, second;
  };
  GSNET_ANYWHERE static Value start() { return {0, 0}; }
  GSNET_DEVICE static Value join(Value a, Value b) { return {a.first + b.first, a.second + b.second}; }
};

/// What for_rows does with a row's columns when its total is known.
struct Nothing {
  template <class Value>
  GSNET_DEVICE void operator()(int64_t, int64_t, const Value&) const {}
};

/// n numbers that lie together, at a multiple of their bytes: read and written at once.
template <int n>
struct alignas(4 * n) Run {
  float of[n];
};
template <int n>
GSNET_DEVICE Run<n> run_at(const float* from) {
  return *reinterpret_cast<const Run<n>*>(from);
}
template <int n>
GSNET_DEVICE void put_run(float* to, const Run<n>& run) {
  *reinterpret_cast<Run<n>*>(to) = run;
}

/// Quotients by a number known beforehand, of numbers from 0 to 2^31 - 1: Granlund and Montgomery (PLDI 1994).
class Divisor {
 public:
  explicit Divisor(int by) : by_(by) {
    while ((int64_t{1} << shift_) < by) ++shift_;
    factor_ = static_cast<uint32_t>(((uint64_t{1} << (31 + shift_)) + static_cast<uint64_t>(by) - 1) /
                                    static_cast<uint64_t>(by));
  }
  GSNET_ANYWHERE int quotient(int n) const {
    if (by_ == 1) return n;
    return static_cast<int>((uint64_t{static_cast<uint32_t>(n)} * factor_) >> (31 + shift_));
  }
  GSNET_ANYWHERE int remainder(int n) const { return n - quotient(n) * by_; }

 private:
  int by_, shift_ = 0;
  uint32_t factor_;
};

constexpr int kWarpThreads = 32, kMostTeamThreads = 256;

/// What every thread of a team keeps for itself between two pieces of work; or every warp, spread over its threads.
template <class Own>
class Held;
template <class Own>
class HeldByWarps;

/// The threads of one block, which work together on a piece of memory of their own. A multiple of a warp.
struct Team {
  float* shared;
  int threads;

  /// body(i) for i in [0, count), shared out among the threads; when it returns all have done theirs, as below.
  template <class Body>
  GSNET_DEVICE void each(int count, Body body) const;
  /// body(i) for i in [0, count), shared out among the warps: all threads of one call it together.
  template <class Body>
  GSNET_DEVICE void each_warp(int count, Body body) const;
  /// write(i, read(i)) for i in [0, count), shared out among the threads; each reads some before it writes them.
  template <class Read, class Write>
  GSNET_DEVICE void move(int count, Read read, Write write) const;
  /// start(i) for i in [0, count), shared out among the threads; what copy_run has started is there when it returns.
  template <class Start>
  GSNET_DEVICE void each_copy(int count, Start start) const;
  /// body(thread, own) by every thread.
  template <class Own, class Body>
  GSNET_DEVICE void by_threads(Held<Own>& held, Body body) const;
  /// body(warp, own) by every warp, all its threads together.
  template <class Own, class Body>
  GSNET_DEVICE void by_warps(HeldByWarps<Own>& held, Body body) const;
};

/// In Team::each_copy: n numbers, 1 or 4, from device memory into shared memory, or zeros.
template <int n>
GSNET_DEVICE void copy_run(float* to, const float* from, bool zeros);

/// Threads that share a row of a reduction; its partial results are joined as a binary tree.
constexpr int kRowThreads = 256;

/// a b, rounded before anything is added.
GSNET_DEVICE inline float rounded_product(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

/// Calls body(i) for i in [0, count).
template <class Body>
void for_each(Stream stream, int64_t count, Body body);

/// Calls finish(row, total) with total = the terms of each row joined: term(row, column) for column in [0, columns);
/// and then(row, column, total) for these.
template <class Join, class Term, class Finish, class Then = Nothing>
void for_rows(Stream stream, int64_t rows, int64_t columns, Term term, Finish finish, Then then = {});

/// What a kernel of teams is made for: at most so many threads a team, registers for so many teams at once.
template <int kMostThreads = kMostTeamThreads, int kAtOnce = 1>
struct TeamSize {};

/// Calls body(team, index) for `teams` teams of so many threads, with so much shared memory each.
template <class Size = TeamSize<>, class Body>
void for_teams(Stream stream, int64_t teams, int threads, int64_t shared_floats, Body body);

}  // namespace gsnet::cuda

#ifdef __CUDACC__
#include "backend/cuda/loops_device.h"
#else
#include "backend/cuda/loops_host.h"
#endif
