#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "backend/cpu/scratch.h"
#include "backend/cpu/series.h"
#include "backend/cpu/series_gradient.h"
#include "backend/cpu/series_step.h"
#include "backend/host/parallel.h"

namespace gsnet::cpu {
namespace {

constexpr int64_t kSharedFloats = 2 * 1024 * 1024;  // of a group's gradient, of which all threads then share one

SeriesPlan plan_backward(const SeriesMachine& machine, const Shape& x, const Shape& k, const SeriesSpec& spec) {
  SeriesPlan plan = plan_series(*machine.kernels, x, k, spec, machine.threads);
  if (plan.gradient_floats() >= kSharedFloats) {
    plan.team_size *= plan.teams;
    plan.teams = 1;
  }
  return plan;
}

/// Floats of one team's scratch: the iterates computed again, x before them; the a of one batch of terms and one
/// more; the columns of the batch; the sum for dx; that of a step, and of the gradient unless it is kept from task to
/// task, in `waiting` floats of its own.
struct BackwardScratch {
  int64_t iterates = 0, a = 0, columns = 0, sum = 0, step = 0, size = 0, waiting = 0;

  BackwardScratch(const SeriesPlan& plan, int64_t kept, int degree) {
    const int64_t terms = plan.terms_at_once(degree);
    a = kept * plan.buffer_floats();
    columns = a + (terms + 1) * plan.buffer_floats();
    sum = columns + terms * plan.column_floats();
    step = sum + plan.buffer_floats();
    const int64_t of_gradient = gradient_scratch_floats(plan, degree);
    size = step + std::max(step_scratch_floats(plan), plan.gradient_waits ? 0 : of_gradient);
    waiting = plan.gradient_waits ? of_gradient : 0;
  }
};

struct Backward {
  const SeriesPlan& plan;
  const SeriesSpec& spec;
  const float* weights;
  const Tensor& x;
  const Tensor& dy;
  const SeriesSaved& saved;
  const Tensor* dx;
  int64_t terms;
  BackwardScratch layout;
  float* scratch;
  float* waiting;
  float* gradients;       ///< of a team and group: see gradient_of
  GradientQueue* queues;  ///< a thread each

  bool recompute() const { return static_cast<int>(saved.tensors.size()) + 1 < spec.degree(); }

  float ratio(int m) const {
    const auto at = static_cast<size_t>(m);
    return static_cast<float>(spec.coefficients[at] / spec.coefficients[at - 1]);
  }

  float* gradient_of(int64_t team, int64_t group) const {
    return gradients + plan.team_gradient(team, group) * plan.gradient_floats();
  }

  float* buffers_of(const Member& member) const { return scratch + member.team() * layout.size; }

  /// u_m, m = 1 .. K.
  const float* iterate(int m, int64_t task, float* buffers) const {
    if (m == spec.degree()) return buffers;
    if (recompute()) return buffers + (spec.degree() - m) * plan.buffer_floats();
    return saved.tensors[static_cast<size_t>(m - 1)].data<float>() + plan.saved_offset(task);
  }

  ConvStep conv_step(int64_t task) const {
    ConvStep s = {};
    s.weights = weights + plan.group_of(task) * plan.weight_floats();
    s.alpha = 1;
    return s;
  }

  void compute_iterates(const Member& member, int64_t task, float* buffers) const {
    for (int m = spec.degree(); m > 1; --m) {
      member.meet();
      ConvStep s = {};
      if (task >= 0) {
        s = conv_step(task);
        s.u = iterate(m, task, buffers);
        s.x = buffers;
        s.out = buffers + (spec.degree() - m + 1) * plan.buffer_floats();
        s.beta = ratio(m);
      }
      series_step(plan, member, task, s, buffers + layout.step);
    }
    member.meet();
  }

  float* a_of(int m, float* buffers) const { return buffers + layout.a + m % (terms + 1) * plan.buffer_floats(); }

