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

constexpr int64_t kSkewSide = 16;

/// The square of channels at (row, column) of the squares, column <= row, and the one across the diagonal. kTaps: how
/// many there are, or 0.
template <int kTaps, class T>
void skew_square(const Block& b, int64_t row, int64_t column, const T* from, T* to) {
  const int64_t taps = kTaps > 0 ? kTaps : b.taps();
  for (int64_t o = row * kSkewSide; o < std::min((row + 1) * kSkewSide, b.m); ++o) {
    for (int64_t i = column * kSkewSide; i < std::min((column + 1) * kSkewSide, o + 1); ++i) {
      const int64_t here = (o * b.m + i) * taps, there = (i * b.m + o) * taps + taps - 1;
      if constexpr (kTaps > 0) {
        std::array<T, kTaps> part;
        for (int64_t t = 0; t < kTaps; ++t) part[static_cast<size_t>(t)] = (from[here + t] - from[there - t]) / 2;
        for (int64_t t = 0; t < kTaps; ++t) to[here + t] = part[static_cast<size_t>(t)];
        for (int64_t t = 0; t < kTaps; ++t) to[there - t] = -part[static_cast<size_t>(t)];
      } else {
        for (int64_t t = 0; t < taps; ++t) {
          const T difference = (from[here + t] - from[there - t]) / 2;
          to[here + t] = difference;
          to[there - t] = -difference;
        }
      }
    }
  }
}

/// The same of a 1x1 kernel, a matrix, a whole line of the caches at a time.
template <class T>
void skew_matrix_square(const Block& b, int64_t row, int64_t column, const T* from, T* to) {
  const int64_t first = row * kSkewSide, high = std::min(kSkewSide, b.m - first);
  const int64_t second = column * kSkewSide, wide = std::min(kSkewSide, b.m - second);
  std::array<std::array<T, kSkewSide>, kSkewSide> across = {}, half = {};
  for (int64_t i = 0; i < wide; ++i) {
    const T* line = from + (second + i) * b.m + first;
    for (int64_t o = 0; o < high; ++o) across[static_cast<size_t>(o)][static_cast<size_t>(i)] = line[o];
  }
  for (int64_t o = 0; o < high; ++o) {
    const auto at = static_cast<size_t>(o);
    const T* line = from + (first + o) * b.m + second;
    for (int64_t i = 0; i < wide; ++i) {
      half[at][static_cast<size_t>(i)] = (line[i] - across[at][static_cast<size_t>(i)]) / 2;
    }
  }
  for (int64_t o = 0; o < high; ++o) {
    std::copy_n(half[static_cast<size_t>(o)].data(), wide, to + (first + o) * b.m + second);
  }
  if (row == column) return;
  for (int64_t i = 0; i < wide; ++i) {
    T* line = to + (second + i) * b.m + first;
    for (int64_t o = 0; o < high; ++o) line[o] = -half[static_cast<size_t>(o)][static_cast<size_t>(i)];
  }
}

