#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "backend/cpu/scratch.h"
#include "backend/cpu/series.h"
#include "backend/cpu/series_ends.h"
#include "backend/cpu/series_gradient.h"
#include "backend/cpu/series_step.h"
#include "backend/host/parallel.h"

namespace gsnet::cpu {
namespace {

constexpr int64_t kSharedFloats = 2 * 1024 * 1024;  // of a group's gradient, of which all threads then share one
constexpr int64_t kNearFloats = 128 * 1024;  // of all groups' weights and gradients, with which a block's come in turn

SeriesPlan plan_backward(const SeriesMachine& machine, const Shape& x, const Shape& k, const SeriesSpec& spec) {
  SeriesPlan plan = plan_series(*machine.kernels, x, k, spec, machine.threads);
  if (plan.gradient_floats() >= kSharedFloats) {
    plan.team_size *= plan.teams;
    plan.teams = 1;
  }
  return plan;
}

/// Floats of one team's scratch: x and the iterates computed again; the a of one batch of terms and one more; the
/// columns of the batch; the sum for dx; that of a step, and of the gradient unless it is kept from task to task, in
/// `waiting` floats of its own.
struct BackwardScratch {
  int64_t a = 0, columns = 0, sum = 0, step = 0, size = 0, waiting = 0;

  BackwardScratch(const SeriesPlan& plan, bool recompute, int degree) {
    const int64_t terms = plan.terms_at_once(degree);
    a = (recompute ? degree : 1) * plan.buffer_floats();
    columns = a + (terms + 1) * plan.buffer_floats();
    sum = columns + terms * plan.column_floats();
    step = sum + plan.buffer_floats();
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
  const float* x;
  float *a, *sum;  ///< c_0 dy; dx, null if that is not wanted
};

/// Where the tasks find x and c_0 dy, and leave dx.
class BackwardEnds {
 public:
  virtual ~BackwardEnds() = default;
  /// Sets the arrays; this thread's share of them is there when the team has met.
  virtual void begin(Work& work) const = 0;
  /// After the team has met.
  virtual void end(const Work& work) const = 0;
};

struct Backward {
  const SeriesPlan& plan;
  const SeriesSpec& spec;
  const float* weights;
  const SeriesSaved& saved;
  const BackwardEnds& ends;
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
  float* computed(int m, const Work& work) const { return work.buffers + (spec.degree() - m) * plan.buffer_floats(); }

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

  void task(const Member& member, int64_t task, bool wants_dx) const {
    Work work = {member,
                 task,
                 task >= 0 && plan.first_of_group(member.team(), task),
                 scratch + member.team() * layout.size,
                 nullptr,
                 nullptr,
                 nullptr};
    if (task >= 0) {
      work.x = work.buffers;
      work.a = work.buffers + layout.a;
      work.sum = wants_dx ? work.buffers + layout.sum : nullptr;
      ends.begin(work);
    }
    if (recompute) compute_iterates(work);
    member.meet();
    for (int m = 0; m < spec.degree(); ++m) {
      gradient_step(work, m);
      if (m + 1 == spec.degree() && !wants_dx) break;
      adjoint_step(work, m);
      member.meet();
    }
    if (task >= 0) ends.end(work);
    member.meet();
  }
};

/// Tensors of the series' own channels and pixels.
class PlainEnds : public BackwardEnds {
 public:
  PlainEnds(const SeriesPlan& plan, const Tensor& x, const Tensor& dy, float first, const Tensor* dx)
      : plan_(plan), x_(x), dy_(dy), first_(first), dx_(dx) {}

  void begin(Work& work) const override {
    load(x_, 1, work, work.buffers);
    load(dy_, first_, work, work.a);
  }
  void end(const Work& work) const override {
    if (dx_ == nullptr) return;
    const Share part = work.member.share(pixels_of(plan_.geometry));
    plan_.kernels->store(plan_.geometry, work.sum, plan_.vectors_of(work.task), plan_.view(*dx_, work.task), part.begin,
                         part.end);
  }

