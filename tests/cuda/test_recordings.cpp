// Recorded work does what the work does.
#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <memory>
#include <stdexcept>

#include "adapters/adapter_cases.h"
#include "core/error.h"
#include "cuda/machine.h"
#include "faces/head.h"
#include "faces/teacher.h"
#include "layers/architectures.h"
#include "layers/graph.h"
#include "layers/net_builder.h"
#include "support/op_cases.h"
#include "train/trainer.h"

namespace gsnet {
namespace {

Tensor pictures(Backend& cuda, const Description& net, int64_t images, int step) {
  const Shape shape = {images, net.input[0], net.input[1], net.input[2]};
  return cuda.download(test::make_input(cuda, {shape, Layout::channels_last}, static_cast<uint64_t>(step)));
}

Tensor labels_of(int64_t images, int step) {
  Tensor labels = Tensor::empty({images}, DType::i32);
  for (int64_t i = 0; i < images; ++i) labels.data<int32_t>()[i] = static_cast<int32_t>((step + i) % 10);
  return labels;
}

Description small_lipconvnet(Attributes settings) {
  settings.set("width", int64_t{8});
  return make_architecture("lipconvnet", settings, {3, 32, 32}, 10);
}

/// A block of a ResNet between two layers: what adapters meet, in a few kernels a step.
Description small_resnet() {
  NetBuilder net({{"statistics", std::string("batch")}}, {3, 8, 8});
  const auto convolution = [&](int index, int64_t channels, int64_t stride) {
    net.conv(fmt::format("conv{}", index), {.channels = channels, .kernel = 3, .stride = stride, .padding = 1});
    net.norm(fmt::format("bn{}", index));
  };
  convolution(1, 16, 1);
  net.add("relu1", "relu");
  convolution(2, 16, 1);
  net.sum("sum", "bn2", "relu1");
  net.add("relu2", "relu");
  convolution(3, 32, 2);
  net.add("pool", "pool", {{"global", true}});
  net.add("flatten", "flatten");
  net.add("linear", "linear", {{"features", int64_t{10}}});
  return net.take();
}

/// What a run of twelve steps gives: losses and first logits on the way, and the state at its end. `before(step,
/// trainer, graph)` may change what is trained.
struct Run {
  std::vector<double> losses;
  std::vector<std::vector<double>> state;
  std::vector<bool> recorded;
};

/// What a network is trained with besides.
struct With {
  const AdapterSpec* adapter = nullptr;
  std::function<std::shared_ptr<Objective>(Backend&)> objective = [](Backend&) { return nullptr; };
};

template <class Before>
Run run_steps(Backend& cuda, const Description& net, OptimiserKind kind, bool recording, Before&& before,
              const With& with) {
  Run made;
  Graph graph(net, cuda, RandomKey(2));
  AdapterBank bank(graph);
  if (with.adapter != nullptr) bank.attach("a", *with.adapter, {}, RandomKey(1));
  Trainer trainer(graph, {.optimiser = {.kind = kind, .rate = 0.01}, .steps = 12}, with.objective(cuda));
  std::vector<Tensor> others;  // that no step may write to
  TapeProfile profile;
  for (int step = 0; step < 12; ++step) {
    before(step, trainer, graph);
    if (!recording) trainer.set_profile(&profile);  // no step is a replay then
    const int64_t images = step < 8 ? 1 : 2;
    const Tensor x = pictures(cuda, net, images, step);
    made.losses.push_back(trainer.step(x, labels_of(images, step)).loss);
    made.recorded.push_back(trainer.recorded());
    if (step == 4) {
      for (int64_t size = 1; size < 3'000'000; size *= 3) {
        others.push_back(cuda.empty({size}));
        cuda.fill(5, others.back());
      }
    }
    if (step % 3 == 2) {  // evaluations in between take and leave memory, and keep weights
      Tape tape(cuda, {});
      made.losses.push_back(test::numbers(cuda, graph.forward(tape, tape.input(cuda.upload(x))).value)[0]);
    }
  }
  for (const Tensor& other : others) {
    CHECK(cuda.sum_of_squares(other) == 25.0 * static_cast<double>(other.numel()));
  }
  for (const NamedTensor& named : trainer.state()) {
    if (named.tensor->dtype() == DType::f32) made.state.push_back(test::numbers(cuda, *named.tensor));
  }
  return made;
}

const auto kNothing = [](int, Trainer&, Graph&) {};

template <class Before>
Run check_recorded_is_done(const Description& net, OptimiserKind kind, Before&& before, const With& with = {}) {
  const auto recording = test::make_cuda(), plain = test::make_cuda();
  if (recording == nullptr) return {};
  const Run a = run_steps(*recording, net, kind, true, before, with),
            b = run_steps(*plain, net, kind, false, before, with);
  CHECK(a.losses == b.losses);
  const bool same = a.state == b.state;
  CHECK(same);
  return a;
}

}  // namespace

namespace {

template <class Before = decltype(kNothing)>
void check_recorded(const Description& net, OptimiserKind optimiser, const With& with = {},
                    Before&& before = Before(kNothing)) {
  const Run run = check_recorded_is_done(net, optimiser, before, with);
  for (size_t step = 0; step < run.recorded.size(); ++step) {
    CHECK(run.recorded[step] == (step % 8 >= 2));  // another shape begins anew
  }
}

}  // namespace

TEST_CASE("cuda: recorded steps are steps, bit for bit", "[cuda][train]") {
  check_recorded(small_lipconvnet({}), OptimiserKind::sgd);
  check_recorded(small_resnet(), OptimiserKind::adamw);
}

TEST_CASE("cuda: recorded steps that save inputs are steps, bit for bit", "[cuda][train]") {
  check_recorded(small_lipconvnet({{"save", std::string("input")}}), OptimiserKind::adamw);
}

namespace {

Description with_outputs_saved() {
  NetBuilder net({}, {3, 8, 8});
  for (int i = 0; i < 3; ++i) {
    net.add(
        fmt::format("conv{}", i), "skew_conv",
        {{"channels", int64_t{8}}, {"groups", int64_t{2}}, {"shuffle", int64_t{2}}, {"save", std::string("output")}});
    net.add(fmt::format("act{}", i), "maxmin");
  }
  net.add("pool", "pool", {{"global", true}});
  net.add("flatten", "flatten");
  net.add("head", "linear", {{"features", int64_t{10}}});
  return net.take();
}

}  // namespace

TEST_CASE("cuda: recorded steps that make inputs again are steps, bit for bit", "[cuda][train]") {
  check_recorded(with_outputs_saved(), OptimiserKind::sgd);
}

TEST_CASE("cuda: a recorded step is done again where inputs cannot be made again", "[cuda][train]") {
  check_recorded(with_outputs_saved(), OptimiserKind::sgd, {}, [](int step, Trainer&, Graph& graph) {
    if (step != 5) return;
    uint64_t seed = 7;
    for (const NamedParameter& named : parameters_of(graph)) {  // other kernels, in their place
      const Shape& shape = named.parameter->value.shape();
      if (shape.rank() != 4) continue;
      graph.backend().copy(test::make_input(graph.backend(), {shape}, ++seed), named.parameter->value);
      named.parameter->changed();
    }
  });
}

namespace {

/// One orthogonal layer and a linear one.
Description one_layer(const char* scale) {
  return {{3, 8, 8},
          {{"conv", "skew_conv", {}, {{"channels", int64_t{8}}, {"groups", int64_t{2}}, {"scale", std::string(scale)}}},
           {"pool", "pool", {}, {{"global", true}}},
           {"flatten", "flatten", {}, {}},
           {"head", "linear", {}, {{"features", int64_t{10}}}}}};
}

/// Looks at the network's output on the way.
class Curious final : public Objective {
 public:
  Value evaluate(Tape& tape, const Var& output, const Labels& labels) override {
    tape.backend().download(output.value);
    return logits_.evaluate(tape, output, labels);
  }
  bool recordable() const override { return true; }

