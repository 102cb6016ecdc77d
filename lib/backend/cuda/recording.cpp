#include "backend/cuda/recording.h"

#include "backend/cuda/runtime.h"
#include "core/error.h"

namespace gsnet::cuda {
namespace {

class Graph final : public GraphRecording {
 public:
  Graph(cudaStream_t stream, std::shared_ptr<GraphNeeds> needs, GraphHandle graph, GraphExecHandle made)
      : needs_(std::move(needs)), stream_(stream), graph_(std::move(graph)), made_(std::move(made)) {}
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() override { cudaStreamSynchronize(stream_); }  // its memory goes

  void replay() override { check(cudaGraphLaunch(made_.get(), stream_), "a graph"); }
  const std::shared_ptr<Allocator>& memory() const override { return needs_->memory; }

 private:
  std::shared_ptr<GraphNeeds> needs_;
  cudaStream_t stream_;
  GraphHandle graph_;
  GraphExecHandle made_;
};

}  // namespace

std::unique_ptr<Recording> record_graph(cudaStream_t stream, std::shared_ptr<GraphNeeds> needs,
                                        const std::function<void()>& work, std::string& why_not) {
  // That the driver refuses is no fault here: the caller does without.
  const auto is_done = [&](cudaError_t status) {
    if (status == cudaSuccess) return true;
    cudaGetLastError();
    if (why_not.empty()) why_not = cudaGetErrorString(status);
    return false;
  };
  // Relaxed: memory may be obtained meanwhile.
  if (!is_done(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed))) return nullptr;
  const auto end = [&] {
    cudaGraph_t graph = nullptr;
    is_done(cudaStreamEndCapture(stream, &graph));
    return GraphHandle(graph);
  };
  try {
    work();
  } catch (const NeedsHost& needed) {
    why_not = needed.what;
  } catch (const Error& error) {
    why_not = error.what();
  } catch (...) {
    end();
    throw;
  }
  GraphHandle graph = end();
  cudaGraphExec_t made = nullptr;
  if (!why_not.empty() || !graph || !is_done(cudaGraphInstantiate(&made, graph.get(), 0))) return nullptr;
  return std::make_unique<Graph>(stream, std::move(needs), std::move(graph), GraphExecHandle(made));
}

}  // namespace gsnet::cuda
