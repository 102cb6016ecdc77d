// Where memory lives.
#pragma once

#include <cstdint>

namespace gsnet {

enum class DeviceKind : uint8_t { host, cuda };

/// A place that memory belongs to. Tensors never move between devices unless a Backend is asked to copy them.
struct Device {
  DeviceKind kind = DeviceKind::host;
  int index = 0;

  bool operator==(const Device&) const = default;
};

}  // namespace gsnet