template <class T>
double frobenius(const std::vector<T>& a) {
  double sum = 0;
  for (T value : a) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

/// How far an index of a vector moves when an entry's o, i, h or w grows by one.
struct Strides {
  int64_t o, i, h, w;
};

struct Form {
  Strides u, v;
};

Form form_at(int form, const Block& b) {
  switch (form) {
    case 0:
      return {{0, b.width, 0, 1}, {b.height, 0, 1, 0}};
    case 1:
      return {{0, b.height, 1, 0}, {b.width, 0, 0, 1}};
    case 2:
      return {{0, b.taps(), b.width, 1}, {1, 0, 0, 0}};
    default:
      return {{b.taps(), 0, b.width, 1}, {0, 1, 0, 0}};
  }
}

/// Calls body(entry, position in u, position in v) for every entry of a group's kernel, of outputs [begin, end), in
/// order.
template <class Body>
void for_entries(const Block& b, const Form& form, int64_t begin, int64_t end, Body&& body) {
  int64_t entry = begin * b.m * b.taps();
  for (int64_t o = begin; o < end; ++o) {
    for (int64_t i = 0; i < b.m; ++i) {
      for (int64_t h = 0; h < b.height; ++h) {
        int64_t u = form.u.o * o + form.u.i * i + form.u.h * h, v = form.v.o * o + form.v.i * i + form.v.h * h;
        for (int64_t w = 0; w < b.width; ++w, ++entry, u += form.u.w, v += form.v.w) body(entry, u, v);
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

/// One group's vectors of one form.
template <class T>
struct Vectors {
  T* u;
  T* v;
  size_t u_size, v_size;
};

template <class T>
Vectors<T> vectors_at(const FourForms& forms, int form, int64_t group) {
  const auto at = static_cast<size_t>(form);
  const int64_t us = forms.u[at].shape()[1], vs = forms.v[at].shape()[1];
  return {forms.u[at].template data<T>() + group * us, forms.v[at].template data<T>() + group * vs,
          static_cast<size_t>(us), static_cast<size_t>(vs)};
}

/// sums[to] += k x[from] over all entries of a 3x3 kernel: what belongs to one pair of channels is summed in registers.
/// kTo…, kFrom…: how far a step down or right in the kernel moves in each vector.
template <int kToRow, int kToColumn, int kFromRow, int kFromColumn, class T>
void multiply_3x3(const Block& b, const Strides& to, const Strides& from, const T* k, const T* x, double* sums) {
  constexpr int kPlaces = 2 * kToRow + 2 * kToColumn + 1;  // that one pair of channels reaches
  for (int64_t o = 0; o < b.m; ++o) {
    for (int64_t i = 0; i < b.m; ++i, k += 9) {
      const T* given = x + from.o * o + from.i * i;
      double part[kPlaces] = {};
#pragma GCC unroll 3
      for (int h = 0; h < 3; ++h) {
#pragma GCC unroll 3
        for (int w = 0; w < 3; ++w) {
          part[kToRow * h + kToColumn * w] +=
              static_cast<double>(k[3 * h + w]) * static_cast<double>(given[kFromRow * h + kFromColumn * w]);
        }
      }
      double* at = sums + to.o * o + to.i * i;
      for (int n = 0; n < kPlaces; ++n) at[n] += part[n];
    }
  }
}

/// The same for a 1x1 kernel, a matrix: its rows times x, or x times its rows.
template <class T>
void multiply_matrix(int64_t m, bool transpose, const T* k, const T* x, double* sums) {
  for (int64_t o = 0; o < m; ++o, k += m) {
    if (transpose) {
      const auto factor = static_cast<double>(x[o]);
      for (int64_t i = 0; i < m; ++i) sums[i] += static_cast<double>(k[i]) * factor;
      continue;
    }
    double parts[4] = {};  // so that additions do not wait for each other
    for (int64_t i = 0; i < m; ++i) parts[i % 4] += static_cast<double>(k[i]) * static_cast<double>(x[i]);
    sums[o] += (parts[0] + parts[1]) + (parts[2] + parts[3]);
  }
}

/// sums[place in `to`] += k x[place in `from`] over all entries.
template <class T>
void multiply_form(const Block& b, const Strides& to, const Strides& from, const T* k, const T* x,
                   std::vector<double>& sums) {
  if (b.height == 3 && b.width == 3) {
    const auto is = [&](int64_t to_h, int64_t to_w, int64_t from_h, int64_t from_w) {
      return to.h == to_h && to.w == to_w && from.h == from_h && from.w == from_w;
    };
    if (is(0, 1, 1, 0)) return multiply_3x3<0, 1, 1, 0>(b, to, from, k, x, sums.data());
    if (is(1, 0, 0, 1)) return multiply_3x3<1, 0, 0, 1>(b, to, from, k, x, sums.data());
    if (is(0, 0, 3, 1)) return multiply_3x3<0, 0, 3, 1>(b, to, from, k, x, sums.data());
    if (is(3, 1, 0, 0)) return multiply_3x3<3, 1, 0, 0>(b, to, from, k, x, sums.data());
  }
  if (b.taps() == 1) return multiply_matrix(b.m, to.i != 0, k, x, sums.data());
  for_entries(b, {from, to}, 0, b.m, [&](int64_t entry, int64_t u, int64_t v) {
    sums[static_cast<size_t>(v)] += static_cast<double>(k[entry]) * static_cast<double>(x[u]);
  });
}

/// v <- K u, u <- K' v, each of unit length.
template <class T>
void power_iteration(const Block& b, const Form& form, const T* k, int rounds, const Vectors<T>& at) {
  std::vector<double> sums;
  for (int round = 0; round < rounds; ++round) {
    sums.assign(at.v_size, 0);
    multiply_form(b, form.v, form.u, k, at.u, sums);
    to_unit_length(sums, at.v);
    sums.assign(at.u_size, 0);
    multiply_form(b, form.u, form.v, k, at.v, sums);
    to_unit_length(sums, at.u);
  }
}

template <class T>
double form_value(const Block& b, const Form& form, const T* k, const Vectors<T>& at) {
  std::vector<double> sums(at.v_size);
  multiply_form(b, form.v, form.u, k, at.u, sums);
  double value = 0;
  for (size_t n = 0; n < sums.size(); ++n) value += sums[n] * static_cast<double>(at.v[n]);
  return value;
}

}  // namespace

// Pairs of squares of channels that face each other across the diagonal, so that every number is read and written once.
template <class T>
void HostKernelNorm<T>::skew(const Tensor& w, int64_t groups, Tensor& k) {
  const Block b = block_of(w);
  const int64_t squares = (b.m + kSkewSide - 1) / kSkewSide, pairs = squares * (squares + 1) / 2;
  parallel_for(this->threads(), groups * pairs, kSkewSide * kSkewSide * b.taps(), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      int64_t row = 0, column = item % pairs;
      for (; column > row; ++row) column -= row + 1;
      const int64_t group = item / pairs * b.size();
      const auto square = b.taps() == 9 ? skew_square<9, T> : b.taps() == 1 ? skew_matrix_square<T> : skew_square<0, T>;
      square(b, row, column, w.data<T>() + group, k.data<T>() + group);
    }
  });
}

// a_0 = M M', a_{j+1} = a_j a_j, each divided by its Frobenius norm n_j; s = sqrt(taps) n_q^(2/p), p = 2^(q + 2).
template <class T>
void HostKernelNorm<T>::gram_norm(const Tensor& k, int64_t groups, Tensor& s, GramSaved*) {
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
    s.data<T>()[group] =
        static_cast<T>(std::sqrt(static_cast<double>(b.taps())) * std::exp(std::ldexp(log_norm, -squarings - 1)));
  }
}

// ds/dM = sqrt(taps) S^(1-p) (M M')^(p/2-1) M with S = s / sqrt(taps), the power being the product of all iterates.
template <class T>
void HostKernelNorm<T>::gram_norm_backward(const Tensor& k, const Tensor& s, const GramSaved&, const Tensor& ds,
                                           Tensor& dk) {
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
    const double scale =
        static_cast<double>(ds.data<T>()[group]) * root * std::exp(log_product - (order - 1) * log_schatten);
    for (T& value : product) value = static_cast<T>(value * scale);
    this->gemm({1, b.m, columns, b.m}, product.data(), matrix, dk.data<T>() + group * b.size());
  }
}

