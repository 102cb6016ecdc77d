// Skew part, Gram norm, the four bilinear forms, and scaling, a group at a time.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "backend/host/host_backend.h"
#include "backend/host/parallel.h"

namespace gsnet::host {
namespace {

/// One group of a kernel: (out, in, height, width) with out = in = m.
struct Block {
  int64_t m, height, width;

  int64_t taps() const { return height * width; }
  int64_t size() const { return m * m * taps(); }
};

Block block_of(const Tensor& k) { return {k.shape()[1], k.shape()[2], k.shape()[3]}; }

template <class T>
double frobenius(const std::vector<T>& a) {
  double sum = 0;
  for (T value : a) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

/// Offsets of an entry's u and v in the vectors of form f.
std::array<int64_t, 2> form_index(int form, const Block& b, int64_t o, int64_t i, int64_t h, int64_t w) {
  switch (form) {
    case 0:
      return {i * b.width + w, o * b.height + h};
    case 1:
      return {i * b.height + h, o * b.width + w};
    case 2:
      return {(i * b.height + h) * b.width + w, o};
    default:
      return {(o * b.height + h) * b.width + w, i};
  }
}

template <class Body>
void for_entries(const Block& b, Body&& body) {
  int64_t at = 0;
  for (int64_t o = 0; o < b.m; ++o) {
    for (int64_t i = 0; i < b.m; ++i) {
      for (int64_t h = 0; h < b.height; ++h) {
        for (int64_t w = 0; w < b.width; ++w) body(at++, o, i, h, w);
      }
    }
  }
}

template <class T>
void to_unit_length(const std::vector<double>& from, T* to) {
  double squares = 0;
  for (double value : from) squares += value * value;
  const double length = std::max(std::sqrt(squares), 1e-12);
  for (size_t i = 0; i < from.size(); ++i) to[i] = static_cast<T>(from[i] / length);
}

template <class T>
double form_value(int form, const Block& b, const T* k, const T* u, const T* v) {
  double sum = 0;
  for_entries(b, [&](int64_t at, int64_t o, int64_t i, int64_t h, int64_t w) {
    const auto [ui, vi] = form_index(form, b, o, i, h, w);
    sum += static_cast<double>(k[at]) * static_cast<double>(u[ui]) * static_cast<double>(v[vi]);
  });
  return sum;
}

template <class T>
int smallest_form(const Block& b, const T* k, const FourForms& forms, int64_t group, double& value) {
  int smallest = 0;
  for (int form = 0; form < 4; ++form) {
    const auto at = static_cast<size_t>(form);
    const int64_t us = forms.u[at].shape()[1], vs = forms.v[at].shape()[1];
    const double sigma =
        form_value(form, b, k, forms.u[at].template data<T>() + group * us, forms.v[at].template data<T>() + group * vs);
    if (form == 0 || sigma < value) {
      smallest = form;
      value = sigma;
    }
  }
  return smallest;
}

}  // namespace

template <class T>
void HostKernelNorm<T>::skew(const Tensor& w, int64_t groups, Tensor& k) {
  const Block b = block_of(w);
  const int64_t taps = b.taps();
  parallel_for(this->threads(), groups * b.m, b.m * taps, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t group = row / b.m, o = row % b.m;
      const T* from = w.data<T>() + group * b.size();
      T* to = k.data<T>() + group * b.size();
      for (int64_t i = 0; i < b.m; ++i) {
        for (int64_t t = 0; t < taps; ++t) {
          to[(o * b.m + i) * taps + t] = (from[(o * b.m + i) * taps + t] - from[(i * b.m + o) * taps + taps - 1 - t]) / 2;
        }
      }
    }
  });
}

// a_0 = M M', a_{j+1} = a_j a_j, each divided by its Frobenius norm n_j; s = sqrt(taps) n_q^(2/p), p = 2^(q + 2).
template <class T>
void HostKernelNorm<T>::gram_norm(const Tensor& k, int64_t groups, Tensor& s) {
  const Block b = block_of(k);
  const int64_t columns = b.m * b.taps();
  const int squarings = gram_squarings(b.m);
  std::vector<T> a(static_cast<size_t>(b.m * b.m)), next(a);
  for (int64_t group = 0; group < groups; ++group) {
    const T* matrix = k.data<T>() + group * b.size();
    this->gemm({1, b.m, b.m, columns, false, true}, matrix, matrix, a.data());
    double log_norm = 0;
    for (int step = 0; step <= squarings; ++step) {
      if (step > 0) {
        this->gemm({1, b.m, b.m, b.m}, a.data(), a.data(), next.data());
        std::swap(a, next);
      }
      const double norm = frobenius(a);
      log_norm = 2 * log_norm + std::log(norm);
      if (norm > 0) {
        for (T& value : a) value = static_cast<T>(value / norm);
      }
    }
    s.data<T>()[group] = static_cast<T>(std::sqrt(static_cast<double>(b.taps())) * std::exp(std::ldexp(log_norm, -squarings - 1)));
  }
}

