#include <catch2/catch.hpp>

#include "core/error.h"
#include "data/dataset.h"
#include "scratch.h"

namespace gsnet::data {
namespace {

using Catch::Contains;

std::string number(uint32_t value) {
  std::string bytes;
  for (unsigned shift : {24U, 16U, 8U, 0U}) bytes += static_cast<char>(value >> shift & 255U);
  return bytes;
}

std::string images(uint32_t count, uint32_t height, uint32_t width, const std::string& pixels) {
  return number(0x803) + number(count) + number(height) + number(width) + pixels;
}

std::string labels(const std::string& values) {
  return number(0x801) + number(static_cast<uint32_t>(values.size())) + values;
}

constexpr auto kImages = "t10k-images-idx3-ubyte";
constexpr auto kLabels = "t10k-labels-idx1-ubyte";

void expect_error(const Scratch& folder, const std::string& file, const std::string& reason) {
  CHECK_THROWS_WITH(open_dataset(folder.path(), {}), Contains(file) && Contains(reason));
}

TEST_CASE("idx: pictures are put into a larger frame, never cut", "[data]") {
  const Scratch folder;
  folder.write("set/t10k-images-idx3-ubyte", images(1, 2, 3, "abcdef"));
  folder.write("set/t10k-labels-idx1-ubyte", labels("\x01"));
  const auto small = open_dataset(folder / "set", {});
  const auto large = padded(small, 5);
  REQUIRE(large->picture() == PictureShape{1, 5, 5});
  std::string bytes(25, '?');
  large->read(0, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
  CHECK(bytes == std::string(6, '\0') + "abc" + std::string(2, '\0') + "def" + std::string(11, '\0'));
  CHECK(padded(small, 0) == small);
  CHECK_THROWS_WITH(padded(small, 2), Contains("never shrunk"));
}

TEST_CASE("idx: plain and gzipped files hold the same", "[data]") {
  const Scratch folder;
  const std::string pixels = "abcdefghijkl", two = images(2, 2, 3, pixels);
  folder.write("plain/t10k-images-idx3-ubyte", two);
  folder.write("plain/t10k-labels-idx1-ubyte", labels("\x01\x02"));
  folder.write("packed/t10k-images-idx3-ubyte.gz", gzip_of(two));
  folder.write("packed/t10k-labels-idx1-ubyte.gz", gzip_of(labels("\x01\x02")));
  for (const auto* name : {"plain", "packed"}) {
    const auto test = open_dataset(folder / name, {});
    REQUIRE(test->size() == 2);
    CHECK(test->picture() == PictureShape{1, 2, 3});
    CHECK(test->class_names().size() == 10);
    CHECK(test->label(1) == 2);
    std::vector<uint8_t> bytes(6);
    test->read(1, bytes);
    CHECK(std::string(bytes.begin(), bytes.end()) == "ghijkl");
    CHECK_THROWS_WITH(open_dataset(folder / name, {Split::train}), Contains("train-images-idx3-ubyte"));
  }
  CHECK(open_dataset(folder / "plain/t10k-images-idx3-ubyte", {})->name(1) == "t10k-images-idx3-ubyte[1]");
}

TEST_CASE("idx: class_names.txt beside the images names the classes", "[data]") {
  const Scratch folder;
  folder.write(kImages, images(1, 1, 1, "x"));
  folder.write(kLabels, labels("\x01"));
  folder.write("class_names.txt", "shirt\nshoe\n");
  CHECK(open_dataset(folder.path(), {})->class_names().at(1) == "shoe");
  folder.write("class_names.txt", "shirt\n");
  expect_error(folder, "class_names.txt", "label 1");
}

TEST_CASE("idx: damaged files are named with the place", "[data]") {
  const Scratch folder;
  folder.write(kLabels, labels("\x01\x02"));
  const std::string good = images(2, 2, 2, "abcdefgh");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "offset 0"},
      {good.substr(0, 10), "ends at offset 10"},
      {"PK" + good.substr(2), "magic number"},
      {good.substr(0, good.size() - 1), "8 bytes"},
      {good + "x", "goes on at offset 24"},
      {images(0, 2, 2, ""), "no image"},
      {images(2, 0, 2, ""), "0 x 2"},
      {images(2, 2, 100'000, ""), "100000"},
      {images(0xFFFFFFFF, 8192, 8192, "abc"), "expected 4294967295"},
  };
  for (const auto& [content, reason] : cases) {
    folder.write(kImages, content);
    const bool in_labels = reason == "expected 4294967295";
    expect_error(folder, in_labels ? kLabels : kImages, reason);
  }
  folder.write(kImages, good);
  CHECK(open_dataset(folder.path(), {})->size() == 2);
}

TEST_CASE("idx: labels must be there, whole and as many as images", "[data]") {
  const Scratch folder;
  folder.write(kImages, images(2, 1, 1, "ab"));
  expect_error(folder, kImages, "t10k-labels-idx1-ubyte");
  folder.write(kLabels, labels("\x01"));
  expect_error(folder, kLabels, "expected 2");
  folder.write(kLabels, number(0x801) + number(2) + "x");
  expect_error(folder, kLabels, "2 bytes");
  folder.write(kLabels, number(0x803) + number(2) + "xy");
  expect_error(folder, kLabels, "magic number");
}

TEST_CASE("idx: gzip that is cut short, damaged or too small for its header is refused", "[data]") {
  const Scratch folder;
  folder.write(kLabels, labels(std::string(64, '\x01')));
  const std::string name = std::string(kImages) + ".gz", whole = gzip_of(images(64, 8, 8, std::string(4096, 'q')));
  folder.write(name, whole);
  CHECK(open_dataset(folder.path(), {})->size() == 64);
  folder.write(name, whole.substr(0, whole.size() - 12));
  expect_error(folder, name, "cut short");
  std::string damaged = whole;
  damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);  // the checksum
  folder.write(name, damaged);
  expect_error(folder, name, "damaged");
  folder.write(name, gzip_of(images(64, 8192, 8192, "")));
  expect_error(folder, name, "announces 4294967296 bytes");
}

TEST_CASE("idx: real MNIST", "[data]") {
  if (shared_data().empty() || !std::filesystem::is_directory(shared_data() / "mnist")) {
    WARN("no shared data: skipped");
    return;
  }
  const auto test = open_dataset(shared_data() / "mnist", {});
  CHECK(test->size() == 10'000);
  CHECK(test->picture() == PictureShape{1, 28, 28});
  CHECK(test->label(0) == 7);
  CHECK(test->label(9'999) == 6);
}

}  // namespace
}  // namespace gsnet::data
