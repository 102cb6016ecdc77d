#include "data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "data/assemble.h"

namespace gsnet::data {
namespace {

/// One pass over the set; never changed once begun, so that workers read it without a lock.
struct Epoch {
  RandomKey key;
  std::vector<int64_t> order;  ///< empty: as they lie
};

std::shared_ptr<const Epoch> make_epoch(const LoaderSpec& spec, int64_t size, int64_t number) {
  auto epoch = std::make_shared<Epoch>();
  epoch->key = RandomKey(spec.seed).with(static_cast<uint64_t>(number));
  if (!spec.shuffle) return epoch;
  epoch->order.resize(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; ++i) epoch->order[static_cast<size_t>(i)] = i;
  Random(epoch->key).shuffle(epoch->order);
  return epoch;
}

void check(const LoaderSpec& spec, const std::shared_ptr<const Dataset>& dataset) {
  GSNET_CHECK(dataset != nullptr, "loader: no data set was given");
  const int64_t size = dataset->size();
  GSNET_CHECK(size >= 1 && size <= INT32_MAX,
              fmt::format("loader: the data set has {} pictures, expected 1 to {}", size, INT32_MAX));
  GSNET_CHECK(spec.batch >= 1 && spec.batch <= INT32_MAX, fmt::format("loader: batches of {} pictures", spec.batch));
  GSNET_CHECK(spec.threads >= 1 && spec.threads <= 1024,
              fmt::format("loader: {} threads, expected 1 to 1024", spec.threads));
  GSNET_CHECK(spec.prefetch >= 1 && spec.prefetch <= 4096,
              fmt::format("loader: {} batches ahead, expected 1 to 4096", spec.prefetch));
  GSNET_CHECK(spec.augmentation.crop_padding >= 0 && spec.augmentation.crop_padding <= 4096,
              fmt::format("loader: crop padding {}, expected 0 to 4096", spec.augmentation.crop_padding));
  GSNET_CHECK(!spec.drop_last || size >= spec.batch,
              fmt::format("loader: {} pictures do not fill one batch of {}", size, spec.batch));
}

}  // namespace

/// Workers claim batches in order, at most `prefetch` beyond the one awaited, and put each into the slot of its number
/// modulo prefetch. All members below mutex_ are guarded by it, those above never change.
class Loader::Workers {
 public:
  Workers(std::shared_ptr<const Dataset> dataset, LoaderSpec spec);
  ~Workers() { stop(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int64_t batches() const { return batches_; }
  bool started();
  void start(int64_t epoch, int64_t first);
  std::optional<Batch> next();

 private:
  struct Claim {
    std::shared_ptr<const Epoch> epoch;
    int64_t batch = 0;
  };
  struct Outcome {
    Batch batch;
    std::exception_ptr error;
  };

  void stop();
  void work();
  std::optional<Claim> claim();
  void deliver(const Claim& claim, Outcome outcome);
  Batch make(const Claim& claim) const;
  std::optional<Outcome>& slot(int64_t batch) { return slots_[static_cast<size_t>(batch % spec_.prefetch)]; }

  const std::shared_ptr<const Dataset> dataset_;
  const LoaderSpec spec_;
  const Normaliser normaliser_;
  const int64_t batches_;

  std::mutex mutex_;
  std::condition_variable to_do_, done_;
  std::shared_ptr<const Epoch> epoch_;
  int64_t claimed_ = 0;    // the next batch to be claimed
  int64_t delivered_ = 0;  // the next batch that next() gives
  std::vector<std::optional<Outcome>> slots_;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;  // last: joined before anything else goes
};

Loader::Workers::Workers(std::shared_ptr<const Dataset> dataset, LoaderSpec spec)
    : dataset_(std::move(dataset)),
      spec_(std::move(spec)),
      normaliser_(spec_.normalisation, dataset_->picture().channels),
      batches_((dataset_->size() + (spec_.drop_last ? 0 : spec_.batch - 1)) / spec_.batch),
      slots_(static_cast<size_t>(spec_.prefetch)) {
  try {
    for (int i = 0; i < spec_.threads; ++i) threads_.emplace_back([this] { work(); });
  } catch (...) {
    stop();
    throw;
  }
}

void Loader::Workers::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  to_do_.notify_all();
}

bool Loader::Workers::started() {
  const std::lock_guard lock(mutex_);
  return epoch_ != nullptr;
}

void Loader::Workers::start(int64_t epoch, int64_t first) {
  GSNET_CHECK(epoch >= 0 && first >= 0 && first <= batches_,
              fmt::format("loader: epoch {} from batch {} was asked for, an epoch has {}", epoch, first, batches_));
  auto begun = make_epoch(spec_, dataset_->size(), epoch);
  {
    const std::lock_guard lock(mutex_);
    epoch_ = std::move(begun);
    claimed_ = delivered_ = first;
    for (auto& outcome : slots_) outcome.reset();
  }
  to_do_.notify_all();
}

std::optional<Loader::Workers::Claim> Loader::Workers::claim() {
  std::unique_lock lock(mutex_);
  to_do_.wait(lock,
              [&] { return stopping_ || (epoch_ && claimed_ < std::min(batches_, delivered_ + spec_.prefetch)); });
  if (stopping_) return std::nullopt;
  return Claim{epoch_, claimed_++};
}

void Loader::Workers::deliver(const Claim& claim, Outcome outcome) {
  {
    const std::lock_guard lock(mutex_);
    if (claim.epoch != epoch_) return;  // of an epoch that was dropped
    slot(claim.batch) = std::move(outcome);
  }
  done_.notify_all();
}

Batch Loader::Workers::make(const Claim& claim) const {
  const PictureShape shape = dataset_->picture();
  const int64_t first = claim.batch * spec_.batch, count = std::min(spec_.batch, dataset_->size() - first);
  std::vector<uint8_t> pixels(static_cast<size_t>(shape.numel()));
  Batch batch = empty_batch(shape, count);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = claim.epoch->order.empty() ? first + i : claim.epoch->order[static_cast<size_t>(first + i)];
    dataset_->read(at, pixels);
    const Placement placement = draw_placement(spec_.augmentation, claim.epoch->key.with(static_cast<uint64_t>(at)));
    normaliser_.write(pixels.data(), shape, placement, batch.images.data<float>() + i * shape.numel());
    batch.labels.data<int32_t>()[i] = dataset_->label(at);
    batch.indices[static_cast<size_t>(i)] = at;
  }
  return batch;
}

void Loader::Workers::work() {
  while (const auto claimed = claim()) {
    Outcome outcome;
    try {
      outcome.batch = make(*claimed);
    } catch (...) {
      outcome.error = std::current_exception();
    }
    deliver(*claimed, std::move(outcome));
  }
}

std::optional<Batch> Loader::Workers::next() {
  Outcome outcome;
  {
    std::unique_lock lock(mutex_);
    if (delivered_ == batches_) return std::nullopt;
    done_.wait(lock, [&] { return slot(delivered_).has_value(); });
    outcome = std::move(*slot(delivered_));
    slot(delivered_++).reset();
  }
  to_do_.notify_all();
  if (outcome.error) std::rethrow_exception(outcome.error);
  return std::move(outcome.batch);
}

Loader::Loader(std::shared_ptr<const Dataset> dataset, LoaderSpec spec) {
  check(spec, dataset);
  workers_ = std::make_unique<Workers>(std::move(dataset), std::move(spec));
}

Loader::~Loader() = default;

int64_t Loader::batches_per_epoch() const { return workers_->batches(); }

void Loader::start_epoch(int64_t epoch, int64_t first) { workers_->start(epoch, first); }

std::optional<Batch> Loader::next() {
  if (!workers_->started()) workers_->start(0, 0);
  return workers_->next();
}

}  // namespace gsnet::data
