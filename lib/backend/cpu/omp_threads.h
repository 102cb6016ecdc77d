// How many threads oneDNN uses: it takes the calling thread's OpenMP setting, when a primitive is made and when it
// runs.
#pragma once

#include <omp.h>

namespace gsnet::cpu {

class OmpThreads {
 public:
  explicit OmpThreads(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~OmpThreads() { omp_set_num_threads(before_); }
  OmpThreads(const OmpThreads&) = delete;
  OmpThreads& operator=(const OmpThreads&) = delete;

 private:
  int before_;
};

}  // namespace gsnet::cpu
