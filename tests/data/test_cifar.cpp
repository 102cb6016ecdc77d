#include <catch2/catch.hpp>

#include "core/error.h"
#include "data/dataset.h"
#include "scratch.h"

namespace gsnet::data {
namespace {

using Catch::Contains;

std::string record(const std::string& labels, int red, int green, int blue) {
  std::string bytes = labels;
  for (int value : {red, green, blue}) bytes += std::string(1024, static_cast<char>(value));
  return bytes;
}

std::string label(int value) { return std::string(1, static_cast<char>(value)); }

TEST_CASE("cifar-10: records of several files follow each other", "[data]") {
  const Scratch folder;
  folder.write("data_batch_10.bin", record(label(9), 7, 8, 9));
  folder.write("data_batch_2.bin", record(label(3), 1, 2, 3) + record(label(4), 4, 5, 6));
  folder.write("test_batch.bin", record(label(0), 0, 0, 0));
  folder.write("test_batch_first1.bin", record(label(1), 0, 0, 0));
  const auto train = open_dataset(folder.path(), {Split::train});
  REQUIRE(train->size() == 3);
  CHECK(train->picture() == PictureShape{3, 32, 32});
  CHECK(train->class_names().at(9) == "truck");
  CHECK(train->label(0) == 3);
  CHECK(train->label(2) == 9);
  CHECK(train->name(1) == "data_batch_2.bin[1]");
  CHECK(train->name(2) == "data_batch_10.bin[0]");
  std::vector<uint8_t> pixels(3072);
  train->read(1, pixels);
  CHECK(pixels[0] == 4);
  CHECK(pixels[1] == 5);
  CHECK(pixels[3071] == 6);
  const auto test = open_dataset(folder.path(), {Split::test});
  REQUIRE(test->size() == 1);
  CHECK(test->label(0) == 0);
}

TEST_CASE("cifar-10: planes are interleaved in row order", "[data]") {
  const Scratch folder;
  std::string bytes = record(label(1), 0, 0, 0);
  bytes[1 + 33] = 11;        // red of row 1, column 1
  bytes[1 + 2048 + 2] = 22;  // blue of row 0, column 2
  const auto one = open_dataset(folder.write("test_batch_part.bin", bytes), {});
  std::vector<uint8_t> pixels(3072);
  one->read(0, pixels);
  CHECK(pixels[33 * 3] == 11);
  CHECK(pixels[2 * 3 + 2] == 22);
}

TEST_CASE("cifar-10: names come from batches.meta.txt, files from the archive's folder", "[data]") {
  const Scratch folder;
  folder.write("cifar-10-batches-bin/test_batch.bin", record(label(2), 1, 1, 1));
  folder.write("cifar-10-batches-bin/batches.meta.txt", "a\nb\nc\nd\r\ne\nf\ng\nh\ni\nj\n\n");
  const auto test = open_dataset(folder.path(), {});
  CHECK(test->class_names().at(3) == "d");
  CHECK_THROWS_WITH(open_dataset(folder.path(), {Split::train}), Contains("data_batch_N.bin") && Contains("train"));
  folder.write("cifar-10-batches-bin/batches.meta.txt", "a\nb\n");
  CHECK_THROWS_WITH(open_dataset(folder.path(), {}), Contains("batches.meta.txt") && Contains("found 2"));
}

TEST_CASE("cifar-100: the fine label counts", "[data]") {
  const Scratch folder;
  folder.write("train.bin", record(label(3) + label(99), 1, 2, 3));
  const auto train = open_dataset(folder.path(), {Split::train});
  CHECK(train->label(0) == 99);
  CHECK(train->class_names().size() == 100);
  CHECK(train->class_names().back() == "99");
  CHECK_THROWS_WITH(open_dataset(folder.path(), {Split::test}), Contains("test.bin"));
}

TEST_CASE("cifar: damaged files are named with the place", "[data]") {
  const Scratch folder;
  const std::string good = record(label(1), 1, 2, 3);
  folder.write("test_batch.bin", "");
  CHECK_THROWS_WITH(open_dataset(folder.path(), {}), Contains("test_batch.bin") && Contains("empty"));
  folder.write("test_batch.bin", good + good.substr(0, 100));
  CHECK_THROWS_WITH(open_dataset(folder.path(), {}),
                    Contains("test_batch.bin") && Contains("offset 3073") && Contains("100 bytes"));
  folder.write("test_batch.bin", good + record(label(10), 1, 2, 3));
  CHECK_THROWS_WITH(open_dataset(folder.path(), {}),
                    Contains("test_batch.bin") && Contains("offset 3073") && Contains("label 10"));
  folder.write("test_batch.bin", good + "x");
  CHECK_THROWS_AS(open_dataset(folder.path(), {}), Error);
}

TEST_CASE("open: what is not there or not known says what was looked for", "[data]") {
  const Scratch folder;
  CHECK_THROWS_WITH(open_dataset(folder / "nothing", {}), Contains("nothing") && Contains("no such"));
  folder.write("notes.txt", "hello");
  CHECK_THROWS_WITH(open_dataset(folder.path(), {}), Contains("CIFAR-100") && Contains("IDX") && Contains("tar"));
  CHECK_THROWS_WITH(open_dataset(folder / "notes.txt", {}), Contains("notes.txt"));
  CHECK_THROWS_WITH(open_dataset(folder.path(), {Split::test, -1}), Contains("side"));
}

TEST_CASE("dataset: an index out of range and a span of the wrong size are errors", "[data]") {
  const Scratch folder;
  const auto test = open_dataset(folder.write("test_batch.bin", record(label(1), 1, 2, 3)), {});
  std::vector<uint8_t> pixels(3072), few(10);
  CHECK_THROWS_AS(test->read(1, pixels), Error);
  CHECK_THROWS_AS(test->read(-1, pixels), Error);
  CHECK_THROWS_AS(test->read(0, few), Error);
  CHECK_THROWS_AS(test->label(1), Error);
  CHECK_THROWS_AS(test->name(1), Error);
}

}  // namespace
}  // namespace gsnet::data
