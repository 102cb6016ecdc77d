// Handles of the driver and of the libraries as values, and their errors as ours.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <memory>
#include <string_view>
#include <type_traits>

#include "core/allocator.h"

namespace gsnet::cuda {

/// Throws Error "[cuda] what: reason" unless all went well.
void check(cudaError_t status, std::string_view what);
void check(cublasStatus_t status, std::string_view what);

struct StreamEnd {
  void operator()(cudaStream_t stream) const noexcept { cudaStreamDestroy(stream); }
};
struct EventEnd {
  void operator()(cudaEvent_t event) const noexcept { cudaEventDestroy(event); }
};
struct GraphEnd {
  void operator()(cudaGraph_t graph) const noexcept { cudaGraphDestroy(graph); }
  void operator()(cudaGraphExec_t graph) const noexcept { cudaGraphExecDestroy(graph); }
};
struct DeviceEnd {
  void operator()(void* memory) const noexcept { cudaFree(memory); }
};
struct PinnedEnd {
  void operator()(void* memory) const noexcept { cudaFreeHost(memory); }
};
struct BlasEnd {
  void operator()(cublasHandle_t handle) const noexcept { cublasDestroy(handle); }
};
using StreamHandle = std::unique_ptr<std::remove_pointer_t<cudaStream_t>, StreamEnd>;
using EventHandle = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, EventEnd>;
using GraphHandle = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, GraphEnd>;
using GraphExecHandle = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, GraphEnd>;
using DeviceMemory = std::unique_ptr<void, DeviceEnd>;
using PinnedMemory = std::unique_ptr<void, PinnedEnd>;
using BlasHandle = std::unique_ptr<std::remove_pointer_t<cublasHandle_t>, BlasEnd>;

/// Of the current device: blocks are kept, and given out again in the order of one stream.
std::shared_ptr<Allocator> make_device_allocator(int device);

}  // namespace gsnet::cuda
