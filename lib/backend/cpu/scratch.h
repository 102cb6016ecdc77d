// A piece of the machine's memory for the length of a scope.
#pragma once

#include <memory>

#include "core/allocator.h"

namespace gsnet::cpu {

class Scratch {
 public:
  Scratch(const std::shared_ptr<Allocator>& memory, size_t bytes)
      : memory_(memory), bytes_(bytes), block_(memory_->allocate(bytes)) {}
  ~Scratch() { memory_->release(block_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* raw() const { return block_; }
  float* floats() const { return static_cast<float*>(block_); }

 private:
  std::shared_ptr<Allocator> memory_;
  size_t bytes_;
  void* block_;
};

}  // namespace gsnet::cpu
