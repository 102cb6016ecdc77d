// How one series is cut into tasks and dealt to threads.
//
// A task is a block of images in one group. Tasks are ordered group by group and dealt in equal runs to teams of
// threads; a team of several threads (when there are too few tasks) shares each task. Everything follows from the
// shapes and the number of threads, nothing from timing.
#pragma once

#include <vector>

#include "backend/cpu/series_kernels.h"
#include "backend/series.h"

namespace gsnet::cpu {

struct SeriesPlan {
  const SeriesKernels* kernels;
  SeriesGeometry geometry;
  int64_t images, groups, channels;     ///< channels of all groups
  int64_t kernel_height, kernel_width;  ///< of the whole kernel; geometry has the part that can reach into the picture
  int64_t teams, team_size;
  const TileKernels* tiles;       ///< null: direct products
  const ReducedKernels* reduced;  ///< null: products of floats
  /// The transforms of `tiles` into what products want; in pairs where these are of bf16.
  void (*spread)(const SeriesGeometry&, const TileStep&);
  void (*spread_outputs)(const SeriesGeometry&, const TileStep&);
  void (*spread_pairs)(const SeriesGeometry&, const TileStep&, int64_t wide);
  const LineKernels *lines, *line_gradient;  ///< null: not by these; no tiles then
  bool small_gradient;                       ///< by SeriesKernels::small_gradient; neither tiles nor lines then
  bool gradient_waits;                       ///< products of tiles' gradients wait for more of them, see GradientQueue
  int64_t tiles_high, tiles_wide;
  int64_t tiles_a_step, tiles_a_gradient;  ///< whose frequencies are computed before they are used

  int64_t blocks;        ///< of images
  int64_t vectors;       ///< of a block but the last
  int64_t last_vectors;  ///< of the last block
  bool groups_in_turn;   ///< tasks go through the groups of a block before the next block, and not the other way round

  int64_t tasks() const { return blocks * groups; }
  int64_t first_task(int64_t team) const { return tasks() * team / teams; }
  int64_t group_of(int64_t task) const { return groups_in_turn ? task % groups : task / blocks; }
  int64_t task_of(int64_t group, int64_t block) const {
    return groups_in_turn ? block * groups + group : group * blocks + block;
  }
  int64_t block_of(int64_t task) const { return groups_in_turn ? task / groups : task % blocks; }
  int64_t most_vectors() const { return blocks > 1 ? vectors : last_vectors; }  ///< of any block
  int64_t vectors_of(int64_t task) const { return block_of(task) + 1 == blocks ? last_vectors : vectors; }
  /// Floats of the largest block, rounded up so that neighbouring buffers do not fall on the same cache sets.
  int64_t buffer_floats() const;
  /// The weight gradient's sums are spread over lanes: it takes no columns.
  bool by_lanes() const { return small_gradient || line_gradient != nullptr; }
  /// Of a block with its channels padded to whole vectors.
  int64_t column_floats() const;
  int64_t gradient_floats() const;
  /// Of one group's packed weights: [run][tap][in][channel of the run], or [frequency][run][in][channel of the run], or
  /// those of LineKernels.
  int64_t weight_floats() const { return geometry.channels * geometry.channels * products(); }
  /// Numbers of one tap or frequency of the runs before this one, floats or bf16.
  int64_t weights_before(int64_t run) const {
    return reduced != nullptr ? reduced->weights_before(geometry, run) : run_begin(geometry, run) * geometry.channels;
  }
  bool paired() const { return reduced != nullptr && reduced->paired; }
  /// Products over channels that a pixel takes, or a tile.
  int64_t products() const {
    if (lines != nullptr) return lines->products * geometry.kernel_height;
    return tiles != nullptr ? tiles->products * tiles->products : taps_of(geometry);
  }
  /// Which of the forms packed weights are of.
  const void* form() const { return lines != nullptr ? static_cast<const void*>(lines) : tiles; }
  /// The row of tiles that one frequency of `count` of them is to the kernels: a 1x1 convolution.
  SeriesGeometry tile_row(int64_t count) const;
  /// From frequency to frequency of so many tiles of a block; of tiles_a_gradient of one with its channels padded, and
  /// without.
  int64_t frequency_floats(int64_t count) const;
  int64_t column_frequency_floats() const;
  int64_t output_frequency_floats() const;
  /// Where tap i of the geometry is in the whole kernel.
  int64_t whole_tap(int64_t tap) const;
  /// Where a task's block lies in a tensor of all blocks, and how large that tensor is.
  int64_t saved_offset(int64_t task) const;
  int64_t saved_floats() const { return groups * group_vectors() * vector_floats(); }
  /// Vectors of images, and floats of one of them in a group.
  int64_t group_vectors() const { return (blocks - 1) * vectors + last_vectors; }
  int64_t vector_floats() const { return pixels_of(geometry) * geometry.channels * kernels->vector; }
  /// Of a team's tasks: whether it is the first of its group. A team's gradients of groups: how many teams and groups
  /// have one, which one is whose, and whether it is there.
  bool first_of_group(int64_t team, int64_t task) const;
  /// Whether the team's next task is of another group, or has another number of vectors.
  bool last_of_run(int64_t team, int64_t task) const;
  int64_t team_gradients() const { return groups_in_turn ? teams * groups : teams + groups - 1; }
  int64_t team_gradient(int64_t team, int64_t group) const {
    return groups_in_turn ? team * groups + group : team + group;
  }
  bool works_on(int64_t team, int64_t group) const;
  /// The task's images in a channels-last tensor.
  BlockView view(const Tensor& x, int64_t task) const;
  /// Terms of the weight gradient summed in one pass: more for small maps, whose sums are short. Those that wait come
  /// one by one.
  int64_t terms_at_once(int64_t degree) const;
};

/// bf16 number i of an array that lies in the memory of floats.
inline float* half_at(float* array, int64_t i) {
  return reinterpret_cast<float*>(reinterpret_cast<uint16_t*>(array) + i);
}
inline const float* half_at(const float* array, int64_t i) {
  return reinterpret_cast<const float*>(reinterpret_cast<const uint16_t*>(array) + i);
}

SeriesPlan plan_series(const SeriesKernels& kernels, const Shape& x, const Shape& k, const SeriesSpec& spec,
                       int threads);

/// The kernel as the kernels want it, group after group, weight_floats() each.
void pack_series_weights(const SeriesPlan& plan, const float* k, int threads, float* packed);

}  // namespace gsnet::cpu
