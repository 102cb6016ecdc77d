#include "apps/face_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/data_source.h"
#include "apps/face_data.h"
#include "apps/head_file.h"
#include "core/error.h"
#include "faces/teacher.h"
#include "io/model_file.h"

namespace gsnet::apps {
namespace {

constexpr const char* kClean = "clean";
std::vector<double> test_rates() { return {1e-1, 1e-2, 1e-3}; }

/// The decided share of a condition: over folds where there are several, else at the best threshold.
double accuracy_of(const VerifyCondition& condition) {
  return condition.folds ? condition.folds->mean : condition.best.accuracy;
}

std::string title_line(const std::string& folds, size_t width) {
  std::string line = fmt::format("{:<{}}{:>7}{:>12}", "folds " + folds, width, "pairs", "accuracy");
  for (const double far : test_rates()) line += fmt::format("{:>10}", "TAR@" + rate_text(far));
  return line + "\n";
}

std::string condition_line(const std::string& name, size_t width, const VerifyCondition& row) {
  std::string line = fmt::format("{:<{}}{:>7}{:>10.2f} %", name, width, row.pairs.size(), 100 * accuracy_of(row));
  for (const TarAtFar& rate : row.rates) {
    line += rate.enough ? fmt::format("{:8.2f} %", 100 * rate.tar) : fmt::format("{:>10}", "too few");
  }
  return line + "\n";
}

/// Sums of unit embeddings by person, at unit length: (K, D).
Tensor mean_directions(const Embeddings& made, const data::Dataset& people) {
  const int64_t features = made.rows.shape()[1];
  const Tensor centres = Tensor::empty({std::ssize(people.class_names()), features}, DType::f64);
  std::ranges::fill(centres.host<double>(), 0.0);
  const auto add_unit = [&](std::span<const double> from, std::span<double> to) {
    double square = 0;
    for (const double value : from) square += value * value;
    for (size_t d = 0; square > 0 && d < to.size(); ++d) to[d] += from[d] / std::sqrt(square);
  };
  const Tensor rows = with_dtype(made.rows, DType::f64);
  for (int64_t i = 0; i < people.size(); ++i) {
    add_unit(rows.rows(i, 1).host<double>(), centres.rows(people.label(i), 1).host<double>());
  }
  Tensor units = Tensor::empty(centres.shape(), DType::f64);
  std::ranges::fill(units.host<double>(), 0.0);
  for (int64_t k = 0; k < centres.shape()[0]; ++k) {
    add_unit(centres.rows(k, 1).host<double>(), units.rows(k, 1).host<double>());
  }
  return units;
}

nlohmann::ordered_json rates_json(const VerifyCondition& condition) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const TarAtFar& rate : condition.rates) {
    json[rate_text(rate.far)] = rate.enough ? nlohmann::ordered_json(rate.tar) : nullptr;
  }
  return json;
}

void print_unreadable(std::string_view part, const data::VerificationSet& set, const VerifyCondition& clean,
                      const std::vector<std::string>& reasons) {
  if (reasons.empty()) return;
  fmt::print("unreadable, left out: {} pictures of {} {} pairs: {}\n", reasons.size(),
             set.pairs.size() - clean.pairs.size(), part, some_of(reasons));
}

/// Names of files need not be UTF-8.
std::string text_of(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void check_embeds(const Model& base, const std::string& path) {
  face_side(base);
  GSNET_CHECK(
      base.info.class_names.empty(),
      fmt::format("{}: it tells {} classes apart and gives no embedding, which [face] trains. Import the network "
                  "without its last layers (gsnet import … --output of an ONNX file, --network of a state "
                  "dict), or leave [face] out to train a classifier",
                  path, base.info.class_names.size()));
}

}  // namespace

