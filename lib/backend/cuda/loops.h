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
#else
#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#define GSNET_DEVICE
#define GSNET_ANYWHERE
#endif

namespace gsnet::cuda {

/// A cudaStream_t.
using Stream = void*;

struct Sum {
  static constexpr double kStart = 0;
  GSNET_DEVICE static double join(double a, double b) { return a + b; }
};
struct Max {
  static constexpr double kStart = -1.7976931348623157e308;
  GSNET_DEVICE static double join(double a, double b) { return a < b ? b : a; }
};

/// The threads of one block, which work together on a piece of memory of their own.
struct Team {
  float* shared;

  /// body(i) for i in [0, count), shared out among the threads; when it returns all have done theirs.
  template <class Body>
  GSNET_DEVICE void each(int64_t count, Body body) const;
  /// body(i, warp) for i in [0, count), shared out among the warps: all threads of one call it together.
  template <class Body>
  GSNET_DEVICE void each_warp(int64_t count, Body body) const;
};

constexpr int kTeamThreads = 256, kWarpThreads = 32, kTeamWarps = kTeamThreads / kWarpThreads;

/// body(i) for i in [0, count), shared out among the threads of a warp.
template <class Body>
GSNET_DEVICE void each_lane(int64_t count, Body body);

/// Threads that share a row of a reduction; its partial results are joined as a binary tree.
constexpr int kRowThreads = 256;

#ifdef __CUDACC__

template <class Body>
__global__ void loop_kernel(int64_t count, Body body) {
  const int64_t step = int64_t{blockDim.x} * gridDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) body(i);
}

template <class Join, class Term, class Finish>
__global__ void row_kernel(int64_t rows, int64_t columns, Term term, Finish finish) {
  __shared__ double parts[kRowThreads];
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    double part = Join::kStart;
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
    if (threadIdx.x == 0) finish(row, parts[0]);
    __syncthreads();
  }
}

template <class Body>
GSNET_DEVICE void Team::each(int64_t count, Body body) const {
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) body(i);
  __syncthreads();
}

template <class Body>
GSNET_DEVICE void Team::each_warp(int64_t count, Body body) const {
  const auto warp = static_cast<int>(threadIdx.x) / kWarpThreads;
  for (int64_t i = warp; i < count; i += kTeamWarps) body(i, warp);
  __syncthreads();
}

template <class Body>
GSNET_DEVICE void each_lane(int64_t count, Body body) {
  for (int64_t i = static_cast<int>(threadIdx.x) % kWarpThreads; i < count; i += kWarpThreads) body(i);
}

template <class Body>
__global__ void team_kernel(int64_t teams, Body body) {
  extern __shared__ __align__(128) float4 memory[];
  for (int64_t team = blockIdx.x; team < teams; team += gridDim.x) {
    body(Team{reinterpret_cast<float*>(memory)}, team);
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

/// Calls finish(row, total) with total = the terms of each row joined: term(row, column) for column in [0, columns).
template <class Join, class Term, class Finish>
void for_rows(Stream stream, int64_t rows, int64_t columns, Term term, Finish finish) {
  if (rows <= 0) return;
  constexpr int64_t kMostBlocks = int64_t{1} << 20;
  row_kernel<Join><<<static_cast<unsigned>(rows < kMostBlocks ? rows : kMostBlocks), kRowThreads, 0,
                     static_cast<cudaStream_t>(stream)>>>(rows, columns, term, finish);
  check_launch();
}

/// Calls body(team, index) for `teams` teams with so much shared memory each; its end need not be waited for.
template <class Body>
void for_teams(Stream stream, int64_t teams, int64_t shared_floats, Body body) {
  if (teams <= 0) return;
  constexpr int64_t kMostBlocks = int64_t{1} << 20;
  const auto bytes = static_cast<int>(shared_floats * 4);
  allow_shared(reinterpret_cast<const void*>(team_kernel<Body>), bytes);
  team_kernel<<<static_cast<unsigned>(teams < kMostBlocks ? teams : kMostBlocks), kTeamThreads,
                static_cast<size_t>(bytes), static_cast<cudaStream_t>(stream)>>>(teams, body);
  check_launch();
}

#else

template <class Body>
void Team::each(int64_t count, Body body) const {
  for (int64_t i = 0; i < count; ++i) body(i);
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
void Team::each_warp(int64_t count, Body body) const {
  for (int64_t i = 0; i < count; ++i) body(i, 0);
}

template <class Body>
void each_lane(int64_t count, Body body) {
  for (int64_t i = 0; i < count; ++i) body(i);
}

template <class Body>
void for_teams(Stream stream, int64_t teams, int64_t shared_floats, Body body) {
  launch(stream, [=] {
    std::vector<float> shared(static_cast<size_t>(shared_floats));
    for (int64_t team = 0; team < teams; ++team) {
      std::fill(shared.begin(), shared.end(), NAN);  // as far as anybody may know
      body(Team{shared.data()}, team);
    }
  });
}

template <class Body>
void for_each(Stream stream, int64_t count, Body body) {
  launch(stream, [=] {
    for (int64_t i = 0; i < count; ++i) body(i);
  });
}

template <class Join, class Term, class Finish>
void rows_on_host(int64_t rows, int64_t columns, Term term, Finish finish) {
  for (int64_t row = 0; row < rows; ++row) {
    double parts[kRowThreads];
    for (int64_t thread = 0; thread < kRowThreads; ++thread) {
      parts[thread] = Join::kStart;
      for (int64_t column = thread; column < columns; column += kRowThreads) {
        parts[thread] = Join::join(parts[thread], term(row, column));
      }
    }
    for (int half = kRowThreads / 2; half > 0; half /= 2) {
      for (int thread = 0; thread < half; ++thread) parts[thread] = Join::join(parts[thread], parts[thread + half]);
    }
    finish(row, parts[0]);
  }
}

template <class Join, class Term, class Finish>
void for_rows(Stream stream, int64_t rows, int64_t columns, Term term, Finish finish) {
  launch(stream, [=] { rows_on_host<Join>(rows, columns, term, finish); });
}

#endif

}  // namespace gsnet::cuda