  /// The member's part of the taps or of the frequencies along a row.
  void small_gradient_step(const Member& member, int m, int64_t task, bool first_of_group, float* buffers) const {
    if (task < 0) return;
    const SeriesGeometry& g = plan.geometry;
    const LineKernels* lines = plan.line_gradient;
    const Share part = member.share(lines != nullptr ? lines->products : taps_of(g));
    const SmallGradientStep step = {a_of(m, buffers),
                                    iterate(m + 1, task, buffers),
                                    ratio(m + 1),
                                    gradient_of(member.team(), plan.group_of(task)),
                                    !first_of_group || m > 0,
                                    plan.vectors_of(task),
                                    part.begin,
                                    part.end};
    if (lines == nullptr) return plan.kernels->small_gradient(g, step);
    lines->gradient(g, step, buffers + layout.step + member.rank() * lines->gradient_scratch(g));
  }

  /// The columns of u_{m+1}, and the products of the batch that ends with term m.
  void gradient_step(const Member& member, int m, int64_t task, bool first_of_group, float* buffers) const {
    const SeriesGeometry& g = plan.geometry;
    if (plan.by_lanes()) return small_gradient_step(member, m, task, first_of_group, buffers);
    const int64_t slot = m % terms;
    if (task >= 0) {
      const Share pixels = member.share(pixels_of(g));
      plan.kernels->columns(g, iterate(m + 1, task, buffers), ratio(m + 1), plan.vectors_of(task),
                            buffers + layout.columns + slot * plan.column_floats(), pixels.begin, pixels.end);
    }
    if (slot + 1 < terms && m + 1 < spec.degree()) return;
    std::vector<const float*> a, columns;
    for (int64_t i = 0; i <= slot; ++i) {
      a.push_back(a_of(m - static_cast<int>(slot - i), buffers));
      columns.push_back(buffers + layout.columns + i * plan.column_floats());
    }
    const bool last = task >= 0 && m + 1 == spec.degree() && plan.last_of_run(member.team(), task);
    const GradientTerms now = {.a = a,
                               .columns = columns,
                               .gradient = task >= 0 ? gradient_of(member.team(), plan.group_of(task)) : nullptr,
                               .first = first_of_group && m < terms,
                               .last = last};
    series_gradient(plan, member, task, spec.degree(), now, queues[member.thread()],
                    plan.gradient_waits ? waiting + member.team() * layout.waiting : buffers + layout.step);
  }

  void adjoint_step(const Member& member, int m, int64_t task, float* buffers) const {
    ConvStep s = {};
    if (task >= 0) {
      s = conv_step(task);
      s.u = a_of(m, buffers);
      s.out = a_of(m + 1, buffers);
      s.beta = -ratio(m + 1);
    }
    if (task >= 0 && dx != nullptr) {
      s.sum = buffers + layout.sum;
      s.sum_in = m == 0 ? s.u : s.sum;
    }
    if (plan.form() != nullptr || plan.reduced != nullptr) member.meet();  // the gradient's scratch may be the step's
    series_step(plan, member, task, s, buffers + layout.step);
  }

  void task(const Member& member, int64_t task) const {
    const SeriesGeometry& g = plan.geometry;
    const SeriesKernels& kernels = *plan.kernels;
    float* buffers = buffers_of(member);
    const Share part = member.share(pixels_of(g));
    const bool first_of_group = task >= 0 && plan.first_of_group(member.team(), task);
    if (task >= 0) {
      const int64_t vectors = plan.vectors_of(task);
      kernels.load(g, plan.view(x, task), 1, vectors, buffers, part.begin, part.end);
      kernels.load(g, plan.view(dy, task), static_cast<float>(spec.coefficients[0]), vectors, a_of(0, buffers),
                   part.begin, part.end);
    }
    if (recompute()) compute_iterates(member, task, buffers);
    member.meet();
    for (int m = 0; m < spec.degree(); ++m) {
      gradient_step(member, m, task, first_of_group, buffers);
      if (m + 1 == spec.degree() && dx == nullptr) break;
      adjoint_step(member, m, task, buffers);
      member.meet();
    }
    if (task >= 0 && dx != nullptr) {
      kernels.store(g, buffers + layout.sum, plan.vectors_of(task), plan.view(*dx, task), part.begin, part.end);
    }
    member.meet();
  }
};

/// One run of output channels of dk (out, in, tap): that part of a team's gradient, assigned or added.
void unpack_gradient(const SeriesPlan& plan, const float* gradient, int64_t run, bool add, float* dk) {
  const SeriesGeometry& g = plan.geometry;
  const int64_t taps = taps_of(g), whole_taps = plan.kernel_height * plan.kernel_width, vector = plan.kernels->vector;
  const int64_t first = run_begin(g, run), size = run_begin(g, run + 1) - first;
  std::vector<float> scratch;
  for (int64_t block = 0; block < g.channels; block += 2 * vector) {
    const int64_t wide = std::min(g.columns - block, 2 * vector), there = std::min(g.channels - block, wide);
    const float* from = gradient_taps(plan, gradient, block, run, scratch);
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t o = 0; o < size; ++o, from += wide) {
        float* to = dk + ((first + o) * g.channels + block) * whole_taps + plan.whole_tap(tap);
        for (int64_t i = 0; i < there; ++i) to[i * whole_taps] = add ? to[i * whole_taps] + from[i] : from[i];
      }
    }
  }
}

