// Some of a set's classes.
#include "data/classes.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "core/error.h"
#include "scratch.h"

namespace gsnet::data {
namespace {

using Catch::Contains;

std::vector<uint8_t> pixels_of(const Dataset& set, int64_t i) {
  std::vector<uint8_t> pixels(static_cast<size_t>(set.picture().numel()));
  set.read(i, pixels);
  return pixels;
}

}  // namespace

TEST_CASE("classes: those kept are numbered anew, their pictures stay", "[data]") {
  const auto whole = make_glyphs({.size = 100, .seed = 3, .side = 16});
  std::vector<bool> kept(10, false);
  kept[2] = kept[7] = true;
  const auto some = of_classes(whole, kept);
  REQUIRE(some->size() == 20);
  CHECK(some->class_names() == std::vector<std::string>{whole->class_names()[2], whole->class_names()[7]});
  CHECK(some->label(0) == 0);
  CHECK(some->label(1) == 1);
  CHECK(some->name(1) == whole->name(7));
  CHECK(pixels_of(*some, 2) == pixels_of(*whole, 12));
  CHECK(class_sizes(*some) == std::vector<int64_t>{10, 10});
  CHECK(of_classes(whole, std::vector<bool>(10, true)) == whole);
  CHECK_THROWS_WITH(of_classes(whole, {true}), Contains("1 flags for 10"));
  CHECK_THROWS_WITH(of_classes(whole, std::vector<bool>(10, false)), Contains("none of the 100"));
  CHECK_THROWS_AS(some->label(20), Error);
}

TEST_CASE("classes: a list names them, mistakes have a line", "[data]") {
  const Scratch scratch;
  const std::vector<std::string> names = {"Ann", "Bo", "Cy Lee"};
  const auto read = [&](const char* text) { return listed_classes(scratch.write("people.txt", text), names); };
  CHECK(read("Cy Lee\r\n\n  Ann \n") == std::vector<bool>{true, false, true});
  CHECK(read("Bo") == std::vector<bool>{false, true, false});
  CHECK_THROWS_WITH(read("Ann\n\nDi\n"), Contains("people.txt: line 3: 'Di'") && Contains("3 classes"));
  CHECK_THROWS_WITH(read("Ann\nBo\nAnn\n"), Contains("line 3: 'Ann' is named twice"));
  CHECK_THROWS_WITH(read("\n \n"), Contains("names no class"));
  CHECK_THROWS_WITH(listed_classes(scratch / "none", names), Contains("none"));
}

TEST_CASE("classes: whole ones are drawn by the seed as long as they fit", "[data]") {
  const auto whole = make_glyphs({.size = 100, .seed = 3, .side = 16});
  const auto count = [&](const std::vector<bool>& kept) { return std::ranges::count(kept, true); };
  CHECK(count(drawn_classes(*whole, 35, 1)) == 3);
  CHECK(count(drawn_classes(*whole, 100, 1)) == 10);
  CHECK(count(drawn_classes(*whole, 1, 1)) == 1);
  CHECK(drawn_classes(*whole, 35, 1) == drawn_classes(*whole, 35, 1));
  CHECK(drawn_classes(*whole, 55, 1) != drawn_classes(*whole, 55, 2));
}

}  // namespace gsnet::data
