// loops.h as kernels.
#pragma once

#include <cuda_runtime.h>

#include "backend/cuda/loops.h"
#include "backend/cuda/status.h"

namespace gsnet::cuda {

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
  for (int i = static_cast<int>(threadIdx.x) / kWarpThreads; i < count; i += threads / kWarpThreads) {
    body(i);
    __syncwarp();
  }
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

template <class Read, class Write>
GSNET_DEVICE void Team::move(int count, Read read, Write write) const {
  constexpr int kBefore = 4;
  for (int first = static_cast<int>(threadIdx.x); first < count; first += kBefore * threads) {
    decltype(read(0)) got[kBefore];
    GSNET_UNROLL
    for (int e = 0; e < kBefore; ++e) {
      if (first + e * threads < count) got[e] = read(first + e * threads);
    }
    GSNET_UNROLL
    for (int e = 0; e < kBefore; ++e) {
      if (first + e * threads < count) write(first + e * threads, got[e]);
    }
  }
  __syncthreads();
}

template <class Start>
GSNET_DEVICE void Team::each_copy(int count, Start start) const {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += threads) start(i);
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
}

template <int n>
GSNET_DEVICE void copy_run(float* to, const float* from, bool zeros) {
  static_assert(n == 1 || n == 4);
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  const int bytes = zeros ? 0 : 4 * n;  // the rest is filled with zeros
  if constexpr (n == 4) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
  }
}

template <int kMostThreads, int kAtOnce, class Body>
__global__ void __launch_bounds__(kMostThreads, kAtOnce) team_kernel(int64_t teams, Body body) {
  extern __shared__ __align__(128) float4 memory[];
  for (int64_t team = blockIdx.x; team < teams; team += gridDim.x) {
    body(Team{reinterpret_cast<float*>(memory), static_cast<int>(blockDim.x)}, team);
  }
}

template <class Body>
void for_each(Stream stream, int64_t count, Body body) {
  if (count <= 0) return;
  constexpr int64_t kThreads = 256, kMostBlocks = int64_t{1} << 20;
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  loop_kernel<<<static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks), static_cast<unsigned>(kThreads), 0,
                static_cast<cudaStream_t>(stream)>>>(count, body);
  check_launch();
}

template <class Join, class Term, class Finish, class Then>
void for_rows(Stream stream, int64_t rows, int64_t columns, Term term, Finish finish, Then then) {
  if (rows <= 0) return;
  constexpr int64_t kMostBlocks = int64_t{1} << 20;
  row_kernel<Join><<<static_cast<unsigned>(rows < kMostBlocks ? rows : kMostBlocks), kRowThreads, 0,
                     static_cast<cudaStream_t>(stream)>>>(rows, columns, term, finish, then);
  check_launch();
}

template <int kMostThreads, int kAtOnce, class Body>
void launch_teams(TeamSize<kMostThreads, kAtOnce>, Stream stream, int64_t teams, int threads, int64_t shared_floats,
                  Body body) {
  constexpr int64_t kMostBlocks = int64_t{1} << 20;
  constexpr auto kKernel = team_kernel<kMostThreads, kAtOnce, Body>;
  const auto bytes = static_cast<int>(shared_floats * 4);
  allow_shared(reinterpret_cast<const void*>(kKernel), bytes);
  kKernel<<<static_cast<unsigned>(teams < kMostBlocks ? teams : kMostBlocks), static_cast<unsigned>(threads),
            static_cast<size_t>(bytes), static_cast<cudaStream_t>(stream)>>>(teams, body);
  check_launch();
}

template <class Size, class Body>
void for_teams(Stream stream, int64_t teams, int threads, int64_t shared_floats, Body body) {
  if (teams > 0) launch_teams(Size{}, stream, teams, threads, shared_floats, body);
}

}  // namespace gsnet::cuda
