// Work of a stream as a graph of the driver's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/handles.h"

namespace gsnet::cuda {

/// What a graph's kernels live on besides tensors from before.
struct GraphNeeds {
  std::shared_ptr<Allocator> memory;                    ///< that the work allocates from
  std::vector<std::shared_ptr<const void>> plans = {};  ///< of a library
};

class GraphRecording : public Recording {
 public:
  virtual const std::shared_ptr<Allocator>& memory() const = 0;
};

/// Captures what `work` launches on `stream`. Null where it threw NeedsHost or an Error, or the driver cannot make a
/// graph of it, and why_not says which: done without a recording it works, or throws. What it needs may grow while it
/// runs.
std::unique_ptr<Recording> record_graph(cudaStream_t stream, std::shared_ptr<GraphNeeds> needs,
                                        const std::function<void()>& work, std::string& why_not);

}  // namespace gsnet::cuda