 private:
  void load(const Tensor& from, float scale, const Work& work, float* to) const {
    const Share part = work.member.share(pixels_of(plan_.geometry));
    plan_.kernels->load(plan_.geometry, plan_.view(from, work.task), scale, plan_.vectors_of(work.task), to, part.begin,
                        part.end);
  }

  const SeriesPlan& plan_;
  const Tensor &x_, &dy_;
  float first_;
  const Tensor* dx_;
};

/// Tensors around the series. Where tasks go through the groups of a block in turn, a team has arrays of one block,
/// filled and emptied on the way; else there are arrays of all blocks, filled before the tasks begin.
class BlockEnds : public BackwardEnds {
 public:
  BlockEnds(const SeriesMachine& machine, const SeriesPlan& plan, const SeriesEnds& ends, float first, Tensor x,
            const Tensor& dy, const Tensor* dx)
      : threads_(machine.threads),
        plan_(plan),
        before_(SeriesSide::before(ends, plan.geometry.channels)),
        after_(SeriesSide::after(ends, plan.geometry.channels)),
        first_(first),
        x_(std::move(x)),
        dy_(dy),
        dx_(dx),
        in_turn_(plan.groups_in_turn && plan.team_size == 1 && plan.blocks % plan.teams == 0),
        // Not a multiple of a page from array to array, as in SeriesPlan::buffer_floats().
        array_floats_((in_turn_ ? plan.teams * plan.groups * plan.buffer_floats() : plan.saved_floats()) + 16 * 9),
        arrays_(machine.memory, static_cast<size_t>((dx == nullptr ? 2 : 3) * array_floats_) * sizeof(float)) {
    if (in_turn_) return;
    each_block([&](int64_t block, Share rows) {
      spread_block(plan_, before_, x_, block, 1, rows, blocks(kX, 0, block));
      spread_block(plan_, after_, dy_, block, first_, rows, blocks(kA, 0, block));
    });
    x_ = Tensor();
  }

  void begin(Work& work) const override {
    const int64_t team = work.member.team(), block = plan_.block_of(work.task), group = plan_.group_of(work.task);
    const auto at = [&](Array array) {
      const GroupBlocks all = blocks(array, team, block);
      return all.first + group * all.group_floats;
    };
    work.x = at(kX);
    work.a = at(kA);
    if (work.sum != nullptr) work.sum = at(kSum);
    if (!in_turn_ || group > 0) return;
    spread_block(plan_, before_, x_, block, 1, rows(), blocks(kX, team, block));
    spread_block(plan_, after_, dy_, block, first_, rows(), blocks(kA, team, block));
  }

  void end(const Work& work) const override {
    if (!in_turn_ || dx_ == nullptr || plan_.group_of(work.task) + 1 < plan_.groups) return;
    const int64_t block = plan_.block_of(work.task);
    gather_block(plan_, before_, blocks(kSum, work.member.team(), block), block, nullptr, rows(), *dx_);
  }

  /// After all tasks.
  void finish() const {
    if (in_turn_ || dx_ == nullptr) return;
    each_block([&](int64_t block, Share rows) {
      gather_block(plan_, before_, blocks(kSum, 0, block), block, nullptr, rows, *dx_);
    });
  }

 private:
  enum Array : uint8_t { kX, kA, kSum };

  Share rows() const { return {0, plan_.geometry.height}; }

  GroupBlocks blocks(Array array, int64_t team, int64_t block) const {
    float* first = arrays_.floats() + array * array_floats_;
    if (in_turn_) return {first + team * plan_.groups * plan_.buffer_floats(), plan_.buffer_floats()};
    return {first + plan_.saved_offset(plan_.task_of(0, block)), plan_.group_vectors() * plan_.vector_floats()};
  }

  template <class Body>
  void each_block(Body&& body) const {
    const int64_t height = plan_.geometry.height, cost = plan_.vectors * plan_.vector_floats() * plan_.groups / height;
    host::parallel_for(threads_, plan_.blocks * height, cost, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end;) {
        const int64_t block = row / height, last = std::min(end, (block + 1) * height);
        body(block, Share{row - block * height, last - block * height});
        row = last;
      }
    });
  }

