#include "backend/cpu/conv_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <unordered_map>

#include "backend/cpu/dnnl_api.h"
#include "backend/cpu/omp_threads.h"
#include "backend/cpu/scratch.h"
#include "core/error.h"

namespace gsnet::cpu {
namespace {

using Dims = dnnl::memory::dims;
using Tag = dnnl::memory::format_tag;
constexpr auto kF32 = dnnl::memory::data_type::f32;

dnnl::engine& host_engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// The library's errors become ours, with the operation's name.
template <class Body>
void guarded(const char* op, Body&& body) {
  try {
    body();
  } catch (const dnnl::error& error) {
    throw Error(fmt::format("[{}] oneDNN: {}", op, error.what()));
  }
}

dnnl::memory::desc activation(const Shape& s) { return {Dims{s[0], s[1], s[2], s[3]}, kF32, Tag::nhwc}; }

dnnl::memory::desc weights(const Shape& w, int64_t groups, bool plain) {
  if (groups == 1) return {Dims{w[0], w[1], w[2], w[3]}, kF32, plain ? Tag::oihw : Tag::any};
  return {Dims{groups, w[0] / groups, w[1], w[2], w[3]}, kF32, plain ? Tag::goihw : Tag::any};
}

/// Padding after the last row or column as the library wants it: what the last window really reaches, so that
/// its own rule for the output's size gives ours.
int64_t high_pad(int64_t in, int64_t out, int64_t window, int64_t stride, int64_t dilation, int64_t pad) {
  return (out - 1) * stride + (window - 1) * dilation + 1 - in - pad;
}

}  // namespace

struct ConvLibrary::Primitive {
  dnnl::primitive run, reorder;
  dnnl::memory::desc x, w, w_plain, bias, y, scratchpad;
  bool reordered = false;

  size_t weight_bytes() const { return reordered ? w.get_size() : 0; }
};

namespace {

api::ConvMemory describe(const Shape& x, const Shape& w, const Shape& y, const ConvSpec& spec, bool bias) {
  api::ConvMemory m;
  m.x = activation(x);
  m.y = activation(y);
  m.w = weights(w, spec.groups, false);
  m.has_bias = bias;
  if (bias) m.bias = {Dims{w[0]}, kF32, Tag::x};
  m.stride = {spec.stride[0], spec.stride[1]};
  m.dilation = {spec.dilation[0] - 1, spec.dilation[1] - 1};
  m.pad_low = {spec.pad[0], spec.pad[1]};
  m.pad_high = {high_pad(x[2], y[2], w[2], spec.stride[0], spec.dilation[0], spec.pad[0]),
                high_pad(x[3], y[3], w[3], spec.stride[1], spec.dilation[1], spec.pad[1])};
  return m;
}

/// Scratch comes from us, and single precision is single precision whatever the environment says.
dnnl::primitive_attr attributes(const ConvEpilogue<Tensor>& after, const dnnl::memory::desc& y) {
  dnnl::primitive_attr attr;
  dnnl::post_ops then;
  if (after.addend != nullptr) then.append_binary(dnnl::algorithm::binary_add, y);
  if (after.clips()) api::append_clip(then, static_cast<float>(after.low), static_cast<float>(after.high));
  attr.set_post_ops(then);
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attr.set_fpmath_mode(dnnl::fpmath_mode::strict);
  return attr;
}

}  // namespace

ConvLibrary::ConvLibrary(int threads, std::shared_ptr<Allocator> memory)
    : threads_(threads), memory_(std::move(memory)) {}

ConvLibrary::~ConvLibrary() = default;

ConvLibrary::Key ConvLibrary::key_of(Kind kind, const Shape& x, const Shape& w, const ConvSpec& spec,
                                     const ConvEpilogue<Tensor>& after) {
  Key key = {static_cast<int64_t>(kind),
             spec.groups,
             after.bias != nullptr,
             after.addend != nullptr,
             std::bit_cast<int64_t>(after.low),
             std::bit_cast<int64_t>(after.high)};
  size_t at = 6;
  const auto append = [&](std::span<const int64_t> numbers) {
    for (const int64_t number : numbers) key[at++] = number;
  };
  append(x.extents());
  append(w.extents());
  append(spec.stride);
  append(spec.pad);
  append(spec.dilation);
  return key;
}

std::unique_ptr<ConvLibrary::Primitive> ConvLibrary::make(Kind kind, const Shape& x, const Shape& w, const Shape& y,
                                                          const ConvSpec& spec, const ConvEpilogue<Tensor>& after) {
  const auto memory = describe(x, w, y, spec, after.bias != nullptr);
  const auto attr = attributes(after, memory.y);
  const dnnl::engine& engine = host_engine();
  auto made = std::make_unique<Primitive>();
  const auto keep = [&](const auto& pd, const dnnl::memory::desc& chosen, auto primitive) {
    made->run = std::move(primitive);
    made->w = chosen;
    made->scratchpad = pd.scratchpad_desc();
  };
  if (kind == Kind::backward_data) {
    const auto hint = api::forward(engine, dnnl::prop_kind::forward_training, memory, attr);
    const auto pd = api::backward_data(engine, memory, hint, attr);
    keep(pd, pd.weights_desc(), api::BackwardData(pd));
  } else if (kind == Kind::backward_weights) {
    const auto hint = api::forward(engine, dnnl::prop_kind::forward_training, memory, attr);
    const auto pd = api::backward_weights(engine, memory, hint, attr);
    keep(pd, pd.diff_weights_desc(), api::BackwardWeights(pd));
  } else {
    const auto pd = api::forward(engine, dnnl::prop_kind::forward_inference, memory, attr);
    keep(pd, pd.weights_desc(), api::Forward(pd));
  }
  made->x = memory.x;
  made->y = memory.y;
  made->bias = memory.bias;
  made->w_plain = weights(w, spec.groups, true);
  made->reordered = made->w != made->w_plain;
  if (made->reordered) {
    const bool out = kind == Kind::backward_weights;
    made->reorder = dnnl::reorder(
        dnnl::reorder::primitive_desc(engine, out ? made->w : made->w_plain, engine, out ? made->w_plain : made->w));
  }
  return made;
}

const ConvLibrary::Primitive& ConvLibrary::find(Kind kind, const Shape& x, const Shape& w, const Shape& y,
                                                const ConvSpec& spec, const ConvEpilogue<Tensor>& after) {
  const Key key = key_of(kind, x, w, spec, after);
  if (const auto found = entries_.find(key); found != entries_.end()) {
    found->second.last_use = ++uses_;
    return *found->second.primitive;
  }
  if (entries_.size() >= kMostEntries) {
    entries_.erase(std::ranges::min_element(entries_, {}, [](const auto& e) { return e.second.last_use; }));
  }
  return *entries_.emplace(key, Entry{make(kind, x, w, y, spec, after), ++uses_}).first->second.primitive;
}

namespace {

/// Memory objects and scratch of one call.
class Call {
 public:
  Call(const std::shared_ptr<Allocator>& memory, size_t weight_bytes, size_t scratch_bytes)
      : stream_(host_engine()), weights_(memory, weight_bytes), scratchpad_(memory, scratch_bytes) {}

