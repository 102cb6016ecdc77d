// Skew part, Gram norm, the four bilinear forms, and scaling, all groups at once.
#include <cmath>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/loops.h"
#include "backend/cuda/sums.h"

namespace gsnet::cuda {
namespace {

/// One group of a kernel: (out, in, height, width) with out = in = m.
struct Block {
  int64_t m, height, width;

  GSNET_ANYWHERE int64_t taps() const { return height * width; }
  GSNET_DEVICE int64_t size() const { return m * m * height * width; }
};

Block block_of(const Tensor& k) { return {k.shape()[1], k.shape()[2], k.shape()[3]}; }

}  // namespace

void CudaBackend::skew(const Tensor& w, int64_t, Tensor& k) {
  const Block b = block_of(w);
  const float* from = w.data<float>();
  float* to = k.data<float>();
  for_each(stream(), w.numel(), [=] GSNET_DEVICE(int64_t e) {
    const int64_t taps = b.taps(), t = e % taps, i = e / taps % b.m, o = e / (taps * b.m) % b.m;
    const int64_t group = e / b.size() * b.size();
    to[e] = (from[e] - from[group + (i * b.m + o) * taps + taps - 1 - t]) / 2;
  });
}

namespace {

/// Divides the matrices of a (g, m, m) by their Frobenius norms n, and log_norm <- 2 log_norm + log n; what else is
/// added to log_product.
void rescale(Runtime& runtime, Tensor& a, Tensor& log_norm, Tensor* log_product) {
  const int64_t groups = a.shape()[0], size = a.numel() / groups;
  float* at = a.data<float>();
  const Tensor squares = dots_of_rows(runtime, groups, size, at, at);
  const double* square = squares.data<double>();
  double* log_of = log_norm.data<double>();
  double* product = log_product != nullptr ? log_product->data<double>() : nullptr;
  for_each(runtime.stream(), groups, [=] GSNET_DEVICE(int64_t g) {
    log_of[g] = 2 * log_of[g] + log(square[g]) / 2;
    if (product != nullptr) product[g] += log_of[g];
  });
  for_each(runtime.stream(), a.numel(), [=] GSNET_DEVICE(int64_t i) {
    const double n = sqrt(square[i / size]);
    if (n > 0) at[i] = static_cast<float>(static_cast<double>(at[i]) / n);
  });
}

Tensor zeros(Runtime& runtime, const Shape& shape, DType dtype) {
  Tensor made = Tensor::empty(shape, dtype, Layout::row_major, runtime.memory());
  runtime.clear(made.raw(), made.bytes());
  return made;
}

}  // namespace

// a_0 = M M', a_{j+1} = a_j a_j, each divided by its Frobenius norm n_j; s = sqrt(taps) n_q^(2/p), p = 2^(q + 2).
void CudaBackend::gram_norm(const Tensor& k, int64_t groups, Tensor& s, GramSaved*) {
  const Block b = block_of(k);
  const Tensor matrices = k.view({groups, b.m, b.m * b.taps()});
  const int squarings = gram_squarings(b.m);
  Tensor a = scratch({groups, b.m, b.m}), next = scratch(a.shape());
  Tensor log_norm = zeros(*runtime_, {groups}, DType::f64);
  matmul(matrices, false, matrices, true, a);
  rescale(*runtime_, a, log_norm, nullptr);
  for (int step = 1; step <= squarings; ++step) {
    matmul(a, false, a, false, next);
    std::swap(a, next);
    rescale(*runtime_, a, log_norm, nullptr);
  }
  const double* log_of = log_norm.data<double>();
  float* to = s.data<float>();
  const double root = std::sqrt(static_cast<double>(b.taps())), power = std::ldexp(1.0, -squarings - 1);
  for_each(stream(), groups,
           [=] GSNET_DEVICE(int64_t g) { to[g] = static_cast<float>(root * exp(log_of[g] * power)); });
}

// ds/dM = sqrt(taps) S^(1-p) (M M')^(p/2-1) M with S = s / sqrt(taps), the power being the product of all iterates.
void CudaBackend::gram_norm_backward(const Tensor& k, const Tensor& s, const GramSaved&, const Tensor& ds, Tensor& dk) {
  const Block b = block_of(k);
  const int64_t groups = k.shape()[0] / b.m, size = b.m * b.m;
  const Tensor matrices = k.view({groups, b.m, b.m * b.taps()});
  const int squarings = gram_squarings(b.m);
  Tensor a = scratch({groups, b.m, b.m}), next = scratch(a.shape()), product = scratch(a.shape());
  Tensor log_norm = zeros(*runtime_, {groups}, DType::f64), log_product = zeros(*runtime_, {groups}, DType::f64);
  matmul(matrices, false, matrices, true, a);
  rescale(*runtime_, a, log_norm, &log_product);
  copy(a, product);
  for (int step = 1; step <= squarings; ++step) {
    matmul(a, false, a, false, next);
    std::swap(a, next);
    rescale(*runtime_, a, log_norm, &log_product);
    matmul(product, false, a, false, next);
    std::swap(product, next);
  }
  const double root = std::sqrt(static_cast<double>(b.taps())), order = std::ldexp(1.0, squarings + 2);
  const float* norm = s.data<float>();
  const float* given = ds.data<float>();
  const double* log_of = log_product.data<double>();
  float* at = product.data<float>();
  for_each(stream(), product.numel(), [=] GSNET_DEVICE(int64_t i) {
    const int64_t g = i / size;
    const double log_schatten = log(static_cast<double>(norm[g]) / root);
    const double factor = static_cast<double>(given[g]) * root * exp(log_of[g] - (order - 1) * log_schatten);
    at[i] = static_cast<float>(static_cast<double>(at[i]) * factor);
  });
  Tensor gradient = dk.view(matrices.shape());
  matmul(product, false, matrices, false, gradient);
}

namespace {

/// Axes of a kernel's entry.
enum Axis { kOut, kIn, kHigh, kWide };

/// The four axes of a kernel split in two: those that run in u, and those that run in v.
struct Form {
  int u[3], v[3];  ///< axes, the last one fastest
  int u_axes, v_axes;
};

constexpr Form kForms[4] = {{{kIn, kWide, 0}, {kOut, kHigh, 0}, 2, 2},
                            {{kIn, kHigh, 0}, {kOut, kWide, 0}, 2, 2},
                            {{kIn, kHigh, kWide}, {kOut, 0, 0}, 3, 1},
                            {{kOut, kHigh, kWide}, {kIn, 0, 0}, 3, 1}};

/// Which entry of a group's kernel meets place u of the one vector and place v of the other.
struct Meeting {
  Form form;
  Block block;

