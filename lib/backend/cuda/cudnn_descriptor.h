// A descriptor of cuDNN's graph API, for the one file that speaks to it.
#pragma once

#include <cudnn.h>
#include <cudnn_graph.h>

#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>

namespace gsnet::cuda {

/// Throws Error "[cuda] WHAT: …" but for success.
void check(cudnnStatus_t status, std::string_view what);

class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    check(cudnnBackendCreateDescriptor(type, &handle_), "a descriptor");
  }
  Descriptor(Descriptor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (handle_ != nullptr) cudnnBackendDestroyDescriptor(handle_);
  }

  cudnnBackendDescriptor_t get() const { return handle_; }

  template <class T>
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::span<const T> values) {
    check(cudnnBackendSetAttribute(handle_, name, type, static_cast<int64_t>(values.size()), values.data()),
          "an attribute");
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
    set(name, type, std::span<const T>(&value, 1));
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, other.handle_);
  }
  void set(cudnnBackendAttributeName_t name, std::initializer_list<int64_t> values) {
    set(name, CUDNN_TYPE_INT64, std::span<const int64_t>(values.begin(), values.size()));
  }
  void finalise(std::string_view what) { check(cudnnBackendFinalize(handle_), what); }
  /// Whether the library can do what it describes.
  bool try_finalise() { return cudnnBackendFinalize(handle_) == CUDNN_STATUS_SUCCESS; }

  int64_t number(cudnnBackendAttributeName_t name) const {
    int64_t value = 0, count = 0;
    check(cudnnBackendGetAttribute(handle_, name, CUDNN_TYPE_INT64, 1, &count, &value), "an attribute");
    return value;
  }

 private:
  cudnnBackendDescriptor_t handle_ = nullptr;
};

}  // namespace gsnet::cuda
