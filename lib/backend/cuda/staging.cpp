#include "backend/cuda/staging.h"

#include <cstring>

namespace gsnet::cuda {
namespace {

EventHandle make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event");
  return EventHandle(event);
}

}  // namespace

/// The bytes before have left the slot.
void Staging::make_room(Slot& slot, size_t bytes) {
  if (!slot.sent) {
    slot.sent = make_event();
    slot.taken = make_event();
  }
  check(cudaEventSynchronize(slot.sent.get()), "waiting for bytes on their way");
  if (slot.size >= bytes) return;
  check(cudaEventSynchronize(slot.taken.get()), "waiting for bytes on their way");
  slot.size = 0;
  void* memory = nullptr;
  check(cudaMallocHost(&memory, bytes), "host memory that the device reads");
  slot.host.reset(memory);
  check(cudaMalloc(&memory, bytes), "memory for bytes on their way");
  slot.device.reset(memory);
  slot.size = bytes;
}

void Staging::send(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return;
  if (!stream_) {
    cudaStream_t own = nullptr;
    check(cudaStreamCreateWithFlags(&own, cudaStreamNonBlocking), "a stream");
    stream_.reset(own);
  }
  Slot& slot = slots_[next_++ % slots_.size()];
  make_room(slot, bytes);
  std::memcpy(slot.host.get(), from, bytes);
  check(cudaStreamWaitEvent(stream_.get(), slot.taken.get()), "bytes on their way");
  check(cudaMemcpyAsync(slot.device.get(), slot.host.get(), bytes, cudaMemcpyHostToDevice, stream_.get()),
        "copying to the device");
  check(cudaEventRecord(slot.sent.get(), stream_.get()), "bytes on their way");
  check(cudaStreamWaitEvent(stream, slot.sent.get()), "bytes on their way");
  check(cudaMemcpyAsync(to, slot.device.get(), bytes, cudaMemcpyDeviceToDevice, stream), "copying");
  check(cudaEventRecord(slot.taken.get(), stream), "bytes on their way");
}

}  // namespace gsnet::cuda
