// The power series of a convolution, made of a machine's other kernels.
#include <vector>

#include "backend/backend.h"

namespace gsnet {

void composed_series(Backend& backend, const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y,
                     SeriesSaved* saved) {
  const ConvSpec conv = series_convolution(k.shape(), spec.groups);
  Tensor power = x;
  backend.scale(spec.coefficients[0], x, y);
  for (int term = 1; term <= spec.degree(); ++term) {
    Tensor next = backend.empty_like(x);
    backend.conv2d(power, k, {}, conv, next);
    power = next;
    backend.axpby(spec.coefficients[static_cast<size_t>(term)], power, 1, y, y);
    if (saved != nullptr && spec.save == SeriesSave::iterates && term < spec.degree()) {
      saved->tensors.push_back(power);
    }
  }
}

// G_{K-1} = c_K dy, G_{m-1} = c_m dy + J' G_m, dk = sum_m G_m (x) J^m x, dx = c_0 dy + J' G_0.
void composed_series_backward(Backend& backend, const Tensor& x, const Tensor& k, const SeriesSpec& spec,
                              const SeriesSaved& saved, const Tensor& dy, Tensor* dx, Tensor* dk) {
  const ConvSpec conv = series_convolution(k.shape(), spec.groups);
  const int degree = spec.degree();
  const auto c = [&](int i) { return spec.coefficients[static_cast<size_t>(i)]; };
  std::vector<Tensor> powers = {x};
  powers.insert(powers.end(), saved.tensors.begin(), saved.tensors.end());
  while (dk != nullptr && static_cast<int>(powers.size()) < degree) {
    Tensor next = backend.empty_like(x);
    backend.conv2d(powers.back(), k, {}, conv, next);
    powers.push_back(next);
  }
  Tensor g = backend.empty_like(dy), pulled = backend.empty_like(dy);
  backend.scale(c(degree), dy, g);
  Tensor part;
  if (dk != nullptr) {
    part = backend.empty_like(k);
    *dk = backend.empty_like(k);
    backend.fill(0, *dk);
  }
  for (int m = degree - 1; m >= 0; --m) {
    if (dk != nullptr) {
      backend.conv2d_wgrad(powers[static_cast<size_t>(m)], g, conv, part);
      backend.binary(BinaryOp::add, *dk, part, *dk);
    }
    if (m == 0 && dx == nullptr) break;
    backend.conv2d_dgrad(g, k, conv, pulled);
    backend.axpby(c(m), dy, 1, pulled, m == 0 ? *dx : g);
  }
}

}  // namespace gsnet