// ds/dM = sqrt(taps) S^(1-p) (M M')^(p/2-1) M with S = s / sqrt(taps), the power being the product of all iterates.
template <class T>
void HostKernelNorm<T>::gram_norm_backward(const Tensor& k, const Tensor& s, const Tensor& ds, Tensor& dk) {
  const Block b = block_of(k);
  const int64_t columns = b.m * b.taps(), groups = k.shape()[0] / b.m;
  const int squarings = gram_squarings(b.m);
  const double order = std::ldexp(1.0, squarings + 2);
  std::vector<T> a(static_cast<size_t>(b.m * b.m)), next(a), product(a);
  for (int64_t group = 0; group < groups; ++group) {
    const T* matrix = k.data<T>() + group * b.size();
    this->gemm({1, b.m, b.m, columns, false, true}, matrix, matrix, a.data());
    double log_norm = 0, log_product = 0;
    for (int step = 0; step <= squarings; ++step) {
      if (step > 0) {
        this->gemm({1, b.m, b.m, b.m}, a.data(), a.data(), next.data());
        std::swap(a, next);
      }
      const double norm = frobenius(a);
      log_norm = 2 * log_norm + std::log(norm);
      log_product += log_norm;
      if (norm > 0) {
        for (T& value : a) value = static_cast<T>(value / norm);
      }
      if (step == 0) {
        product = a;
      } else {
        this->gemm({1, b.m, b.m, b.m}, product.data(), a.data(), next.data());
        std::swap(product, next);
      }
    }
    const double root = std::sqrt(static_cast<double>(b.taps()));
    const double log_schatten = std::log(static_cast<double>(s.data<T>()[group]) / root);
    const double scale = static_cast<double>(ds.data<T>()[group]) * root * std::exp(log_product - (order - 1) * log_schatten);
    for (T& value : product) value = static_cast<T>(value * scale);
    this->gemm({1, b.m, columns, b.m}, product.data(), matrix, dk.data<T>() + group * b.size());
  }
}

template <class T>
void HostKernelNorm<T>::four_forms(const Tensor& k, int64_t groups, int iterations, FourForms& forms, Tensor& s) {
  const Block b = block_of(k);
  for (int64_t group = 0; group < groups; ++group) {
    const T* from = k.data<T>() + group * b.size();
    for (int form = 0; form < 4 && iterations > 0; ++form) {
      const auto at = static_cast<size_t>(form);
      const int64_t us = forms.u[at].shape()[1], vs = forms.v[at].shape()[1];
      T* u = forms.u[at].template data<T>() + group * us;
      T* v = forms.v[at].template data<T>() + group * vs;
      std::vector<double> sums;
      for (int i = 0; i < iterations; ++i) {
        sums.assign(static_cast<size_t>(vs), 0);
        for_entries(b, [&](int64_t entry, int64_t o, int64_t in, int64_t h, int64_t w) {
          const auto [ui, vi] = form_index(form, b, o, in, h, w);
          sums[static_cast<size_t>(vi)] += static_cast<double>(from[entry]) * static_cast<double>(u[ui]);
        });
        to_unit_length(sums, v);
        sums.assign(static_cast<size_t>(us), 0);
        for_entries(b, [&](int64_t entry, int64_t o, int64_t in, int64_t h, int64_t w) {
          const auto [ui, vi] = form_index(form, b, o, in, h, w);
          sums[static_cast<size_t>(ui)] += static_cast<double>(from[entry]) * static_cast<double>(v[vi]);
        });
        to_unit_length(sums, u);
      }
    }
    double value = 0;
    smallest_form(b, from, forms, group, value);
    s.data<T>()[group] = static_cast<T>(value);
  }
}

template <class T>
void HostKernelNorm<T>::four_forms_backward(const Tensor& k, const FourForms& forms, const Tensor& ds, Tensor& dk) {
  const Block b = block_of(k);
  for (int64_t group = 0; group < k.shape()[0] / b.m; ++group) {
    double value = 0;
    const int form = smallest_form(b, k.data<T>() + group * b.size(), forms, group, value);
    const auto which = static_cast<size_t>(form);
    const T* u = forms.u[which].template data<T>() + group * forms.u[which].shape()[1];
    const T* v = forms.v[which].template data<T>() + group * forms.v[which].shape()[1];
    const T scale = ds.data<T>()[group];
    T* to = dk.data<T>() + group * b.size();
    for_entries(b, [&](int64_t at, int64_t o, int64_t i, int64_t h, int64_t w) {
      const auto [ui, vi] = form_index(form, b, o, i, h, w);
      to[at] = scale * u[ui] * v[vi];
    });
  }
}

template <class T>
void HostKernelNorm<T>::scale_groups(const Tensor& k, const Tensor& s, double numerator, double epsilon, Tensor& y) {
  const int64_t groups = s.numel(), size = k.numel() / groups;
  for (int64_t group = 0; group < groups; ++group) {
    const T factor = static_cast<T>(numerator / (static_cast<double>(s.data<T>()[group]) + epsilon));
    const T* from = k.data<T>() + group * size;
    T* to = y.data<T>() + group * size;
    for (int64_t i = 0; i < size; ++i) to[i] = from[i] * factor;
  }
}

template <class T>
void HostKernelNorm<T>::scale_groups_backward(const Tensor& k, const Tensor& s, double numerator, double epsilon,
                                              const Tensor& dy, Tensor& dk, Tensor& ds) {
  const int64_t groups = s.numel(), size = k.numel() / groups;
  for (int64_t group = 0; group < groups; ++group) {
    const double base = static_cast<double>(s.data<T>()[group]) + epsilon;
    const T factor = static_cast<T>(numerator / base);
    const T* from = k.data<T>() + group * size;
    const T* given = dy.data<T>() + group * size;
    T* to = dk.data<T>() + group * size;
    double dot = 0;
    for (int64_t i = 0; i < size; ++i) {
      dot += static_cast<double>(from[i]) * static_cast<double>(given[i]);
      to[i] = given[i] * factor;
    }
    ds.data<T>()[group] = static_cast<T>(-dot * numerator / (base * base));
  }
}

template class HostKernelNorm<float>;
template class HostKernelNorm<double>;

}  // namespace gsnet::host
