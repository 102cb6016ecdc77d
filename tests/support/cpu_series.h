// Problems for the cpu machine's series, and an oracle for them: host loops in double, which sum powers as they are
// written and take the adjoint without assuming skewness.
#pragma once

#include <cmath>
#include <cstring>
#include <string>

#include "backend/cpu/make.h"
#include "backend/cpu/series.h"
#include "backend/host/host_backend.h"
#include "core/random.h"

namespace gsnet {

class Oracle final : public host::HostBackend<double> {
 public:
  Oracle() : host::HostBackend<double>(1) {}
  std::string name() const override { return "oracle"; }
  std::string description() const override { return "host loops in double"; }
};

inline Tensor random_tensor(const Shape& shape, uint64_t seed, double size, Layout layout = Layout::row_major) {
  Tensor x = Tensor::empty(shape, DType::f32, layout);
  Random random{RandomKey(seed)};
  for (float& value : x.host<float>()) value = static_cast<float>(size * random.normal());
  return x;
}

inline double relative_error(const Tensor& a, const Tensor& b) {
  double apart = 0, size = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double difference = static_cast<double>(a.data<float>()[i]) - b.data<double>()[i];
    apart += difference * difference;
    size += b.data<double>()[i] * b.data<double>()[i];
  }
  return size == 0 ? std::sqrt(apart) : std::sqrt(apart / size);
}

inline bool same_bits(const Tensor& a, const Tensor& b) { return std::memcmp(a.raw(), b.raw(), a.bytes()) == 0; }

constexpr double kTolerance = 3e-6;  // a few roundings of sums of up to some thousand products, a term

inline SeriesSpec exponential(int degree, int64_t groups, SeriesSave save) {
  SeriesSpec spec{.coefficients = {1}, .groups = groups, .save = save};
  for (int m = 1; m <= degree; ++m) spec.coefficients.push_back(spec.coefficients.back() / m);
  return spec;
}

struct Case {
  int64_t batch, group_channels, groups, height, width, kernel_height, kernel_width;
  int degree;
};

struct Problem {
  Tensor x, k, dy;
};

inline Problem problem_of(const Case& c, Backend& oracle) {
  const int64_t channels = c.group_channels * c.groups;
  const Shape shape = {c.batch, channels, c.height, c.width};
  const double size = 1 / std::sqrt(static_cast<double>(c.group_channels * c.kernel_height * c.kernel_width));
  const Tensor w = random_tensor({channels, c.group_channels, c.kernel_height, c.kernel_width}, 1, size);
  Tensor k = oracle.empty(w.shape());
  oracle.skew(oracle.upload(w), c.groups, k);
  return {random_tensor(shape, 2, 1, Layout::channels_last), with_dtype(k, DType::f32),
          random_tensor(shape, 3, 1, Layout::channels_last)};
}

struct Results {
  Tensor y, dx, dk, lone_dx, lone_dk;
};

/// dk.
inline Tensor backward_of(const cpu::SeriesMachine& machine, const Problem& problem, const SeriesSpec& spec,
                          const SeriesSaved& saved, Tensor* dx) {
  const int64_t channels = problem.x.shape()[1];
  const ChannelMap same = ChannelMap::head(channels, channels);
  return cpu::series_backward(machine, problem.x, problem.k, spec, {1, &same, &same, nullptr}, saved, problem.dy, dx);
}

inline Results run(Backend& machine, const Problem& problem, const SeriesSpec& spec) {
  const Tensor x = machine.upload(problem.x), k = machine.upload(problem.k), dy = machine.upload(problem.dy);
  Results r{machine.empty_like(x), machine.empty_like(x), machine.empty_like(k), machine.empty_like(x),
            machine.empty_like(k)};
  SeriesSaved saved;
  machine.conv_exp(x, k, spec, r.y, &saved);
  machine.conv_exp_backward(x, k, spec, saved, dy, &r.dx, &r.dk);
  machine.conv_exp_backward(x, k, spec, saved, dy, &r.lone_dx, nullptr);
  machine.conv_exp_backward(x, k, spec, saved, dy, nullptr, &r.lone_dk);
  return r;
}

}  // namespace gsnet
