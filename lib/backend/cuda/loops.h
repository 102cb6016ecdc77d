// Loops and reductions on the device. nvcc makes kernels of them; a host compiler makes loops over the same bodies,
// which is how tests run this machine's arithmetic where there is no device. No atomics: the same input gives the same
// bits.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#include <cuda_runtime.h>

#include "backend/cuda/status.h"
#define GSNET_DEVICE __device__
#define GSNET_ANYWHERE __host__ __device__
#define GSNET_UNROLL _Pragma("unroll")
#else
#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

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
  /// body(thread, own) by every thread.
  template <class Own, class Body>
  GSNET_DEVICE void by_threads(Held<Own>& held, Body body) const;
  /// body(warp, own) by every warp, all its threads together.
  template <class Own, class Body>
  GSNET_DEVICE void by_warps(HeldByWarps<Own>& held, Body body) const;
};

/// body(i) for i in [0, count), shared out among the threads of a warp.
template <class Body>
GSNET_DEVICE void each_lane(int count, Body body);

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

#ifdef __CUDACC__

template <class Body>
__global__ void loop_kernel(int64_t count, Body body) {
  const int64_t step = int64_t{blockDim.x} * gridDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) body(i);
}

template <class Join, class Term, class Finish, class Then>
__global__ void row_kernel(int64_t rows, int64_t columns, Term term, Finish finish, Then then) {
  __shared__ typename Join::Value parts[kRowThreads];
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    typename Join::Value part = Join::start();
    for (int64_t column = threadIdx.x; column < columns; column += kRowThreads) {
      part = Join::join(part, term(row, column));
    }
    parts[threadIdx.x] = part;
    for (int half = kRowThreads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (static_cast<int>(threadIdx.x) < half) {
        parts[threadIdx.x] = Join::join(parts[threadIdx.x], parts[threadIdx.x + half]);
      }
    }
    __syncthreads();
    const typename Join::Value total = parts[0];
    if (threadIdx.x == 0) finish(row, total);
    for (int64_t column = threadIdx.x; column < columns; column += kRowThreads) then(row, column, total);
    __syncthreads();
  }
}

template <class Own>
class Held {
 public:
  GSNET_DEVICE explicit Held(const Team&) {}

 private:
  friend Team;
  Own own_;
};

template <class Own>
class HeldByWarps {
 public:
  GSNET_DEVICE explicit HeldByWarps(const Team&) {}

 private:
  friend Team;
  Own own_;
};

template <class Body>
GSNET_DEVICE void Team::each(int count, Body body) const {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += threads) body(i);
  __syncthreads();
}

template <class Body>
GSNET_DEVICE void Team::each_warp(int count, Body body) const {
  for (int i = static_cast<int>(threadIdx.x) / kWarpThreads; i < count; i += threads / kWarpThreads) body(i);
  __syncthreads();
}

template <class Own, class Body>
GSNET_DEVICE void Team::by_threads(Held<Own>& held, Body body) const {
  body(static_cast<int>(threadIdx.x), held.own_);
  __syncthreads();
}

template <class Own, class Body>
GSNET_DEVICE void Team::by_warps(HeldByWarps<Own>& held, Body body) const {
  body(static_cast<int>(threadIdx.x) / kWarpThreads, held.own_);
  __syncthreads();
}

template <class Body>
GSNET_DEVICE void each_lane(int count, Body body) {
  for (int i = static_cast<int>(threadIdx.x) % kWarpThreads; i < count; i += kWarpThreads) body(i);
}

template <class Body>
__global__ void __launch_bounds__(kMostTeamThreads) team_kernel(int64_t teams, Body body) {
  extern __shared__ __align__(128) float4 memory[];
  for (int64_t team = blockIdx.x; team < teams; team += gridDim.x) {
    body(Team{reinterpret_cast<float*>(memory), static_cast<int>(blockDim.x)}, team);
  }
}

/// Calls body(i) for i in [0, count).
template <class Body>
void for_each(Stream stream, int64_t count, Body body) {
  if (count <= 0) return;
  constexpr int64_t kThreads = 256, kMostBlocks = int64_t{1} << 20;
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  loop_kernel<<<static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks), static_cast<unsigned>(kThreads), 0,
                static_cast<cudaStream_t>(stream)>>>(count, body);
  check_launch();
}

/// Calls finish(row, total) with total = the terms of each row joined: term(row, column) for column in [0, columns);
/// and then(row, column, total) for these.
template <class Join, class Term, class Finish, class Then = Nothing>
void for_rows(Stream stream, int64_t rows, int64_t columns, Term term, Finish finish, Then then = {}) {
  if (rows <= 0) return;
  constexpr int64_t kMostBlocks = int64_t{1} << 20;
  row_kernel<Join><<<static_cast<unsigned>(rows < kMostBlocks ? rows : kMostBlocks), kRowThreads, 0,
                     static_cast<cudaStream_t>(stream)>>>(rows, columns, term, finish, then);
  check_launch();
}

