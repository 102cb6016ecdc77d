// A thread's place in its team while a series runs.
#pragma once

#include <omp.h>

#include "backend/cpu/series_plan.h"

namespace gsnet::cpu {

/// The part of a step that one thread does.
struct Share {
  int64_t begin, end;
};

class Member {
 public:
  Member(const SeriesPlan& plan, int thread)
      : size_(plan.team_size), team_(thread / plan.team_size), rank_(thread % plan.team_size) {}

  int64_t team() const { return team_; }
  int64_t rank() const { return rank_; }
  /// Of all teams' threads.
  int64_t thread() const { return team_ * size_ + rank_; }
  Share share(int64_t count) const { return {count * rank_ / size_, count * (rank_ + 1) / size_}; }
  /// All threads of all teams wait here, so all must come equally often; alone there is nobody to wait for.
  void meet() const {
    if (size_ > 1) {
#pragma omp barrier
    }
  }

 private:
  int64_t size_, team_, rank_;
};

/// Calls body(member, task) for every task on the thread's team; where teams have several threads, every thread is
/// called equally often, with task -1 when its team has none left.
template <class Body>
void run_tasks(const SeriesPlan& plan, Body&& body) {
  const int threads = static_cast<int>(plan.teams * plan.team_size);
  const int64_t most = (plan.tasks() + plan.teams - 1) / plan.teams;
  if (plan.team_size == 1) {
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; ++thread) {
      const Member member(plan, thread);
      for (int64_t task = plan.first_task(thread); task < plan.first_task(thread + 1); ++task) body(member, task);
    }
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const Member member(plan, omp_get_thread_num());
    const int64_t first = plan.first_task(member.team()), last = plan.first_task(member.team() + 1);
    for (int64_t i = 0; i < most; ++i) body(member, first + i < last ? first + i : int64_t{-1});
  }
}

}  // namespace gsnet::cpu
