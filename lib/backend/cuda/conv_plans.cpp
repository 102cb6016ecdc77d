#include "backend/cuda/conv_plans.h"

#include <cudnn.h>
#include <cudnn_graph.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "backend/cuda/cudnn_descriptor.h"
#include "backend/cuda/handles.h"
#include "core/error.h"

namespace gsnet::cuda {
namespace {

/// Channels-last: axes in the order (N, C, H, W), C neighbours in memory. between: from one operation of a graph to the
/// next, nowhere in memory.
Descriptor tensor(int64_t id, const Shape& s, int64_t alignment, bool between = false) {
  Descriptor made(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  made.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  made.set(CUDNN_ATTR_TENSOR_DIMENSIONS, {s[0], s[1], s[2], s[3]});
  made.set(CUDNN_ATTR_TENSOR_STRIDES, {s[1] * s[2] * s[3], 1, s[3] * s[1], s[1]});
  made.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, {id});
  made.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, {alignment});
  if (between) made.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, true);
  made.finalise("a tensor of a convolution");
  return made;
}

Descriptor convolution(const ConvSpec& spec) {
  Descriptor made(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  made.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, {int64_t{2}});
  made.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  made.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION);
  made.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {spec.pad[0], spec.pad[1]});
  made.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {spec.pad[2], spec.pad[3]});
  made.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, {spec.dilation[0], spec.dilation[1]});
  made.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {spec.stride[0], spec.stride[1]});
  made.finalise("a convolution");
  return made;
}

/// Names of one operation's attributes.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
};

constexpr OperationNames kNames[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};

/// What single precision, or tf32, in a fixed order rules out.
bool is_exact_enough(const Descriptor& engine, Precision precision) {
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  int64_t count = 0;
  check(cudnnBackendGetAttribute(engine.get(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                 CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes),
        "notes of an engine");
  return std::ranges::all_of(std::span(notes, static_cast<size_t>(count)), [&](cudnnBackendNumericalNote_t note) {
    if (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE) return precision != Precision::f32;
    return note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP;
  });
}

/// The engine of a configuration.
Descriptor engine_of(const Descriptor& config) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t handle = engine.get();
  int64_t count = 0;
  check(cudnnBackendGetAttribute(config.get(), CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                                 &handle),
        "the engine of a configuration");
  return engine;
}

/// What the library would try, the best first. device: described, or null.
std::vector<Descriptor> configurations(const Descriptor& graph, cudnnBackendHeurMode_t mode, const Descriptor* device) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
  if (device != nullptr) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device);
  if (!heuristics.try_finalise()) return {};
  int64_t count = 0;
  check(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0,
                                 &count, nullptr),
        "engines for a convolution");
  std::vector<Descriptor> made;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < count; ++i) {
    made.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    handles.push_back(made.back().get());
  }
  check(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count,
                                 &count, handles.data()),
        "engines for a convolution");
  while (std::ssize(made) > count) made.pop_back();
  return made;
}

}  // namespace

struct ConvPlans::Handle {
  static constexpr int64_t kZeros = 16384;  // channels

  explicit Handle(void* cuda_stream) {
    const auto stream = static_cast<cudaStream_t>(cuda_stream);
    cudnnHandle_t made = nullptr;
    check(cudnnCreate(&made), "cuDNN");
    library.reset(made);
    check(cudnnSetStream(made, stream), "cuDNN");
    constexpr size_t kBytes = kZeros * sizeof(float);
    void* memory = nullptr;
    check(cudaMalloc(&memory, kBytes), "memory for zeros");
    zeros.reset(memory);
    check(cudaMemsetAsync(memory, 0, kBytes, stream), "memory for zeros");
  }
  explicit Handle(const std::string& description)
      : device(std::make_unique<Descriptor>(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)) {
    device->set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                std::span<const char>(description.c_str(), description.size() + 1));
    device->finalise("the description of a device");
  }

  struct End {
    void operator()(cudnnHandle_t handle) const noexcept { cudnnDestroy(handle); }
  };
  std::unique_ptr<std::remove_pointer_t<cudnnHandle_t>, End> library;
  DeviceMemory zeros;
  std::unique_ptr<Descriptor> device;  ///< described, in place of the library's
};

struct ConvPlans::Plan {
  Descriptor plan{CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR};
  int64_t workspace = 0;
};

ConvPlans::ConvPlans(void* stream) : handle_(std::make_unique<Handle>(stream)) {}

ConvPlans::ConvPlans(const std::string& device) : handle_(std::make_unique<Handle>(device)) {}

ConvPlans::~ConvPlans() = default;

