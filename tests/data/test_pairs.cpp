// Lists of pairs, names of pictures, folds, landmarks and alignment.
#include "data/pairs.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "core/error.h"
#include "data/align.h"
#include "data/picture_index.h"
#include "scratch.h"

namespace gsnet::data {
namespace {

using Catch::Contains;

}  // namespace

TEST_CASE("pairs: the list of LFW", "[data][faces]") {
  const Scratch scratch;
  const auto list = read_pairs(scratch.write("pairs.txt",
                                             "2\t1\r\nAnn_Lee\t1\t12\r\nAnn_Lee\t1\tBo\t2\r\n"
                                             "Bo 3 4\nBo 3 Cy 1\n"));
  REQUIRE(list.pairs.size() == 4);
  CHECK(list.folds == 2);
  CHECK(list.pairs[0].first == "Ann_Lee/Ann_Lee_0001");
  CHECK(list.pairs[0].second == "Ann_Lee/Ann_Lee_0012");
  CHECK(list.pairs[0].same);
  CHECK(list.pairs[1].second == "Bo/Bo_0002");
  CHECK_FALSE(list.pairs[1].same);
  CHECK(list.pairs[1].fold == 0);
  CHECK(list.pairs[2].fold == 1);
  const auto plain = read_pairs(scratch.write("one.txt", "1\nA 1 2\nA 1 B 1\n"));
  CHECK(plain.folds == 1);
}

TEST_CASE("pairs: a list of paths, with or without titles", "[data][faces]") {
  const Scratch scratch;
  std::string text = "left,right,same\n";
  for (int i = 0; i < 20; ++i) text += "a/" + std::to_string(i) + ".jpg, b/x y.jpg," + (i < 10 ? "1" : "0") + "\n";
  const auto list = read_pairs(scratch.write("pairs.csv", text));
  REQUIRE(list.pairs.size() == 20);
  CHECK(list.folds == 10);
  CHECK(list.pairs[3].second == "b/x y.jpg");
  CHECK(list.pairs[3].fold == 3);
  CHECK(list.pairs[13].fold == 3);  // each kind is divided by itself
  CHECK(read_pairs(scratch.write("blanks.txt", "a.png b.png 0\na.png c.png 1\n")).folds == 1);
}

TEST_CASE("pairs: wrong lists are named with their line", "[data][faces]") {
  const Scratch scratch;
  const auto read = [&](const char* text) { return read_pairs(scratch.write("p.txt", text)); };
  CHECK_THROWS_WITH(read(""), Contains("p.txt") && Contains("empty"));
  CHECK_THROWS_WITH(read("10 300\nA 1 2\n"), Contains("announces 10 folds of 2 x 300 pairs, 1 pairs follow"));
  CHECK_THROWS_WITH(read("9223372036854775807 2\nA 1 2\n"), Contains("announces"));
  CHECK_THROWS_WITH(read("1 1\nA 1 2\nA 1 B\n"), Contains("line 3") && Contains("'B'"));
  CHECK_THROWS_WITH(read("1 1\nA 1 2\nA\n"), Contains("line 3") && Contains("1 fields"));
  CHECK_THROWS_WITH(read("a b 1\nc d 2\n"), Contains("line 2") && Contains("'2'"));
  CHECK_THROWS_WITH(read("a b 1\nc d\n"), Contains("line 2") && Contains("2 fields"));
  CHECK_THROWS_WITH(read("10 300\n"), Contains("no pair"));
}

TEST_CASE("some of the folds are chosen, and numbered anew", "[data][faces]") {
  CHECK(parse_folds("7-10") == std::vector<int>{6, 7, 8, 9});
  CHECK(parse_folds("5,1-2") == std::vector<int>{0, 1, 4});
  for (const char* wrong : {"", "0", "2-1", "1,", "a", "1-", "-3", "1-2-3", "2,2", "1-3,2", "1 2", "1-9999999999"}) {
    CAPTURE(wrong);
    CHECK_THROWS_WITH(parse_folds(wrong), Contains("7-10"));
  }
  const Scratch scratch;
  const auto list = read_pairs(scratch.write("p.txt", "3 1\nA 1 2\nA 1 B 1\nB 1 2\nB 1 C 1\nC 1 2\nC 1 A 1\n"));
  const PairList some = of_folds(list, {0, 2});
  REQUIRE(some.pairs.size() == 4);
  CHECK(some.folds == 2);
  CHECK(some.pairs[2].first == "C/C_0001");
  CHECK(some.pairs[2].fold == 1);
  CHECK_THROWS_WITH(of_folds(list, {1, 3}), Contains("no fold 4") && Contains("3"));
}

TEST_CASE("folds have as many of each kind", "[data][faces]") {
  std::vector<int> folds;
  CHECK(assign_folds({true, true, true, false, false, false}, folds) == 3);
  CHECK(folds == std::vector<int>{0, 1, 2, 0, 1, 2});
  CHECK(assign_folds({true, true}, folds) == 1);
  CHECK(folds == std::vector<int>{0, 0});
  std::vector<bool> many;
  for (int fold = 0; fold < 10; ++fold) {  // as insightface's packs lie: the folds are contiguous
    for (int i = 0; i < 6; ++i) many.push_back(i < 3);
  }
  CHECK(assign_folds(many, folds) == 10);
  for (size_t i = 0; i < many.size(); ++i) CHECK(folds[i] == static_cast<int>(i / 6));
}

TEST_CASE("pictures are found by ends of their paths", "[data][faces]") {
  const PictureIndex index({"lfw/A.B/A.B_0001.jpg", "lfw/C/1.png", "lfw/D/1.png", "./E/2.png", "F"});
  CHECK(index.find("lfw/A.B/A.B_0001.jpg") == 0);
  CHECK(index.find("A.B/A.B_0001") == 0);
  CHECK(index.find("A.B_0001.jpg") == 0);
  CHECK(index.find("C/1.png") == 1);
  CHECK(index.find("E/2") == 3);
  CHECK(index.find("F") == 4);
  CHECK_FALSE(index.find("B_0001.jpg").has_value());
  CHECK_FALSE(index.find("X/1.png").has_value());
  CHECK_THROWS_WITH(index.find("1.png"), Contains("'1.png'") && Contains("several"));
}

TEST_CASE("align: the template's scales", "[data][faces]") {
  CHECK(face_template(112)[0].x == 38.2946);
  CHECK(face_template(224)[2].y == Approx(2 * 71.7366));
  CHECK(face_template(128)[0].x == Approx(46.2946));
  CHECK(face_template(256)[1].x == Approx(2 * 81.5318));
}

TEST_CASE("align: the nearest similarity turns and scales, and never mirrors", "[data][faces]") {
  const Similarity wanted{0.6, -0.8, 5, -3};
  Landmarks from = face_template(112), to;
  for (size_t i = 0; i < 5; ++i) to[i] = wanted(from[i]);
  const Similarity found = nearest_similarity(from, to);
  CHECK(found.a == Approx(0.6));
  CHECK(found.b == Approx(-0.8));
  CHECK(found.u == Approx(5));
  CHECK(found.v == Approx(-3));
  // Of a mirror image no similarity fits; what is found is better than its neighbours.
  for (size_t i = 0; i < 5; ++i) to[i] = {-from[i].x, from[i].y};
  const Similarity best = nearest_similarity(from, to);
  const auto error = [&](const Similarity& s) {
    double sum = 0;
    for (size_t i = 0; i < 5; ++i) sum += std::pow(s(from[i]).x - to[i].x, 2) + std::pow(s(from[i]).y - to[i].y, 2);
    return sum;
  };
  for (const double step : {-1e-3, 1e-3}) {
    CHECK(error(best) < error({best.a + step, best.b, best.u, best.v}));
    CHECK(error(best) < error({best.a, best.b + step, best.u, best.v}));
    CHECK(error(best) < error({best.a, best.b, best.u + step, best.v}));
    CHECK(error(best) < error({best.a, best.b, best.u, best.v + step}));
  }
  CHECK_THROWS_WITH(nearest_similarity(Landmarks{}, to), Contains("one point"));
}

TEST_CASE("names are known as they are printed", "[data]") {
  const PictureIndex index({"A/1.jpg", "B/1.jpg"}, "album/set/");
  CHECK(index.find("album/set/B/1.jpg") == 1);
  CHECK(index.find("album/set:A/1.jpg") == 0);
  CHECK_FALSE(index.find("album/sets/B/1.jpg").has_value());
  CHECK_FALSE(index.find("album/set").has_value());
  CHECK(split_fields("a,b.jpg\tc.jpg\t1") == std::vector<std::string>{"a,b.jpg", "c.jpg", "1"});
}

TEST_CASE("landmarks: files and their mistakes", "[data][faces]") {
  const Scratch scratch;
  const PictureIndex index({"a/1.jpg", "a/2.jpg"});
  int64_t unknown = 0;
  const auto read = [&](const std::string& text) {
    return read_landmarks(scratch.write("l.csv", text), index, unknown);
  };
  const auto found =
      read("name,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\na/2.jpg,1,2,3,4,5,6,7,8,9,10.5\nb/1.jpg 1 2 3 4 5 6 7 8 9 0\n");
  REQUIRE(found.size() == 2);
  CHECK_FALSE(found[0].has_value());
  REQUIRE(found[1].has_value());
  CHECK((*found[1])[4].y == 10.5);
  CHECK(unknown == 1);
  CHECK_THROWS_WITH(read("a/1.jpg abc 2 3 4 5 6 7 8 9 0\n"), Contains("line 1") && Contains("'abc'"));  // no titles
  CHECK_THROWS_WITH(read("a/1.jpg 1 2 3\n"), Contains("l.csv") && Contains("line 1") && Contains("4 fields"));
  CHECK_THROWS_WITH(read("a/1.jpg 1 2 3 4 5 6 7 8 9 nan\n"), Contains("point 5"));
  CHECK_THROWS_WITH(read("a/1.jpg 1 2 3 4 5 6 7 8 9 0\na/1 1 2 3 4 5 6 7 8 9 0\n"), Contains("second time"));
}

#if GSNET_WITH_OPENCV
TEST_CASE("align: a face is put on the template, black beyond the picture", "[data][faces]") {
  // A white dot of 3 x 3 at each landmark of a face of half the size, turned by 90 degrees.
  const int side = 100;
  Picture picture{{3, side, side}, std::vector<uint8_t>(3 * side * side, 60)};
  Landmarks landmarks;
  for (size_t i = 0; i < 5; ++i) {
    const Point t = face_template(112)[i];
    landmarks[i] = {std::round(50 - t.y / 2), std::round(20 + t.x / 2)};
    for (int dy = -1; dy <= 1; ++dy) {
      for (int dx = -1; dx <= 1; ++dx) {
        const auto at = (static_cast<size_t>(landmarks[i].y) + static_cast<size_t>(dy + 1) - 1) * side +
                        static_cast<size_t>(landmarks[i].x) + static_cast<size_t>(dx + 1) - 1;
        std::fill_n(picture.pixels.begin() + static_cast<std::ptrdiff_t>(3 * at), 3, uint8_t{255});
      }
    }
  }
  const Picture aligned = align_face(picture, landmarks, 112, "x.png");
  CHECK(aligned.shape == PictureShape{3, 112, 112});
  for (const Point& t : face_template(112)) {
    const auto at = static_cast<size_t>(std::lround(t.y)) * 112 + static_cast<size_t>(std::lround(t.x));
    CHECK(aligned.pixels[3 * at] > 200);
  }
  CHECK(std::ranges::count(aligned.pixels, 0) > 0);
  landmarks[3].x = 100;
  CHECK_THROWS_WITH(align_face(picture, landmarks, 112, "x.png"),
                    Contains("x.png: landmark 4 at (100, ") && Contains("outside the picture of 100 x 100"));
}
#endif

}  // namespace gsnet::data
