// The four bilinear forms of 3x3 and 1x1 kernels on the cpu: rows of a kernel, (in; tap) of one output channel, go once
// through the first-level cache for all forms. One side of a form lies along a row and is the same for all of them
// ("columns"), the other has some numbers of its own for a row ("rows"): sum over o, j of k[o][j] columns[j] rows(o)[j
// % 9]. Of a 1x1 kernel these are one number, nine times.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/row_kernels.h"
#include "backend/cpu/scratch.h"
#include "backend/host/parallel.h"

namespace gsnet::cpu {
namespace {

constexpr size_t kForms = 4;
constexpr int64_t kPieces = 8;  // of a group's rows, summed one after the other whatever the number of threads

/// Where number t of row o is among a form's rows, and number j of a row among its columns.
int64_t row_place(size_t form, int64_t taps, int64_t o, int64_t t) {
  if (taps == 1 || form == 2) return o;
  if (form == 3) return o * kRowTaps + t;
  return o * 3 + (form == 0 ? t / 3 : t % 3);
}
int64_t column_place(size_t form, int64_t taps, int64_t j) {
  if (taps == 1 || form == 2) return j;
  const int64_t in = j / kRowTaps, t = j % kRowTaps;
  return form == 3 ? in : in * 3 + (form == 0 ? t % 3 : t / 3);
}

/// Which side is u: columns but in the last form.
constexpr bool u_is_columns(size_t form) { return form != 3; }

void to_unit_length(const double* from, int64_t count, float* to) {
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += from[i] * from[i];
  const double length = std::max(std::sqrt(squares), 1e-12);
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i] / length);
}

class Forms {
 public:
  Forms(int threads, const std::shared_ptr<Allocator>& memory, const Shape& kernel, const FourForms& forms)
      : threads_(threads),
        m_(kernel[1]),
        taps_(kernel[2] * kernel[3]),
        groups_(kernel[0] / m_),
        forms_(forms),
        columns_(memory, doubles(groups_ * kForms * length())),
        sums_(memory, doubles(groups_ * kPieces * kForms * length())),
        rows_(memory, doubles(groups_ * kForms * length())) {}

  /// One round of power iteration: v from u, u from v.
  void iterate(const float* k) {
    update(k, true);
    update(k, false);
  }

  /// u' K v of every group's forms.
  std::vector<double> values(const float* k) {
    spread_columns([](size_t) { return true; });
    std::vector<double> parts(static_cast<size_t>(groups_ * kPieces) * kForms), made(parts.size() / kPieces);
    each_row([&](int64_t group, int64_t piece, int64_t o, int64_t row) {
      for (size_t f = 0; f < kForms; ++f) {
        double sums[kRowTaps], pattern[kRowTaps];
        row_kernels().dot(k + row, columns(group, f), length(), sums);
        pattern_of(group, f, o, pattern);
        double& part = parts[static_cast<size_t>(group * kPieces + piece) * kForms + f];
        for (int64_t t = 0; t < kRowTaps; ++t) part += sums[t] * pattern[t];
      }
    });
    for (size_t i = 0; i < parts.size(); ++i) made[i / (kPieces * kForms) * kForms + i % kForms] += parts[i];
    return made;
  }

  /// dk = factor[g] times the outer product of one form of each group.
  void outer(const int32_t* form, const float* factor, float* dk) {
    spread_columns([](size_t) { return true; });
    each_row([&](int64_t group, int64_t, int64_t o, int64_t row) {
      const auto f = static_cast<size_t>(form[group]);
      double pattern[kRowTaps];
      pattern_of(group, f, o, pattern);
      for (double& value : pattern) value *= static_cast<double>(factor[group]);
      row_kernels().outer(columns(group, f), pattern, length(), dk + row);
    });
  }

 private:
  static size_t doubles(int64_t count) { return static_cast<size_t>(count) * sizeof(double); }
  int64_t length() const { return m_ * taps_; }
  static double* at(const Scratch& scratch, int64_t i) { return static_cast<double*>(scratch.raw()) + i; }
  double* columns(int64_t group, size_t form) const {
    return at(columns_, (group * static_cast<int64_t>(kForms) + static_cast<int64_t>(form)) * length());
  }
  double* rows(int64_t group, size_t form) const {
    return at(rows_, (group * static_cast<int64_t>(kForms) + static_cast<int64_t>(form)) * length());
  }
  double* sums(int64_t group, int64_t piece, size_t form) const {
    return at(sums_,
              ((group * kPieces + piece) * static_cast<int64_t>(kForms) + static_cast<int64_t>(form)) * length());
  }
  const Tensor& side(size_t form, bool of_columns) const {
    return of_columns == u_is_columns(form) ? forms_.u[form] : forms_.v[form];
  }
  float* vector(int64_t group, size_t form, bool of_columns) const {
    const Tensor& all = side(form, of_columns);
    return all.data<float>() + group * all.shape()[1];
  }
  void pattern_of(int64_t group, size_t form, int64_t o, double* pattern) const {
    const float* from = vector(group, form, false);
    for (int64_t t = 0; t < kRowTaps; ++t) pattern[t] = static_cast<double>(from[row_place(form, taps_, o, t)]);
  }

