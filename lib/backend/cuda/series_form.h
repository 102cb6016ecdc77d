// In which of its forms the machine computes a series.
#pragma once

#include "backend/cuda/runtime.h"
#include "backend/series.h"

namespace gsnet::cuda {

enum class SeriesForm : uint8_t {
  fused,  ///< all terms in the memory that a block's threads share (series_fused.h)
  dense,  ///< J written out as a matrix, for maps of few pixels: terms are products of matrices (series_dense.h)
  terms,  ///< a convolution of the library and one pass a term; for every shape
};

const char* to_string(SeriesForm form);

/// Whether maps of x under kernels k can be done so.
bool can_series_form(const Runtime& runtime, SeriesForm form, const Shape& x, const Shape& k, const SeriesSpec& spec);

/// The first of the table's forms for such a shape that can.
SeriesForm choose_series_form(const Runtime& runtime, const Shape& x, const Shape& k, const SeriesSpec& spec);

}  // namespace gsnet::cuda
