#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/scratch.h"
#include "backend/cpu/series.h"
#include "backend/cpu/series_ends.h"
#include "backend/cpu/series_gradient.h"
#include "backend/cpu/series_step.h"
#include "backend/host/parallel.h"

namespace gsnet::cpu {
namespace {

constexpr int64_t kSharedFloats = 2 * 1024 * 1024;  // of a group's gradient, of which all threads then share one
constexpr int64_t kInTurnFloats = 128 * 1024;       // of all groups' weights and gradients, that a block's groups use

SeriesPlan plan_backward(const SeriesMachine& machine, const Shape& x, const Shape& k, const SeriesSpec& spec) {
  SeriesPlan plan = plan_series(*machine.kernels, x, k, spec, machine.threads);
  if (plan.gradient_floats() >= kSharedFloats) {
    plan.team_size *= plan.teams;
    plan.teams = 1;
  }
  const int64_t used = plan.groups * (plan.weight_floats() + plan.gradient_floats());
  if (plan.team_size == 1 && plan.blocks % plan.teams == 0 && used <= kInTurnFloats) plan.groups_in_turn = true;
  return plan;
}

/// Floats of one team's scratch: the iterates computed again; the a of one batch of terms and one more; the columns of
/// the batch; that of a step, and of the gradient unless it is kept from task to task, in `waiting` floats of its own.
struct BackwardScratch {
  int64_t a = 0, columns = 0, step = 0, size = 0, waiting = 0;

  BackwardScratch(const SeriesPlan& plan, bool recompute, int degree) {
    const int64_t terms = plan.terms_at_once(degree);
    a = (recompute ? degree - 1 : 0) * plan.buffer_floats();
    columns = a + (terms + 1) * plan.buffer_floats();
    step = columns + terms * plan.column_floats();
    const int64_t of_gradient = gradient_scratch_floats(plan, degree);
    size = step + std::max(step_scratch_floats(plan), plan.gradient_waits ? 0 : of_gradient);
    waiting = plan.gradient_waits ? of_gradient : 0;
  }
};

/// A task as one of its team's threads sees it. Without a task (-1) there are no arrays.
struct Work {
  const Member& member;
  int64_t task;
  bool first_of_group;
  float* buffers;  ///< of the team, as BackwardScratch lays them out
  float *x, *a;    ///< a: c_0 dy
  float* sum;      ///< dx, null if that is not wanted
};

/// Arrays of blocks in place of the tensors around the series: where tasks go through the groups of a block in turn, a
/// team has those of one block, filled and emptied on the way; else all are filled before the tasks begin, and emptied
/// after they have ended.
class BlockEnds {
 public:
  BlockEnds(const SeriesMachine& machine, const SeriesPlan& plan, const SeriesEnds& ends, float scale, Tensor x,
            const Tensor& dy, const Tensor* dx)
      : machine_(machine),
        plan_(plan),
        before_(SeriesSide::before(ends, plan.geometry.channels)),
        after_(SeriesSide::after(ends, plan.geometry.channels)),
        scale_(scale),
        x_(std::move(x)),
        dy_(dy),
        outer_(outer_shape(ends, dy.shape())),
        wants_dx_(dx != nullptr),
        in_turn_(plan.groups == 1 || (plan.groups_in_turn && plan.team_size == 1 && plan.blocks % plan.teams == 0)),
        // Not a multiple of a page from array to array, as in SeriesPlan::buffer_floats().
        array_floats_((in_turn_ ? plan.teams * plan.groups * plan.buffer_floats() : plan.saved_floats()) + 16 * 9),
        arrays_(std::make_unique<Scratch>(machine.memory,
                                          static_cast<size_t>((wants_dx_ ? 3 : 2) * array_floats_) * sizeof(float))) {
    if (wants_dx_) dx_ = *dx;
    if (in_turn_) {
      make_dx();
    } else {
      each_block([&](int64_t block, Share rows) { fill(0, block, rows); });
      x_ = Tensor();
    }
  }

  bool wants_dx() const { return wants_dx_; }

  /// Sets the arrays, and fills this thread's share of them: they are there when the team has met.
  void begin(Work& work) const {
    const int64_t team = work.member.team(), block = plan_.block_of(work.task), group = plan_.group_of(work.task);
    const auto at = [&](Array array) {
      const GroupBlocks all = blocks(array, team, block);
      return all.first + group * all.group_floats;
    };
    work.x = at(kX);
    work.a = at(kA);
    work.sum = wants_dx_ ? at(kSum) : nullptr;
    if (in_turn_ && group == 0) fill(team, block, work.member.share(plan_.geometry.height));
  }

  /// After the team has met.
  void end(const Work& work) const {
    if (!in_turn_ || !wants_dx_ || plan_.group_of(work.task) + 1 < plan_.groups) return;
    empty(work.member.team(), plan_.block_of(work.task), work.member.share(plan_.geometry.height));
  }

  /// After all tasks: dx, if it is wanted.
  Tensor finish() {
    if (!in_turn_ && wants_dx_) {
      make_dx();
      each_block([&](int64_t block, Share rows) { empty(0, block, rows); });
    }
    arrays_.reset();
    x_ = Tensor();
    return std::move(dx_);
  }

