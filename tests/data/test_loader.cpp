#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <numeric>

#include "core/error.h"
#include "data/loader.h"

namespace gsnet::data {
namespace {

using Catch::Contains;

/// Pictures of 4 x 4 whose pixels tell picture and place; one of them may be unreadable.
class Marked final : public Dataset {
 public:
  explicit Marked(int64_t size, int64_t broken = -1) : size_(size), broken_(broken) {}

  int64_t size() const override { return size_; }
  PictureShape picture() const override { return {2, 4, 4}; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int label(int64_t i) const override { return static_cast<int>(i % 3); }
  std::string name(int64_t i) const override { return "marked " + std::to_string(i); }
  void read(int64_t i, std::span<uint8_t> pixels) const override {
    GSNET_CHECK(i != broken_, name(i) + ": unreadable");
    for (size_t k = 0; k < pixels.size(); ++k) pixels[k] = static_cast<uint8_t>(static_cast<size_t>(i) * 37 + k + 1);
  }

 private:
  int64_t size_, broken_;
  std::vector<std::string> names_ = {"a", "b", "c"};
};

LoaderSpec spec_of(int threads) {
  LoaderSpec spec;
  spec.batch = 8;
  spec.normalisation = {{0.5, 0.25}, {0.5, 2}};
  spec.augmentation = {1, true};
  spec.shuffle = true;
  spec.seed = 42;
  spec.threads = threads;
  spec.prefetch = 3;
  return spec;
}

/// Indices, labels and pixels of what is left of an epoch, as one list of bytes.
std::vector<std::vector<std::byte>> drain(Loader& loader) {
  std::vector<std::vector<std::byte>> batches;
  while (const auto batch = loader.next()) {
    std::vector<std::byte> bytes;
    const auto add = [&](const void* from, size_t count) {
      const auto* first = static_cast<const std::byte*>(from);
      bytes.insert(bytes.end(), first, first + count);
    };
    add(batch->images.raw(), batch->images.bytes());
    add(batch->labels.raw(), batch->labels.bytes());
    add(batch->indices.data(), batch->indices.size() * sizeof(int64_t));
    batches.push_back(std::move(bytes));
  }
  return batches;
}

TEST_CASE("loader: the same batches with one and with three threads", "[data][threads]") {
  const auto set = std::make_shared<Marked>(45);
  Loader one(set, spec_of(1)), three(set, spec_of(3));
  for (int64_t epoch : {0, 1, 5}) {
    one.start_epoch(epoch);
    three.start_epoch(epoch);
    const auto batches = drain(one);
    CHECK(batches.size() == 6);
    CHECK(batches == drain(three));
    CHECK_FALSE(one.next().has_value());
  }
}

TEST_CASE("loader: epochs differ, and starting in the middle equals skipping", "[data][threads]") {
  const auto set = std::make_shared<Marked>(45);
  Loader loader(set, spec_of(2));
  const auto unasked = drain(loader);
  loader.start_epoch(0);
  CHECK(drain(loader) == unasked);
  loader.start_epoch(3);
  auto whole = drain(loader);
  CHECK(whole != unasked);
  loader.start_epoch(3, 4);
  CHECK(drain(loader) == std::vector(whole.begin() + 4, whole.end()));
  loader.start_epoch(3, 6);
  CHECK_FALSE(loader.next().has_value());
  CHECK_THROWS_AS(loader.start_epoch(3, 7), Error);
}

TEST_CASE("loader: an epoch begun anew drops what was under way", "[data][threads]") {
  const auto set = std::make_shared<Marked>(400);
  Loader loader(set, spec_of(3));
  loader.start_epoch(2);
  const auto expected = drain(loader);
  for (int64_t i = 0; i < 20; ++i) {
    loader.start_epoch(i);
    for (int64_t k = 0; k < i % 4; ++k) CHECK(loader.next().has_value());
  }
  loader.start_epoch(2);
  CHECK(drain(loader) == expected);
}

TEST_CASE("loader: goes in the middle of an epoch", "[data][threads]") {
  for (int i = 0; i < 20; ++i) {
    Loader loader(std::make_shared<Marked>(1000), spec_of(3));
    if (i % 3 == 0) continue;
    loader.start_epoch(i);
    for (int k = 0; k < i % 5; ++k) CHECK(loader.next().has_value());
  }
}

TEST_CASE("loader: an error of a worker arrives in its place", "[data][threads]") {
  LoaderSpec spec = spec_of(3);
  spec.shuffle = false;
  Loader loader(std::make_shared<Marked>(40, 17), spec);
  CHECK(loader.next().has_value());
  CHECK(loader.next().has_value());
  CHECK_THROWS_WITH(loader.next(), "marked 17: unreadable");
  CHECK(loader.next()->indices.front() == 24);
  CHECK(loader.next().has_value());
  CHECK_FALSE(loader.next().has_value());
}

TEST_CASE("loader: every picture once, the last batch short or left out", "[data]") {
  LoaderSpec spec = spec_of(2);
  const auto set = std::make_shared<Marked>(45);
  Loader loader(set, spec);
  std::vector<int64_t> seen;
  while (const auto batch = loader.next()) {
    CHECK(batch->images.shape()[0] == static_cast<int64_t>(batch->indices.size()));
    for (size_t i = 0; i < batch->indices.size(); ++i) CHECK(batch->labels.host<int32_t>()[i] == batch->indices[i] % 3);
    seen.insert(seen.end(), batch->indices.begin(), batch->indices.end());
  }
  CHECK_FALSE(std::is_sorted(seen.begin(), seen.end()));
  std::sort(seen.begin(), seen.end());
  std::vector<int64_t> all(45);
  std::iota(all.begin(), all.end(), 0);
  CHECK(seen == all);
  spec.drop_last = true;
  CHECK(Loader(set, spec).batches_per_epoch() == 5);
}

TEST_CASE("loader: without augmentation a batch is what read_batch gives", "[data]") {
  LoaderSpec spec = spec_of(1);
  spec.augmentation = {};
  spec.shuffle = false;
  const auto set = std::make_shared<Marked>(10);
  Loader loader(set, spec);
  loader.next();
  const auto last = loader.next();
  const Batch same = read_batch(*set, 8, 2, spec.normalisation);
  REQUIRE(last->images.shape() == Shape{2, 2, 4, 4});
  CHECK(last->images.layout() == Layout::channels_last);
  CHECK(last->indices == same.indices);
  CHECK(std::memcmp(last->images.raw(), same.images.raw(), same.images.bytes()) == 0);
  const auto x = same.images.host<float>();
  CHECK(x[0] == Approx(((8 * 37 + 1) % 256 / 255.0 - 0.5) / 0.5));
  CHECK(x[1] == Approx(((8 * 37 + 2) % 256 / 255.0 - 0.25) / 2));
}

/// Whether a batch holds picture i of a Marked set, cropped at (dy, dx) and mirrored or not; normalisation to 0..255.
bool is_placed(std::span<const float> x, int64_t i, int dy, int dx, bool mirrored) {
  for (int k = 0; k < 16; ++k) {
    const int row = k / 4 + dy, column = (mirrored ? 3 - k % 4 : k % 4) + dx;
    const bool inside = row >= 0 && row < 4 && column >= 0 && column < 4;
    const int expected = inside ? static_cast<uint8_t>(i * 37 + (row * 4 + column) * 2 + 1) : 0;
    if (std::abs(x[static_cast<size_t>(2 * k)] - static_cast<float>(expected)) > 0.01F) return false;
  }
  return true;
}

TEST_CASE("loader: crop and mirror move pixels, pad with zero and take all places", "[data]") {
  LoaderSpec spec = spec_of(1);
  spec.normalisation = {{0, 0}, {1 / 255.0, 1 / 255.0}};
  Loader loader(std::make_shared<Marked>(200), spec);
  std::vector<int> count(18);
  while (const auto batch = loader.next()) {
    for (size_t n = 0; n < batch->indices.size(); ++n) {
      int matches = 0;
      for (int place = 0; place < 18; ++place) {
        const auto x = batch->images.host<float>().subspan(n * 32, 32);
        if (!is_placed(x, batch->indices[n], place / 6 - 1, place / 2 % 3 - 1, place % 2 == 1)) continue;
        ++matches;
        ++count[static_cast<size_t>(place)];
      }
      CHECK(matches == 1);
    }
  }
  CHECK(*std::min_element(count.begin(), count.end()) >= 1);
}

TEST_CASE("loader: impossible wishes are refused", "[data]") {
  const auto set = std::make_shared<Marked>(5);
  CHECK_THROWS_WITH(Loader(std::make_shared<Marked>(0), spec_of(1)), Contains("0 pictures"));
  CHECK_THROWS_AS(Loader(nullptr, spec_of(1)), Error);
  const auto refused = [&](auto change) {
    LoaderSpec spec = spec_of(1);
    change(spec);
    CHECK_THROWS_AS(Loader(set, spec), Error);
  };
  refused([](LoaderSpec& s) { s.normalisation.mean.push_back(0); });
  refused([](LoaderSpec& s) { s.normalisation.stddev[0] = 0; });
  refused([](LoaderSpec& s) { s.batch = 0; });
  refused([](LoaderSpec& s) { s.threads = 0; });
  refused([](LoaderSpec& s) { s.prefetch = 0; });
  refused([](LoaderSpec& s) { s.augmentation.crop_padding = -1; });
  refused([](LoaderSpec& s) { s.drop_last = true; });
  CHECK_THROWS_AS(read_batch(*set, 4, 2, spec_of(1).normalisation), Error);
  CHECK_THROWS_AS(read_batch(*set, 0, 0, spec_of(1).normalisation), Error);
}

}  // namespace
}  // namespace gsnet::data