template <class T>
void HostKernelNorm<T>::four_forms(const Tensor& k, int64_t groups, int iterations, FourForms& forms, Tensor& s,
                                   Tensor& smallest) {
  const Block b = block_of(k);
  std::vector<double> values(static_cast<size_t>(groups * 4));
  parallel_for(this->threads(), groups * 4, b.size() * (2 * iterations + 1), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const auto form = static_cast<int>(task % 4);
      const T* from = k.data<T>() + task / 4 * b.size();
      const Vectors<T> at = vectors_at<T>(forms, form, task / 4);
      power_iteration(b, form_at(form, b), from, iterations, at);
      values[static_cast<size_t>(task)] = form_value(b, form_at(form, b), from, at);
    }
  });
  for (int64_t group = 0; group < groups; ++group) {
    const auto first = values.begin() + group * 4, least = std::min_element(first, first + 4);
    s.data<T>()[group] = static_cast<T>(*least);
    smallest.data<int32_t>()[group] = static_cast<int32_t>(least - first);
  }
}

template <class T>
void HostKernelNorm<T>::four_forms_backward(const FourForms& forms, const Tensor& smallest, const Tensor& ds,
                                            Tensor& dk) {
  const Block b = block_of(dk);
  const int64_t groups = dk.shape()[0] / std::max<int64_t>(b.m, 1);
  parallel_for(this->threads(), groups * b.m, b.size() / std::max<int64_t>(b.m, 1), [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end;) {
      const int64_t group = first / b.m, last = std::min(end, (group + 1) * b.m);
      const int form = smallest.data<int32_t>()[group];
      const Vectors<T> at = vectors_at<T>(forms, form, group);
      const T scale = ds.data<T>()[group];
      T* to = dk.data<T>() + group * b.size();
      for_entries(b, form_at(form, b), first - group * b.m, last - group * b.m,
                  [&](int64_t entry, int64_t u, int64_t v) { to[entry] = scale * at.u[u] * at.v[v]; });
      first = last;
    }
  });
}

