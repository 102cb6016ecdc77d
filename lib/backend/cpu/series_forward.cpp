#include "backend/cpu/scratch.h"
#include "backend/cpu/series.h"
#include "backend/cpu/series_step.h"

namespace gsnet::cpu {
namespace {

struct Forward {
  const SeriesPlan& plan;
  const SeriesSpec& spec;
  float sign;
  const float* weights;
  const Tensor& x;
  const Tensor& y;
  const SeriesSaved* saved;
  float* scratch;

  static constexpr int64_t kBuffers = 3;

  float ratio(int m) const {
    const auto at = static_cast<size_t>(m);
    return sign * static_cast<float>(spec.coefficients[at] / spec.coefficients[at - 1]);
  }

  /// Where u_m goes: u_0 .. u_{K-1}.
  float* iterate(int m, int64_t task, float* buffers) const {
    if (saved != nullptr && m > 0) {
      return saved->tensors[static_cast<size_t>(m - 1)].data<float>() + plan.saved_offset(task);
    }
    return buffers + (1 + m % 2) * plan.buffer_floats();
  }

  static int64_t scratch_floats(const SeriesPlan& plan) {
    return kBuffers * plan.buffer_floats() + step_scratch_floats(plan);
  }

  void step(const Member& member, int m, int64_t task, float* buffers) const {
    const auto first = static_cast<float>(spec.coefficients[0]);
    ConvStep s = {};
    if (task >= 0) {
      s.u = m == spec.degree() ? buffers : iterate(m, task, buffers);
      s.weights = weights + plan.group_of(task) * plan.weight_floats();
      s.x = buffers;
      s.out = iterate(m - 1, task, buffers);
      s.alpha = m == 1 ? first : 1;
      s.beta = m == 1 ? first * ratio(1) : ratio(m);
    }
    series_step(plan, member, task, s, buffers + kBuffers * plan.buffer_floats());
  }

  void task(const Member& member, int64_t task) const {
    const SeriesGeometry& g = plan.geometry;
    const SeriesKernels& kernels = *plan.kernels;
    float* buffers = scratch + member.team() * scratch_floats(plan);
    const Share part = member.share(pixels_of(g));
    if (task >= 0) kernels.load(g, plan.view(x, task), 1, plan.vectors_of(task), buffers, part.begin, part.end);
    member.meet();
    for (int m = spec.degree(); m > 0; --m) {
      step(member, m, task, buffers);
      member.meet();
    }
    if (task < 0) return;
    kernels.store(g, iterate(0, task, buffers), plan.vectors_of(task), plan.view(y, task), part.begin, part.end);
  }
};

}  // namespace

void series_forward(const SeriesMachine& machine, const Tensor& x, const Tensor& k, const SeriesSpec& spec, float sign,
                    const Tensor& y, SeriesSaved* saved) {
  if (x.numel() == 0) return;
  const SeriesPlan plan = plan_series(*machine.kernels, x.shape(), k.shape(), spec, machine.threads);
  const auto floats = [](int64_t count) { return static_cast<size_t>(count) * sizeof(float); };
  const Scratch weights(machine.memory, floats(plan.groups * plan.weight_floats()));
  const Scratch buffers(machine.memory, floats(plan.teams * Forward::scratch_floats(plan)));
  pack_series_weights(plan, k.data<float>(), machine.threads, weights.floats());
  const bool keep = saved != nullptr && spec.save == SeriesSave::iterates;
  for (int m = 1; keep && m < spec.degree(); ++m) {
    saved->tensors.push_back(Tensor::empty({plan.saved_floats()}, DType::f32, Layout::row_major, machine.memory));
  }
  const Forward forward{plan, spec, sign, weights.floats(), x, y, keep ? saved : nullptr, buffers.floats()};
  run_tasks(plan, [&](const Member& member, int64_t task) { forward.task(member, task); });
}

}  // namespace gsnet::cpu
