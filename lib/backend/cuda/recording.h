// Work of a stream as a graph of the driver's.
#pragma once

#include <functional>
#include <memory>

#include "backend/backend.h"
#include "backend/cuda/handles.h"

namespace gsnet::cuda {

/// Captures what `work` launches on `stream`. Null where it threw NeedsHost or an Error, or did what cannot be
/// captured: done without a recording it works, or says why not. `memory` is what the work allocates from: the graph
/// keeps it.
std::unique_ptr<Recording> record_graph(cudaStream_t stream, std::shared_ptr<Allocator> memory,
                                        const std::function<void()>& work);

}  // namespace gsnet::cuda