  dnnl::memory at(const dnnl::memory::desc& desc, const Tensor& x) const { return {desc, host_engine(), x.raw()}; }
  dnnl::memory rearranged(const dnnl::memory::desc& desc) const { return {desc, host_engine(), weights_.raw()}; }
  dnnl::memory scratch(const dnnl::memory::desc& desc) const { return {desc, host_engine(), scratchpad_.raw()}; }
  void reorder(const dnnl::primitive& primitive, dnnl::memory from, dnnl::memory to) {
    run(primitive, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  }
  void run(const dnnl::primitive& primitive, const std::unordered_map<int, dnnl::memory>& arguments) {
    primitive.execute(stream_, arguments);
    stream_.wait();
  }

 private:
  dnnl::stream stream_;
  Scratch weights_, scratchpad_;
};

}  // namespace

void ConvLibrary::forward(const Tensor& x, const Tensor& w, const ConvEpilogue<Tensor>& after, const ConvSpec& spec,
                          const Tensor& y) {
  if (y.numel() == 0) return;
  const OmpThreads threads(threads_);
  guarded("conv2d", [&] {
    const Primitive& p = find(Kind::forward, x.shape(), w.shape(), y.shape(), spec, after);
    Call call(memory_, p.weight_bytes(), p.scratchpad.get_size());
    dnnl::memory kernel = call.at(p.w_plain, w);
    if (p.reordered) {
      call.reorder(p.reorder, kernel, call.rearranged(p.w));
      kernel = call.rearranged(p.w);
    }
    std::unordered_map<int, dnnl::memory> arguments = {{DNNL_ARG_SRC, call.at(p.x, x)},
                                                       {DNNL_ARG_WEIGHTS, kernel},
                                                       {DNNL_ARG_DST, call.at(p.y, y)},
                                                       {DNNL_ARG_SCRATCHPAD, call.scratch(p.scratchpad)}};
    if (after.bias != nullptr) arguments.emplace(DNNL_ARG_BIAS, call.at(p.bias, *after.bias));
    if (after.addend != nullptr) {
      arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, call.at(p.y, *after.addend));
    }
    call.run(p.run, arguments);
  });
}

void ConvLibrary::backward_data(const Tensor& dy, const Tensor& w, const ConvSpec& spec, const Tensor& dx) {
  if (dx.numel() == 0) return;
  const OmpThreads threads(threads_);
  guarded("conv2d_dgrad", [&] {
    const Primitive& p = find(Kind::backward_data, dx.shape(), w.shape(), dy.shape(), spec);
    Call call(memory_, p.weight_bytes(), p.scratchpad.get_size());
    dnnl::memory kernel = call.at(p.w_plain, w);
    if (p.reordered) {
      call.reorder(p.reorder, kernel, call.rearranged(p.w));
      kernel = call.rearranged(p.w);
    }
    call.run(p.run, {{DNNL_ARG_DIFF_DST, call.at(p.y, dy)},
                     {DNNL_ARG_WEIGHTS, kernel},
                     {DNNL_ARG_DIFF_SRC, call.at(p.x, dx)},
                     {DNNL_ARG_SCRATCHPAD, call.scratch(p.scratchpad)}});
  });
}

void ConvLibrary::backward_weights(const Tensor& x, const Tensor& dy, const ConvSpec& spec, const Tensor& dw) {
  if (dw.numel() == 0) return;
  if (dy.numel() == 0) {
    std::memset(dw.raw(), 0, dw.bytes());
    return;
  }
  const OmpThreads threads(threads_);
  guarded("conv2d_wgrad", [&] {
    const Primitive& p = find(Kind::backward_weights, x.shape(), dw.shape(), dy.shape(), spec);
    Call call(memory_, p.weight_bytes(), p.scratchpad.get_size());
    const dnnl::memory kernel = p.reordered ? call.rearranged(p.w) : call.at(p.w_plain, dw);
    call.run(p.run, {{DNNL_ARG_SRC, call.at(p.x, x)},
                     {DNNL_ARG_DIFF_DST, call.at(p.y, dy)},
                     {DNNL_ARG_DIFF_WEIGHTS, kernel},
                     {DNNL_ARG_SCRATCHPAD, call.scratch(p.scratchpad)}});
    if (p.reordered) call.reorder(p.reorder, kernel, call.at(p.w_plain, dw));
  });
}

// v_K = c_K x, v_{m-1} = J v_m + c_{m-1} x. The library could add to what its output holds, but then every product of
// the sum is rounded at the size of x.
void ConvLibrary::series(const Tensor& x, const Tensor& k, const SeriesSpec& spec, float sign, const Tensor& y) {
  if (x.numel() == 0) return;
  const OmpThreads threads(threads_);
  guarded("conv_exp", [&] {
    const ConvSpec conv = series_convolution(k.shape(), spec.groups);
    const Primitive& p = find(Kind::forward, x.shape(), k.shape(), x.shape(), conv);
    Call call(memory_, p.weight_bytes(), p.scratchpad.get_size());
    dnnl::memory kernel = call.at(p.w_plain, k);
    if (p.reordered) {
      call.reorder(p.reorder, kernel, call.rearranged(p.w));
      kernel = call.rearranged(p.w);
    }
    const auto add_scaled = [&](int m, float before, const Tensor& to) {
      const auto c = static_cast<float>(spec.coefficients[static_cast<size_t>(m)]) * (m % 2 == 1 ? sign : 1);
      const float* from = x.data<float>();
      float* out = to.data<float>();
      for (int64_t i = 0; i < x.numel(); ++i) out[i] = before * out[i] + c * from[i];
    };
    Tensor v = Tensor::empty(x.shape(), DType::f32, Layout::channels_last, memory_);
    Tensor next = Tensor::empty(x.shape(), DType::f32, Layout::channels_last, memory_);
    std::memset(v.raw(), 0, v.bytes());
    add_scaled(spec.degree(), 0, v);
    for (int m = spec.degree() - 1; m >= 0; --m) {
      const Tensor& to = m == 0 ? y : next;
      call.run(p.run, {{DNNL_ARG_SRC, call.at(p.x, v)},
                       {DNNL_ARG_WEIGHTS, kernel},
                       {DNNL_ARG_DST, call.at(p.y, to)},
                       {DNNL_ARG_SCRATCHPAD, call.scratch(p.scratchpad)}});
      add_scaled(m, 1, to);
      std::swap(v, next);
    }
  });
}

std::string conv_library_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace gsnet::cpu
