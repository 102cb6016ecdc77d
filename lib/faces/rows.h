// What heads ask of embeddings: rows that have a direction, labels that are rows.
#pragma once

#include "core/tensor.h"

namespace gsnet {

/// Throws Error naming `what` and the row unless these are rows (R, D) on the host, finite and none of the length 0.
void check_directions(const Tensor& rows, const char* what);

/// Throws Error in the name of `op` unless the embeddings are (N, features) and the labels (N) i32 on the host, each
/// within [0, rows).
void check_labelled(const char* op, const Shape& embeddings, int64_t features, const Tensor& labels, int64_t rows);

}  // namespace gsnet
