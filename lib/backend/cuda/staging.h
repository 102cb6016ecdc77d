// Bytes on their way from the host to the device while it works.
#pragma once

#include <array>
#include <memory>

#include "backend/cuda/handles.h"
#include "core/tensor.h"

namespace gsnet::cuda {

/// Rings of slots, each a piece of host memory that the device reads itself and as much on the device. Bytes go through
/// a slot on a stream of their own, past the work that is under way, and from there to their place in order with it.
class Staging {
 public:
  /// When it returns `from` may go. `stream`: whose order the bytes arrive in, and that of `memory`, which gives room.
  void send(void* to, const void* from, size_t bytes, cudaStream_t stream, const std::shared_ptr<Allocator>& memory);

 private:
  struct Slot {
    PinnedMemory host;
    Tensor device;
    size_t size = 0;
    EventHandle sent, taken;  ///< from the host's piece; from the device's
  };
  void make_room(Slot& slot, size_t bytes, cudaStream_t stream, const std::shared_ptr<Allocator>& memory);

  static constexpr size_t kSmall = size_t{64} << 10;
  std::array<Slot, 2> large_;
  std::array<Slot, 8> small_;
  size_t next_large_ = 0, next_small_ = 0;
  StreamHandle stream_;
};

}  // namespace gsnet::cuda
