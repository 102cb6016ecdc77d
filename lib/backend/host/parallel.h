// Loops over host memory on the machine's threads.
#pragma once

#include <algorithm>
#include <cstdint>

namespace gsnet::host {

/// Calls body(begin, end) for consecutive pieces of [0, count), on up to `threads` threads. Pieces do not depend on
/// timing. Small loops (count * cost below some 32k operations) stay on the calling thread.
template <class Body>
void parallel_for(int threads, int64_t count, int64_t cost, Body&& body) {
  const int64_t pieces = std::min<int64_t>({threads, count, std::max<int64_t>(1, count * cost / 32768)});
  if (pieces <= 1) {
    if (count > 0) body(int64_t{0}, count);
    return;
  }
#pragma omp parallel for num_threads(static_cast <int>(pieces)) schedule(static, 1)
  for (int64_t piece = 0; piece < pieces; ++piece) {
    body(count * piece / pieces, count * (piece + 1) / pieces);
  }
}

}  // namespace gsnet::host
