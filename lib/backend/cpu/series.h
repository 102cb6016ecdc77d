// The power series of a convolution by the kernels of series_kernels.h.
//
// Forward, by Horner: u_K = x, u_{m-1} = x + r_m J u_m with r_m = c_m / c_{m-1}, y = c_0 u_0.
// Backward, with J' = -J: a_0 = c_0 dy, a_{m+1} = -r_{m+1} J a_m, dx = sum_m a_m,
// dk = sum_m r_{m+1} a_m (x) u_{m+1}. Saved for it: u_1 … u_{K-1}, each a tensor of blocks.
#pragma once

#include <memory>

#include "backend/cpu/series_plan.h"
#include "core/allocator.h"

namespace gsnet::cpu {

struct SeriesMachine {
  const SeriesKernels* kernels;
  int threads;
  std::shared_ptr<Allocator> memory;
};

/// sign -1 evaluates the series in -J. saved may be null.
void series_forward(const SeriesMachine& machine, const Tensor& x, const Tensor& k, const SeriesSpec& spec, float sign,
                    const Tensor& y, SeriesSaved* saved);
/// Backend::conv_exp_between, a block of images of all groups at a time; false where there are too few of them for the
/// threads, and nothing is done.
bool series_between(const SeriesMachine& machine, const Tensor& x, const Tensor& k, const SeriesSpec& spec,
                    const SeriesEnds& ends, const Tensor& y, SeriesSaved* saved);
/// Its adjoint in x; an empty tensor where there are too few blocks.
Tensor series_between_adjoint(const SeriesMachine& machine, const Tensor& dy, const Tensor& k, const SeriesSpec& spec,
                              const SeriesEnds& ends);
/// dk of Backend::conv_exp_between; dx may be null, and is made here if it is empty. x and k are let go once they are
/// read.
Tensor series_backward(const SeriesMachine& machine, Tensor x, Tensor k, const SeriesSpec& spec, const SeriesEnds& ends,
                       const SeriesSaved& saved, const Tensor& dy, Tensor* dx);

}  // namespace gsnet::cpu
