// What the machines' uploads share.
#pragma once

#include <memory>

#include "core/tensor.h"

namespace gsnet {

/// A host tensor as a machine holds it: real numbers in its dtype `real`, integers as they are.
inline Tensor as_held(const Tensor& host, DType real) {
  const bool whole = host.dtype() == DType::i32 || host.dtype() == DType::i64 || host.dtype() == DType::u8;
  return whole || host.dtype() == real ? host : with_dtype(host, real);
}

/// y becomes a tensor like this one in `memory`, unless it is one alike.
inline void make_alike(const Tensor& like, const std::shared_ptr<Allocator>& memory, Tensor& y) {
  if (y && y.shape() == like.shape() && y.dtype() == like.dtype() && y.layout() == like.layout()) return;
  y = Tensor::empty(like.shape(), like.dtype(), like.layout(), memory);
}

}  // namespace gsnet