 private:
  enum Array : uint8_t { kX, kA, kSum };

  void make_dx() {
    if (wants_dx_ && !dx_) dx_ = Tensor::empty(outer_, DType::f32, Layout::channels_last, machine_.memory);
  }

  GroupBlocks blocks(Array array, int64_t team, int64_t block) const {
    float* first = arrays_->floats() + array * array_floats_;
    if (in_turn_) return {first + team * plan_.groups * plan_.buffer_floats(), plan_.buffer_floats()};
    return {first + plan_.saved_offset(plan_.task_of(0, block)), plan_.group_vectors() * plan_.vector_floats()};
  }

  void fill(int64_t team, int64_t block, Share rows) const {
    spread_block(plan_, before_, x_, block, 1, rows, blocks(kX, team, block));
    spread_block(plan_, after_, dy_, block, scale_, rows, blocks(kA, team, block));
  }
  void empty(int64_t team, int64_t block, Share rows) const {
    gather_block(plan_, before_, blocks(kSum, team, block), block, nullptr, rows, dx_);
  }

  template <class Body>
  void each_block(Body&& body) const {
    const int64_t height = plan_.geometry.height, cost = plan_.vectors * plan_.vector_floats() * plan_.groups / height;
    host::parallel_for(machine_.threads, plan_.blocks * height, cost, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end;) {
        const int64_t block = row / height, last = std::min(end, (block + 1) * height);
        body(block, Share{row - block * height, last - block * height});
        row = last;
      }
    });
  }

  const SeriesMachine& machine_;
  const SeriesPlan& plan_;
  SeriesSide before_, after_;
  float scale_;
  Tensor x_;
  const Tensor& dy_;
  Shape outer_;
  bool wants_dx_, in_turn_;
  int64_t array_floats_;
  std::unique_ptr<Scratch> arrays_;
  Tensor dx_;
};

struct Backward {
  const SeriesPlan& plan;
  const SeriesSpec& spec;
  const float* weights;
  const SeriesSaved& saved;
  const BlockEnds& ends;
  bool recompute;
  int64_t terms;
  BackwardScratch layout;
  float* scratch;
  float* waiting;
  float* gradients;       ///< of a team and group: see gradient_of
  GradientQueue* queues;  ///< a thread each

  float ratio(int m) const {
    const auto at = static_cast<size_t>(m);
    return static_cast<float>(spec.coefficients[at] / spec.coefficients[at - 1]);
  }

  float* gradient_of(int64_t team, int64_t group) const {
    return gradients + plan.team_gradient(team, group) * plan.gradient_floats();
  }

  /// u_m, m = 1 .. K.
  const float* iterate(int m, const Work& work) const {
    if (m == spec.degree()) return work.x;
    if (recompute) return computed(m, work);
    return saved.tensors[static_cast<size_t>(m - 1)].data<float>() + plan.saved_offset(work.task);
  }
  float* computed(int m, const Work& work) const {
    return work.buffers + (spec.degree() - 1 - m) * plan.buffer_floats();
  }

  ConvStep conv_step(int64_t task) const {
    ConvStep s = {};
    s.weights = weights + plan.group_of(task) * plan.weight_floats();
    s.alpha = 1;
    return s;
  }

  void compute_iterates(const Work& work) const {
    for (int m = spec.degree(); m > 1; --m) {
      work.member.meet();
      ConvStep s = {};
      if (work.task >= 0) {
        s = conv_step(work.task);
        s.u = iterate(m, work);
        s.x = work.x;
        s.out = computed(m - 1, work);
        s.beta = ratio(m);
      }
      series_step(plan, work.member, work.task, s, work.buffers + layout.step);
    }
    work.member.meet();
  }

  float* a_of(int m, const Work& work) const {
    return m == 0 ? work.a : work.buffers + layout.a + m % (terms + 1) * plan.buffer_floats();
  }

  /// The member's part of the taps or of the frequencies along a row.
  void small_gradient_step(const Work& work, int m) const {
    if (work.task < 0) return;
    const SeriesGeometry& g = plan.geometry;
    const LineKernels* lines = plan.line_gradient;
    const Share part = work.member.share(lines != nullptr ? lines->products : taps_of(g));
    const SmallGradientStep step = {a_of(m, work),
                                    iterate(m + 1, work),
                                    ratio(m + 1),
                                    gradient_of(work.member.team(), plan.group_of(work.task)),
                                    !work.first_of_group || m > 0,
                                    plan.vectors_of(work.task),
                                    part.begin,
                                    part.end};
    if (lines == nullptr) return plan.kernels->small_gradient(g, step);
    lines->gradient(g, step, work.buffers + layout.step + work.member.rank() * lines->gradient_scratch(g));
  }

