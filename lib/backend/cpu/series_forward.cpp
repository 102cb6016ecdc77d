#include <algorithm>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/scratch.h"
#include "backend/cpu/series.h"
#include "backend/cpu/series_ends.h"
#include "backend/cpu/series_step.h"

namespace gsnet::cpu {
namespace {

size_t floats(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }

struct Forward {
  const SeriesPlan& plan;
  const SeriesSpec& spec;
  float sign;
  const float* weights;
  const SeriesSaved* saved;

  static constexpr int64_t kIterates = 2;  // in turn

  static int64_t scratch_floats(const SeriesPlan& plan) {
    return kIterates * plan.buffer_floats() + step_scratch_floats(plan);
  }

  float ratio(int m) const {
    const auto at = static_cast<size_t>(m);
    return sign * static_cast<float>(spec.coefficients[at] / spec.coefficients[at - 1]);
  }

  /// Where u_m is, and where it is kept: u_1 .. u_{K-1}.
  float* iterate(int m, float* scratch) const { return scratch + m % kIterates * plan.buffer_floats(); }
  float* kept(int m, int64_t task) const {
    if (saved == nullptr) return nullptr;
    return saved->tensors[static_cast<size_t>(m - 1)].data<float>() + plan.saved_offset(task);
  }

  /// The series of a task, from a block x to a block y, which may be x.
  void operator()(const Member& member, int64_t task, const float* x, float* y, float* scratch) const {
    const auto first = static_cast<float>(spec.coefficients[0]);
    const float* start = x;
    if (spec.degree() == 1 && task >= 0) {  // the only step reads x beside what it writes
      const Share part = member.share(plan.vectors_of(task) * plan.vector_floats());
      std::copy(x + part.begin, x + part.end, scratch + part.begin);
      start = scratch;
    }
    if (spec.degree() == 1) member.meet();
    for (int m = spec.degree(); m > 0; --m) {
      ConvStep s = {};
      if (task >= 0) {
        s.u = m == spec.degree() ? start : iterate(m, scratch);
        s.weights = weights + plan.group_of(task) * plan.weight_floats();
        s.x = x;
        s.out = m == 1 ? y : iterate(m - 1, scratch);
        s.kept = m == 1 ? nullptr : kept(m - 1, task);
        s.alpha = m == 1 ? first : 1;
        s.beta = m == 1 ? first * ratio(1) : ratio(m);
      }
      series_step(plan, member, task, s, scratch + kIterates * plan.buffer_floats());
      if (s.kept != nullptr) plan.kernels->publish_kept();
      member.meet();
    }
  }
};

/// The packed kernel: kept in the spec's cache if it has one.
Tensor packed_weights(const SeriesMachine& machine, const SeriesPlan& plan, const Tensor& k, const SeriesSpec& spec) {
  const int64_t count = plan.groups * plan.weight_floats();
  SeriesCache* cache = spec.cache.get();
  const bool kept = cache != nullptr && cache->packed && cache->packed.numel() == count && cache->form == plan.form();
  if (kept && plan.reduced == nullptr) return cache->packed;
  Tensor packed = Tensor::empty({count}, DType::f32, Layout::row_major, machine.memory);
  pack_series_weights(plan, k.data<float>(), machine.threads, packed.data<float>());
  if (cache != nullptr && plan.reduced == nullptr) {
    cache->packed = packed;
    cache->form = plan.form();
  }
  return packed;
}

std::vector<Tensor> saved_iterates(const SeriesPlan& plan, int degree, const std::shared_ptr<Allocator>& memory) {
  std::vector<Tensor> made;
  for (int m = 1; m < degree; ++m) {
    made.push_back(Tensor::empty({plan.saved_floats()}, DType::f32, Layout::row_major, memory));
  }
  return made;
}

}  // namespace

void series_forward(const SeriesMachine& machine, const Tensor& x, const Tensor& k, const SeriesSpec& spec, float sign,
                    const Tensor& y, SeriesSaved* saved) {
  if (x.numel() == 0) return;
  const SeriesPlan plan = plan_series(*machine.kernels, x.shape(), k.shape(), spec, machine.threads);
  const Tensor weights = packed_weights(machine, plan, k, spec);
  const int64_t team_floats = plan.buffer_floats() + Forward::scratch_floats(plan);
  const Scratch buffers(machine.memory, floats(plan.teams * team_floats));
  const bool keep = saved != nullptr && spec.save == SeriesSave::iterates;
  if (keep) saved->tensors = saved_iterates(plan, spec.degree(), machine.memory);
  const Forward forward{plan, spec, sign, weights.data<float>(), keep ? saved : nullptr};
  run_tasks(plan, [&](const Member& member, int64_t task) {
    const SeriesGeometry& g = plan.geometry;
    const Share part = member.share(pixels_of(g));
    float* block = buffers.floats() + member.team() * team_floats;
    if (task >= 0) {
      plan.kernels->load(g, plan.view(x, task), 1, plan.vectors_of(task), block, part.begin, part.end);
    }
    member.meet();
    forward(member, task, block, block, block + plan.buffer_floats());
    if (task >= 0) plan.kernels->store(g, block, plan.vectors_of(task), plan.view(y, task), part.begin, part.end);
    member.meet();  // the next block may be laid out differently
  });
}

namespace {

/// Whether there are blocks enough for the threads to take all groups of some.
bool has_whole_blocks(const SeriesPlan& plan) {
  if (plan.team_size > 1 || plan.blocks < plan.teams) return false;
  return plan.blocks % plan.teams == 0 || plan.blocks >= 4 * plan.teams;
}

/// y = `to` of the series of sign * J of `from` of x.
void between(const SeriesMachine& machine, const SeriesPlan& plan, const Tensor& x, const SeriesSide& from,
             const Tensor& k, const SeriesSpec& spec, float sign, const SeriesSide& to, const Tensor* bias,
             const Tensor& y, SeriesSaved* saved) {
  const int64_t threads = plan.teams;
  const Tensor weights = packed_weights(machine, plan, k, spec);
  const int64_t thread_floats = plan.groups * plan.buffer_floats() + Forward::scratch_floats(plan);
  const Scratch buffers(machine.memory, floats(threads * thread_floats));
  const bool keep = saved != nullptr && spec.save == SeriesSave::iterates;
  if (keep) saved->tensors = saved_iterates(plan, spec.degree(), machine.memory);
  const Forward forward{plan, spec, sign, weights.data<float>(), keep ? saved : nullptr};
  const Share rows = {0, plan.geometry.height};
#pragma omp parallel for num_threads(static_cast <int>(threads)) schedule(static, 1)
  for (int64_t thread = 0; thread < threads; ++thread) {
    const GroupBlocks groups = {buffers.floats() + thread * thread_floats, plan.buffer_floats()};
    float* scratch = groups.first + plan.groups * groups.group_floats;
    for (int64_t block = plan.blocks * thread / threads; block < plan.blocks * (thread + 1) / threads; ++block) {
      spread_block(plan, from, x, block, 1, rows, groups);
      for (int64_t group = 0; group < plan.groups; ++group) {
        float* at = groups.first + group * groups.group_floats;
        forward(Member(plan, static_cast<int>(thread)), plan.task_of(group, block), at, at, scratch);
      }
      gather_block(plan, to, groups, block, bias, rows, y);
    }
  }
}

}  // namespace

bool series_between(const SeriesMachine& machine, const Tensor& x, const Tensor& k, const SeriesSpec& spec,
                    const SeriesEnds& ends, const Tensor& y, SeriesSaved* saved) {
  const Shape inner = {x.shape()[0], ends.before->outputs(), y.shape()[2], y.shape()[3]};
  const SeriesPlan plan = plan_series(*machine.kernels, inner, k.shape(), spec, machine.threads);
  if (!has_whole_blocks(plan)) return false;
  const int64_t channels = plan.geometry.channels;
  between(machine, plan, x, SeriesSide::before(ends, channels), k, spec, 1, SeriesSide::after(ends, channels),
          ends.bias, y, saved);
  return true;
}

Tensor series_between_adjoint(const SeriesMachine& machine, const Tensor& dy, const Tensor& k, const SeriesSpec& spec,
                              const SeriesEnds& ends) {
  const Shape inner = {dy.shape()[0], ends.before->outputs(), dy.shape()[2], dy.shape()[3]};
  const SeriesPlan plan = plan_series(*machine.kernels, inner, k.shape(), spec, machine.threads);
  if (!has_whole_blocks(plan)) return {};
  const int64_t channels = plan.geometry.channels;
  Tensor dx = Tensor::empty(outer_shape(ends, dy.shape()), DType::f32, Layout::channels_last, machine.memory);
  between(machine, plan, dy, SeriesSide::after(ends, channels), k, spec, -1, SeriesSide::before(ends, channels),
          nullptr, dx, nullptr);
  return dx;
}

}  // namespace gsnet::cpu
