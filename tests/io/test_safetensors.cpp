#include <sys/resource.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>

#include "core/error.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "tests/io/temporary_folder.h"

namespace gsnet::io {
namespace {

using Catch::Matchers::Contains;
using test::bytes_of;
using test::put_bytes;
using test::TemporaryFolder;

/// A file's bytes: the header's length as it is, the header, the data.
std::string framed(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

/// The message with which reading fails; fails the test when it does not.
std::string refusal(const std::string& bytes) {
  const TemporaryFolder folder;
  put_bytes(folder / "x.safetensors", bytes);
  try {
    read_safetensors(folder / "x.safetensors");
  } catch (const Error& error) {
    CHECK_THAT(error.what(), Contains("x.safetensors"));
    return error.what();
  }
  FAIL("the file was accepted");
  return {};
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

TensorFile small_file() {
  TensorFile file;
  file.metadata = {{"who", "ä \"quoted\" text"}, {"empty", ""}};
  file.tensors.emplace_back("a.weight", Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, -6.5F}));
  file.tensors.emplace_back("steps", Tensor::of<int64_t>({1}, {1234567890123}));
  return file;
}

TEST_CASE("safetensors: every element type comes back bit for bit, in order", "[io]") {
  const TemporaryFolder folder;
  TensorFile file = small_file();
  const Tensor x = Tensor::of<double>({2, 2}, {0.1, -2, 1e300, 5e-324});
  file.tensors.emplace_back("f64", x);
  const Tensor halves = Tensor::of<float>({3}, {0.5F, -1.25F, 3});
  file.tensors.emplace_back("bf16", with_dtype(halves, DType::bf16));
  file.tensors.emplace_back("f16", with_dtype(halves, DType::f16));
  file.tensors.emplace_back("i32", Tensor::of<int32_t>({2}, {-7, 8}));
  file.tensors.emplace_back("u8", Tensor::of<uint8_t>({3, 1}, {0, 1, 255}));
  file.tensors.emplace_back("scalar", Tensor::of<float>({}, {42.0F}));
  file.tensors.emplace_back("none", Tensor::empty({0, 4}, DType::f32));
  write_safetensors(folder / "all.safetensors", file);
  const TensorFile read = read_safetensors(folder / "all.safetensors");
  CHECK(read.metadata == file.metadata);
  REQUIRE(read.tensors.size() == file.tensors.size());
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    const auto& [name, was] = file.tensors[i];
    const auto& [known, is] = read.tensors[i];
    CAPTURE(name);
    CHECK(known == name);
    CHECK(is.dtype() == was.dtype());
    REQUIRE(is.shape() == was.shape());
    CHECK(std::memcmp(is.raw(), was.raw(), was.bytes()) == 0);
  }
  CHECK(read.find("nobody") == nullptr);
  CHECK_THROWS_WITH(read.at("nobody"), Contains("nobody"));
  CHECK(folder.files() == 1);
}

TEST_CASE("safetensors: a channels-last tensor is written row-major", "[io]") {
  const TemporaryFolder folder;
  const std::initializer_list<float> values = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  const Tensor rows = Tensor::of<float>({1, 3, 2, 2}, values);
  write_safetensors(folder / "x", {{{"x", with_layout(rows, Layout::channels_last)}}, {}});
  const TensorFile file = read_safetensors(folder / "x");
  const Tensor& x = file.at("x");
  CHECK(x.layout() == Layout::row_major);
  CHECK(std::memcmp(x.raw(), rows.raw(), rows.bytes()) == 0);
}

TEST_CASE("safetensors: a file cut anywhere is refused", "[io]") {
  const TemporaryFolder folder;
  write_safetensors(folder / "whole", small_file());
  const std::string whole = bytes_of(folder / "whole");
  CHECK((whole.size() - 32) % 8 == 0);  // 24 + 8 bytes of data, a padded header
  for (size_t length = 0; length < whole.size(); ++length) {
    CAPTURE(length);
    CHECK_FALSE(refusal(whole.substr(0, length)).empty());
  }
  CHECK_THAT(refusal(whole + "x"), Contains("32 bytes") && Contains("33 bytes"));
}

TEST_CASE("safetensors: no single changed byte of the header crashes the reader", "[io]") {
  const TemporaryFolder folder;
  write_safetensors(folder / "x", small_file());
  const std::string whole = bytes_of(folder / "x");
  size_t refused = 0;
  for (size_t at = 0; at < whole.size() - 32; ++at) {
    for (const char other : {'\0', '"', '9'}) {
      std::string bytes = whole;
      bytes[at] = other;
      put_bytes(folder / "x", bytes);
      try {
        read_safetensors(folder / "x");
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  CHECK(refused > whole.size() - 32);
}

TEST_CASE("safetensors: a header longer than the file or 100 MB is refused before it is read", "[io]") {
  CHECK_THAT(refusal(""), Contains("0 bytes"));
  CHECK_THAT(refusal(std::string(8, '\xff') + "{}"), Contains("18446744073709551615"));
  CHECK_THAT(refusal(std::string("\x03\0\0\0\0\0\0\0{}", 10)), Contains("expected at most 2"));
  const TemporaryFolder folder;
  put_bytes(folder / "x", std::string("\0\0\0\x10\0\0\0\0{", 9));
  std::filesystem::resize_file(folder / "x", 500'000'000);  // sparse
  CHECK_THROWS_WITH(read_safetensors(folder / "x"), Contains("expected at most 100000000"));
}

TEST_CASE("safetensors: offsets must tile the data and fit dtype and shape", "[io]") {
  const std::string data(16, 'd');
  const auto one = [&](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return refusal(framed("{" + tensor("w", dtype, shape, offsets) + "}", data));
  };
  const auto two = [&](const std::string& first, const std::string& second) {
    return refusal(
        framed("{" + tensor("a", "F32", "[2]", first) + "," + tensor("b", "F32", "[2]", second) + "}", data));
  };
  CHECK_THAT(one("F32", "[8]", "[0,32]"), Contains("'w'") && Contains("16 bytes of data"));
  CHECK_THAT(one("F32", "[4]", "[1,17]"), Contains("gap"));
  CHECK_THAT(one("F32", "[3]", "[0,16]"), Contains("expected 12 bytes"));
  CHECK_THAT(one("F32", "[4]", "[16,0]"), Contains("expected 16 bytes"));
  CHECK_THAT(one("F32", "[4]", "[-1,15]"), Contains("negative"));
  CHECK_THAT(one("F32", "[-4]", "[0,16]"), Contains("negative"));
  CHECK_THAT(one("F32", "[4]", "[0,16,32]"), Contains("third"));
  CHECK_THAT(one("F32", "[4]", "[0]"), Contains("data_offsets"));
  CHECK_THAT(one("F32", "[4.0]", "[0,16]"), Contains("no integer"));
  CHECK_THAT(one("F32", "[4]", "[0,1e400]"), Contains("JSON"));
  CHECK_THAT(one("F32", "[4294967296,4294967296]", "[0,0]"), Contains("64 bits"));
  CHECK_THAT(one("F64", "[4611686018427387904]", "[0,0]"), Contains("expected"));
  CHECK_THAT(one("F32", "[18446744073709551615]", "[0,16]"), Contains("18446744073709551615"));
  CHECK_THAT(one("F32", "[1,1,1,1,1,1,4]", "[0,16]"), Contains("more than 6"));
  CHECK_THAT(two("[0,8]", "[4,12]"), Contains("overlap"));
  CHECK_THAT(two("[0,8]", "[0,8]"), Contains("overlap"));
  CHECK_THAT(two("[0,8]", "[16,24]"), Contains("gap"));
  CHECK_THAT(refusal(framed("{" + tensor("a", "F32", "[2]", "[0,8]") + "}", data)), Contains("8 bytes"));
  CHECK_THAT(refusal(framed("{}", data)), Contains("16 bytes"));
}

TEST_CASE("safetensors: element types that are not supported are named", "[io]") {
  for (const char* name : {"BOOL", "F8_E4M3", "U64", "f32", ""}) {
    CHECK_THAT(refusal(framed("{" + tensor("w", name, "[1]", "[0,1]") + "}", "d")),
               Contains("'w'") && Contains("'" + std::string(name) + "'") && Contains("BF16"));
  }
}

TEST_CASE("safetensors: names and fields that come twice are refused", "[io]") {
  const std::string w = tensor("w", "U8", "[1]", "[0,1]");
  CHECK_THAT(refusal(framed("{" + w + "," + w + "}", "d")), Contains("'w' twice"));
  CHECK_THAT(refusal(framed(R"({"__metadata__":{"a":"1","a":"2"}})", "")), Contains("second value"));
  CHECK_THAT(refusal(framed(R"({"__metadata__":{},"__metadata__":{}})", "")), Contains("twice"));
  CHECK_THAT(refusal(framed(R"({"w":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "d")),
             Contains("second value"));
}

TEST_CASE("safetensors: JSON of another form is refused, however deep", "[io]") {
  for (const char* header : {"[]", "null", " {}", "{", "{}{}", "{\"w\":1}", "{\"w\":[]}", "{\"w\":{}}", "{\"w\":null}",
                             "{\"__metadata__\":{\"a\":1}}", "{\"__metadata__\":[]}", "{\"w\":{\"extra\":true}}",
                             "{\"w\":{\"dtype\":\"U8\",\"shape\":[[1]]}}", "{\"w\":{\"shape\":{}}}", "{\"\xff\":{}}"}) {
    CAPTURE(header);
    CHECK_FALSE(refusal(framed(header, "")).empty());
  }
  for (const char* opening : {"[", "{\"a\":", "{\"w\":{\"shape\":["}) {
    std::string deep = "{\"w\":";
    for (int i = 0; i < 1'000'000; ++i) deep += opening;
    CHECK_FALSE(refusal(framed(deep, "")).empty());
  }
}

TEST_CASE("safetensors: hostile names are shortened in messages", "[io]") {
  const std::string message = refusal(framed("{" + tensor(std::string(100'000, 'n'), "X", "[1]", "[0,1]") + "}", "d"));
  CHECK(message.size() < 400);
  CHECK_THAT(refusal(framed(R"({"a\u001b[31m":1})", "")), !Contains("\x1b"));
}

TEST_CASE("safetensors: what is not a regular file is refused", "[io]") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(read_safetensors(folder.path()), Contains("regular file"));
  CHECK_THROWS_WITH(read_safetensors(folder / "absent"), Contains("absent") && Contains("No such file"));
  CHECK_THROWS_WITH(read_safetensors("/dev/zero"), Contains("regular file"));
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(read_safetensors(folder / "pipe"), Contains("regular file"));
  put_bytes(folder / "x", "");
  CHECK_THROWS_WITH(read_safetensors(folder / "x" / "below"), Contains("below"));
}

TEST_CASE("safetensors: a file that cannot be written leaves the old one", "[io]") {
  const TemporaryFolder folder;
  write_atomically(folder / "old", "old");
  CHECK_THROWS_AS(write_safetensors(folder / "old" / "below", small_file()), Error);
  CHECK_THROWS_AS(write_atomically(folder.path(), "x"), Error);
  CHECK_THROWS_AS(write_atomically(folder / "absent" / "x", "x"), Error);
  CHECK_THROWS_AS(write_atomically(folder / "", "x"), Error);
  CHECK_THROWS_WITH(write_atomically("/dev/full", "x"), Contains("/dev/full"));
  CHECK_THROWS_AS(write_together({{folder / "old", "new"}, {folder / "absent" / "x", "x"}}), Error);
  CHECK(read_text(folder / "old") == "old");
  write_together({{folder / "old", "new"}, {folder / "other", "x"}});
  CHECK(read_text(folder / "old") + read_text(folder / "other") == "newx");
  write_atomically(folder / "old", "old");
  std::filesystem::remove(folder / "other");
  require_writable(folder / "other");
  CHECK_FALSE(std::filesystem::exists(folder / "other"));
  CHECK(std::filesystem::is_character_file("/dev/full"));
  TensorFile twice = small_file();
  twice.tensors.push_back(twice.tensors.front());
  CHECK_THROWS_WITH(write_safetensors(folder / "old", twice), Contains("two tensors") && Contains("a.weight"));
  CHECK_THROWS_WITH(write_safetensors(folder / "old", {{{"empty", {}}}, {}}), Contains("empty"));
  CHECK_THROWS_WITH(write_safetensors(folder / "old", {{}, {{"\xff", "x"}}}), Contains("UTF-8"));
  CHECK(bytes_of(folder / "old") == "old");
  CHECK(folder.files() == 1);
}

/// Files may not grow beyond `bytes` while this lives: writing fails half-way, as on a full disk.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now = {bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~SmallDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_CASE("safetensors: a disk that fills up half-way leaves the old file and nothing else", "[io]") {
  const TemporaryFolder folder;
  write_safetensors(folder / "model", small_file());
  const std::string before = bytes_of(folder / "model");
  const TensorFile large = {{{"x", Tensor::of<float>({1 << 16}, std::vector<float>(1 << 16, 1.0F))}}, {}};
  std::string message;
  {
    const SmallDisk disk(4096);
    try {
      write_safetensors(folder / "model", large);
    } catch (const Error& error) {
      message = error.what();
    }
  }
  CHECK_THAT(message, Contains("cannot write") && Contains("model") && Contains("large"));
  CHECK(bytes_of(folder / "model") == before);
  CHECK(folder.files() == 1);
}

TEST_CASE("safetensors: texts are read up to a limit", "[io]") {
  const TemporaryFolder folder;
  write_atomically(folder / "text", "some text\n");
  CHECK(read_text(folder / "text") == "some text\n");
  CHECK_THROWS_WITH(read_text(folder / "text", 9), Contains("10 bytes") && Contains("at most 9"));
}

}  // namespace
}  // namespace gsnet::io
