#include "apps/norm_statistics.h"

#include <map>
#include <string>

#include "data/loader.h"
#include "io/model_file.h"

namespace gsnet::apps {

// A second graph with the same weights, whose batch norms take the batch's statistics as their running ones.
int64_t reestimate_statistics(Model& model, std::shared_ptr<const data::Dataset> pictures, const StatisticsSpec& spec) {
  Backend& backend = model.graph->backend();
  Description watching = model.graph->description();
  int64_t norms = 0;
  for (NodeDescription& node : watching.nodes) {
    if (node.type != "batch_norm") continue;
    node.attributes.set("statistics", std::string("batch"));
    node.attributes.set("momentum", 1.0);
    ++norms;
  }
  if (norms == 0) return 0;
  Graph graph(watching, backend, RandomKey(0));
  io::TensorFile state;
  io::store_state(*model.graph, state, "", true);
  const std::vector<NamedTensor> all = state_of(graph);
  io::load_tensors(all, state, "", backend);
  state_changed(graph);
  const auto is_running = [](const std::string& name) {
    return name.ends_with(".running_mean") || name.ends_with(".running_var");
  };
  std::map<std::string, Tensor> sums;
  data::Loader loader(
      std::move(pictures),
      {.batch = spec.batch, .normalisation = {model.info.mean, model.info.stddev}, .shuffle = true, .seed = spec.seed});
  double count = 0;
  loader.start_epoch(0);
  while (auto batch = loader.next()) {
    if (count >= static_cast<double>(spec.batches)) break;
    if (count > 0 && batch->images.shape()[0] < spec.batch) break;  // a last small batch would weigh as much
    Tape tape(backend, {.training = true});
    graph.forward(tape, tape.input(backend.upload(batch->images)));
    count += 1;
    for (const NamedTensor& one : all) {
      if (!is_running(one.name)) continue;
      Tensor& sum = sums[one.name];
      Tensor next = backend.empty_like(*one.tensor);
      if (sum) {
        backend.axpby((count - 1) / count, sum, 1 / count, *one.tensor, next);
      } else {
        backend.copy(*one.tensor, next);
      }
      sum = next;
    }
  }
  for (const NamedTensor& one : state_of(*model.graph)) {
    if (is_running(one.name)) *one.tensor = sums.at(one.name);
  }
  state_changed(*model.graph);
  return norms;
}

}  // namespace gsnet::apps
