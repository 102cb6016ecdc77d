#include "io/onnx/reader.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>

#include <limits>
#include <map>
#include <utility>

#include "core/error.h"

namespace gsnet::io {
namespace {

using google::protobuf::io::CodedInputStream;

constexpr uint64_t kMostBytes = std::numeric_limits<int32_t>::max();
constexpr int64_t kFirstOpset = 7, kLastOpset = 21;
constexpr int kDeepest = 32;

/// A message type by the fields that hold messages or texts, as far as they are counted.
struct Kind {
  const char* name;
  int64_t most;
  struct Field {
    uint32_t number;
    const Kind* kind;
  } fields[8];
};

constexpr Kind kLeaf = {"parts of attributes", 1'000'000, {}};
constexpr Kind kAttribute = {
    "attributes", 1'000'000, {{5, &kLeaf}, {6, &kLeaf}, {9, &kLeaf}, {10, &kLeaf}, {11, &kLeaf}}};
constexpr Kind kName = {"names of values", 2'000'000, {}};
constexpr Kind kNode = {"nodes", 100'000, {{1, &kName}, {2, &kName}, {5, &kAttribute}}};
constexpr Kind kTensor = {"tensors", 100'000, {{1, &kLeaf}, {6, &kLeaf}, {13, &kLeaf}}};
constexpr Kind kInfo = {"descriptions of values", 1'000'000, {}};
constexpr Kind kGraph = {"graphs", 1, {{1, &kNode}, {5, &kTensor}, {11, &kInfo}, {12, &kInfo}, {13, &kInfo}}};
constexpr Kind kOther = {"other parts", 100'000, {}};
constexpr Kind kModel = {"models", 1, {{7, &kGraph}, {8, &kOther}, {14, &kOther}, {20, &kOther}, {25, &kOther}}};

constexpr uint32_t kLengthDelimited = 2;

class Counter {
 public:
  explicit Counter(CodedInputStream& in) : in_(in) {}

  void message(const Kind& kind) {
    while (const uint32_t tag = in_.ReadTag()) {
      uint32_t length = 0;
      const Kind* part = kind_of(kind, tag >> 3U);
      if ((tag & 7U) != kLengthDelimited || part == nullptr) {
        GSNET_CHECK(skipped(tag & 7U), cut_short());
        continue;
      }
      GSNET_CHECK(in_.ReadVarint32(&length) && length <= kMostBytes, cut_short());
      GSNET_CHECK(++counts_[part] <= part->most, fmt::format("it holds more than {} {}", part->most, part->name));
      if (part->fields[0].kind == nullptr) {
        GSNET_CHECK(in_.Skip(static_cast<int>(length)), cut_short());
        continue;
      }
      const auto limit = in_.PushLimit(static_cast<int>(length));
      message(*part);
      GSNET_CHECK(in_.BytesUntilLimit() == 0, cut_short());
      in_.PopLimit(limit);
    }
  }

 private:
  static const Kind* kind_of(const Kind& kind, uint32_t number) {
    for (const Kind::Field& field : kind.fields) {
      if (field.number == number) return field.kind;
    }
    return nullptr;
  }

  bool skipped(uint32_t wire) {
    uint64_t number = 0;
    uint32_t length = 0;
    switch (wire) {
      case 0:
        return in_.ReadVarint64(&number);
      case 1:
        return in_.Skip(8);
      case kLengthDelimited:
        return in_.ReadVarint32(&length) && length <= kMostBytes && in_.Skip(static_cast<int>(length));
      case 5:
        return in_.Skip(4);
      default:
        return false;
    }
  }

  std::string cut_short() const {
    return fmt::format("it is no ONNX model, or cut short: no field can be read at byte {}", in_.CurrentPosition());
  }

  CodedInputStream& in_;
  std::map<const Kind*, int64_t> counts_;
};

}  // namespace

onnx::ModelProto parse_onnx(const InputFile& file) {
  GSNET_CHECK(file.size() <= kMostBytes, fmt::format("it has {} bytes, expected at most 2 GiB", file.size()));
  std::string bytes(static_cast<size_t>(file.size()), '\0');
  file.read_at(0, bytes.data(), bytes.size());
  const auto* begin = reinterpret_cast<const uint8_t*>(bytes.data());
  {
    CodedInputStream in(begin, static_cast<int>(bytes.size()));
    Counter(in).message(kModel);
    GSNET_CHECK(
        in.ConsumedEntireMessage() && std::cmp_equal(in.CurrentPosition(), bytes.size()),
        fmt::format("it is no ONNX model, or cut short: a field at byte {} makes no sense", in.CurrentPosition()));
  }
  CodedInputStream in(begin, static_cast<int>(bytes.size()));
  in.SetRecursionLimit(kDeepest);
  onnx::ModelProto model;
  GSNET_CHECK(model.ParseFromCodedStream(&in) && in.ConsumedEntireMessage(),
              "it is no ONNX model, is cut short, or nests too deep");
  GSNET_CHECK(model.has_graph() && model.opset_import_size() > 0,
              "it is no ONNX model: it has no graph, or no version of the operators");
  return model;
}

int64_t opset_of(const onnx::ModelProto& model) {
  for (const auto& import : model.opset_import()) {
    if (!import.domain().empty() && import.domain() != "ai.onnx") continue;
    GSNET_CHECK(import.version() >= kFirstOpset && import.version() <= kLastOpset,
                fmt::format("it has operators of version {}, supported are {} to {}", import.version(), kFirstOpset,
                            kLastOpset));
    return import.version();
  }
  throw Error("it names no version of the standard operators");
}

}  // namespace gsnet::io
