// A piece of the machine's memory for the length of a scope.
#pragma once

#include <memory>

#include "core/allocator.h"

namespace gsnet::cpu {

class Scratch {
 public:
  Scratch(const std::shared_ptr<Allocator>& memory, size_t bytes) : memory_(memory), block_(memory_->allocate(bytes)) {}
  ~Scratch() { memory_->release(block_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* raw() const { return block_; }
  float* floats() const { return static_cast<float*>(block_); }

 private:
  std::shared_ptr<Allocator> memory_;
  void* block_;
};

}  // namespace gsnet::cpu
