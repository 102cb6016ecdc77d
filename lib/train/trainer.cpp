#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "core/error.h"

namespace gsnet {

Trainer::Trainer(Graph& graph, const TrainSpec& spec, std::shared_ptr<Objective> objective)
    : graph_(graph),
      spec_(spec),
      objective_(objective ? std::move(objective) : std::make_shared<ClassifierObjective>(spec.loss)),
      parameters_(parameters_of(graph, *objective_)),
      optimiser_(graph.backend(), spec.optimiser, parameters_,
                 spec.optimiser.lora_pro ? low_rank_pairs(graph) : std::vector<LowRankPair>()),
      records_(objective_->recordable() && !spec.optimiser.lora_pro) {
  const Backend& backend = graph.backend();
  GSNET_CHECK(backend.multiplies(spec.precision),
              fmt::format("precision {}: {} ({}) has no such products; bf16 needs a processor with AVX512-BF16, or, as "
                          "tf32, a device with tensor cores",
                          kPrecisions[static_cast<size_t>(spec.precision)], backend.name(), backend.description()));
  default_host_allocator()->trim();  // first values and files' tensors passed through it, as large as the network
}

double Trainer::rate() const {
  return spec_.optimiser.rate * schedule_factor(spec_.schedule, optimiser_.steps(), spec_.steps);
}

bool Trainer::Recorded::is_same() const {
  return std::ranges::all_of(host_parts, [](const HostPart& part) { return part.same(); });
}

Var Trainer::run_graph(bool again, std::vector<HostPart>* host_parts) {
  tape_ = std::make_unique<Tape>(graph_.backend(), TapeMode{.record = true,
                                                            .training = true,
                                                            .precision = spec_.precision,
                                                            .segments = spec_.segments,
                                                            .keep_inputs = again,
                                                            .again = again,
                                                            .profile = profile_,
                                                            .host_parts = host_parts});
  return graph_.forward(*tape_, tape_->input(images_));
}

void Trainer::forward(Recorded* into) {
  Var output = run_graph(false, into != nullptr ? &into->host_parts : nullptr);
  if (into != nullptr) {
    into->parts_of_graph = into->host_parts.size();
    into->assumptions = tape_->assumptions();
  } else if (!tape_->holds()) {
    output = run_graph(true, nullptr);
  }
  value_ = objective_->evaluate(*tape_, output, labels_);
}

void Trainer::backward() {
  // Segments have tapes of their own: no tape knows then that a gradient is complete.
  const bool early = spec_.segments == 0;
  tape_->backward(value_.loss,
                  early ? [this](Parameter& parameter) { optimiser_.update(parameter); } : Tape::OnGradient());
  optimiser_.finish();
}

Trainer::Places Trainer::places() {
  Places made = {{images_.raw(), true}, {labels_.machine.raw(), true}};
  for (const NamedParameter& named : parameters_) {
    made.emplace_back(named.parameter->value.raw(), named.parameter->trainable);
  }
  for (const NamedTensor& named : optimiser_.state()) made.emplace_back(named.tensor->raw(), true);
  return made;
}

void Trainer::record() {
  Backend& backend = graph_.backend();
  const auto clean = [&] {  // where it stopped half way, and what nothing has computed
    tape_.reset();
    value_ = {};
    for (const NamedParameter& named : parameters_) named.parameter->grad = {};
  };
  records_ = false;
  try {
    Recorded made;
    made.forward = backend.record([&] { forward(&made); }, nullptr, &why_not_);
    made.value = value_;
    made.places = places();
    if (made.forward) made.backward = backend.record([&] { backward(); }, made.forward.get(), &why_not_);
    records_ = made.backward != nullptr;
    if (records_) recorded_ = std::move(made);
  } catch (...) {
    clean();
    throw;
  }
  clean();
  if (records_) backend.memory()->trim();  // what steps done one by one lived on
}

void Trainer::forget_recording() {
  recorded_ = {};
  warm_ = 0;
}

StepResult Trainer::result_of(const Objective::Value& value, const Tensor& labels) {
  Backend& backend = graph_.backend();
  const Tensor loss = with_dtype(backend.download(value.loss.value), DType::f64);
  const Tensor& columns = value.columns ? value.columns : labels;
  return {loss.data<double>()[0], labels.shape()[0], count_correct(backend.download(value.scores), columns)};
}

/// Whatever ends a step, nothing of it stays but what a recording reads.
class Trainer::Ending {
 public:
  explicit Ending(Trainer& trainer) : trainer_(trainer) {}
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;
  ~Ending() {
    trainer_.tape_.reset();
    trainer_.value_ = {};
    if (!trainer_.records_) trainer_.images_ = {};
  }