  GSNET_DEVICE int64_t entry(int64_t u, int64_t v) const {
    int64_t at[4] = {0, 0, 0, 0};
    spread(form.u, form.u_axes, u, at);
    spread(form.v, form.v_axes, v, at);
    return ((at[kOut] * block.m + at[kIn]) * block.height + at[kHigh]) * block.width + at[kWide];
  }
  GSNET_DEVICE int64_t place(const int* axes, int count, const int64_t* at) const {
    int64_t made = 0;
    for (int i = 0; i < count; ++i) made = made * extent(axes[i]) + at[axes[i]];
    return made;
  }
  GSNET_DEVICE int64_t extent(int axis) const {
    return axis == kHigh ? block.height : axis == kWide ? block.width : block.m;
  }

 private:
  GSNET_DEVICE void spread(const int* axes, int count, int64_t place, int64_t* at) const {
    for (int i = count - 1; i >= 0; --i) {
      at[axes[i]] = place % extent(axes[i]);
      place /= extent(axes[i]);
    }
  }
};

/// sums (g, size of the one vector) f64: the kernel times the other vector.
Tensor times(Runtime& runtime, const Meeting& meeting, const Tensor& k, const Tensor& other, int64_t size, bool to_v) {
  const int64_t groups = other.shape()[0], columns = other.shape()[1];
  Tensor sums = Tensor::empty({groups, size}, DType::f64, Layout::row_major, runtime.memory());
  const float* kernel = k.data<float>();
  const float* vector = other.data<float>();
  double* to = sums.data<double>();
  for_rows<Sum>(
      runtime.stream(), groups * size, columns,
      [=] GSNET_DEVICE(int64_t row, int64_t column) {
        const int64_t group = row / size, place = row % size;
        const int64_t entry = to_v ? meeting.entry(column, place) : meeting.entry(place, column);
        return static_cast<double>(kernel[group * meeting.block.size() + entry]) *
               static_cast<double>(vector[group * columns + column]);
      },
      [=] GSNET_DEVICE(int64_t row, double total) { to[row] = total; });
  return sums;
}

/// to (g, size) = from, each row of unit length.
void to_unit_length(Runtime& runtime, const Tensor& from, Tensor& to) {
  const int64_t groups = from.shape()[0], size = from.shape()[1];
  const Tensor lengths = Tensor::empty({groups}, DType::f64, Layout::row_major, runtime.memory());
  const double* values = from.data<double>();
  double* length = lengths.data<double>();
  float* out = to.data<float>();
  for_rows<Sum>(
      runtime.stream(), groups, size,
      [=] GSNET_DEVICE(int64_t g, int64_t i) { return values[g * size + i] * values[g * size + i]; },
      [=] GSNET_DEVICE(int64_t g, double total) {
        const double root = sqrt(total);
        length[g] = root > 1e-12 ? root : 1e-12;
      });
  for_each(runtime.stream(), groups * size,
           [=] GSNET_DEVICE(int64_t i) { out[i] = static_cast<float>(values[i] / length[i / size]); });
}

/// values (g, 4): column `form` = v' K u.
void form_values(Runtime& runtime, const Meeting& meeting, int form, const Tensor& k, const FourForms& forms,
                 Tensor& values) {
  const auto at = static_cast<size_t>(form);
  const int64_t size = forms.v[at].shape()[1];
  const Tensor sums = times(runtime, meeting, k, forms.u[at], size, true);
  const double* sum = sums.data<double>();
  const float* v = forms.v[at].data<float>();
  double* to = values.data<double>();
  for_rows<Sum>(
      runtime.stream(), values.shape()[0], size,
      [=] GSNET_DEVICE(int64_t g, int64_t i) { return sum[g * size + i] * static_cast<double>(v[g * size + i]); },
      [=] GSNET_DEVICE(int64_t g, double total) { to[g * 4 + form] = total; });
}

GSNET_DEVICE inline int smallest_of(const double* values) {
  int smallest = 0;
  for (int form = 1; form < 4; ++form) {
    if (values[form] < values[smallest]) smallest = form;
  }
  return smallest;
}

}  // namespace

void CudaBackend::four_forms(const Tensor& k, int64_t groups, int iterations, FourForms& forms, Tensor& s,
                             Tensor& smallest) {
  const Block b = block_of(k);
  Tensor values = scratch({groups, 4}, DType::f64);
  for (int form = 0; form < 4; ++form) {
    const auto at = static_cast<size_t>(form);
    const Meeting meeting{kForms[form], b};
    for (int round = 0; round < iterations; ++round) {
      to_unit_length(*runtime_, times(*runtime_, meeting, k, forms.u[at], forms.v[at].shape()[1], true), forms.v[at]);
      to_unit_length(*runtime_, times(*runtime_, meeting, k, forms.v[at], forms.u[at].shape()[1], false), forms.u[at]);
    }
    form_values(*runtime_, meeting, form, k, forms, values);
  }
  const double* value = values.data<double>();
  float* to = s.data<float>();
  int32_t* least = smallest.data<int32_t>();
  for_each(stream(), groups, [=] GSNET_DEVICE(int64_t g) {
    least[g] = smallest_of(value + g * 4);
    to[g] = static_cast<float>(value[g * 4 + least[g]]);
  });
}

void CudaBackend::four_forms_backward(const FourForms& forms, const Tensor& smallest, const Tensor& ds, Tensor& dk) {
  const Block b = block_of(dk);
  const int32_t* least = smallest.data<int32_t>();
  const float* given = ds.data<float>();
  float* to = dk.data<float>();
  for (int form = 0; form < 4; ++form) {  // each writes the groups whose smallest it is
    const auto at = static_cast<size_t>(form);
    const Meeting meeting{kForms[form], b};
    const float* u = forms.u[at].data<float>();
    const float* v = forms.v[at].data<float>();
    const int64_t u_size = forms.u[at].shape()[1], v_size = forms.v[at].shape()[1];
    for_each(stream(), dk.numel(), [=] GSNET_DEVICE(int64_t e) {
      const int64_t g = e / b.size();
      if (least[g] != form) return;
      const int64_t place = e % b.size(), taps = b.taps();
      const int64_t axes[4] = {place / (taps * b.m), place / taps % b.m, place / b.width % b.height, place % b.width};
      const int64_t in_u = meeting.place(meeting.form.u, meeting.form.u_axes, axes);
      const int64_t in_v = meeting.place(meeting.form.v, meeting.form.v_axes, axes);
      to[e] = given[g] * u[g * u_size + in_u] * v[g * v_size + in_v];
    });
  }
}

void CudaBackend::scale_groups(const Tensor& k, const Tensor& s, double numerator, double epsilon, Tensor& y) {
  const int64_t size = k.numel() / s.numel();
  const float* from = k.data<float>();
  const float* norm = s.data<float>();
  float* to = y.data<float>();
  for_each(stream(), k.numel(), [=] GSNET_DEVICE(int64_t i) {
    to[i] = from[i] * static_cast<float>(numerator / (static_cast<double>(norm[i / size]) + epsilon));
  });
}

void CudaBackend::scale_groups_backward(const Tensor& k, const Tensor& s, double numerator, double epsilon,
                                        const Tensor& dy, Tensor& ds) {
  const int64_t groups = s.numel(), size = k.numel() / groups;
  const float* from = k.data<float>();
  const float* norm = s.data<float>();
  const float* given = dy.data<float>();
  float* slope = ds.data<float>();
  const Tensor dots = dots_of_rows(*runtime_, groups, size, from, given);
  const double* dot = dots.data<double>();
  for_each(stream(), groups, [=] GSNET_DEVICE(int64_t g) {
    const double base = static_cast<double>(norm[g]) + epsilon;
    slope[g] = static_cast<float>(-dot[g] * numerator / (base * base));
  });
}

}  // namespace gsnet::cuda