FaceRun::FaceRun(const Recipe& recipe, const std::string& base_file, const Options& options)
    : AdaptRun(recipe, base_file, options), face_(*recipe_.face), conditions_{kClean} {
  check_embeds(base(), base_path());
  for (std::string& condition : corrupted_conditions(recipe_.corruption)) {
    if (std::ranges::find(conditions_, condition) == conditions_.end()) conditions_.push_back(std::move(condition));
  }
  open_data();
  make_objective();
  base_scores_ = judged(base(), validation_, {face_.far}, &unreadable_);
  check_rate(base_scores_[0].rates[0].impostors);
  build(std::nullopt);
  const bool by_picture = face_.head == FaceObjective::teacher;
  begin(open_corrupted(by_picture ? data::each_its_class(people_) : people_, recipe_.corruption, recipe_.seed),
        objective_);
}

void FaceRun::open_data() {
  validation_ = face_pairs(recipe_, face_.validation_folds, notes_);
  test_ = face_pairs(recipe_, face_.test_folds, notes_);
  check_rate(std::ranges::count(validation_.pairs, false, &data::PicturePair::same));
  people_ = face_people(recipe_, {&validation_, &test_}, notes_);
}

/// `impostors`: pairs of two people.
void FaceRun::check_rate(int64_t impostors) const {
  GSNET_CHECK(
      impostors_allowed(impostors, face_.far) >= 1,
      fmt::format("face.far = {:g} cannot be told from the {} pairs of two people in folds {}: bring {:.0f}, or "
                  "choose a larger rate",
                  face_.far, impostors, face_.validation_folds, std::ceil(1 / face_.far)));
}

void FaceRun::make_objective() {
  if (face_.head == FaceObjective::teacher) {
    make_teacher();
  } else {
    make_head();
  }
}

/// Where pictures are mirrored at random, one target serves both: their sum.
void FaceRun::make_teacher() {
  const Embeddings made = embedded(base(), people_, "teacher", recipe_.augmentation.flip);
  objective_ = std::make_shared<TeacherHead>(*backend_, made.rows, face_.distance);
}

/// A resumed run takes its centres from the checkpoint.
void FaceRun::make_head() {
  head_ = std::make_shared<FaceHead>(*backend_, base().graph->output().numel(), std::ssize(people_->class_names()),
                                     head_spec(face_, recipe_.seed), RandomKey(recipe_.seed).with(2));
  objective_ = head_;
  head_->train_centres(face_.train_centres);
  if (face_.centres == CentreStart::random || resumes()) return;
  const Embeddings made = embedded(base(), people_, "centres");
  head_->set_centres(mean_directions(made, *people_));
}

Embeddings FaceRun::embedded(const Model& model, const std::shared_ptr<const data::Dataset>& pictures,
                             const std::string& what, bool flip) const {
  ProgressLine progress(quiet_);
  return embed(
      model, pictures, {.batch = recipe_.batch, .loader_threads = recipe_.loader_threads, .flip = flip},
      [&](int64_t done, int64_t total) { progress.show(fmt::format("{}: embedded {} of {}", what, done, total)); });
}

FaceRun::Scores FaceRun::judged(const Model& model, const data::VerificationSet& set, const std::vector<double>& fars,
                                std::vector<std::string>* unreadable) const {
  constexpr uint64_t kSeed = 0;  // that of `gsnet verify`, whatever the run's: all runs are judged by the same pictures
  Scores scores;
  for (const std::string& name : conditions_) {
    const Embeddings made = embedded(model, open_corrupted(set.pictures, name, kSeed), name);
    for (const auto& [picture, reason] : made.unreadable) {
      if (unreadable != nullptr && name == kClean) unreadable->push_back(reason);
    }
    scores.push_back(condition_of(name, angles_of(set, made, face_.pairs)));
    judge(scores.back(), set.folds, fars, 0);
  }
  return scores;
}

double FaceRun::score_of(const Scores& scores) {
  if (scores.size() == 1) return scores[0].rates[0].tar;
  double sum = 0;
  for (size_t i = 1; i < scores.size(); ++i) sum += scores[i].rates[0].tar;
  return sum / static_cast<double>(scores.size() - 1);
}

