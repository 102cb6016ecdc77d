// Torch files of both kinds, sound and hostile.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>

#include "core/error.h"
#include "io/torch_file.h"
#include "tests/io/temporary_folder.h"
#include "tests/io/torch_bytes.h"
#include "tests/support/shared_folder.h"

namespace gsnet::io {
namespace {

using Catch::Matchers::Contains;
using test::tensor, test::storage, test::dict, test::text, test::integer, test::raw, test::proto, test::global;
using Members = std::vector<std::pair<std::string, std::string>>;

const std::string kSix = raw<float>({0, 1, 2, 3, 4, 5});

class Files {
 public:
  TensorFile stream(const std::string& content, const Members& storages) {
    return bytes(test::stream(content, storages));
  }
  TensorFile bytes(const std::string& content) {
    test::put_bytes(folder_ / "t.pth", content);
    return read_torch(folder_ / "t.pth");
  }
  TensorFile zip(const Members& members, bool deflated = false) {
    test::write_zip(folder_ / "t.pt", members, deflated);
    return read_torch(folder_ / "t.pt");
  }
  std::string zip_bytes() const { return test::bytes_of(folder_ / "t.pt"); }

 private:
  test::TemporaryFolder folder_;
};

std::vector<float> floats(const Tensor& tensor) {
  const auto values = tensor.host<float>();
  return {values.begin(), values.end()};
}

/// A stored transposed matrix, a slice and its whole, in nested containers.
std::string views() {
  return dict({{"state_dict", dict({{"whole", tensor(storage("7", 6), 0, {2, 3}, {3, 1})},
                                    {"turned", tensor(storage("7", 6), 0, {3, 2}, {1, 3})},
                                    {"part", tensor(storage("7", 6), 1, {2}, {2})}})},
               {"list", "](" + tensor(storage("7", 6), 5, {}, {}) + "Ne"},
               {"epoch", integer(3)},
               {"name", text("x")}});
}

void check_views(const TensorFile& file) {
  REQUIRE(file.tensors.size() == 4);
  CHECK(floats(file.at("state_dict.whole")) == std::vector<float>{0, 1, 2, 3, 4, 5});
  CHECK(file.at("state_dict.turned").shape() == Shape{3, 2});
  CHECK(floats(file.at("state_dict.turned")) == std::vector<float>{0, 3, 1, 4, 2, 5});
  CHECK(floats(file.at("state_dict.part")) == std::vector<float>{1, 3});
  CHECK(file.at("list.0").shape().rank() == 0);
  CHECK(floats(file.at("list.0")) == std::vector<float>{5});
  CHECK(file.metadata == std::map<std::string, std::string>{{"epoch", "3"}, {"name", "x"}});
}

}  // namespace

TEST_CASE("tensors share storages, with strides and offsets, in both containers", "[torch]") {
  Files files;
  check_views(files.stream(views(), {{"7", kSix}}));
  check_views(files.zip({{"a/data.pkl", proto(views())}, {"a/byteorder", "little"}, {"a/data/7", kSix}}));
  check_views(files.zip({{"a/data/7", kSix}, {"a/version", "3\n"}, {"a/data.pkl", proto(views())}}, true));
}

TEST_CASE("a torch file cut anywhere is an error", "[torch]") {
  Files files;
  const std::string whole = test::stream(views(), {{"7", kSix}});
  for (size_t length = 0; length < whole.size(); ++length) {
    INFO(length);
    CHECK_THROWS_AS(files.bytes(whole.substr(0, length)), Error);
  }
  CHECK_THROWS_WITH(files.bytes(whole + "x"), Contains("t.pth") && Contains("33 follow"));
  files.zip({{"a/data.pkl", proto(views())}, {"a/data/7", kSix}});
  const std::string archive = files.zip_bytes();
  for (size_t length = 0; length < archive.size(); ++length) {
    INFO(length);
    CHECK_THROWS_AS(files.bytes(archive.substr(0, length)), Error);
  }
}

TEST_CASE("a torch file with any byte changed is read or refused", "[torch]") {
  Files files;
  files.zip({{"a/data.pkl", proto(views())}, {"a/data/7", kSix}});
  int refused = 0;
  for (std::string whole : {test::stream(views(), {{"7", kSix}}), files.zip_bytes()}) {
    for (char& byte : whole) {
      const char kept = byte;
      for (const char other : {'\0', '\xff', static_cast<char>(kept ^ 1)}) {
        byte = other;
        try {
          files.bytes(whole);
        } catch (const Error&) {
          ++refused;
        }
      }
      byte = kept;
    }
  }
  CHECK(refused > 1000);
}

TEST_CASE("views that reach outside their storage are refused before anything is allocated", "[torch]") {
  Files files;
  const auto refused = [&](const std::string& from, int64_t offset, std::initializer_list<int64_t> size,
                           std::initializer_list<int64_t> stride, const std::string& expected) {
    CHECK_THROWS_WITH(files.stream(dict({{"w", tensor(from, offset, size, stride)}}), {{"7", kSix}}),
                      Contains("t.pth") && Contains("'w'") && Contains(expected));
  };
  const std::string six = storage("7", 6);
  refused(six, 0, {7}, {1}, "does not fit");
  refused(six, 1, {6}, {1}, "does not fit");
  refused(six, -1, {2}, {1}, "does not fit");
  refused(six, 0, {2, 3}, {4, 1}, "does not fit");
  refused(six, 5, {2}, {-1}, "does not fit");
  refused(six, 0, {7, 7}, {0, 0}, "does not fit");  // an expanded scalar would be larger than the file
  refused(six, 0, {2}, {INT64_MAX}, "does not fit");
  refused(six, INT64_MAX, {2}, {1}, "does not fit");
  refused(six, 0, {INT64_MAX, INT64_MAX}, {1, 1}, "more elements");
  refused(six, 0, {-1}, {1}, "-1");
  refused(six, 0, {2, 3}, {1}, "2 sizes and 1 strides");
  refused(six, 0, {1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, "at most 6");
  refused(storage("7", 6, "ShortStorage"), 0, {6}, {1}, "torch.ShortStorage");
  CHECK_THROWS_WITH(files.stream(dict({{"w", tensor(storage("7", INT64_MAX), 0, {2}, {1})}}), {{"7", kSix}}),
                    Contains("do not fit"));
  CHECK_THROWS_WITH(files.stream(dict({{"w", tensor(storage("7", 5), 0, {2}, {1})}}), {{"7", kSix}}), Contains("28"));
  CHECK_THROWS_WITH(files.stream(dict({{"w", tensor(six, 0, {6}, {1})}}), {{"8", kSix}}), Contains("'8'"));
  CHECK_THROWS_WITH(
      files.stream(dict({{"v", tensor(six, 0, {6}, {1})}, {"w", tensor(storage("7", 5), 0, {5}, {1})}}), {{"7", kSix}}),
      Contains("differ about storage"));
}

TEST_CASE("objects that are no state dict are refused by name", "[torch]") {
  Files files;
  const auto refused = [&](const std::string& content, const std::string& expected) {
    CHECK_THROWS_WITH(files.stream(content, {}), Contains("t.pth") && Contains(expected));
  };
  refused(dict({{"args", global("argparse", "Namespace") + ")R"}}), "argparse.Namespace");
  refused(global("os", "system") + text("true") + "\x85R", "os.system");
  refused(
      "]q\x01h\x01"
      "a",
      "nests deeper");  // a list that contains itself
  std::string doubling = "N\x85q" + std::string(1, '\0');
  for (char i = 0; i < 30; ++i) doubling += std::string("h") + i + "h" + i + "\x86q" + static_cast<char>(i + 1);
  refused("(" + doubling + "1h\x1e", "entries");  // 2^30 ways to one None
  refused(
      dict({{"a.b", tensor(storage("7", 0), 0, {0}, {1})}, {"a", dict({{"b", tensor(storage("7", 0), 0, {0}, {1})}})}}),
      "two tensors are named 'a.b'");
  refused(dict({{std::string(400, 'k'), "N"}}), "longer than 256");
  refused("}NNs", "expected a text or an integer");
  refused(dict({{"w", storage("7", 1)}}), "a reference out of the pickle");
  CHECK_THROWS_WITH(files.bytes(test::stream("}", {}, "\x89")), Contains("big-endian"));
  CHECK_THROWS_WITH(files.bytes(proto(integer(7)) + proto("}")), Contains("magic"));
  std::string tar(600, '\0');
  tar.replace(0, 8, "sys_info").replace(257, 5, "ustar");
  CHECK_THROWS_WITH(files.bytes(tar), Contains("tar"));
  CHECK_THROWS_WITH(files.bytes("hello"), Contains("neither"));
}

TEST_CASE("archives that lie or unpack to too much are refused", "[torch]") {
  Files files;
  const std::string content = proto(dict({{"w", tensor(storage("7", 6), 0, {6}, {1})}}));
  const auto refused = [&](const Members& members, const std::string& expected, bool deflated = false) {
    CHECK_THROWS_WITH(files.zip(members, deflated), Contains("t.pt") && Contains(expected));
  };
  refused({{"a/data.pkl", content}}, "'a/data/7' is missing");
  refused({{"a/data.pkl", content}, {"a/data/7", kSix + kSix}}, "48 bytes, expected 6 elements");
  refused({{"a/data.pkl", content}, {"a/data/7", kSix}, {"a/data/7", kSix}}, "twice");
  refused({{"a/data.pkl", content}, {"b/data.pkl", content}}, "both");
  refused({{"a/data.pkl", content}, {"a/byteorder", "big"}, {"a/data/7", kSix}}, "byte order is 'big'");
  refused({{"a/readme", "x"}}, "NAME/data.pkl");
  refused({{"a/constants.pkl", "x"}}, "TorchScript");
  const std::string bomb = proto(dict({{"w", tensor(storage("7", 1 << 22), 0, {1 << 22}, {1})}}));
  refused({{"a/data.pkl", bomb}, {"a/data/7", std::string(size_t{4} << 22U, '\0')}}, "64 times", true);
  files.zip({{"a/data.pkl", content}, {"a/data/7", kSix}});
  std::string damaged = files.zip_bytes();
  damaged[damaged.find(kSix) + 1] ^= 1;
  CHECK_THROWS_WITH(files.bytes(damaged), Contains("a/data/7") && Contains("CRC"));
}

TEST_CASE("published state dicts", "[torch]") {
  GSNET_NEED_SHARED(shared);
  const auto weights = shared / "data" / "weights";
  CHECK(read_torch(weights / "mobilefacenet.pt").tensors.size() == 307);
  const TensorFile small = read_tensors(weights / "cifar_small_36px.pth");
  CHECK(small.at("state_dict.0.5.weight").shape() == Shape{100, 2048});
  CHECK(small.at("sampler_indices.0").dtype() == DType::i64);
  CHECK(small.metadata.at("epoch") == "17");
}

TEST_CASE("files that PyTorch writes", "[torch]") {
  const char* named = std::getenv("GSNET_TORCH_PYTHON");
  const std::string python = named != nullptr ? named : "python3";
  if (std::system((python + " -c 'import torch' >/dev/null 2>&1").c_str()) != 0) {
    WARN("skipped: no Python with torch (GSNET_TORCH_PYTHON)");
    return;
  }
  const test::TemporaryFolder folder;
  test::put_bytes(folder / "save.py", R"(
import sys, torch
base = torch.arange(24.).reshape(2, 3, 4)
state = {'base': base, 'turned': base.transpose(0, 2), 'row': base[1, ::2], 'half': base.half(), 'brain': base.bfloat16(),
         'double': base.double(), 'long': torch.tensor(7), 'flag': torch.tensor([True, False]),
         'last': torch.arange(120.).reshape(1, 2, 3, 20).to(memory_format=torch.channels_last),
         'nothing': torch.zeros(0, 3), 'parameter': torch.nn.Parameter(torch.ones(2))}
for protocol in 2, 3, 4, 5:
    for zipped in False, True:
        torch.save([state, {'epoch': 3, 'seed': 2 ** 70}], f'{sys.argv[1]}/{protocol}{zipped}.pt', pickle_protocol=protocol,
                   _use_new_zipfile_serialization=zipped)
)");
  REQUIRE(std::system((python + " " + (folder / "save.py").string() + " " + folder.path().string()).c_str()) == 0);
  for (const char* name :
       {"2False.pt", "2True.pt", "3False.pt", "3True.pt", "4False.pt", "4True.pt", "5False.pt", "5True.pt"}) {
    INFO(name);
    const TensorFile file = read_torch(folder / name);
    CHECK(file.tensors.size() == 11);
    CHECK(file.metadata == std::map<std::string, std::string>{{"1.epoch", "3"}});
    const std::vector<float> turned = floats(file.at("0.turned"));
    CHECK(file.at("0.turned").shape() == Shape{4, 3, 2});
    CHECK(std::vector<float>(turned.begin(), turned.begin() + 4) == std::vector<float>{0, 12, 4, 16});
    CHECK(floats(file.at("0.row")) == std::vector<float>{12, 13, 14, 15, 20, 21, 22, 23});
    CHECK(floats(file.at("0.last"))[119] == 119);
    CHECK(floats(file.at("0.last"))[1] == 1);
    CHECK(floats(with_dtype(file.at("0.half"), DType::f32))[23] == 23);
    CHECK(floats(with_dtype(file.at("0.brain"), DType::f32))[23] == 23);
    CHECK(file.at("0.double").host<double>()[23] == 23);
    CHECK(file.at("0.long").host<int64_t>()[0] == 7);
    CHECK(file.at("0.flag").host<uint8_t>()[0] == 1);
    CHECK(file.at("0.nothing").shape() == Shape{0, 3});
    CHECK(floats(file.at("0.parameter")) == std::vector<float>{1, 1});
  }
}

}  // namespace gsnet::io