  int threads_;
  const SeriesPlan& plan_;
  SeriesSide before_, after_;
  float first_;
  Tensor x_;
  const Tensor& dy_;
  const Tensor* dx_;
  bool in_turn_;
  int64_t array_floats_;
  Scratch arrays_;
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

/// All tasks of the plan; dk.
Tensor run_backward(const SeriesMachine& machine, const SeriesPlan& plan, Tensor k, const SeriesSpec& spec,
                    const SeriesSaved& saved, const BackwardEnds& ends, bool wants_dx) {
  const Shape shape = k.shape();
  const bool recompute = static_cast<int>(saved.tensors.size()) + 1 < spec.degree();
  const BackwardScratch layout(plan, recompute, spec.degree());
  const auto scratch = [&](int64_t count) {
    return std::make_unique<Scratch>(machine.memory, static_cast<size_t>(count) * sizeof(float));
  };
  auto weights = scratch(plan.groups * plan.weight_floats());
  pack_series_weights(plan, k.data<float>(), machine.threads, weights->floats());
  k = Tensor();  // what is large goes as soon as it can, and the gradient takes its place
  const auto gradients = scratch(plan.team_gradients() * plan.gradient_floats());
  auto buffers = scratch(plan.teams * layout.size), waiting = scratch(plan.teams * layout.waiting);
  std::vector<GradientQueue> queues(static_cast<size_t>(plan.teams * plan.team_size));
  const Backward backward{plan,
                          spec,
                          weights->floats(),
                          saved,
                          ends,
                          recompute,
                          plan.terms_at_once(spec.degree()),
                          layout,
                          buffers->floats(),
                          waiting->floats(),
                          gradients->floats(),
                          queues.data()};
  run_tasks(plan, [&](const Member& member, int64_t task) { backward.task(member, task, wants_dx); });
  weights.reset();
  buffers.reset();
  waiting.reset();
  Tensor dk = Tensor::empty(shape, DType::f32, Layout::row_major, machine.memory);
  add_up_gradients(backward, machine.threads, dk);
  return dk;
}

Tensor no_gradient(const SeriesMachine& machine, const Shape& k) {
  Tensor dk = Tensor::empty(k, DType::f32, Layout::row_major, machine.memory);
  std::memset(dk.raw(), 0, dk.bytes());
  return dk;
}

}  // namespace

Tensor series_backward(const SeriesMachine& machine, const Tensor& x, Tensor k, const SeriesSpec& spec,
                       const SeriesSaved& saved, const Tensor& dy, const Tensor* dx) {
  if (x.numel() == 0) return no_gradient(machine, k.shape());
  const SeriesPlan plan = plan_backward(machine, x.shape(), k.shape(), spec);
  const PlainEnds ends(plan, x, dy, static_cast<float>(spec.coefficients[0]), dx);
  return run_backward(machine, plan, std::move(k), spec, saved, ends, dx != nullptr);
}

Tensor series_between_backward(const SeriesMachine& machine, Tensor x, Tensor k, const SeriesSpec& spec,
                               const SeriesEnds& ends, const SeriesSaved& saved, const Tensor& dy, const Tensor* dx) {
  if (dy.numel() == 0) return no_gradient(machine, k.shape());
  const Shape inner = {dy.shape()[0], ends.before->outputs(), dy.shape()[2], dy.shape()[3]};
  SeriesPlan plan = plan_backward(machine, inner, k.shape(), spec);
  const int64_t near = plan.groups * (plan.weight_floats() + plan.gradient_floats());
  if (plan.team_size == 1 && plan.blocks % plan.teams == 0 && near <= kNearFloats) plan.groups_in_turn = true;
  const BlockEnds blocks(machine, plan, ends, static_cast<float>(spec.coefficients[0]), std::move(x), dy, dx);
  Tensor dk = run_backward(machine, plan, std::move(k), spec, saved, blocks, dx != nullptr);
  blocks.finish();
  return dk;
}

}  // namespace gsnet::cpu
