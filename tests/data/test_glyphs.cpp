#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "core/error.h"
#include "data/dataset.h"
#include "data/glyph_shapes.h"

namespace gsnet::data {
namespace {

std::vector<uint8_t> pixels_of(const Dataset& set, int64_t i) {
  std::vector<uint8_t> pixels(static_cast<size_t>(set.picture().numel()));
  set.read(i, pixels);
  return pixels;
}

TEST_CASE("glyphs: a picture is a function of seed and index", "[data]") {
  const auto a = make_glyphs({.size = 40, .seed = 7}), longer = make_glyphs({.size = 400, .seed = 7});
  const auto other = make_glyphs({.size = 40, .seed = 8});
  for (int64_t i : {0, 13, 39}) {
    CHECK(pixels_of(*a, i) == pixels_of(*longer, i));
    CHECK(pixels_of(*a, i) != pixels_of(*other, i));
  }
  CHECK(pixels_of(*a, 0) != pixels_of(*a, 10));
}

TEST_CASE("glyphs: ten named classes, each as often", "[data]") {
  const auto set = make_glyphs({.size = 100});
  CHECK(set->class_names().size() == 10);
  CHECK(std::set<std::string>(set->class_names().begin(), set->class_names().end()).size() == 10);
  std::vector<int> count(10);
  for (int64_t i = 0; i < set->size(); ++i) ++count[static_cast<size_t>(set->label(i))];
  CHECK(std::all_of(count.begin(), count.end(), [](int n) { return n == 10; }));
  CHECK(set->name(3) == "glyphs[3]");
}

TEST_CASE("glyphs: every side from 16 on, wrong wishes refused", "[data]") {
  const auto set = make_glyphs({.size = 1, .seed = 1, .side = 16});
  CHECK(set->picture() == PictureShape{3, 16, 16});
  const auto pixels = pixels_of(*set, 0);
  const auto [low, high] = std::minmax_element(pixels.begin(), pixels.end());
  CHECK(*high - *low > 40);
  CHECK_THROWS_AS(make_glyphs({.size = 0}), Error);
  CHECK_THROWS_AS(make_glyphs({.size = 1, .seed = 1, .side = 15}), Error);
  CHECK_THROWS_AS(set->label(1), Error);
}

TEST_CASE("glyphs: distances are negative inside and right outside", "[data]") {
  const auto shapes = make_glyph_shapes();
  CHECK(shapes.at(2).name == "square");
  CHECK(distance(shapes[2], {0, 0}, 0) == Approx(-0.75));
  CHECK(distance(shapes[2], {1, 0}, 0) == Approx(0.25));
  CHECK(shapes.at(1).name == "ring");
  CHECK(distance(shapes[1], {0, 0}, 0.1) > 0.5);
  CHECK(distance(shapes[1], {0.68, 0}, 0.1) == Approx(-0.1));
}

TEST_CASE("subset and hold out: strata, order and seed", "[data]") {
  const auto whole = make_glyphs({.size = 105});
  const auto [held, rest] = hold_out(whole, 23, 5);
  CHECK(held->size() == 23);
  CHECK(rest->size() == 82);
  std::vector<int> count(10);
  std::set<std::string> names;
  for (int64_t i = 0; i < 23; ++i) {
    ++count[static_cast<size_t>(held->label(i))];
    names.insert(held->name(i));
  }
  for (int64_t i = 0; i < 82; ++i) names.insert(rest->name(i));
  CHECK(names.size() == 105);
  CHECK(*std::min_element(count.begin(), count.end()) >= 2);
  CHECK(*std::max_element(count.begin(), count.end()) <= 3);
  CHECK(hold_out(whole, 23, 5).held_out->name(7) == held->name(7));
  const auto other = hold_out(whole, 23, 6).held_out;
  bool differs = false;
  for (int64_t i = 0; i < 23; ++i) differs = differs || other->name(i) != held->name(i);
  CHECK(differs);
  CHECK(hold_out(whole, 0, 5).held_out->size() == 0);
  CHECK(hold_out(whole, 105, 5).rest->size() == 0);
  CHECK_THROWS_AS(hold_out(whole, 106, 5), Error);
}

TEST_CASE("subset: pictures in the order asked for", "[data]") {
  const auto whole = make_glyphs({.size = 20});
  const auto part = subset(whole, {5, 3, 5});
  CHECK(part->size() == 3);
  CHECK(part->label(1) == 3);
  CHECK(part->name(2) == "glyphs[5]");
  CHECK(pixels_of(*part, 1) == pixels_of(*whole, 3));
  CHECK_THROWS_AS(subset(whole, {20}), Error);
  CHECK_THROWS_AS(part->label(3), Error);
}

}  // namespace
}  // namespace gsnet::data