namespace {

constexpr size_t kScaleAt = 5;                                      // in a key
constexpr int64_t kAnyScale = std::numeric_limits<int64_t>::max();  // no number's bits

/// Whether the library can have it, see above; keys tell such ends apart.
bool is_ready_made(const ConvEnd& end, int64_t most_channels, int64_t channels) {
  if (!end.plain() && end.bias == nullptr && channels > most_channels) return false;
  return !end.clips() || (end.low == 0 && end.high == std::numeric_limits<float>::infinity());
}

/// The largest power of two up to 16 that divides all addresses.
int64_t alignment_of(std::initializer_list<const float*> pointers) {
  uintptr_t bits = 16;
  for (const float* p : pointers) bits |= reinterpret_cast<uintptr_t>(p);
  return static_cast<int64_t>(bits & ~(bits - 1));
}

}  // namespace

ConvPlans::Key ConvPlans::key_of(Kind kind, const Convolution& c, const ConvEnd& end, int64_t alignment) {
  Key key = {static_cast<int64_t>(kind),
             c.spec.groups,
             c.precision == Precision::f32 ? 0 : 1,
             alignment,
             end.addend != nullptr ? 1 : 0,
             std::bit_cast<int32_t>(end.scale),
             end.clips() ? 1 : 0,
             end.plain() ? 1 : 0};
  size_t at = 8;
  const auto append = [&](std::span<const int64_t> numbers) {
    for (const int64_t number : numbers) key[at++] = number;
  };
  append(c.x.extents());
  append(c.w.extents());
  append(c.y.extents());
  append(c.spec.stride);
  append(std::span(c.spec.pad).first(2));
  append(c.spec.dilation);
  return key;
}

namespace {

constexpr int64_t kX = 1, kW = 2, kY = 3, kBias = 4, kAddend = 5, kBetween = 6;  // of tensors

enum class ScaledBy : uint8_t { convolution, addition };

}  // namespace

/// A convolution and what follows it: + addend, + bias, a clip, in the order in which libraries have it ready-made.
struct ConvPlans::Graph {
  std::deque<Descriptor> parts;
  std::vector<cudnnBackendDescriptor_t> operations;
  int64_t alignment;

  Graph(Kind kind, const Convolution& c, const ConvEnd& end, ScaledBy scaled, int64_t aligned) : alignment(aligned) {
    const Descriptor& y = keep(tensor(kY, c.y, alignment));
    int stages = end.plain() ? 0 : (end.addend != nullptr ? 1 : 0) + 1 + (end.clips() ? 1 : 0);
    int64_t next_id = kBetween;
    const auto output = [&]() -> const Descriptor& {
      return stages-- == 0 ? y : keep(tensor(next_id++, c.y, alignment, true));
    };
    const Descriptor* now = &output();
    convolve(kind, c, scaled == ScaledBy::convolution ? end.scale : 1, *now);
    float scale = scaled == ScaledBy::addition ? end.scale : 1;
    const auto add = [&](int64_t id, const Shape& shape) {
      const Descriptor &given = keep(tensor(id, shape, alignment)), &to = output();
      Descriptor& operation = follow(CUDNN_POINTWISE_ADD, *now, to);
      operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, given);
      operation.set(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, CUDNN_TYPE_FLOAT, std::exchange(scale, 1.0F));
      operation.set(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, CUDNN_TYPE_FLOAT, 1.0F);
      operation.finalise("an addition");
      now = &to;
    };
    if (end.addend != nullptr) add(kAddend, c.y);
    if (!end.plain()) add(kBias, {1, c.y[1], 1, 1});
    if (end.clips()) follow(CUDNN_POINTWISE_RELU_FWD, *now, output()).finalise("a clip");
  }

 private:
  const Descriptor& keep(Descriptor made) {
    parts.push_back(std::move(made));
    return parts.back();
  }

  void convolve(Kind kind, const Convolution& c, float scale, const Descriptor& y) {
    const OperationNames& names = kNames[static_cast<size_t>(kind)];
    Descriptor operation(names.type);
    operation.set(names.conv, keep(convolution(c.spec)));
    operation.set(names.x, keep(tensor(kX, c.x, alignment)));
    operation.set(names.w, keep(tensor(kW, c.w, alignment)));
    operation.set(names.y, y);
    operation.set(names.alpha, CUDNN_TYPE_FLOAT, scale);
    operation.set(names.beta, CUDNN_TYPE_FLOAT, 0.0F);
    operation.finalise("a convolution");
    operations.push_back(keep(std::move(operation)).get());
  }

  /// An operation element by element, not finalised.
  Descriptor& follow(cudnnPointwiseMode_t mode, const Descriptor& from, const Descriptor& to) {
    Descriptor what(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    what.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode);
    what.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    what.finalise("an operation after a convolution");
    parts.emplace_back(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    Descriptor& operation = parts.back();
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, keep(std::move(what)));
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, from);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
    operations.push_back(operation.get());
    return operation;
  }
};

