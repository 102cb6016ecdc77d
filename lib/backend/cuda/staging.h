// Bytes on their way from the host to the device while it works.
#pragma once

#include <array>

#include "backend/cuda/handles.h"

namespace gsnet::cuda {

/// A ring of slots, each a piece of host memory that the device reads itself and as much on the device. Bytes go
/// through a slot on a stream of their own, past the work that is under way, and from there to their place in order
/// with it.
class Staging {
 public:
  /// When it returns `from` may go. `stream`: whose order the bytes arrive in.
  void send(void* to, const void* from, size_t bytes, cudaStream_t stream);

 private:
  struct Slot {
    PinnedMemory host;
    DeviceMemory device;
    size_t size = 0;
    EventHandle sent, taken;  ///< from the host's piece; from the device's
  };
  void make_room(Slot& slot, size_t bytes);

  std::array<Slot, 8> slots_;  // of two steps or more
  size_t next_ = 0;
  StreamHandle stream_;
};

}  // namespace gsnet::cuda
