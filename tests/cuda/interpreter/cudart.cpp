// The CUDA runtime's functions over the interpreted device: preloaded, they stand before the real ones.
#include <cuda_runtime_api.h>
#include <fatbinary_section.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include "cuda/interpreter/device.h"
#include "cuda/interpreter/fault.h"

namespace gsnet::ptx {
namespace {

constexpr int kMostShared = 227 << 10, kSharedAlways = 48 << 10;

/// Kernels of one source file; its text is read when the first of them is launched.
struct Binary {
  std::string text;
  Module module;
  bool read = false;
};

struct Function {
  Binary* binary;
  std::string name;
  const Kernel* kernel = nullptr;
  int most_shared = kSharedAlways;
};

struct Registry {
  std::map<const void*, Function> functions;
  std::set<const void*> pinned;
};

Registry& registry() {
  static auto* made = new Registry;
  return *made;
}

/// The PTX of a fat binary, which must lie there as it is.
std::string text_of(const std::byte* data) {
  struct Header {
    uint32_t magic;
    uint16_t version, bytes;
    uint64_t size;
  } header;
  struct Entry {
    uint16_t kind, version;
    uint32_t bytes;
    uint64_t size;
    uint32_t compressed;
  } entry;
  std::memcpy(&header, data, sizeof(header));
  const std::byte *at = data + header.bytes, *end = at + header.size;
  for (; at < end; at += entry.bytes + entry.size) {
    std::memcpy(&entry, at, sizeof(entry));
    if (entry.kind != 1) continue;
    if (entry.compressed != 0) throw Fault("a fat binary is compressed: nvcc --no-compress");
    const auto* text = reinterpret_cast<const char*>(at + entry.bytes);
    return {text, strnlen(text, entry.size)};
  }
  throw Fault("a fat binary without PTX");
}

const Kernel& kernel_of(Function& function) {
  if (function.kernel != nullptr) return *function.kernel;
  Binary& binary = *function.binary;
  if (!binary.read) {
    binary.module =
        read_module(binary.text, [](void* memory, size_t bytes) { Device::get().memory.add(memory, bytes); });
    binary.read = true;
  }
  const auto found = binary.module.kernels.find(function.name);
  if (found == binary.module.kernels.end()) throw Fault("no kernel " + function.name);
  function.kernel = found->second.get();
  return *function.kernel;
}

cudaError_t launch(Function& function, dim3 grid, dim3 block, void** arguments, size_t shared, cudaStream_t stream) {
  const Kernel& kernel = kernel_of(function);
  if (grid.y != 1 || grid.z != 1 || block.y != 1 || block.z != 1) throw Fault("grids of more than one axis");
  const bool fits = grid.x > 0 && block.x > 0 && block.x <= 1024 && static_cast<int>(block.x) <= kernel.most_threads &&
                    static_cast<int>(shared) <= function.most_shared &&
                    static_cast<int>(shared) + kernel.shared_bytes <= kMostShared;
  if (!fits) {
    throw Fault(fmt::format("{}: {} blocks of {} threads (at most {}) with {} bytes of shared memory (at most {})",
                            kernel.name, grid.x, block.x, kernel.most_threads, shared, function.most_shared));
  }
  Launch made = {&kernel, grid.x, static_cast<int>(block.x), static_cast<int>(shared), {}};
  made.parameters.resize(static_cast<size_t>(kernel.parameter_bytes));
  for (size_t i = 0; i < kernel.parameters.size(); ++i) {
    std::memcpy(made.parameters.data() + kernel.parameters[i].offset, arguments[i],
                static_cast<size_t>(kernel.parameters[i].bytes));
  }
  Device::get().enqueue(stream_of(stream), [made] { run_grid(made, Device::get().memory); });
  return cudaSuccess;
}

struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};

std::vector<Configuration>& configurations() {
  static auto* made = new std::vector<Configuration>;
  return *made;
}

std::shared_ptr<Event>& event_of(cudaEvent_t event) { return *reinterpret_cast<std::shared_ptr<Event>*>(event); }

template <class Call>
cudaError_t call(Call body) {
  return Device::get().guarded([&] {
    body(Device::get());
    return cudaSuccess;
  });
}

}  // namespace
}  // namespace gsnet::ptx

using namespace gsnet::ptx;

extern "C" {

// --- What nvcc's stubs call.

void** __cudaRegisterFatBinary(void* wrapper) {
  const auto* data = reinterpret_cast<const std::byte*>(static_cast<__fatBinC_Wrapper_t*>(wrapper)->data);
  auto* made = new Binary;
  try {
    made->text = text_of(data);
  } catch (const std::exception& fault) {
    fmt::print(stderr, "interpreted device: {}\n", fault.what());
    std::abort();
  }
  return reinterpret_cast<void**>(made);
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 0; }
void __cudaRegisterFunction(void** binary, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  registry().functions[host] = {reinterpret_cast<Binary*>(binary), name};
}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  configurations().push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  const Configuration last = configurations().back();
  configurations().pop_back();
  *grid = last.grid;
  *block = last.block;
  *shared = last.shared;
  *static_cast<cudaStream_t*>(stream) = last.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
  *kernel = reinterpret_cast<cudaKernel_t>(&registry().functions.at(host));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                               cudaStream_t stream) {
  return Device::get().guarded(
      [&] { return launch(*reinterpret_cast<Function*>(kernel), grid, block, arguments, shared, stream); });
}
cudaError_t cudaLaunchKernel(const void* host, dim3 grid, dim3 block, void** arguments, size_t shared,
                             cudaStream_t stream) {
  return Device::get().guarded(
      [&] { return launch(registry().functions.at(host), grid, block, arguments, shared, stream); });
}
cudaError_t cudaFuncSetAttribute(const void* host, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value > kMostShared) return cudaErrorInvalidValue;
  registry().functions.at(host).most_shared = value;
  return cudaSuccess;
}