 private:
  ClassifierObjective logits_{LossSpec{}};
};

}  // namespace

TEST_CASE("cuda: recorded steps of the reference code's scale are steps, where its rounds change too",
          "[cuda][train]") {
  check_recorded(one_layer("four_forms"), OptimiserKind::sgd, {}, [](int step, Trainer& trainer, Graph&) {
    if (step != 0) return;
    for (const NamedTensor& named : trainer.state()) {  // the fifth step is the two hundredth
      if (named.name.ends_with("_steps")) named.tensor->data<int64_t>()[0] = 196;
    }
  });
}

TEST_CASE("cuda: recorded steps of face heads are steps, bit for bit", "[cuda][train][faces]") {
  const Description net = one_layer("stretch");
  const Tensor rows = test::make_input(*make_backend({"reference", 1}), {{10, 10}}, 5);
  const auto face = [](const HeadSpec& spec) {
    return [spec](Backend& cuda) { return std::make_shared<FaceHead>(cuda, 10, 10, spec, RandomKey(3)); };
  };
  const auto teacher = [&](TeacherDistance distance) {
    return [&rows, distance](Backend& cuda) { return std::make_shared<TeacherHead>(cuda, rows, distance); };
  };
  check_recorded(net, OptimiserKind::sgd, {.objective = face(HeadSpec::arcface())});
  check_recorded(net, OptimiserKind::adamw, {.objective = face(HeadSpec::cosface())});
  check_recorded(net, OptimiserKind::sgd, {.objective = teacher(TeacherDistance::cosine)});
  check_recorded(net, OptimiserKind::adamw, {.objective = teacher(TeacherDistance::chord)});
}

TEST_CASE("cuda: steps that need the host go on without a recording", "[cuda][train]") {
  const Description net = one_layer("stretch");
  std::vector<std::vector<double>> losses(2);
  for (const bool tries : {false, true}) {
    const auto cuda = test::make_cuda();
    if (cuda == nullptr) return;
    Graph graph(net, *cuda, RandomKey(2));
    Trainer trainer(graph, {.optimiser = {.kind = OptimiserKind::sgd, .rate = 0.01}, .steps = 4},
                    std::make_shared<Curious>());
    TapeProfile profile;
    if (!tries) trainer.set_profile(&profile);
    for (int step = 0; step < 4; ++step) {
      losses[tries ? 1 : 0].push_back(trainer.step(pictures(*cuda, net, 1, step), labels_of(1, step)).loss);
      CHECK(!trainer.recorded());
    }
  }
  CHECK(losses[0] == losses[1]);
}

TEST_CASE("cuda: recorded steps with exponentials of matrices are steps, bit for bit", "[cuda][train]") {
  for (const int64_t groups : {1, 4}) {
    check_recorded(small_lipconvnet({{"variant", std::string("gs")}, {"groups2", groups}}), OptimiserKind::sgd);
  }
}

TEST_CASE("cuda: recorded steps of adapters are steps, bit for bit", "[cuda][train][adapters]") {
  const Description net = small_resnet();
  std::vector<AdapterSpec> specs = test::all_adapters();
  specs.push_back(
      AdapterSpec::from({{"kind", std::string("oft")}, {"block", int64_t{4}}, {"constraint", 0.002}}));  // it holds
  for (const AdapterSpec& spec : specs) {
    INFO(test::name_of(spec));
    check_recorded(net, OptimiserKind::adamw, {.adapter = &spec});
  }
}

TEST_CASE("cuda: a recorded step that its matrices have outgrown is done again", "[cuda][train][adapters]") {
  const Description net = {
      {3, 8, 8},
      {{"conv",
        "conv2d",
        {},
        {{"channels", int64_t{8}}, {"kernel", int64_t{3}}, {"padding", int64_t{1}}, {"bias", false}}},
       {"pool", "pool", {}, {{"global", true}}},
       {"flatten", "flatten", {}, {}},
       {"head", "linear", {}, {{"features", int64_t{10}}}}}};
  AdapterSpec spec;
  spec.kind = AdapterKind::gsoft;
  spec.map = OrthogonalMap::exp;
  spec.block = 4;
  const Run run = check_recorded_is_done(net, OptimiserKind::adamw,
                                         [](int step, Trainer&, Graph& graph) {
                                           if (step != 5) return;
                                           for (const NamedParameter& named : parameters_of(graph)) {
                                             if (named.name.find(".a.") == std::string::npos)
                                               continue;  // the adapter's generators
                                             graph.backend().scale(300, named.parameter->value, named.parameter->value);
                                             named.parameter->changed();
                                           }
                                         },
                                         {.adapter = &spec});
  if (run.recorded.empty()) return;
  CHECK((run.recorded[4] && !run.recorded[5] && run.recorded[7]));
}

TEST_CASE("cuda: recorded exponentials follow their matrices, up to a few times their size", "[cuda]") {
  const auto cuda = test::make_cuda(), beside = test::make_cuda();
  if (cuda == nullptr) return;
  const Tensor host = cuda->download(test::make_input(*cuda, {{2, 6, 6}}, 1));
  const auto times = [&](double factor) {
    Tensor scaled = Tensor::empty(host.shape(), DType::f32);
    for (int64_t i = 0; i < host.numel(); ++i) {
      scaled.data<float>()[i] = static_cast<float>(factor) * host.data<float>()[i];
    }
    return scaled;
  };
  Tensor a = cuda->upload(times(1)), e = cuda->empty_like(a), da = cuda->empty_like(a);
  const Tensor de = cuda->upload(host), de_beside = beside->upload(host);
  cuda->matrix_exp(a, e);
  const auto recorded = cuda->record(
      [&] {
        cuda->matrix_exp(a, e);
        cuda->matrix_exp_backward(a, de, da);
      },
      nullptr);
  REQUIRE(recorded != nullptr);
  for (const double factor : {1.0, 0.01, 3.0}) {
    INFO("matrices times " << factor);
    cuda->assign(times(factor), a);
    recorded->replay();
    cuda->synchronise();
    CHECK(recorded->outgrown() == (factor == 3));
    const Tensor b = beside->upload(times(factor));
    Tensor expected = beside->empty_like(b), expected_da = beside->empty_like(b);
    beside->matrix_exp(b, expected);
    beside->matrix_exp_backward(b, de_beside, expected_da);
    CHECK(test::numbers(*cuda, e) == test::numbers(*beside, expected));
    CHECK(test::numbers(*cuda, da) == test::numbers(*beside, expected_da));
  }
  for (const double factor : {100.0, 1e9, std::nan("")}) {
    INFO("matrices times " << factor);
    cuda->assign(times(factor), a);
    recorded->replay();
    CHECK_THROWS_WITH(cuda->download(e), Catch::Contains(factor == 100 ? "four times as large" : "must be finite"));
    CHECK_NOTHROW(cuda->download(e));
  }
}

TEST_CASE("cuda: a recording goes where what is trained changes, or its results are read elsewhere", "[cuda][train]") {
  const Description net = small_lipconvnet({});
  const auto train_only = [](Graph& graph, std::string_view end) {
    for (const NamedParameter& named : parameters_of(graph)) named.parameter->trainable = named.name.ends_with(end);
  };
  const Run thawed = check_recorded_is_done(net, OptimiserKind::sgd, [&](int step, Trainer&, Graph& graph) {
    if (step == 0 || step == 6) train_only(graph, step == 0 ? "bias" : "");
  });
  if (thawed.recorded.empty()) return;
  CHECK((thawed.recorded[5] && !thawed.recorded[6]));
  const Description quick = make_architecture("resnet20", {{"statistics", std::string("batch")}}, {3, 8, 8}, 10);
  TapeProfile profile;
  check_recorded_is_done(quick, OptimiserKind::sgd, [&](int step, Trainer& trainer, Graph&) {
    trainer.set_profile(step == 4 ? &profile : nullptr);
  });
  // A parameter that is assigned lies elsewhere.
  check_recorded_is_done(quick, OptimiserKind::adamw, [](int step, Trainer&, Graph& graph) {
    if (step != 5) return;
    Parameter& parameter = *parameters_of(graph)[0].parameter;
    Tensor moved = graph.backend().empty_like(parameter.value);
    graph.backend().scale(0.5, parameter.value, moved);
    parameter.value = moved;
    parameter.changed();
  });
}

TEST_CASE("cuda: a step that cannot be recorded leaves nothing behind", "[cuda][train]") {
  const auto cuda = test::make_cuda();
  if (cuda == nullptr) return;
  const Tensor x = cuda->upload(Tensor::of<float>({2}, {1, 2}));
  Tensor y = cuda->empty({2});
  cuda->fill(0, y);
  const auto copied = cuda->record([&] { cuda->copy(x, y); }, nullptr);
  REQUIRE(copied != nullptr);
  CHECK(test::numbers(*cuda, y) == std::vector<double>{0, 0});
  copied->replay();
  CHECK(test::numbers(*cuda, y) == std::vector<double>{1, 2});
  CHECK(cuda->record([&] { cuda->download(x); }, nullptr) == nullptr);
  CHECK(cuda->record([&] { throw Error("full"); }, nullptr) == nullptr);
  CHECK_THROWS_AS(cuda->record([&] { throw std::runtime_error("other"); }, nullptr), std::runtime_error);
  cuda->fill(3, y);  // at once again
  CHECK(test::numbers(*cuda, y) == std::vector<double>{3, 3});
}

}  // namespace gsnet