void FaceRun::announce() {
  for (const std::string& note : notes_) fmt::print("{}\n", note);
  print_unreadable("validation", validation_, base_scores_[0], unreadable_);
  fmt::print("{}: {} on {}; {} pictures of {} people; {} validation and {} test pairs; {} ({})\n", recipe_.name,
             adapt().method, base_path(), people_->size(), people_->class_names().size(), base_scores_[0].pairs.size(),
             test_.pairs.size(), backend_->name(), backend_->description());
  announce_layers();
  fmt::print("the base on folds {}: TAR@{} {:.2f} %, clean {:.2f} %, clean accuracy {:.2f} %\n", face_.validation_folds,
             rate_text(face_.far), 100 * score_of(base_scores_), 100 * base_scores_[0].rates[0].tar,
             100 * base_scores_[0].best.accuracy);
}

TrainingRun::Validation FaceRun::validate() {
  const Scores scores = judged(adapted(), validation_, {face_.far});
  const VerifyCondition& clean = scores[0];
  const double lost = base_scores_[0].best.accuracy - clean.best.accuracy;
  Validation found{.score = score_of(scores), .eligible = lost <= face_.keep_clean};
  found.numbers = {{"validation_tar", found.score},
                   {"validation_clean_tar", clean.rates[0].tar},
                   {"validation_clean_accuracy", clean.best.accuracy},
                   {"validation_far", face_.far}};
  for (size_t i = 1; i < scores.size(); ++i) {
    found.numbers.emplace_back("validation_tar " + scores[i].name, scores[i].rates[0].tar);
  }
  found.text = fmt::format("validation: TAR@{} {:6.2f} %, clean {:6.2f} %, clean accuracy {:6.2f} %{}",
                           rate_text(face_.far), 100 * found.score, 100 * clean.rates[0].tar, 100 * clean.best.accuracy,
                           found.eligible ? "" : " (too much is lost: not kept)");
  found.brief = fmt::format("  validation {:.2f} %", 100 * found.score);
  return found;
}

void FaceRun::keep(int64_t epoch) {
  AdaptRun::keep(epoch);
  if (head_) save_head(folder_.head_path(), *head_, people_->class_names());
}

int FaceRun::finish(const RunState& state) {
  GSNET_CHECK(state.best_epoch > 0,
              fmt::format("no epoch kept the clean accuracy of folds {} within face.keep_clean = {:g} of the base's "
                          "{:.2f} %: nothing is kept. A lower optimiser.rate changes less",
                          face_.validation_folds, face_.keep_clean, 100 * base_scores_[0].best.accuracy));
  if (state.best_score <= score_of(base_scores_)) {
    fmt::print("note: no epoch is better on folds {} than the base's {:.2f} %\n", face_.validation_folds,
               100 * score_of(base_scores_));
  }
  return AdaptRun::finish(state);
}

std::string FaceRun::test(const Model& after) {
  nlohmann::ordered_json result = {{"validation_base", score_of(base_scores_)},
                                   {"validation_base_clean_accuracy", base_scores_[0].best.accuracy}};
  if (!unreadable_.empty()) result["unreadable"]["validation"] = unreadable_;
  if (face_.test == FaceTest::none) return text_of(result);
  Scores before;
  if (face_.test == FaceTest::both) before = judged(io::load_model(base_path(), *backend_), test_, test_rates());
  std::vector<std::string> unreadable;
  const Scores now = judged(after, test_, test_rates(), &unreadable);
  print_unreadable("test", test_, now[0], unreadable);
  if (!unreadable.empty()) result["unreadable"]["test"] = unreadable;
  size_t width = 24;
  for (const std::string& name : conditions_) width = std::max(width, name.size() + 8);
  fmt::print("\n{}", title_line(face_.test_folds, width));
  for (size_t i = 0; i < now.size(); ++i) {
    const std::string& name = now[i].name;
    if (!before.empty()) {
      fmt::print("{}", condition_line(name + ", before", width, before[i]));
      result["before"]["accuracy"][name] = accuracy_of(before[i]);
      result["before"]["tar"][name] = rates_json(before[i]);
    }
    fmt::print("{}", condition_line(before.empty() ? name : name + ", after", width, now[i]));
    result["accuracy"][name] = accuracy_of(now[i]);
    result["tar"][name] = rates_json(now[i]);
  }
  return text_of(result);
}

}  // namespace gsnet::apps