/// dk = the sum of the teams' gradients, in the order of teams.
void add_up_gradients(const Backward& backward, int threads, const Tensor& dk) {
  const SeriesPlan& plan = backward.plan;
  const SeriesGeometry& g = plan.geometry;
  const int64_t group_floats = dk.numel() / plan.groups;
  if (plan.kernel_height * plan.kernel_width != taps_of(g)) std::memset(dk.raw(), 0, dk.bytes());
  host::parallel_for(threads, plan.groups * g.runs, group_floats / g.runs * 2, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t group = item / g.runs;
      bool add = false;
      for (int64_t team = 0; team < plan.teams; ++team) {
        if (!plan.works_on(team, group)) continue;
        unpack_gradient(plan, backward.gradient_of(team, group), item % g.runs, add,
                        dk.data<float>() + group * group_floats);
        add = true;
      }
    }
  });
}

}  // namespace

Tensor series_backward(const SeriesMachine& machine, const Tensor& x, Tensor k, const SeriesSpec& spec,
                       const SeriesSaved& saved, const Tensor& dy, const Tensor* dx) {
  const Shape shape = k.shape();
  const auto gradient = [&] { return Tensor::empty(shape, DType::f32, Layout::row_major, machine.memory); };
  if (x.numel() == 0) {
    Tensor dk = gradient();
    std::memset(dk.raw(), 0, dk.bytes());
    return dk;
  }
  const SeriesPlan plan = plan_backward(machine, x.shape(), shape, spec);
  const auto floats = [](int64_t count) { return static_cast<size_t>(count) * sizeof(float); };
  const bool recompute = static_cast<int>(saved.tensors.size()) + 1 < spec.degree();
  const int64_t terms = plan.terms_at_once(spec.degree());
  const BackwardScratch layout(plan, recompute ? spec.degree() : 1, spec.degree());
  const auto scratch = [&](int64_t count) { return std::make_unique<Scratch>(machine.memory, floats(count)); };
  auto weights = scratch(plan.groups * plan.weight_floats());
  pack_series_weights(plan, k.data<float>(), machine.threads, weights->floats());
  k = Tensor();  // what is large goes as soon as it can, and the gradient takes its place
  const auto gradients = scratch(plan.team_gradients() * plan.gradient_floats());
  auto buffers = scratch(plan.teams * layout.size), waiting = scratch(plan.teams * layout.waiting);
  std::vector<GradientQueue> queues(static_cast<size_t>(plan.teams * plan.team_size));
  const Backward backward{plan,
                          spec,
                          weights->floats(),
                          x,
                          dy,
                          saved,
                          dx,
                          terms,
                          layout,
                          buffers->floats(),
                          waiting->floats(),
                          gradients->floats(),
                          queues.data()};
  run_tasks(plan, [&](const Member& member, int64_t task) { backward.task(member, task); });
  weights.reset();
  buffers.reset();
  waiting.reset();
  Tensor dk = gradient();
  add_up_gradients(backward, machine.threads, dk);
  return dk;
}

}  // namespace gsnet::cpu
