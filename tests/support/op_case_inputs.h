// What the parts of the table of op cases share.
#pragma once

#include "support/op_cases.h"

namespace gsnet::test {

constexpr Layout kMap = Layout::channels_last;

inline OpInput map(int64_t n, int64_t c, int64_t h, int64_t w) { return {{n, c, h, w}, kMap}; }

inline std::function<void(Backend&, Tensor&)> scaled(double factor) {
  return [factor](Backend& backend, Tensor& x) {
    Tensor y = backend.empty_like(x);
    backend.scale(factor, x, y);
    x = y;
  };
}

void add_convolutions(std::vector<OpCase>& cases);

}  // namespace gsnet::test
