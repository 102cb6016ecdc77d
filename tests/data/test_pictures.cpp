#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "core/error.h"
#include "data/dataset.h"
#include "data/decode.h"
#include "data/picture_set.h"
#include "data/verification.h"
#include "scratch.h"

namespace gsnet::data {
namespace {

using Catch::Contains;

std::vector<std::string> paths_of(const std::vector<std::string>& paths, const PictureCatalogue& catalogue) {
  std::vector<std::string> chosen;
  for (const PictureEntry& entry : catalogue.entries) {
    chosen.push_back(std::to_string(entry.label) + " " + paths[entry.source]);
  }
  return chosen;
}

TEST_CASE("pictures: class folders are sorted, parts share their labels", "[data]") {
  using List = std::vector<std::string>;
  const List plain = {"b/2.png", "a/1.png", "b/1.png", "loose.png"};
  const auto both = arrange_pictures(plain, Split::train, "set");
  CHECK(both.class_names == List{"a", "b"});
  CHECK(paths_of(plain, both) == List{"0 a/1.png", "1 b/1.png", "1 b/2.png"});
  const List wrapped = {"./lfw/Ann/1.jpg", "./lfw/Bob/1.jpg"};
  CHECK(arrange_pictures(wrapped, Split::test, "set").class_names == List{"Ann", "Bob"});
  const List parts = {"set/train/a/1.png", "set/train/b/1.png", "set/val/b/deep/2.png", "set/test/flat.png"};
  const auto val = arrange_pictures(parts, Split::test, "set");
  CHECK(val.class_names == List{"a", "b"});
  CHECK(paths_of(parts, val) == List{"1 set/val/b/deep/2.png"});
  CHECK(arrange_pictures(parts, Split::train, "set").entries.size() == 2);
  CHECK_THROWS_WITH(arrange_pictures({"train/a/1.png"}, Split::test, "my set"),
                    Contains("my set") && Contains("below test/") && Contains("train/"));
  CHECK_THROWS_WITH(arrange_pictures({"1.png"}, Split::test, "my set"), Contains("my set"));
}

TEST_CASE("pictures: what is a picture is told by the name", "[data]") {
  for (const auto* name : {"a.png", "x/b.JPG", "c.jpeg", "d.JPEG", "e.bmp", "f.ppm"}) CHECK(is_picture_name(name));
  for (const auto* name : {"", "a.txt", "._a.png", ".git/a.png", "png"}) CHECK_FALSE(is_picture_name(name));
}

PictureExtent extent_of(const std::string& bytes) {
  return announced_extent({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "x.pic");
}

TEST_CASE("pictures: headers are read before anything is decoded", "[data]") {
  CHECK(extent_of(png_of(5, 3, 0, 0, 0)).width == 5);
  CHECK(extent_of(ppm_of(5, 3, 0, 0, 0)).height == 3);
  CHECK(extent_of("P6 # 9 9\n7 #\n 8\n255\n").width == 7);
  const std::string jpeg("\xFF\xD8\xFF\xE0\x00\x04xx\xFF\xC0\x00\x0B\x08\x00\x10\x00\x20\x01", 19);
  CHECK(extent_of(jpeg).width == 32);
  CHECK(extent_of(jpeg).height == 16);
  std::string bmp(30, '\0');
  bmp.replace(0, 2, "BM");
  bmp[14] = 40;
  bmp[18] = 6;
  bmp.replace(22, 4, "\xFC\xFF\xFF\xFF");
  CHECK(extent_of(bmp).height == 4);
  for (size_t cut : {4U, 10U, 16U}) CHECK_THROWS_WITH(extent_of(jpeg.substr(0, cut)), Contains("x.pic"));
  for (const auto& bytes :
       {std::string(), std::string("GIF89a"), png_of(5, 3, 0, 0, 0).substr(0, 20), std::string("P6 5"),
        std::string("P6\n8193 1\n255\n"), std::string("P6\n0 1\n255\n"), std::string("BM123")}) {
    CHECK_THROWS_WITH(extent_of(bytes), Contains("x.pic"));
  }
}

TEST_CASE("pictures: a JPEG's end is looked for behind its scan, not in the thumbnail", "[data]") {
  const auto cut = [](const std::string& bytes) {
    return is_cut_jpeg(std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
  };
  const std::string thumbnail("\xFF\xD8\xFF\xE1\x00\x08\xFF\xD8\x01\x02\xFF\xD9", 12);
  const std::string scan("\xFF\xDA\x00\x04\x01\x02pixels", 12), end("\xFF\xD9", 2);
  CHECK_FALSE(cut(thumbnail + scan + end));
  CHECK_FALSE(cut(thumbnail + scan + end + "what follows"));
  CHECK(cut(thumbnail + scan));
  CHECK(cut(thumbnail + scan + end[0]));
  CHECK(cut(thumbnail));
  CHECK(cut(std::string("\xFF\xD8\xFF", 3) + end));
  CHECK_FALSE(cut(png_of(5, 3, 0, 0, 0)));
  CHECK_FALSE(cut(""));
}

#if GSNET_WITH_OPENCV

std::vector<int> first_pixel(const Dataset& set, int64_t i) {
  std::vector<uint8_t> pixels(static_cast<size_t>(set.picture().numel()));
  set.read(i, pixels);
  return {pixels[0], pixels[1], pixels[2]};
}

TEST_CASE("pictures: a folder and an archive of it hold the same, in RGB", "[data]") {
  const Scratch folder;
  const std::vector<TarMember> members = {{"train/cat/1.ppm", ppm_of(6, 4, 10, 20, 30)},
                                          {"train/dog/1.png", png_of(6, 4, 40, 50, 60)},
                                          {"test/dog/7.png", png_of(6, 4, 70, 80, 90)},
                                          {"test/dog/notes.txt", "no picture"}};
  for (const TarMember& member : members) folder.write("set/" + member.path, member.content);
  folder.write("set.tar", tar_of(members, false));
  folder.write("set.tar.gz", tar_of(members, true));
  for (const auto* name : {"set", "set.tar", "set.tar.gz"}) {
    const auto train = open_dataset(folder / name, {Split::train});
    REQUIRE(train->size() == 2);
    CHECK(train->picture() == PictureShape{3, 4, 6});
    CHECK(first_pixel(*train, 0) == std::vector{10, 20, 30});
    CHECK(first_pixel(*train, 1) == std::vector{40, 50, 60});
    const auto test = open_dataset(folder / name, {Split::test, 2});
    REQUIRE(test->size() == 1);
    CHECK(test->picture() == PictureShape{3, 2, 2});
    CHECK(test->label(0) == 1);
    CHECK(test->class_names() == std::vector<std::string>{"cat", "dog"});
    CHECK(first_pixel(*test, 0) == std::vector{70, 80, 90});
    CHECK_THAT(test->name(0), Contains("set") && Contains("test/dog/7.png"));
  }
}

TEST_CASE("pictures: another size is refused unless a side is asked for", "[data]") {
  const Scratch folder;
  folder.write("a/1.png", png_of(4, 4, 1, 1, 1));
  folder.write("b/2.png", png_of(9, 5, 2, 2, 2));
  const auto as_first = open_dataset(folder.path(), {});
  CHECK(first_pixel(*as_first, 0) == std::vector{1, 1, 1});
  CHECK_THROWS_WITH(first_pixel(*as_first, 1), Contains("b/2.png") && Contains("5 x 9") && Contains("4 x 4"));
  const auto scaled = open_dataset(folder.path(), {Split::test, 8});
  CHECK(first_pixel(*scaled, 1) == std::vector{2, 2, 2});
}

TEST_CASE("pictures: damaged ones are named", "[data]") {
  const Scratch folder;
  const std::string png = png_of(64, 64, 1, 2, 3), ppm = ppm_of(16, 16, 1, 2, 3);
  folder.write("a/0.png", png);
  folder.write("a/1.png", png.substr(0, 60));
  folder.write("a/2.ppm", ppm.substr(0, 100));
  folder.write("a/3.png", "");
  folder.write("a/4.jpg", std::string("\xFF\xD8\xFF\xC0\x00\x0B\x08\x00\x10\x00\x20\x01", 12));
  folder.write("a/5.png", "GIF89a");
  folder.write("a/6.ppm", "P6\n30000 30000\n255\n");
  const auto set = open_dataset(folder.path(), {Split::test, 16});
  REQUIRE(set->size() == 7);
  CHECK(first_pixel(*set, 0) == std::vector{1, 2, 3});
  for (int64_t i = 1; i < 7; ++i) CHECK_THROWS_WITH(first_pixel(*set, i), Contains("a/" + std::to_string(i)));
}

TEST_CASE("pictures: damaged archives are named", "[data]") {
  const Scratch folder;
  const std::string whole = tar_of({{"a/1.png", png_of(4, 4, 1, 2, 3)}, {"b/1.png", png_of(4, 4, 1, 2, 3)}}, false);
  folder.write("cut.tar", whole.substr(0, 1100));
  folder.write("empty.tar", "");
  folder.write("noise.tar", std::string(4096, 'x'));
  folder.write("cut.tar.gz", gzip_of(whole).substr(0, 150));
  std::string sum = gzip_of(whole);
  sum[sum.size() - 6] = static_cast<char>(sum[sum.size() - 6] ^ 1);  // in the checksum: every member inflates
  folder.write("sum.tar.gz", sum);
  for (const auto* name : {"cut.tar", "empty.tar", "noise.tar", "cut.tar.gz", "sum.tar.gz"}) {
    CHECK_THROWS_WITH(open_dataset(folder / name, {}), Contains(name));
  }
}

TEST_CASE("pictures: of an archive nothing is lost silently", "[data]") {
  const Scratch folder;
  const std::vector<TarMember> members = {{"P/a.png", png_of(4, 4, 9, 9, 9)},
                                          {"P/b.png", "", "a.png"},
                                          {"P/c.png", "", "../P/b.png"},
                                          {"P/gone.png", "", "nowhere.png"},
                                          {"P/round.png", "", "round.png"},
                                          {"../P/up.png", png_of(4, 4, 2, 2, 2)},
                                          {"P/web.webp", "RIFF"},
                                          {"P/a.png", png_of(4, 4, 1, 1, 1)}};
  folder.write("p.tar", tar_of(members, false));
  const auto set = open_pictures(folder / "p.tar", {.side = 4});
  std::vector<std::string> read, unread;
  for (int64_t i = 0; i < set->size(); ++i) {
    try {
      const std::vector<int> pixel = first_pixel(*set, i);
      CHECK(pixel == std::vector<int>(3, set->name(i).ends_with("up.png") ? 2 : 1));  // the later of two members counts
      read.push_back(set->name(i).substr(set->name(i).rfind('/') + 1));
    } catch (const Error& error) {
      CHECK_THAT(error.what(), Contains(set->name(i)));
      unread.push_back(set->name(i).substr(set->name(i).rfind('/') + 1));
    }
  }
  CHECK(read == std::vector<std::string>{"up.png", "a.png", "b.png", "c.png"});
  CHECK(unread == std::vector<std::string>{"gone.png", "round.png", "web.webp"});
}

TEST_CASE("pictures: links of an archive whose members begin with ./ are followed", "[data]") {
  const Scratch folder;
  folder.write("A/1.ppm", ppm_of(4, 4, 1, 2, 3));
  std::filesystem::create_symlink("1.ppm", folder.path() / "A" / "2.ppm");
  std::filesystem::create_hard_link(folder.path() / "A" / "1.ppm", folder.path() / "A" / "3.ppm");
  const std::string tar = folder.path() / "p.tar";
  REQUIRE(std::system(("tar -C '" + folder.path().string() + "' -cf '" + tar + "' ./A").c_str()) == 0);
  const auto set = open_pictures(tar, {.side = 4});
  REQUIRE(set->size() == 3);
  std::vector<uint8_t> pixels(48);
  for (int64_t i = 0; i < 3; ++i) {
    std::ranges::fill(pixels, uint8_t{0});
    set->read(i, pixels);
    CHECK(pixels[1] == 2);
  }
}

TEST_CASE("pictures: of a folder nothing is lost silently, and nothing is there twice", "[data]") {
  const Scratch folder;
  folder.write("A/1.png", png_of(4, 4, 1, 1, 1));
  folder.write("A/2.gif", "GIF89a");
  folder.write("A/notes.txt", "no picture");
  std::filesystem::create_symlink("nowhere", folder / "A/3.png");
  std::filesystem::create_symlink(".", folder / "A/again");
  std::filesystem::create_symlink("A", folder / "B");
  const auto set = open_pictures(folder.path(), {.side = 4});
  REQUIRE(set->size() == 6);  // of A, and of B
  CHECK(first_pixel(*set, 0) == std::vector{1, 1, 1});
  CHECK_THROWS_WITH(first_pixel(*set, 1), Contains("A/2.gif") && Contains("expected PNG"));
  CHECK_THROWS_WITH(first_pixel(*set, 2), Contains("A/3.png"));
  CHECK(open_dataset(folder.path(), {})->class_names() == std::vector<std::string>{"A", "B"});
}

TEST_CASE("pictures: real JPEG files in an archive", "[data]") {
  if (shared_data().empty()) {
    WARN("no shared data: skipped");
    return;
  }
  const auto test = open_dataset(shared_data() / "cifar10/test_jpeg.tar.gz", {});
  CHECK(test->size() == 10'000);
  CHECK(test->class_names().at(3) == "cat");
  CHECK(first_pixel(*test, 9'999).size() == 3);
}

#else

TEST_CASE("pictures: a build without decoder says so", "[data]") {
  const Scratch folder;
  folder.write("a/1.png", png_of(4, 4, 1, 1, 1));
  folder.write("set.tar", tar_of({{"a/1.png", png_of(4, 4, 1, 2, 3)}}, false));
  CHECK_THROWS_WITH(open_dataset(folder.path(), {}), Contains("no picture decoder"));
  CHECK_THROWS_WITH(open_dataset(folder / "set.tar", {}), Contains("no picture decoder") && Contains("set.tar"));
}

#endif

}  // namespace
}  // namespace gsnet::data