template <class T>
void HostKernelNorm<T>::scale_groups(const Tensor& k, const Tensor& s, double numerator, double epsilon, Tensor& y) {
  const int64_t size = k.numel() / s.numel();
  parallel_for(this->threads(), k.numel(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end;) {
      const int64_t group = first / size, last = std::min(end, (group + 1) * size);
      const T factor = static_cast<T>(numerator / (static_cast<double>(s.data<T>()[group]) + epsilon));
      const T* from = k.data<T>();
      T* to = y.data<T>();
      for (; first < last; ++first) to[first] = from[first] * factor;
    }
  });
}

template <class T>
void HostKernelNorm<T>::scale_groups_backward(const Tensor& k, const Tensor& s, double numerator, double epsilon,
                                              const Tensor& dy, Tensor& ds) {
  constexpr int64_t kPiece = 4096;  // summed by itself, in lanes
  const int64_t groups = s.numel(), size = k.numel() / groups, pieces = (size + kPiece - 1) / kPiece;
  std::vector<double> sums(static_cast<size_t>(groups * pieces));
  parallel_for(this->threads(), groups * pieces, kPiece * 2, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first = item % pieces * kPiece, count = std::min(kPiece, size - first);
      const T* from = k.data<T>() + item / pieces * size + first;
      const T* given = dy.data<T>() + item / pieces * size + first;
      std::array<double, 16> lanes = {};
      for (int64_t i = 0; i < count; ++i) {
        lanes[static_cast<size_t>(i % 16)] += static_cast<double>(from[i]) * static_cast<double>(given[i]);
      }
      for (const double lane : lanes) sums[static_cast<size_t>(item)] += lane;
    }
  });
  for (int64_t group = 0; group < groups; ++group) {
    double dot = 0;
    for (int64_t piece = 0; piece < pieces; ++piece) dot += sums[static_cast<size_t>(group * pieces + piece)];
    const double base = static_cast<double>(s.data<T>()[group]) + epsilon;
    ds.data<T>()[group] = static_cast<T>(-dot * numerator / (base * base));
  }
}

template class HostKernelNorm<float>;
template class HostKernelNorm<double>;

}  // namespace gsnet::host
