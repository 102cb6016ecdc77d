#include "cuda/interpreter/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "cuda/interpreter/fault.h"

namespace gsnet::ptx {
namespace {

/// INTERPRETED_FIRST=early: work of the first stream is done as early as can be, that of others as late.
bool first_is_early() {
  const char* set = std::getenv("INTERPRETED_FIRST");
  return set != nullptr && std::string_view(set) == "early";
}

}  // namespace

Device& Device::get() {
  static auto* device = new Device;  // outlives whoever uses it
  return *device;
}

cudaError_t Device::broken(const char* what) {
  fmt::print(stderr, "interpreted device: {}\n", what);
  error_ = cudaErrorLaunchFailure;
  return error_;
}

void Device::add(Stream* stream) {
  stream->eager = first_is_early() == streams_.empty();
  streams_.push_back(stream);
}

void Device::remove(Stream* stream) { std::erase(streams_, stream); }

void Device::enqueue(Stream& stream, Work work) {
  if (stream.captured != nullptr) {
    stream.captured->work.push_back(std::move(work));
    return;
  }
  stream.tasks.push_back({std::move(work), nullptr, 0});
  if (stream.eager) advance(stream);
}

void Device::wait(Stream& stream, const std::shared_ptr<Event>& event) {
  if (stream.captured != nullptr) throw Fault("a wait for an event while work is captured");
  stream.tasks.push_back({nullptr, event, event->recorded});
  if (stream.eager) advance(stream);
}

void Device::record(Stream& stream, const std::shared_ptr<Event>& event) {
  event->stream = &stream;
  const uint64_t time = ++event->recorded;
  enqueue(stream, [event, time] { event->done = std::max(event->done, time); });
}

void Device::run_one(Stream& stream) {
  const Task task = std::move(stream.tasks.front());
  stream.tasks.pop_front();
  if (task.work) {
    task.work();
    return;
  }
  while (task.event->done < task.time) {
    if (task.event->stream == nullptr || task.event->stream->tasks.empty()) throw Fault("a wait that never ends");
    run_one(*task.event->stream);
  }
}

/// As far as it does not wait.
void Device::advance(Stream& stream) {
  while (!stream.tasks.empty() &&
         (stream.tasks.front().work || stream.tasks.front().event->done >= stream.tasks.front().time)) {
    run_one(stream);
  }
}

void Device::finish(Stream& stream) {
  while (!stream.tasks.empty()) run_one(stream);
}

void Device::finish_all() {
  for (Stream* stream : streams_) finish(*stream);
}

void Device::finish(const Event& event) {
  while (event.done < event.recorded) {
    if (event.stream->tasks.empty()) throw Fault("a wait that never ends");
    run_one(*event.stream);
  }
}

Stream& stream_of(cudaStream_t stream) {
  if (stream == nullptr) throw Fault("work on the default stream");
  return *reinterpret_cast<Stream*>(stream);
}

void must_hold(const void* memory, size_t bytes, const char* what) {
  if (bytes > 0 && !Device::get().memory.holds(memory, bytes)) {
    throw Fault(fmt::format("{}: {} bytes at {} are not the device's", what, bytes, memory));
  }
}

}  // namespace gsnet::ptx