  /// The columns of u_{m+1}, and the products of the batch that ends with term m.
  void gradient_step(const Work& work, int m) const {
    const SeriesGeometry& g = plan.geometry;
    const Member& member = work.member;
    if (plan.by_lanes()) return small_gradient_step(work, m);
    const int64_t slot = m % terms;
    if (work.task >= 0) {
      const Share pixels = member.share(pixels_of(g));
      plan.kernels->columns(g, iterate(m + 1, work), ratio(m + 1), plan.vectors_of(work.task),
                            work.buffers + layout.columns + slot * plan.column_floats(), pixels.begin, pixels.end);
    }
    if (slot + 1 < terms && m + 1 < spec.degree()) return;
    std::vector<const float*> a, columns;
    for (int64_t i = 0; i <= slot; ++i) {
      a.push_back(a_of(m - static_cast<int>(slot - i), work));
      columns.push_back(work.buffers + layout.columns + i * plan.column_floats());
    }
    const bool last = work.task >= 0 && m + 1 == spec.degree() && plan.last_of_run(member.team(), work.task);
    const GradientTerms now = {
        .a = a,
        .columns = columns,
        .gradient = work.task >= 0 ? gradient_of(member.team(), plan.group_of(work.task)) : nullptr,
        .first = work.first_of_group && m < terms,
        .last = last};
    series_gradient(plan, member, work.task, spec.degree(), now, queues[member.thread()],
                    plan.gradient_waits ? waiting + member.team() * layout.waiting : work.buffers + layout.step);
  }

  void adjoint_step(const Work& work, int m) const {
    ConvStep s = {};
    if (work.task >= 0) {
      s = conv_step(work.task);
      s.u = a_of(m, work);
      s.out = a_of(m + 1, work);
      s.beta = -ratio(m + 1);
      s.sum = work.sum;
      if (work.sum != nullptr) s.sum_in = m == 0 ? s.u : s.sum;
    }
    // The gradient's scratch may be the step's.
    if (plan.form() != nullptr || plan.reduced != nullptr) work.member.meet();
    series_step(plan, work.member, work.task, s, work.buffers + layout.step);
  }

  void task(const Member& member, int64_t task) const {
    const bool first = task >= 0 && plan.first_of_group(member.team(), task);
    Work work = {member, task, first, scratch + member.team() * layout.size, nullptr, nullptr, nullptr};
    if (task >= 0) ends.begin(work);
    if (recompute) compute_iterates(work);
    member.meet();
    for (int m = 0; m < spec.degree(); ++m) {
      gradient_step(work, m);
      if (m + 1 == spec.degree() && !ends.wants_dx()) break;
      adjoint_step(work, m);
      member.meet();
    }
    if (task >= 0) ends.end(work);
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

Tensor no_gradient(const SeriesMachine& machine, const Shape& k) {
  Tensor dk = Tensor::empty(k, DType::f32, Layout::row_major, machine.memory);
  std::memset(dk.raw(), 0, dk.bytes());
  return dk;
}

}  // namespace

Tensor series_backward(const SeriesMachine& machine, Tensor x, Tensor k, const SeriesSpec& spec, const SeriesEnds& ends,
                       const SeriesSaved& saved, const Tensor& dy, Tensor* dx) {
  const Shape shape = k.shape();
  if (dy.shape()[0] == 0) {
    if (dx != nullptr && !*dx) *dx = Tensor::empty(outer_shape(ends, dy.shape()), DType::f32, Layout::channels_last);
    return no_gradient(machine, shape);
  }
  const Shape inner = {dy.shape()[0], ends.before->outputs(), dy.shape()[2], dy.shape()[3]};
  const SeriesPlan plan = plan_backward(machine, inner, shape, spec);
  const bool recompute = static_cast<int>(saved.tensors.size()) + 1 < spec.degree();
  const BackwardScratch layout(plan, recompute, spec.degree());
  const auto scratch = [&](int64_t count) {
    return std::make_unique<Scratch>(machine.memory, static_cast<size_t>(count) * sizeof(float));
  };
  auto weights = scratch(plan.groups * plan.weight_floats());
  pack_series_weights(plan, k.data<float>(), machine.threads, weights->floats());
  k = Tensor();  // what is large goes as soon as it can, and the gradient takes its place
  const auto c_0 = static_cast<float>(spec.coefficients[0]);
  BlockEnds arrays(machine, plan, ends, c_0, std::move(x), dy, dx);
  const auto gradients = scratch(plan.team_gradients() * plan.gradient_floats());
  auto buffers = scratch(plan.teams * layout.size), waiting = scratch(plan.teams * layout.waiting);
  std::vector<GradientQueue> queues(static_cast<size_t>(plan.teams * plan.team_size));
  const Backward backward{plan,
                          spec,
                          weights->floats(),
                          saved,
                          arrays,
                          recompute,
                          plan.terms_at_once(spec.degree()),
                          layout,
                          buffers->floats(),
                          waiting->floats(),
                          gradients->floats(),
                          queues.data()};
  run_tasks(plan, [&](const Member& member, int64_t task) { backward.task(member, task); });
  weights.reset();
  buffers.reset();
  waiting.reset();
  Tensor made = arrays.finish();
  if (dx != nullptr) *dx = std::move(made);
  Tensor dk = Tensor::empty(shape, DType::f32, Layout::row_major, machine.memory);
  add_up_gradients(backward, machine.threads, dk);
  return dk;
}

}  // namespace gsnet::cpu