// --- The device.

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "PTX interpreter");
  properties->major = 9;
  properties->sharedMemPerBlockOptin = kMostShared;
  properties->multiProcessorCount = 4;
  properties->totalGlobalMem = size_t{8} << 30;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return Device::get().error(); }
cudaError_t cudaPeekAtLastError() { return Device::get().error(); }
cudaError_t cudaDeviceSynchronize() {
  return call([](Device& device) { device.finish_all(); });
}

// --- Memory.

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  return call([&](Device& device) { *memory = device.memory.allocate(std::max<size_t>(bytes, 1)); });
}
cudaError_t cudaFree(void* memory) {
  return call([&](Device& device) {
    if (memory == nullptr) return;
    device.finish_all();
    if (!device.memory.free(memory)) throw Fault("memory given back that was not given");
  });
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  *memory = std::malloc(bytes);
  const std::lock_guard lock(Device::get().mutex);
  registry().pinned.insert(*memory);
  return *memory != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* memory) {
  return call([&](Device& device) {
    device.finish_all();
    if (registry().pinned.erase(memory) != 1) throw Fault("host memory given back that was not given");
    std::free(memory);
  });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t on) {
  return Device::get().guarded([&] {
    Device& device = Device::get();
    Stream& stream = stream_of(on);
    const bool of_device = kind != cudaMemcpyHostToDevice, on_device = kind != cudaMemcpyDeviceToHost;
    if (stream.captured != nullptr && (!of_device || !on_device)) {
      stream.capture_broken = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    if (of_device) must_hold(from, bytes, "a copy's source");
    if (on_device) must_hold(to, bytes, "a copy's destination");
    if (bytes == 0) return cudaSuccess;
    const auto *start = static_cast<const std::byte*>(from), *there = static_cast<const std::byte*>(to);
    if (start < there + bytes && there < start + bytes) throw Fault("a copy onto its own source");
    if (of_device || registry().pinned.contains(from)) {
      device.enqueue(stream, [=] { std::memmove(to, from, bytes); });
    } else {  // it is out of the host's memory when this returns
      device.enqueue(stream,
                     [=, held = std::vector<std::byte>(start, start + bytes)] { std::memcpy(to, held.data(), bytes); });
    }
    return cudaSuccess;
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t on) {
  return call([&](Device& device) {
    must_hold(to, bytes, "memory to be set");
    device.enqueue(stream_of(on), [=] { std::memset(to, value, bytes); });
  });
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = *total = size_t{8} << 30;
  return cudaSuccess;
}

// --- Streams, events, graphs.

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return call([&](Device& device) {
    auto* made = new Stream;
    device.add(made);
    *stream = reinterpret_cast<cudaStream_t>(made);
  });
}
cudaError_t cudaStreamDestroy(cudaStream_t on) {
  return call([&](Device& device) {
    Stream& stream = stream_of(on);
    device.finish_all();  // others may wait for it
    device.remove(&stream);
    delete &stream;
  });
}
cudaError_t cudaStreamSynchronize(cudaStream_t on) {
  return Device::get().guarded([&] {
    Stream& stream = stream_of(on);
    if (stream.captured != nullptr) {
      stream.capture_broken = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    Device::get().finish(stream);
    return cudaSuccess;
  });
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(new std::shared_ptr<Event>(std::make_shared<Event>()));
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete &event_of(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t on) {
  return call([&](Device& device) { device.record(stream_of(on), event_of(event)); });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call([&](Device& device) { device.finish(*event_of(event)); });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t on, cudaEvent_t event, unsigned) {
  return call([&](Device& device) { device.wait(stream_of(on), event_of(event)); });
}
cudaError_t cudaStreamBeginCapture(cudaStream_t on, cudaStreamCaptureMode) {
  return call([&](Device&) {
    Stream& stream = stream_of(on);
    if (stream.captured != nullptr) throw Fault("a capture within a capture");
    stream.captured = std::make_unique<Graph>();
    stream.capture_broken = false;
  });
}
cudaError_t cudaStreamEndCapture(cudaStream_t on, cudaGraph_t* graph) {
  return Device::get().guarded([&] {
    Stream& stream = stream_of(on);
    if (stream.captured == nullptr) throw Fault("the end of no capture");
    auto made = std::move(stream.captured);
    *graph = nullptr;
    if (stream.capture_broken) return cudaErrorStreamCaptureInvalidated;
    *graph = reinterpret_cast<cudaGraph_t>(made.release());
    return cudaSuccess;
  });
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  *made = reinterpret_cast<cudaGraphExec_t>(new Graph(*reinterpret_cast<Graph*>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t on) {
  return call([&](Device& device) {
    for (const Work& work : reinterpret_cast<Graph*>(graph)->work) device.enqueue(stream_of(on), work);
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return cudaSuccess;
}

}  // extern "C"