// The library reads the number of groups off the channels. Null where no engine can do it; of what is generic only
// convolutions alone are worth it.
std::unique_ptr<ConvPlans::Plan> ConvPlans::make(Kind kind, const Convolution& c, const ConvEnd& end,
                                                 int64_t alignment) {
  if (end.plain()) return make_of(Graph(kind, c, end, ScaledBy::convolution, alignment), c.precision, true);
  for (const ScaledBy scaled : {ScaledBy::addition, ScaledBy::convolution}) {
    try {
      if (auto made = make_of(Graph(kind, c, end, scaled, alignment), c.precision, false)) return made;
    } catch (const Error&) {
      continue;  // a graph that the library does not take; the convolution alone is done then
    }
  }
  return nullptr;
}

std::unique_ptr<ConvPlans::Plan> ConvPlans::make_of(const Graph& of, Precision precision, bool generic_too) {
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
            std::span<const cudnnBackendDescriptor_t>(of.operations));
  const Descriptor* device = handle_->device.get();
  if (device == nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle_->library.get());
  graph.finalise("a convolution");
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    if (mode == CUDNN_HEUR_MODE_FALLBACK && !generic_too) break;
    for (const Descriptor& config : configurations(graph, mode, device)) {
      if (!is_exact_enough(engine_of(config), precision)) continue;
      auto made = std::make_unique<Plan>();
      made->plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
      if (device == nullptr) {
        made->plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle_->library.get());
      } else {
        made->plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *device);
      }
      if (!made->plan.try_finalise()) continue;
      made->workspace = made->plan.number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
      return made;
    }
  }
  return nullptr;
}

// Where there is no engine there is none for another scale either, of which a network has many.
ConvPlans::Entry& ConvPlans::entry(Kind kind, const Convolution& c, const ConvEnd& end, int64_t alignment) {
  Key key = key_of(kind, c, end, alignment), refused = key;
  refused[kScaleAt] = kAnyScale;
  auto found = entries_.find(refused);
  if (found == entries_.end()) found = entries_.find(key);
  if (found == entries_.end()) {
    if (entries_.size() >= kMostEntries) {
      entries_.erase(std::ranges::min_element(entries_, {}, [](const auto& e) { return e.second.last_use; }));
    }
    std::shared_ptr<const Plan> made = make(kind, c, end, alignment);
    found = entries_.emplace(made != nullptr ? key : refused, Entry{made, 0}).first;
  }
  found->second.last_use = ++uses_;
  return found->second;
}

bool ConvPlans::can(Kind kind, const Convolution& c, const ConvEnd& end) {
  return is_ready_made(end, Handle::kZeros, c.y[1]) && entry(kind, c, end, 16).plan != nullptr;
}

bool ConvPlans::run(Kind kind, const Convolution& c, const ConvEnd& end, const Operands& given,
                    const std::shared_ptr<Allocator>& memory) {
  if (!is_ready_made(end, Handle::kZeros, c.y[1])) return false;
  const float* bias = end.plain() || end.bias != nullptr ? end.bias : static_cast<const float*>(handle_->zeros.get());
  const Entry& found = entry(kind, c, end, alignment_of({given.x, given.w, given.y, bias, end.addend}));
  if (found.plan == nullptr) return false;
  if (used_ != nullptr) used_->push_back(found.plan);
  const Plan& plan = *found.plan;
  const Tensor workspace = Tensor::empty({plan.workspace}, DType::u8, Layout::row_major, memory);
  std::vector<int64_t> ids = {kX, kW, kY};
  std::vector<const void*> pointers = {given.x, given.w, given.y};
  const auto also = [&](int64_t id, const float* at) {
    if (at == nullptr) return;
    ids.push_back(id);
    pointers.push_back(at);
  };
  also(kBias, bias);
  also(kAddend, end.addend);
  Descriptor operands(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  operands.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, std::span<const int64_t>(ids));
  operands.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, std::span<const void* const>(pointers));
  operands.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace.raw());
  operands.finalise("operands of a convolution");
  check(cudnnBackendExecute(handle_->library.get(), plan.plan.get(), operands.get()), "a convolution");
  return true;
}

std::string conv_library_version() {
  const size_t version = cudnnGetVersion();
  return fmt::format("cuDNN {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace gsnet::cuda
