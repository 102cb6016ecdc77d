// Streams, events and graphs of the interpreted device: work is done as late as what waits for it allows, or, on
// streams made after the first, as early as what it waits for.
#pragma once

#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/interpreter/grid.h"
#include "cuda/interpreter/memory.h"

namespace gsnet::ptx {

using Work = std::function<void()>;

struct Stream;

struct Event {
  Stream* stream = nullptr;  ///< that it was last recorded on
  uint64_t recorded = 0, done = 0;
};

struct Task {
  Work work;
  std::shared_ptr<Event> event;  ///< waited for, where there is no work
  uint64_t time = 0;
};

struct Graph {
  std::vector<Work> work;
};

struct Stream {
  std::deque<Task> tasks;
  std::unique_ptr<Graph> captured;  ///< while it is
  bool capture_broken = false;
  bool eager = false;
};

/// One device, for the process.
class Device {
 public:
  static Device& get();

  std::recursive_mutex mutex;
  DeviceMemory memory;

  /// Runs `call`; what goes wrong in it is told on stderr and stays.
  template <class Call>
  cudaError_t guarded(Call call) {
    const std::lock_guard lock(mutex);
    if (error_ != cudaSuccess) return error_;
    try {
      return call();
    } catch (const std::exception& fault) {
      return broken(fault.what());
    }
  }

  /// The same of what has nothing to return: whether it went well.
  template <class Call>
  bool does(Call call) {
    return guarded([&] {
             call();
             return cudaSuccess;
           }) == cudaSuccess;
  }

  void enqueue(Stream& stream, Work work);
  void wait(Stream& stream, const std::shared_ptr<Event>& event);
  void record(Stream& stream, const std::shared_ptr<Event>& event);
  void finish(Stream& stream);
  void finish_all();
  void finish(const Event& event);
  void add(Stream* stream);
  void remove(Stream* stream);
  cudaError_t error() const { return error_; }

 private:
  cudaError_t broken(const char* what);
  void run_one(Stream& stream);
  void advance(Stream& stream);

  std::vector<Stream*> streams_;
  cudaError_t error_ = cudaSuccess;
};

/// The stream that a library's handle was given.
Stream& stream_of(cudaStream_t stream);

/// Throws Fault unless all of it is the device's.
void must_hold(const void* memory, size_t bytes, const char* what);

}  // namespace gsnet::ptx