/// Calls body(team, index) for `teams` teams of so many threads, with so much shared memory each.
template <class Body>
void for_teams(Stream stream, int64_t teams, int threads, int64_t shared_floats, Body body) {
  if (teams <= 0) return;
  constexpr int64_t kMostBlocks = int64_t{1} << 20;
  const auto bytes = static_cast<int>(shared_floats * 4);
  allow_shared(reinterpret_cast<const void*>(team_kernel<Body>), bytes);
  team_kernel<<<static_cast<unsigned>(teams < kMostBlocks ? teams : kMostBlocks), static_cast<unsigned>(threads),
                static_cast<size_t>(bytes), static_cast<cudaStream_t>(stream)>>>(teams, body);
  check_launch();
}

#else

/// body(i) for i in [0, count), in an order that nothing may rely on: an odd one comes before the even ones beside it,
/// and after the odd one that follows.
template <class Count, class Body>
void in_no_order(Count count, Body body) {
  for (Count i = count / 2 * 2 - 1; i > 0; i -= 2) body(i);
  for (Count i = 0; i < count; i += 2) body(i);
}

template <class Own>
class Held {
 public:
  explicit Held(const Team& team) : own_(static_cast<size_t>(team.threads)) {}

 private:
  friend Team;
  std::vector<Own> own_;
};

template <class Own>
class HeldByWarps {
 public:
  explicit HeldByWarps(const Team& team) : own_(static_cast<size_t>(team.threads / kWarpThreads)) {}

 private:
  friend Team;
  std::vector<Own> own_;
};

template <class Body>
void Team::each(int count, Body body) const {
  in_no_order(count, body);
}

/// What a Stream is where loops run on the host: launches are done at once, or noted.
class Launches {
 public:
  void operator()(const std::function<void()>& launch) {
    if (noted_ != nullptr) {
      noted_->push_back(launch);
    } else {
      launch();
    }
  }
  /// Null: no more.
  void note(std::vector<std::function<void()>>* noted) { noted_ = noted; }
  bool noting() const { return noted_ != nullptr; }

 private:
  std::vector<std::function<void()>>* noted_ = nullptr;
};

template <class Launch>
void launch(Stream stream, Launch launched) {
  (*static_cast<Launches*>(stream))(launched);
}

template <class Body>
void Team::each_warp(int count, Body body) const {
  in_no_order(count, body);
}

template <class Own, class Body>
void Team::by_threads(Held<Own>& held, Body body) const {
  in_no_order(threads, [&](int thread) { body(thread, held.own_[static_cast<size_t>(thread)]); });
}

template <class Own, class Body>
void Team::by_warps(HeldByWarps<Own>& held, Body body) const {
  in_no_order(threads / kWarpThreads, [&](int warp) { body(warp, held.own_[static_cast<size_t>(warp)]); });
}

template <class Body>
void each_lane(int count, Body body) {
  in_no_order(count, body);
}

template <class Body>
void for_teams(Stream stream, int64_t teams, int threads, int64_t shared_floats, Body body) {
  if (threads < 1 || threads > kMostTeamThreads || threads % kWarpThreads != 0) {
    throw std::logic_error("a team of " + std::to_string(threads) + " threads");
  }
  launch(stream, [=] {
    std::vector<Run<4>> memory(static_cast<size_t>((shared_floats + 3) / 4));
    float* shared = memory.data()->of;
    in_no_order(teams, [&](int64_t team) {
      std::fill(shared, shared + shared_floats, NAN);  // as far as anybody may know
      body(Team{shared, threads}, team);
    });
  });
}

template <class Body>
void for_each(Stream stream, int64_t count, Body body) {
  launch(stream, [=] { in_no_order(count, body); });
}

template <class Join, class Term, class Finish, class Then>
void rows_on_host(int64_t rows, int64_t columns, Term term, Finish finish, Then then) {
  in_no_order(rows, [&](int64_t row) {
    typename Join::Value parts[kRowThreads];
    for (int64_t thread = 0; thread < kRowThreads; ++thread) {
      parts[thread] = Join::start();
      for (int64_t column = thread; column < columns; column += kRowThreads) {
        parts[thread] = Join::join(parts[thread], term(row, column));
      }
    }
    for (int half = kRowThreads / 2; half > 0; half /= 2) {
      for (int thread = 0; thread < half; ++thread) parts[thread] = Join::join(parts[thread], parts[thread + half]);
    }
    finish(row, parts[0]);
    in_no_order(columns, [&](int64_t column) { then(row, column, parts[0]); });
  });
}

template <class Join, class Term, class Finish, class Then = Nothing>
void for_rows(Stream stream, int64_t rows, int64_t columns, Term term, Finish finish, Then then = {}) {
  launch(stream, [=] { rows_on_host<Join>(rows, columns, term, finish, then); });
}

#endif

}  // namespace gsnet::cuda