 private:
  Trainer& trainer_;
};

StepResult Trainer::step(const Tensor& images, const Tensor& labels) {
  constexpr int kWarmSteps = 2;  // in which libraries make their plans
  const Ending ending(*this);
  Backend& backend = graph_.backend();
  GSNET_CHECK(labels.dtype() == DType::i32 && labels.shape() == Shape{images.shape()[0]},
              fmt::format("step {}: {} labels for pictures {}", optimiser_.steps() + 1, to_string(labels.shape()),
                          to_string(images.shape())));
  if (images_ && images_.shape() != images.shape()) forget_recording();
  backend.assign(images, images_);
  backend.assign(labels, labels_.machine);
  labels_.host = labels;
  if (recorded() && (recorded_.places != places() || recorded_.forward->outgrown())) forget_recording();
  if (records_ && !recorded() && warm_ == kWarmSteps && profile_ == nullptr) record();
  bool replays = recorded() && profile_ == nullptr && recorded_.is_same();
  std::optional<StepResult> replayed;
  if (replays) {
    recorded_.forward->replay();
    try {
      replayed = result_of(recorded_.value, labels);
    } catch (const Error&) {
      // No parameter has changed: the step is done again, and only moving statistics have moved twice.
      if (!recorded_.forward->outgrown()) throw;
      forget_recording();
      replays = false;
    }
  }
  if (replays && !hold(backend, recorded_.assumptions)) {
    for (size_t i = 0; i < recorded_.parts_of_graph; ++i) recorded_.host_parts[i].act();
    const Var output = run_graph(true, nullptr);
    value_ = objective_->evaluate(*tape_, output, labels_);
    replays = false;
  } else if (!replays) {
    warm_ = std::min(warm_ + 1, kWarmSteps);
    forward();
  }
  const StepResult result = replays ? *replayed : result_of(value_, labels);
  if (!std::isfinite(result.loss)) {
    tape_.reset();  // its memory is needed
    explain(images_, result.loss);
  }
  optimiser_.begin(schedule_factor(spec_.schedule, optimiser_.steps(), spec_.steps));
  if (replays) {
    for (const HostPart& part : recorded_.host_parts) part.act();
    recorded_.backward->replay();
    for (const NamedParameter& named : parameters_) named.parameter->changed();  // and what was computed from any
    return result;
  }
  backward();
  return result;
}

void Trainer::check_parameters() {
  for (const NamedParameter& named : parameters_) {
    GSNET_CHECK(std::isfinite(graph_.backend().sum_of_squares(named.parameter->value)),
                fmt::format("step {}: parameter '{}' is not finite", optimiser_.steps(), named.name));
  }
}

void Trainer::state_assigned() {
  forget_recording();
  for (const NamedParameter& named : parameters_) named.parameter->changed();
}

void Trainer::explain(const Tensor& images, double loss) {
  const std::string place = fmt::format("step {}: the loss is {}", optimiser_.steps() + 1, loss);
  for (const NamedParameter& named : parameters_) {
    GSNET_CHECK(std::isfinite(graph_.backend().sum_of_squares(named.parameter->value)),
                fmt::format("{}; parameter '{}' is not finite", place, named.name));
  }
  try {
    Tape tape(graph_.backend(), {.training = true, .check_finite = true});
    graph_.forward(tape, tape.input(images));
  } catch (const Error& error) {
    throw Error(fmt::format("{}; {}", place, error.what()));
  }
  throw Error(place + "; every layer's output is finite");
}

int64_t count_correct(const Tensor& logits, const Tensor& labels) {
  const Tensor numbers = with_dtype(logits, DType::f64);
  const int64_t classes = logits.shape()[1];
  int64_t correct = 0;
  for (int64_t n = 0; n < logits.shape()[0]; ++n) {
    const double* row = numbers.data<double>() + n * classes;
    const int32_t label = labels.data<int32_t>()[n];
    bool largest = true;
    for (int64_t j = 0; j < classes; ++j) largest = largest && (j == label || row[j] < row[label]);
    correct += largest ? 1 : 0;
  }
  return correct;
}

}  // namespace gsnet
