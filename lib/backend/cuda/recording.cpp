#include "backend/cuda/recording.h"

#include "backend/cuda/runtime.h"
#include "core/error.h"

namespace gsnet::cuda {
namespace {

class Graph final : public Recording {
 public:
  Graph(cudaStream_t stream, std::shared_ptr<Allocator> memory, GraphHandle graph)
      : memory_(std::move(memory)), stream_(stream), graph_(std::move(graph)) {
    cudaGraphExec_t made = nullptr;
    check(cudaGraphInstantiate(&made, graph_.get(), 0), "a graph");
    made_.reset(made);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() override { cudaStreamSynchronize(stream_); }  // its memory goes

  void replay() override { check(cudaGraphLaunch(made_.get(), stream_), "a graph"); }

 private:
  std::shared_ptr<Allocator> memory_;
  cudaStream_t stream_;
  GraphHandle graph_;
  GraphExecHandle made_;
};

}  // namespace

std::unique_ptr<Recording> record_graph(cudaStream_t stream, std::shared_ptr<Allocator> memory,
                                        const std::function<void()>& work) {
  // Relaxed: memory may be obtained meanwhile.
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "a capture");
  bool whole = true;
  const auto end = [&] {
    cudaGraph_t graph = nullptr;
    whole = cudaStreamEndCapture(stream, &graph) == cudaSuccess && whole;
    return GraphHandle(graph);
  };
  try {
    work();
  } catch (const NeedsHost&) {
    whole = false;
  } catch (const Error&) {
    whole = false;
  } catch (...) {
    end();
    throw;
  }
  GraphHandle graph = end();
  if (!whole || !graph) {
    cudaGetLastError();  // told by returning null
    return nullptr;
  }
  return std::make_unique<Graph>(stream, std::move(memory), std::move(graph));
}

}  // namespace gsnet::cuda
