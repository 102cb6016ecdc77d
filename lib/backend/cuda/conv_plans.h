// Convolutions by cuDNN's graph API: a graph of the convolution and what follows it, the heuristics' first engine that
// sums in single precision, transforms nothing, is deterministic, and uses tensor cores only where tf32 was asked for;
// plans are kept by shape, the least recently used one going first.
//
// What follows is a sum and a bias, zeros where there is none, and maybe a clip at zero: what cuDNN 9 has engines for.
// Its engines that are compiled in take no sum without a bias, and clips at other numbers only the most general of
// them.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/runtime.h"

namespace gsnet::cuda {

class ConvPlans {
 public:
  enum class Kind : int64_t { forward, dgrad, wgrad };

  /// `stream` is a cudaStream_t.
  explicit ConvPlans(void* stream);
  /// For a device that need not be there, described as CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION wants it: plans are
  /// made for it, and cannot run.
  explicit ConvPlans(const std::string& device);
  ConvPlans(const ConvPlans&) = delete;
  ConvPlans& operator=(const ConvPlans&) = delete;
  ~ConvPlans();

  /// By place, whichever of them is the result: x and y channels-last, w (Co, Kh, Kw, Ci/g).
  struct Operands {
    const float *x, *w, *y;
  };

  /// The end is a forward convolution's. The workspace comes from `memory`. False where the library has no such engine.
  bool run(Kind kind, const Convolution& c, const ConvEnd& end, const Operands& operands,
           const std::shared_ptr<Allocator>& memory);

  /// Whether the library has an engine for it.
  bool can(Kind kind, const Convolution& c, const ConvEnd& end);

  /// Plans used from now on are put there too, so that whoever launches them again can hold them; null: no more.
  void keep_used(std::vector<std::shared_ptr<const void>>* used) { used_ = used; }

 private:
  struct Plan;
  using Key = std::array<int64_t, 26>;
  struct Entry {
    std::shared_ptr<const Plan> plan;  ///< null: no engine
    int64_t last_use;
  };
  static constexpr size_t kMostEntries = 1024;

  struct Handle;
  struct Graph;

  static Key key_of(Kind kind, const Convolution& c, const ConvEnd& end, int64_t alignment);
  Entry& entry(Kind kind, const Convolution& c, const ConvEnd& end, int64_t alignment);
  std::unique_ptr<Plan> make(Kind kind, const Convolution& c, const ConvEnd& end, int64_t alignment);
  std::unique_ptr<Plan> make_of(const Graph& graph, Precision precision, bool generic_too);

  std::unique_ptr<Handle> handle_;
  std::map<Key, Entry> entries_;
  int64_t uses_ = 0;
  std::vector<std::shared_ptr<const void>>* used_ = nullptr;
};

/// "cuDNN 9.12.0"
std::string conv_library_version();

}  // namespace gsnet::cuda
