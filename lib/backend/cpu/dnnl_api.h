// The one place that knows how oneDNN 2.x and 3.x differ: 3.x builds a primitive descriptor without an operation
// descriptor before it.
#pragma once

#include <limits>
#include <oneapi/dnnl/dnnl.hpp>

namespace gsnet::cpu::api {

/// A convolution in oneDNN's terms; dilation counts the pixels left out between taps.
struct ConvMemory {
  dnnl::memory::desc x, w, bias, y;
  bool has_bias = false;
  dnnl::memory::dims stride, dilation, pad_low, pad_high;
};

using Forward = dnnl::convolution_forward;
using BackwardData = dnnl::convolution_backward_data;
using BackwardWeights = dnnl::convolution_backward_weights;

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

inline void append_clip(dnnl::post_ops& to, float low, float high) {
  const bool relu = low == 0 && high == std::numeric_limits<float>::infinity();
  const auto kind = relu ? dnnl::algorithm::eltwise_relu : dnnl::algorithm::eltwise_clip;
#if DNNL_VERSION_MAJOR >= 3
  to.append_eltwise(kind, low, relu ? 0 : high);
#else
  to.append_eltwise(1, kind, low, relu ? 0 : high);
#endif
}

#if DNNL_VERSION_MAJOR >= 3

inline Forward::primitive_desc forward(const dnnl::engine& engine, dnnl::prop_kind kind, const ConvMemory& m,
                                       const dnnl::primitive_attr& attr) {
  if (m.has_bias) {
    return {engine, kind, kDirect, m.x, m.w, m.bias, m.y, m.stride, m.dilation, m.pad_low, m.pad_high, attr};
  }
  return {engine, kind, kDirect, m.x, m.w, m.y, m.stride, m.dilation, m.pad_low, m.pad_high, attr};
}

inline BackwardData::primitive_desc backward_data(const dnnl::engine& engine, const ConvMemory& m,
                                                  const Forward::primitive_desc& hint,
                                                  const dnnl::primitive_attr& attr) {
  return {engine, kDirect, m.x, m.w, m.y, m.stride, m.dilation, m.pad_low, m.pad_high, hint, attr};
}

inline BackwardWeights::primitive_desc backward_weights(const dnnl::engine& engine, const ConvMemory& m,
                                                        const Forward::primitive_desc& hint,
                                                        const dnnl::primitive_attr& attr) {
  return {engine, kDirect, m.x, m.w, m.y, m.stride, m.dilation, m.pad_low, m.pad_high, hint, attr};
}

#else

inline Forward::primitive_desc forward(const dnnl::engine& engine, dnnl::prop_kind kind, const ConvMemory& m,
                                       const dnnl::primitive_attr& attr) {
  const auto operation =
      m.has_bias ? Forward::desc(kind, kDirect, m.x, m.w, m.bias, m.y, m.stride, m.dilation, m.pad_low, m.pad_high)
                 : Forward::desc(kind, kDirect, m.x, m.w, m.y, m.stride, m.dilation, m.pad_low, m.pad_high);
  return {operation, attr, engine};
}

inline BackwardData::primitive_desc backward_data(const dnnl::engine& engine, const ConvMemory& m,
                                                  const Forward::primitive_desc& hint,
                                                  const dnnl::primitive_attr& attr) {
  return {{kDirect, m.x, m.w, m.y, m.stride, m.dilation, m.pad_low, m.pad_high}, attr, engine, hint};
}

inline BackwardWeights::primitive_desc backward_weights(const dnnl::engine& engine, const ConvMemory& m,
                                                        const Forward::primitive_desc& hint,
                                                        const dnnl::primitive_attr& attr) {
  return {{kDirect, m.x, m.w, m.y, m.stride, m.dilation, m.pad_low, m.pad_high}, attr, engine, hint};
}

#endif

}  // namespace gsnet::cpu::api
