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

}  // namespace gsnet::cuda
