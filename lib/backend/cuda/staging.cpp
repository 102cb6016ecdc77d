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

/// The bytes before have left the slot's host memory. What the allocator gives may still be in use by the work that is
/// under way: bytes arrive there after it.
void Staging::make_room(Slot& slot, size_t bytes, cudaStream_t stream, const std::shared_ptr<Allocator>& memory) {
  if (!slot.sent) {
    slot.sent = make_event();
    slot.taken = make_event();
  }
  check(cudaEventSynchronize(slot.sent.get()), "waiting for bytes on their way");
  if (slot.size >= bytes) return;
  slot.size = 0;
  slot.device = {};
  slot.device = Tensor::empty({static_cast<int64_t>(bytes)}, DType::u8, Layout::row_major, memory);
  check(cudaEventRecord(slot.taken.get(), stream), "bytes on their way");
  void* pinned = nullptr;
  check(cudaMallocHost(&pinned, bytes), "host memory that the device reads");
  slot.host.reset(pinned);
  slot.size = bytes;
}

void Staging::send(void* to, const void* from, size_t bytes, cudaStream_t stream,
                   const std::shared_ptr<Allocator>& memory) {
  if (bytes == 0) return;
  if (!stream_) {
    cudaStream_t own = nullptr;
    check(cudaStreamCreateWithFlags(&own, cudaStreamNonBlocking), "a stream");
    stream_.reset(own);
  }
  Slot& slot = bytes > kSmall ? large_[next_large_++ % large_.size()] : small_[next_small_++ % small_.size()];
  make_room(slot, bytes, stream, memory);
  std::memcpy(slot.host.get(), from, bytes);
  check(cudaStreamWaitEvent(stream_.get(), slot.taken.get()), "bytes on their way");
  check(cudaMemcpyAsync(slot.device.raw(), slot.host.get(), bytes, cudaMemcpyHostToDevice, stream_.get()),
        "copying to the device");
  check(cudaEventRecord(slot.sent.get(), stream_.get()), "bytes on their way");
  check(cudaStreamWaitEvent(stream, slot.sent.get()), "bytes on their way");
  check(cudaMemcpyAsync(to, slot.device.raw(), bytes, cudaMemcpyDeviceToDevice, stream), "copying");
  check(cudaEventRecord(slot.taken.get(), stream), "bytes on their way");
}

}  // namespace gsnet::cuda
