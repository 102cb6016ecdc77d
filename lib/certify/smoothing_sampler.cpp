#include "certify/smoothing_sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "core/error.h"

namespace gsnet {
namespace {

const SmoothingSpec& checked(const SmoothingSpec& spec) {
  GSNET_CHECK(spec.sigma > 0 && spec.sigma <= 16,
              fmt::format("[smoothing] sigma {}, expected above 0 and up to 16 (pixels in [0, 1])", spec.sigma));
  constexpr int64_t kMost = int64_t{1} << 40;
  GSNET_CHECK(spec.selection >= 1 && spec.selection <= kMost && spec.estimation >= 1 && spec.estimation <= kMost,
              fmt::format("[smoothing] {} and {} samples, expected at least 1", spec.selection, spec.estimation));
  GSNET_CHECK(spec.alpha > 0 && spec.alpha < 0.5,
              fmt::format("[smoothing] alpha {}, expected above 0 and below 1/2", spec.alpha));
  GSNET_CHECK(spec.batch >= 1 && spec.batch <= 1'000'000, fmt::format("[smoothing] batches of {}", spec.batch));
  GSNET_CHECK(spec.threads >= 0 && spec.threads <= 1024, fmt::format("[smoothing] {} threads", spec.threads));
  return spec;
}

int found(std::span<const double> logits) {
  if (!std::ranges::all_of(logits, [](double z) { return std::isfinite(z); })) return -1;
  return static_cast<int>(std::ranges::max_element(logits) - logits.begin());
}

}  // namespace

NoiseSampler::NoiseSampler(const Model& model, const PictureSource& pictures, const SmoothingSpec& spec)
    : model_(model), pictures_(pictures), spec_(checked(spec)), noise_(255 * spec.sigma) {
  const Shape input = model.graph->input();
  const std::vector<double>&mean = model.info.mean, &stddev = model.info.stddev;
  GSNET_CHECK(input.rank() == 3 || input.rank() == 1,
              fmt::format("[smoothing] the model takes {}, expected (C, H, W) or (F)", to_string(input)));
  GSNET_CHECK(
      static_cast<int64_t>(mean.size()) == input[0] && stddev.size() == mean.size(),
      fmt::format("[smoothing] {} means and {} deviations for {} channels", mean.size(), stddev.size(), input[0]));
  GSNET_CHECK(model.graph->output().rank() == 1 && model.graph->output()[0] >= 2,
              fmt::format("[smoothing] needs a classifier with at least two logits, the network gives {}",
                          to_string(model.graph->output())));
  classes_ = model.graph->output()[0];
  numel_ = input.numel();
  for (size_t c = 0; c < mean.size(); ++c) {
    GSNET_CHECK(std::isfinite(mean[c]) && std::isfinite(stddev[c]) && stddev[c] > 0,
                fmt::format("[smoothing] channel {} is normalised by {} and {}", c, mean[c], stddev[c]));
    scale_.push_back(static_cast<float>(1 / (255 * stddev[c])));
    shift_.push_back(static_cast<float>(-mean[c] / stddev[c]));
  }
}

UpperBound NoiseSampler::error() const { return noise_.error() * UpperBound::proven(static_cast<double>(numel_)); }

std::vector<NoiseSampler::Row> NoiseSampler::next_rows(Cursor& cursor, int64_t first, int64_t count,
                                                       const std::function<bool(int64_t)>& wanted) const {
  std::vector<Row> rows;
  while (static_cast<int64_t>(rows.size()) < spec_.batch && cursor.picture < pictures_.count) {
    if (cursor.sample == count || !wanted(cursor.picture)) {
      cursor = {cursor.picture + 1, 0, nullptr};
      continue;
    }
    if (!cursor.pixels) {
      std::vector<uint8_t> pixels(static_cast<size_t>(numel_));
      pictures_.read(cursor.picture, pixels);
      cursor.pixels = std::make_shared<const std::vector<uint8_t>>(std::move(pixels));
    }
    rows.push_back({cursor.picture, first + cursor.sample++, cursor.pixels});
  }
  return rows;
}

Tensor NoiseSampler::noisy(const std::vector<Row>& rows) const {
  const Shape input = model_.graph->input();
  const auto count = static_cast<int64_t>(rows.size());
  Tensor x = input.rank() == 3 ? Tensor::empty({count, input[0], input[1], input[2]}, DType::f32, Layout::channels_last)
                               : Tensor::empty({count, input[0]}, DType::f32);
  float* const to = x.data<float>();
  const size_t channels = scale_.size();
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const int threads [[maybe_unused]] = spec_.threads > 0 ? spec_.threads : cores;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t n = 0; n < count; ++n) {
    const Row& row = rows[static_cast<size_t>(n)];
    Random random(
        RandomKey(spec_.seed).with(static_cast<uint64_t>(row.picture)).with(static_cast<uint64_t>(row.sample)));
    float* at = to + n * numel_;
    size_t c = 0;
    for (const uint8_t pixel : *row.pixels) {
      *at++ = static_cast<float>(pixel + noise_(random)) * scale_[c] + shift_[c];
      if (++c == channels) c = 0;
    }
  }
  return x;
}

void NoiseSampler::run(int64_t first, int64_t count, const std::function<bool(int64_t)>& wanted,
                       const std::function<void(int64_t, int)>& vote, const std::function<void()>& after_batch) {
  Backend& backend = model_.graph->backend();
  Cursor cursor;
  std::vector<Row> running;
  Tensor logits;
  for (;;) {
    std::vector<Row> rows = next_rows(cursor, first, count, wanted);
    const Tensor x = rows.empty() ? Tensor() : noisy(rows);  // drawn while the machine is at the batch before
    if (!running.empty()) {
      const Tensor numbers = with_dtype(backend.download(logits), DType::f64);
      for (size_t n = 0; n < running.size(); ++n) {
        const std::span<const double> row(numbers.data<double>() + static_cast<int64_t>(n) * classes_,
                                          static_cast<size_t>(classes_));
        vote(running[n].picture, found(row));
      }
      after_batch();
    }
    if (rows.empty()) return;
    Tape tape(backend, {.fast = true, .many = true});
    logits = model_.graph->forward(tape, tape.input(backend.upload(x))).value;
    running = std::move(rows);
  }
}

}  // namespace gsnet
