#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <thread>

#include "core/error.h"
#include "data/corruption.h"

namespace gsnet::data {
namespace {

using Catch::Contains;

constexpr int64_t kCount = 12;

/// Pictures held in memory.
class Held : public Dataset {
 public:
  Held(PictureShape shape, std::vector<std::vector<uint8_t>> pictures)
      : shape_(shape), pictures_(std::move(pictures)) {}

  int64_t size() const override { return static_cast<int64_t>(pictures_.size()); }
  PictureShape picture() const override { return shape_; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int label(int64_t i) const override { return static_cast<int>(i % 2); }
  std::string name(int64_t i) const override { return "held[" + std::to_string(i) + "]"; }
  void read(int64_t i, std::span<uint8_t> pixels) const override {
    std::ranges::copy(pictures_.at(static_cast<size_t>(i)), pixels.begin());
  }

 private:
  PictureShape shape_;
  std::vector<std::vector<uint8_t>> pictures_;
  std::vector<std::string> names_ = {"even", "odd"};
};

/// Smooth coloured waves with an edge.
std::shared_ptr<const Dataset> waves(PictureShape shape, int64_t count = kCount) {
  std::vector<std::vector<uint8_t>> pictures(static_cast<size_t>(count));
  for (size_t i = 0; i < pictures.size(); ++i) {
    for (int at = 0; at < shape.height * shape.width * shape.channels; ++at) {
      const int pixel = at / shape.channels, c = at % shape.channels;
      const double u = 20.0 * (pixel % shape.width) / shape.width, v = 20.0 * (pixel / shape.width) / shape.height;
      const double wave = std::sin(0.7 * u + static_cast<double>(i)) * std::cos(0.9 * v + c);
      pictures[i].push_back(static_cast<uint8_t>(120 + 70 * wave + (u + v > 20 ? 42 : -28)));
    }
  }
  return std::make_shared<Held>(shape, std::move(pictures));
}

std::vector<uint8_t> pixels_of(const Dataset& set, int64_t i) {
  std::vector<uint8_t> pixels(static_cast<size_t>(set.picture().numel()));
  set.read(i, pixels);
  return pixels;
}

double mean_square(const Dataset& a, const Dataset& b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto p = pixels_of(a, i), q = pixels_of(b, i);
    for (size_t k = 0; k < p.size(); ++k) sum += (p[k] - q[k]) * (p[k] - q[k]);
  }
  return sum / static_cast<double>(count * a.picture().numel());
}

#if GSNET_WITH_OPENCV
constexpr bool kCanJpeg = true;
#else
constexpr bool kCanJpeg = false;
#endif

bool can(Corruption kind) { return kCanJpeg || kind != Corruption::jpeg; }

std::vector<Corruption> kinds() {
  std::vector<Corruption> all;
  for (size_t k = 0; k < corruption_names().size(); ++k) {
    if (can(static_cast<Corruption>(k))) all.push_back(static_cast<Corruption>(k));
  }
  return all;
}

}  // namespace

TEST_CASE("corruption: each severity is worse than the one before, at every size", "[data]") {
  for (const PictureShape shape :
       {PictureShape{3, 32, 32}, PictureShape{3, 112, 112}, PictureShape{1, 28, 28}, PictureShape{3, 24, 40}}) {
    const int64_t count = shape.height > 100 ? 1 : kCount;
    const auto clean = waves(shape, count);
    for (const Corruption kind : kinds()) {
      double before = 0;
      for (int severity = 1; severity <= 5; ++severity) {
        const auto set = corrupted(clean, {kind, severity, 7});
        CAPTURE(set->name(0), shape.channels, shape.height, before);
        REQUIRE(set->picture() == shape);
        const double now = mean_square(*clean, *set, count);
        CHECK(now < 255 * 255 / 4);
        // The trails of severities 3 and 4 differ in what is cut off only.
        if (kind == Corruption::motion_blur && severity == 4)
          CHECK(now >= before);
        else
          CHECK(now > before);
        before = now;
      }
    }
  }
}

TEST_CASE("corruption: a picture is a function of seed, kind, severity and index", "[data][threads]") {
  const auto clean = waves(PictureShape{3, 32, 32});
  for (const Corruption kind : kinds()) {
    const auto set = corrupted(clean, {kind, 3, 11});
    CAPTURE(set->name(0));
    std::vector<std::vector<uint8_t>> forward(kCount), backward(kCount);
    {
      const std::jthread one([&] {
        for (int64_t i = 0; i < kCount; ++i) forward[static_cast<size_t>(i)] = pixels_of(*set, i);
      });
      const std::jthread two([&] {
        for (int64_t i = kCount - 1; i >= 0; --i) backward[static_cast<size_t>(i)] = pixels_of(*set, i);
      });
    }
    CHECK(forward == backward);
    CHECK(pixels_of(*corrupted(clean, {kind, 3, 11}), 4) == forward[4]);
    const bool drawn = kind <= Corruption::impulse_noise || kind == Corruption::motion_blur ||
                       kind == Corruption::occlusion || kind == Corruption::distant || kind == Corruption::mask;
    CHECK((pixels_of(*corrupted(clean, {kind, 3, 12}), 4) != forward[4]) == drawn);
    const std::vector<std::vector<uint8_t>> twice(2, pixels_of(*clean, 4));
    const auto same = corrupted(std::make_shared<Held>(clean->picture(), twice), {kind, 3, 11});
    CHECK((pixels_of(*same, 0) != pixels_of(*same, 1)) == drawn);
    CHECK(set->label(3) == 1);
    CHECK(set->size() == kCount);
    CHECK(set->class_names() == clean->class_names());
  }
}

TEST_CASE("corruption: noise has the strength that its table says", "[data]") {
  const std::vector<uint8_t> grey(30000, 102);
  const auto clean = std::make_shared<Held>(PictureShape{3, 100, 100}, std::vector(1, grey));
  const auto strength = [&](Corruption kind) {
    return mean_square(*clean, *corrupted(clean, {kind, 3, 1}), 1) / 65025;
  };
  CHECK(strength(Corruption::gaussian_noise) == Approx(0.08 * 0.08).epsilon(0.04));
  CHECK(strength(Corruption::shot_noise) == Approx(0.4 / 100).epsilon(0.04));
  const auto dark = std::make_shared<Held>(PictureShape{3, 100, 100}, std::vector(1, std::vector<uint8_t>(30000, 5)));
  const auto counted = pixels_of(*corrupted(dark, {Corruption::shot_noise, 5, 1}), 0);
  CHECK(std::accumulate(counted.begin(), counted.end(), 0.0) / 30000 == Approx(5).epsilon(0.04));
  CHECK(static_cast<double>(std::ranges::count(counted, 0)) / 30000 == Approx(std::exp(-50 * 5 / 255.0)).epsilon(0.04));
  CHECK(strength(Corruption::impulse_noise) == Approx(0.03 * (0.16 + 0.36) / 2).epsilon(0.12));
  CHECK(strength(Corruption::brightness) == Approx(0.15 * 0.15).epsilon(0.04));
  CHECK(strength(Corruption::contrast) == 0);
  for (const Corruption kind :
       {Corruption::gaussian_blur, Corruption::motion_blur, Corruption::defocus_blur, Corruption::low_resolution}) {
    CHECK(strength(kind) == 0);  // kernels sum to 1, edges included
  }
}

TEST_CASE("corruption: blurs keep the mean, and a point spreads as far as its table says", "[data]") {
  std::vector<uint8_t> point(1024, 0);
  point[16 * 32 + 16] = 255;
  const auto clean = std::make_shared<Held>(PictureShape{1, 32, 32}, std::vector(1, point));
  const auto total = [&](Corruption kind, int severity) {
    double sum = 0;
    for (const uint8_t p : pixels_of(*corrupted(clean, {kind, severity, 1}), 0)) sum += p;
    return sum;
  };
  CHECK(total(Corruption::gaussian_blur, 5) == Approx(255).margin(25));
  CHECK(total(Corruption::defocus_blur, 5) == Approx(255).margin(25));
  const auto blurred = pixels_of(*corrupted(clean, {Corruption::gaussian_blur, 5, 1}), 0);
  CHECK(blurred[16 * 32 + 16] == Approx(255 / (2 * 3.14159265)).margin(2));
  CHECK(blurred[16 * 32 + 17] == blurred[15 * 32 + 16]);
  const auto disk = pixels_of(*corrupted(clean, {Corruption::defocus_blur, 5, 1}), 0);
  CHECK(disk[16 * 32 + 16] == Approx(255 / 9.0).margin(2));
  CHECK(disk[15 * 32 + 15] == Approx(255 / 9.0).margin(2));
  CHECK(disk[16 * 32 + 19] == 0);
}

TEST_CASE("corruption: distant faces are averaged, noisy and smooth again", "[data]") {
  const auto grey = std::make_shared<Held>(PictureShape{3, 112, 112}, std::vector(1, std::vector<uint8_t>(37632, 102)));
  // Linear interpolation in both directions leaves (2/3)^2 of the variance of the small picture's noise.
  const double noise = mean_square(*grey, *corrupted(grey, {Corruption::distant, 5, 1}), 1) / 65025;
  CHECK(noise == Approx(0.03 * 0.03 * 4 / 9).epsilon(0.15));
  std::vector<uint8_t> stripes(37632);
  for (size_t i = 0; i < stripes.size(); ++i) stripes[i] = i / 3 % 2 == 0 ? 0 : 200;
  const auto fine = std::make_shared<Held>(PictureShape{3, 112, 112}, std::vector(1, stripes));
  const auto [low, high] = std::ranges::minmax(pixels_of(*corrupted(fine, {Corruption::distant, 1, 1}), 0));
  CHECK(low > 70);
  CHECK(high < 130);
}

TEST_CASE("corruption: a mask covers mouth and chin, more of the nose at each severity, never the eyes", "[data]") {
  const auto clean = waves(PictureShape{3, 112, 112}, 1);
  const auto before = pixels_of(*clean, 0);
  int64_t covered = 0;
  for (int severity = 1; severity <= 5; ++severity) {
    const auto masked = pixels_of(*corrupted(clean, {Corruption::mask, severity, 3}), 0);
    const auto pixel = [&](const std::vector<uint8_t>& from, int y, int x) {
      const auto at = from.begin() + (y * 112 + x) * 3;
      return std::vector<uint8_t>(at, at + 3);
    };
    const auto colour = pixel(masked, 105, 56);
    CHECK(pixel(masked, 92, 56) == colour);                                            // the mouth
    CHECK(pixel(masked, 111, 5) == pixel(before, 111, 5));                             // beside the chin
    CHECK(std::equal(before.begin(), before.begin() + 56 * 112 * 3, masked.begin()));  // eyes, at rows about 51
    int64_t now = 0;
    for (int y = 0; y < 112; ++y) {
      for (int x = 0; x < 112; ++x) now += pixel(masked, y, x) == colour ? 1 : 0;
    }
    CHECK(now > covered);
    covered = now;
  }
  CHECK(covered > 112 * 112 / 4);
  CHECK(covered < 112 * 112 / 2);
}

TEST_CASE("corruption: chains go from the left", "[data]") {
  const auto clean = waves(PictureShape{3, 32, 32});
  const CorruptionChain chain = parse_corruption_chain("low_resolution:3+contrast:2", 5);
  REQUIRE(chain.size() == 2);
  CHECK(chain[1].kind == Corruption::contrast);
  CHECK(chain[1].seed == 5);
  CHECK(to_string(chain) == "low_resolution:3+contrast:2");
  const auto by_hand = corrupted(corrupted(clean, {Corruption::low_resolution, 3, 5}), {Corruption::contrast, 2, 5});
  CHECK(pixels_of(*corrupted(clean, chain), 1) == pixels_of(*by_hand, 1));
  CHECK(corrupted(clean, CorruptionChain{}) == clean);
  for (const char* wrong : {"", "+", "contrast:1+", "+contrast:1", "contrast:1++contrast:2", "contrast+contrast:2"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(parse_corruption_chain(wrong), Error);
  }
}

TEST_CASE("corruption: a mixture draws one condition a picture", "[data]") {
  const auto clean = waves(PictureShape{3, 16, 16}, 300);
  const auto noisy = corrupted(clean, {Corruption::gaussian_noise, 3, 1});
  const auto mixed = one_of({clean, noisy}, 5), again = one_of({clean, noisy}, 5), other = one_of({clean, noisy}, 6);
  int64_t kept = 0, moved = 0;
  for (int64_t i = 0; i < 300; ++i) {
    const auto pixels = pixels_of(*mixed, i);
    const bool is_clean = pixels == pixels_of(*clean, i);
    CHECK((is_clean || pixels == pixels_of(*noisy, i)));
    CHECK(pixels == pixels_of(*again, i));
    CHECK(mixed->name(i) == (is_clean ? clean : noisy)->name(i));
    CHECK(mixed->label(i) == clean->label(i));
    kept += is_clean ? 1 : 0;
    moved += pixels == pixels_of(*other, i) ? 0 : 1;
  }
  CHECK(kept > 110);
  CHECK(kept < 190);
  CHECK(moved > 100);
  CHECK(one_of({clean}, 5) == clean);
  CHECK_THROWS_AS(one_of({}, 5), Error);
  CHECK_THROWS_AS(one_of({clean, nullptr}, 5), Error);
  CHECK_THROWS_WITH(one_of({clean, waves(PictureShape{3, 16, 16}, 5)}, 5), Contains("5"));
}

TEST_CASE("corruption: names there and back, wrong ones refused", "[data]") {
  for (size_t k = 0; k < corruption_names().size(); ++k) {
    const CorruptionSpec spec{static_cast<Corruption>(k), static_cast<int>(k % 5) + 1, 9};
    const CorruptionSpec read = parse_corruption(to_string(spec), 9);
    CHECK(read.kind == spec.kind);
    CHECK(read.severity == spec.severity);
    CHECK(read.seed == 9);
  }
  CHECK(to_string(parse_corruption("low_resolution:4")) == "low_resolution:4");
  for (const char* wrong : {"", ":", "fog:3", "gaussian_noise", "gaussian_noise:", "gaussian_noise:0",
                            "gaussian_noise:6", "gaussian_noise:33", "gaussian_noise:3 ", "Gaussian_noise:3"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(parse_corruption(wrong), Error);
  }
  CHECK_THROWS_WITH(parse_corruption("fog:3"), Contains("fog:3") && Contains("motion_blur"));
  const auto clean = waves(PictureShape{2, 8, 8});
  CHECK_THROWS_AS(corrupted(nullptr, CorruptionSpec{}), Error);
  CHECK_THROWS_AS(corrupted(clean, {Corruption::contrast, 0, 0}), Error);
  CHECK_THROWS_AS(corrupted(clean, {Corruption::contrast, 6, 0}), Error);
  CHECK_THROWS_AS(corrupted(clean, {static_cast<Corruption>(99), 1, 0}), Error);
  CHECK_THROWS_WITH(corrupted(clean, {Corruption::jpeg, 1, 0}), Contains("jpeg"));
  const auto set = corrupted(clean, {Corruption::occlusion, 5, 0});
  CHECK_THROWS_AS(pixels_of(*set, kCount), Error);
  CHECK(set->name(2) == "held[2] occlusion:5");
  std::vector<uint8_t> short_of(3);
  CHECK_THROWS_AS(set->read(0, short_of), Error);
}

TEST_CASE("corruption: the smallest pictures survive", "[data]") {
  for (const PictureShape shape : {PictureShape{1, 1, 1}, PictureShape{3, 2, 5}}) {
    const auto clean = waves(shape);
    for (const Corruption kind : kinds()) CHECK_NOTHROW(pixels_of(*corrupted(clean, {kind, 5, 0}), 0));
  }
}

}  // namespace gsnet::data
