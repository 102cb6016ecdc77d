// cuDNN's graph API over the interpreted device: convolutions and what is done after them element by element, by one
// engine that can do them all.
#include <cudnn.h>
#include <cudnn_graph.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "cuda/interpreter/device.h"
#include "cuda/interpreter/fault.h"

namespace gsnet::ptx {
namespace {

struct Described;
using Shared = std::shared_ptr<const Described>;

/// A descriptor's attributes.
struct Described {
  cudnnBackendDescriptorType_t type{};
  std::map<int, std::vector<int64_t>> numbers;  ///< and addresses, and names of things
  std::map<int, double> floats;
  std::map<int, std::vector<Shared>> others;

  int64_t number(cudnnBackendAttributeName_t name) const { return all(name).at(0); }
  const std::vector<int64_t>& all(cudnnBackendAttributeName_t name) const {
    const auto found = numbers.find(name);
    if (found == numbers.end())
      throw Fault(
          fmt::format("a descriptor of kind {} without attribute {}", static_cast<int>(type), static_cast<int>(name)));
    return found->second;
  }
  const Described& other(cudnnBackendAttributeName_t name) const {
    const auto found = others.find(name);
    if (found == others.end())
      throw Fault(
          fmt::format("a descriptor of kind {} without attribute {}", static_cast<int>(type), static_cast<int>(name)));
    return *found->second.at(0);
  }
  float scale(cudnnBackendAttributeName_t name, double otherwise) const {
    const auto found = floats.find(name);
    return static_cast<float>(found == floats.end() ? otherwise : found->second);
  }
};

/// What a handle stands for: what it holds is shared with those that it was given to.
using Handle = std::shared_ptr<Described>;

Handle& handle_of(cudnnBackendDescriptor_t descriptor) { return *static_cast<Handle*>(descriptor); }

struct Library {
  cudaStream_t stream = nullptr;
};

constexpr int64_t kWorkspace = 4096;

struct Tensor {
  int64_t id, alignment;
  bool between;
  std::vector<int64_t> extents, strides;

  explicit Tensor(const Described& d)
      : id(d.number(CUDNN_ATTR_TENSOR_UNIQUE_ID)),
        alignment(d.number(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT)),
        between(d.numbers.contains(CUDNN_ATTR_TENSOR_IS_VIRTUAL) && d.number(CUDNN_ATTR_TENSOR_IS_VIRTUAL) != 0),
        extents(d.all(CUDNN_ATTR_TENSOR_DIMENSIONS)),
        strides(d.all(CUDNN_ATTR_TENSOR_STRIDES)) {
    if (d.number(CUDNN_ATTR_TENSOR_DATA_TYPE) != CUDNN_DATA_FLOAT) throw Fault("a tensor of other numbers than f32");
  }
  int64_t place(int64_t n, int64_t c, int64_t h, int64_t w) const {
    return n * strides[0] + c * strides[1] + h * strides[2] + w * strides[3];
  }
  int64_t numbers() const { return place(extents[0] - 1, extents[1] - 1, extents[2] - 1, extents[3] - 1) + 1; }
};

/// Where tensors lie while a plan runs.
class Places {
 public:
  explicit Places(std::map<int64_t, float*> given) : given_(std::move(given)) {}
  float* of(const Tensor& tensor) {
    if (tensor.between) {
      std::vector<float>& own = between_[tensor.id];
      own.resize(static_cast<size_t>(tensor.numbers()));
      return own.data();
    }
    return given_.at(tensor.id);
  }

 private:
  std::map<int64_t, float*> given_;
  std::map<int64_t, std::vector<float>> between_;
};

struct Names {
  cudnnBackendAttributeName_t conv, x, w, y, alpha;
};

Names names_of(cudnnBackendDescriptorType_t type) {
  if (type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR) {
    return {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA};
  }
  if (type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR) {
    return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA};
  }
  return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA};
}