  /// Columns of the forms that `wanted` says, number by number of a row.
  template <class Wanted>
  void spread_columns(Wanted&& wanted) {
    host::parallel_for(threads_, groups_ * static_cast<int64_t>(kForms), length(), [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t group = item / static_cast<int64_t>(kForms);
        const auto f = static_cast<size_t>(item) % kForms;
        if (!wanted(f)) continue;
        const float* from = vector(group, f, true);
        double* to = columns(group, f);
        for (int64_t j = 0; j < length(); ++j) to[j] = static_cast<double>(from[column_place(f, taps_, j)]);
      }
    });
  }

  /// body(group, piece, output channel, where its row of the kernel begins); a piece's rows in order.
  template <class Body>
  void each_row(Body&& body) const {
    host::parallel_for(threads_, groups_ * kPieces, m_ * length() / kPieces * 4, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t group = item / kPieces, piece = item % kPieces;
        for (int64_t o = m_ * piece / kPieces; o < m_ * (piece + 1) / kPieces; ++o) {
          body(group, piece, o, (group * m_ + o) * length());
        }
      }
    });
  }

  /// v of every form from its u, or u from its v.
  void update(const float* k, bool v) {
    const auto to_columns = [&](size_t f) { return u_is_columns(f) != v; };
    spread_columns([&](size_t f) { return !to_columns(f); });
    std::fill_n(at(sums_, 0), groups_ * kPieces * static_cast<int64_t>(kForms) * length(), 0.0);
    std::fill_n(at(rows_, 0), groups_ * static_cast<int64_t>(kForms) * length(), 0.0);
    each_row([&](int64_t group, int64_t piece, int64_t o, int64_t row) {
      for (size_t f = 0; f < kForms; ++f) {
        double numbers[kRowTaps];
        if (to_columns(f)) {
          pattern_of(group, f, o, numbers);
          row_kernels().add(k + row, numbers, length(), sums(group, piece, f));
          continue;
        }
        row_kernels().dot(k + row, columns(group, f), length(), numbers);
        for (int64_t t = 0; t < kRowTaps; ++t) rows(group, f)[row_place(f, taps_, o, t)] += numbers[t];
      }
    });
    host::parallel_for(threads_, groups_ * static_cast<int64_t>(kForms), length() * kPieces,
                       [&](int64_t begin, int64_t end) {
                         for (int64_t item = begin; item < end; ++item) {
                           const auto f = static_cast<size_t>(item) % kForms;
                           normalise(item / static_cast<int64_t>(kForms), f, to_columns(f));
                         }
                       });
  }

  void normalise(int64_t group, size_t form, bool of_columns) const {
    const int64_t size = side(form, of_columns).shape()[1];
    if (!of_columns) return to_unit_length(rows(group, form), size, vector(group, form, false));
    std::vector<double> total(static_cast<size_t>(size));
    for (int64_t piece = 0; piece < kPieces; ++piece) {
      const double* from = sums(group, piece, form);
      for (int64_t j = 0; j < length(); ++j) total[static_cast<size_t>(column_place(form, taps_, j))] += from[j];
    }
    to_unit_length(total.data(), size, vector(group, form, true));
  }

  int threads_;
  int64_t m_, taps_, groups_;
  const FourForms& forms_;
  Scratch columns_, sums_, rows_;  ///< of a group and form, and of a piece the second
};

bool has_rows(const Shape& kernel) {
  const int64_t high = kernel[2], wide = kernel[3];
  return high == wide && (high == 1 || high == 3) && kernel.numel() > 0;
}

}  // namespace

void CpuBackend::four_forms(const Tensor& k, int64_t groups, int iterations, FourForms& forms, Tensor& s,
                            Tensor& smallest) {
  if (!has_rows(k.shape())) {
    return host::HostBackend<float>::four_forms(k, groups, iterations, forms, s, smallest);
  }
  Forms of(threads(), memory(), k.shape(), forms);
  for (int i = 0; i < iterations; ++i) of.iterate(k.data<float>());
  const std::vector<double> values = of.values(k.data<float>());
  for (int64_t group = 0; group < groups; ++group) {
    const auto first = values.begin() + group * static_cast<int64_t>(kForms);
    const auto least = std::min_element(first, first + kForms);
    s.data<float>()[group] = static_cast<float>(*least);
    smallest.data<int32_t>()[group] = static_cast<int32_t>(least - first);
  }
}

void CpuBackend::four_forms_backward(const FourForms& forms, const Tensor& smallest, const Tensor& ds, Tensor& dk) {
  if (!has_rows(dk.shape())) return host::HostBackend<float>::four_forms_backward(forms, smallest, ds, dk);
  Forms of(threads(), memory(), dk.shape(), forms);
  of.outer(smallest.data<int32_t>(), ds.data<float>(), dk.data<float>());
}

}  // namespace gsnet::cpu
