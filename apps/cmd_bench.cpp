// gsnet bench
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/console.h"
#include "apps/options.h"
#include "apps/recipe.h"
#include "layers/lipconvnet.h"
#include "train/trainer.h"

namespace gsnet::apps {
namespace {

/// Median seconds of one call, over at least `seconds` and five calls after two to warm up.
template <class Call>
double median_seconds(double seconds, Call&& call) {
  for (int i = 0; i < 2; ++i) call();
  std::vector<double> times;
  const Stopwatch total;
  while (times.size() < 5 || total.seconds() < seconds) {
    const Stopwatch one;
    call();
    times.push_back(one.seconds());
  }
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

struct Inputs {
  Tensor images, labels;
};

Inputs random_inputs(int64_t batch, int64_t classes) {
  Random random(RandomKey(7));
  Inputs inputs{Tensor::empty({batch, 3, 32, 32}, DType::f32, Layout::channels_last),
                Tensor::empty({batch}, DType::i32)};
  for (float& pixel : inputs.images.host<float>()) pixel = static_cast<float>(random.normal());
  for (int32_t& label : inputs.labels.host<int32_t>())
    label = static_cast<int32_t>(random.below(static_cast<uint32_t>(classes)));
  return inputs;
}

/// Multiply-adds a second of a large matrix product: what the machine can do.
double matmul_rate(Backend& backend) {
  constexpr int64_t kSide = 1024;
  Tensor a = backend.empty({kSide, kSide}), b = backend.empty({kSide, kSide}), c = backend.empty({kSide, kSide});
  backend.fill(0.5, a);
  backend.fill(0.25, b);
  const double seconds = median_seconds(0.5, [&] {
    backend.matmul(a, false, b, false, c);
    backend.synchronise();
  });
  return static_cast<double>(kSide) * kSide * kSide / seconds;
}

}  // namespace

int bench_command(const std::vector<std::string>& arguments) {
  Options options(
      "bench [--set key=value …] [--batch N] [--seconds S]",
      "Times one training step and one evaluation of a LipConvNet on random pictures, after warm-up; median.\n"
      "--set takes the settings of [model], e.g. --set depth=15 --set groups2=1.");
  options.values("set", "a setting of the network")
      .value("batch", "pictures a step", "128")
      .value("seconds", "at least this long a figure", "5")
      .flag("json", "as JSON")
      .machine();
  if (!options.parse(arguments)) return 0;
  Attributes settings = parse_settings(options.texts("set"));
  const int64_t batch = options.integer("batch", 1, 65536);
  const double seconds = parse_number(options.text("seconds"));
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  Graph graph(lipconvnet(settings, {3, 32, 32}, 10), *backend, RandomKey(1));
  const Inputs inputs = random_inputs(batch, 10);
  const double matmul = matmul_rate(*backend);
  Trainer trainer(graph,
                  {.optimiser = {.rate = 0.1}, .schedule = {.kind = ScheduleKind::constant}, .steps = 1'000'000});
  const double train = median_seconds(seconds, [&] { trainer.step(inputs.images, inputs.labels); });
  const int64_t train_peak = backend->memory()->stats().peak_bytes;
  const double evaluation = median_seconds(seconds, [&] {
    Tape tape(*backend, {});
    graph.forward(tape, tape.input(backend->upload(inputs.images)));
    backend->synchronise();
  });
  double macs = 0;
  for (const Graph::Node& node : graph.nodes()) macs += node.module->cost(graph.input_shapes(node)).macs;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto count = static_cast<double>(batch);
  const nlohmann::ordered_json json = {{"backend", backend->name()},
                                       {"machine", backend->description()},
                                       {"batch", batch},
                                       {"matmul_gflops", 2e-9 * matmul},
                                       {"train_images_per_second", count / train},
                                       {"eval_images_per_second", count / evaluation},
                                       {"eval_mmacs_per_image", macs * 1e-6},
                                       {"peak_tensor_bytes", train_peak},
                                       {"peak_process_bytes", int64_t{usage.ru_maxrss} * 1024}};
  if (options.has("json")) {
    fmt::print("{}\n", json.dump());
    return 0;
  }
  fmt::print("{} ({}), batch {}\n", backend->name(), backend->description(), batch);
  fmt::print("matrix product 1024^3   {:9.1f} GFLOP/s\n", 2e-9 * matmul);
  fmt::print("training step           {:9.1f} images/s\n", count / train);
  fmt::print("evaluation              {:9.1f} images/s\n", count / evaluation);
  fmt::print("peak tensors, training  {:9.1f} MB\n", static_cast<double>(train_peak) * 1e-6);
  fmt::print("peak process            {:9.1f} MB\n", static_cast<double>(usage.ru_maxrss) * 1.024e-3);
  return 0;
}

}  // namespace gsnet::apps
