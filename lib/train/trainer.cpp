#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

void Trainer::forward() {
  tape_ = std::make_unique<Tape>(graph_.backend(), TapeMode{.record = true,
                                                            .training = true,
                                                            .precision = spec_.precision,
                                                            .segments = spec_.segments,
                                                            .profile = profile_});
  value_ = objective_->evaluate(*tape_, graph_.forward(*tape_, tape_->input(images_)), labels_);
}

void Trainer::backward() {
  // Segments have tapes of their own: no tape knows then that a gradient is complete.
  const bool early = spec_.segments == 0;
  tape_->backward(value_.loss,
                  early ? [this](Parameter& parameter) { optimiser_.update(parameter); } : Tape::OnGradient());
  optimiser_.finish();
  tape_.reset();
}

void Trainer::record() {
  Backend& backend = graph_.backend();
  forward_ = backend.record([&] { forward(); });
  if (forward_) backward_ = backend.record([&] { backward(); });
  tape_.reset();
  for (const NamedParameter& named : parameters_) named.parameter->grad = {};  // where it stopped half way
  records_ = backward_ != nullptr;
  if (records_) {
    backend.memory()->trim();  // what steps without a recording lived on
  } else {
    forward_.reset();
  }
}

void Trainer::forget_recording() {
  forward_.reset();
  backward_.reset();
  warm_ = 0;
}

StepResult Trainer::step(const Tensor& images, const Tensor& labels) {
  constexpr int kWarmSteps = 2;  // in which libraries make their plans
  Backend& backend = graph_.backend();
  if (images_ && images_.shape() != images.shape()) forget_recording();
  backend.assign(images, images_);
  backend.assign(labels, labels_.machine);
  labels_.host = labels;
  if (records_ && forward_ == nullptr && warm_ == kWarmSteps && profile_ == nullptr) record();
  const bool replays = forward_ != nullptr && profile_ == nullptr;
  if (!replays) warm_ = std::min(warm_ + 1, kWarmSteps);
  replays ? forward_->replay() : forward();
  const Tensor loss = with_dtype(backend.download(value_.loss.value), DType::f64);
  const Tensor columns = replays ? labels : value_.labels;
  StepResult result{loss.data<double>()[0], images.shape()[0], count_correct(backend.download(value_.scores), columns)};
  if (!std::isfinite(result.loss)) {
    tape_.reset();
    explain(images_, result.loss);
  }
  optimiser_.begin(schedule_factor(spec_.schedule, optimiser_.steps(), spec_.steps));
  if (!replays) {
    backward();
    return result;
  }
  backward_->replay();
  for (const NamedParameter& named : parameters_) {
    if (named.parameter->trainable) named.parameter->changed();
  }
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
