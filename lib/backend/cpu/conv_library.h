// Convolutions by oneDNN. Activations stay channels-last; weights are rearranged into the layout that the library likes
// best, in scratch, at each call. Primitives are kept by what they compute, the least recently used one going first.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "backend/conv.h"
#include "backend/series.h"
#include "core/allocator.h"

namespace gsnet::cpu {

class ConvLibrary {
 public:
  /// threads >= 1.
  ConvLibrary(int threads, std::shared_ptr<Allocator> memory);
  ~ConvLibrary();

  void forward(const Tensor& x, const Tensor& w, const ConvEpilogue<Tensor>& after, const ConvSpec& spec,
               const Tensor& y);
  void backward_data(const Tensor& dy, const Tensor& w, const ConvSpec& spec, const Tensor& dx);
  void backward_weights(const Tensor& x, const Tensor& dy, const ConvSpec& spec, const Tensor& dw);
  /// y = sum_m c_m (sign J)^m x by Horner, for batches too small for the series kernels.
  void series(const Tensor& x, const Tensor& k, const SeriesSpec& spec, float sign, const Tensor& y);

 private:
  enum class Kind : int64_t { forward, backward_data, backward_weights };
  using Key = std::array<int64_t, 22>;
  struct Primitive;
  struct Entry {
    std::unique_ptr<Primitive> primitive;
    int64_t last_use;
  };
  static constexpr size_t kMostEntries = 256;

  static Key key_of(Kind kind, const Shape& x, const Shape& w, const ConvSpec& spec, const ConvEpilogue<Tensor>& after);
  static std::unique_ptr<Primitive> make(Kind kind, const Shape& x, const Shape& w, const Shape& y,
                                         const ConvSpec& spec, const ConvEpilogue<Tensor>& after);
  const Primitive& find(Kind kind, const Shape& x, const Shape& w, const Shape& y, const ConvSpec& spec,
                        const ConvEpilogue<Tensor>& after = {});

  int threads_;
  std::shared_ptr<Allocator> memory_;
  std::map<Key, Entry> entries_;
  int64_t uses_ = 0;
};

/// "oneDNN 2.6.3"
std::string conv_library_version();

}  // namespace gsnet::cpu