void convolve(const Described& operation, Places& places) {
  const Names names = names_of(operation.type);
  const Tensor x(operation.other(names.x)), w(operation.other(names.w)), y(operation.other(names.y));
  const Described& conv = operation.other(names.conv);
  const auto& pad = conv.all(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
  const auto& after = conv.all(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
  const auto& stride = conv.all(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
  const auto& dilation = conv.all(CUDNN_ATTR_CONVOLUTION_DILATIONS);
  const int64_t in = w.extents[1], groups = x.extents[1] / in, out = w.extents[0] / groups;
  for (size_t axis = 0; axis < 2; ++axis) {
    const int64_t reach = dilation[axis] * (w.extents[2 + axis] - 1) + 1;
    if (y.extents[2 + axis] != (x.extents[2 + axis] + pad[axis] + after[axis] - reach) / stride[axis] + 1)
      throw Fault("shapes of a convolution");
  }
  if (x.extents[0] != y.extents[0] || y.extents[1] != w.extents[0] || in * groups != x.extents[1])
    throw Fault("shapes of a convolution");
  const bool to_x = operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
  const bool to_y = operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
  const Tensor& result = to_x ? x : to_y ? y : w;
  std::vector<double> sums(static_cast<size_t>(result.numbers()));
  const float *at_x = to_x ? nullptr : places.of(x), *at_w = to_x || to_y ? places.of(w) : nullptr,
              *at_y = to_y ? nullptr : places.of(y);
  for (int64_t n = 0; n < y.extents[0]; ++n) {
    for (int64_t h = 0; h < y.extents[2]; ++h) {
      for (int64_t v = 0; v < y.extents[3]; ++v) {
        for (int64_t a = 0; a < w.extents[2]; ++a) {
          for (int64_t b = 0; b < w.extents[3]; ++b) {
            const int64_t row = h * stride[0] + a * dilation[0] - pad[0],
                          column = v * stride[1] + b * dilation[1] - pad[1];
            if (row < 0 || row >= x.extents[2] || column < 0 || column >= x.extents[3]) continue;
            for (int64_t o = 0; o < w.extents[0]; ++o) {
              const int64_t y_place = y.place(n, o, h, v);
              for (int64_t i = 0; i < in; ++i) {
                const int64_t x_place = x.place(n, o / out * in + i, row, column), w_place = w.place(o, i, a, b);
                if (to_y) {
                  sums[static_cast<size_t>(y_place)] += static_cast<double>(at_x[x_place]) * at_w[w_place];
                } else if (to_x) {
                  sums[static_cast<size_t>(x_place)] += static_cast<double>(at_y[y_place]) * at_w[w_place];
                } else {
                  sums[static_cast<size_t>(w_place)] += static_cast<double>(at_x[x_place]) * at_y[y_place];
                }
              }
            }
          }
        }
      }
    }
  }
  const float scale = operation.scale(names.alpha, 1);
  float* to = places.of(result);
  for (size_t i = 0; i < sums.size(); ++i) to[i] = scale * static_cast<float>(sums[i]);
}

void follow(const Described& operation, Places& places) {
  const int64_t mode = operation.other(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR).number(CUDNN_ATTR_POINTWISE_MODE);
  const Tensor x(operation.other(CUDNN_ATTR_OPERATION_POINTWISE_XDESC)),
      y(operation.other(CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
  const float *from = places.of(x), scale = operation.scale(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, 1);
  float* to = places.of(y);
  const auto each = [&](auto body) {
    for (int64_t n = 0; n < y.extents[0]; ++n) {
      for (int64_t c = 0; c < y.extents[1]; ++c) {
        for (int64_t h = 0; h < y.extents[2]; ++h) {
          for (int64_t v = 0; v < y.extents[3]; ++v)
            to[y.place(n, c, h, v)] = body(scale * from[x.place(n, c, h, v)], n, c, h, v);
        }
      }
    }
  };
  if (mode == CUDNN_POINTWISE_RELU_FWD) {
    each([](float value, auto...) { return value > 0 ? value : 0; });
  } else if (mode == CUDNN_POINTWISE_ADD) {
    const Tensor b(operation.other(CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
    const float *added = places.of(b), times = operation.scale(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, 1);
    each([&](float value, int64_t n, int64_t c, int64_t h, int64_t v) {
      const auto at = [&](size_t axis, int64_t i) { return b.extents[axis] == 1 ? 0 : i; };
      return value + times * added[b.place(at(0, n), at(1, c), at(2, h), at(3, v))];
    });
  } else {
    throw Fault(fmt::format("an operation element by element of mode {}", mode));
  }
}

const Described& graph_of(const Described& plan) {
  return plan.other(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)
      .other(CUDNN_ATTR_ENGINECFG_ENGINE)
      .other(CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
}

/// Each tensor in memory is given, the device's, and as aligned as it was said to be.
void check_operands(const Described& graph, const std::map<int64_t, float*>& given) {
  for (const Shared& operation : graph.others.at(CUDNN_ATTR_OPERATIONGRAPH_OPS)) {
    for (const auto& [name, others] : operation->others) {
      for (const Shared& other : others) {
        if (other->type != CUDNN_BACKEND_TENSOR_DESCRIPTOR) continue;
        const Tensor tensor(*other);
        if (tensor.between) continue;
        const auto found = given.find(tensor.id);
        if (found == given.end()) throw Fault(fmt::format("tensor {} of a convolution is not given", tensor.id));
        must_hold(found->second, sizeof(float) * static_cast<size_t>(tensor.numbers()), "a tensor of a convolution");
        if (reinterpret_cast<uintptr_t>(found->second) % static_cast<uintptr_t>(tensor.alignment) != 0) {
          throw Fault(
              fmt::format("tensor {} of a convolution is not aligned to {} bytes", tensor.id, tensor.alignment));
        }
      }
    }
  }
}

template <class Call>
cudnnStatus_t call(Call body) {
  return Device::get().does(body) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_EXECUTION_FAILED;
}

}  // namespace
}  // namespace gsnet::ptx

using namespace gsnet::ptx;

extern "C" {

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = reinterpret_cast<cudnnHandle_t>(new Library);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete reinterpret_cast<Library*>(handle);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  reinterpret_cast<Library*>(handle)->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
  auto made = std::make_unique<Handle>(std::make_shared<Described>());
  (*made)->type = type;
  *descriptor = made.release();
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete &handle_of(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  return call([&] {
    Described& to = *handle_of(descriptor);
    std::vector<int64_t>& numbers = to.numbers[name];
    numbers.clear();
    for (int64_t i = 0; i < count; ++i) {
      if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        to.others[name].push_back(handle_of(static_cast<const cudnnBackendDescriptor_t*>(values)[i]));
      } else if (type == CUDNN_TYPE_FLOAT) {
        to.floats[name] = static_cast<const float*>(values)[i];
      } else if (type == CUDNN_TYPE_INT64) {
        numbers.push_back(static_cast<const int64_t*>(values)[i]);
      } else if (type == CUDNN_TYPE_VOID_PTR || type == CUDNN_TYPE_HANDLE) {
        numbers.push_back(reinterpret_cast<int64_t>(static_cast<void* const*>(values)[i]));
      } else if (type == CUDNN_TYPE_BOOLEAN) {
        numbers.push_back(static_cast<const bool*>(values)[i] ? 1 : 0);
      } else {  // one of the library's enumerations
        numbers.push_back(static_cast<const int32_t*>(values)[i]);
      }
    }
  });
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t) { return CUDNN_STATUS_SUCCESS; }

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t, int64_t room, int64_t* count, void* values) {
  return call([&] {
    const Described& from = *handle_of(descriptor);
    *count = 1;
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) {
      if (room == 0) return;
      auto engine = std::make_shared<Described>();
      engine->type = CUDNN_BACKEND_ENGINE_DESCRIPTOR;
      engine->others[CUDNN_ATTR_ENGINE_OPERATION_GRAPH] = from.others.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
      handle_of(*static_cast<cudnnBackendDescriptor_t*>(values))->others[CUDNN_ATTR_ENGINECFG_ENGINE] = {engine};
    } else if (name == CUDNN_ATTR_ENGINECFG_ENGINE) {
      *handle_of(*static_cast<cudnnBackendDescriptor_t*>(values)) = from.other(CUDNN_ATTR_ENGINECFG_ENGINE);
    } else if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE) {
      *count = 0;
    } else if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) {
      *static_cast<int64_t*>(values) = kWorkspace;
    } else {
      throw Fault(fmt::format("attribute {} asked of a descriptor", static_cast<int>(name)));
    }
  });
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t operands) {
  return call([&] {
    const Described& pack = *handle_of(operands);
    const auto& ids = pack.all(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const auto& pointers = pack.all(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    must_hold(reinterpret_cast<const void*>(pack.number(CUDNN_ATTR_VARIANT_PACK_WORKSPACE)), kWorkspace,
              "a convolution's workspace");
    std::map<int64_t, float*> given;
    for (size_t i = 0; i < ids.size(); ++i) given[ids[i]] = reinterpret_cast<float*>(pointers.at(i));
    const Shared kept = handle_of(plan);
    check_operands(graph_of(*kept), given);
    Device::get().enqueue(stream_of(reinterpret_cast<Library*>(handle)->stream), [kept, given] {
      Places places(given);
      for (const Shared& operation : graph_of(*kept).others.at(CUDNN_ATTR_OPERATIONGRAPH_OPS)) {
        if (operation->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) {
          follow(*operation, places);
        } else {
          convolve(*operation, places);
        }
      }
    });
  });
}

}  // extern "C"
