#include "io/safetensors_header.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>
#include <utility>

#include "core/error.h"

namespace gsnet::io {
namespace {

using nlohmann::json;

constexpr std::string_view kMetadata = "__metadata__";
constexpr std::array<std::pair<std::string_view, DType>, 7> kTypes = {{{"F64", DType::f64},
                                                                       {"F32", DType::f32},
                                                                       {"BF16", DType::bf16},
                                                                       {"F16", DType::f16},
                                                                       {"I64", DType::i64},
                                                                       {"I32", DType::i32},
                                                                       {"U8", DType::u8}}};

DType type_named(const std::string& tensor, std::string_view name) {
  const auto* found = std::ranges::find(kTypes, name, &std::pair<std::string_view, DType>::first);
  GSNET_CHECK(found != kTypes.end(),
              fmt::format("tensor '{}' has element type '{}', expected one of F64, F32, BF16, F16, I64, I32, U8",
                          shown(tensor), shown(name)));
  return found->second;
}

/// Takes the parser's events. Every handler throws Error for what a header may not hold.
class HeaderReader final : public nlohmann::json_sax<json> {
 public:
  Header header;

  bool null() override { refuse("null"); }
  bool boolean(bool) override { refuse("true or false"); }
  bool number_float(number_float_t, const string_t&) override { refuse("a number that is no integer"); }
  bool binary(binary_t&) override { refuse("bytes"); }
  bool number_integer(number_integer_t) override { refuse("a negative number"); }
  bool number_unsigned(number_unsigned_t value) override;
  bool string(string_t& value) override;
  bool start_object(size_t) override;
  bool key(string_t& name) override;
  bool end_object() override;
  bool start_array(size_t) override;
  bool end_array() override;
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    throw Error(fmt::format("the header's JSON does not parse at byte {}", position));
  }

 private:
  enum class Place { start, file, metadata, tensor, shape, offsets };

  [[noreturn]] void refuse(const char* what) const;
  void finish_tensor();

  Place place_ = Place::start;
  std::unordered_set<std::string> names_;
  std::string name_, field_;
  std::optional<DType> dtype_;
  std::optional<std::vector<uint64_t>> shape_, offsets_;
};

void HeaderReader::refuse(const char* what) const {
  const std::string where = name_.empty() ? std::string("the header") : fmt::format("header entry '{}'", shown(name_));
  const std::string field = field_.empty() ? std::string() : fmt::format(", field '{}'", shown(field_));
  throw Error(fmt::format("{}{}: unexpected {}", where, field, what));
}

bool HeaderReader::start_object(size_t) {
  if (place_ == Place::start) {
    place_ = Place::file;
  } else if (place_ == Place::file) {
    place_ = name_ == kMetadata ? Place::metadata : Place::tensor;
    dtype_.reset(), shape_.reset(), offsets_.reset();
  } else {
    refuse("object");
  }
  return true;
}

bool HeaderReader::key(string_t& name) {
  if (place_ == Place::file) {
    GSNET_CHECK(names_.insert(name).second, fmt::format("the header names '{}' twice", shown(name)));
    name_ = std::move(name);
    return true;
  }
  field_ = std::move(name);
  if (place_ == Place::metadata) {
    if (header.metadata.contains(field_)) refuse("second value");
  } else if ((field_ == "dtype" && dtype_) || (field_ == "shape" && shape_) || (field_ == "data_offsets" && offsets_)) {
    refuse("second value");
  }
  return true;
}

bool HeaderReader::string(string_t& value) {
  if (place_ == Place::metadata) {
    header.metadata.emplace(field_, std::move(value));
  } else if (place_ == Place::tensor && field_ == "dtype") {
    dtype_ = type_named(name_, value);
  } else {
    refuse("text");
  }
  return true;
}

bool HeaderReader::number_unsigned(number_unsigned_t value) {
  if (place_ == Place::shape) {
    GSNET_CHECK(shape_->size() < static_cast<size_t>(Shape::kMaxRank),
                fmt::format("tensor '{}' has more than {} axes", shown(name_), Shape::kMaxRank));
    shape_->push_back(value);
  } else if (place_ == Place::offsets) {
    if (offsets_->size() == 2) refuse("third offset");
    offsets_->push_back(value);
  } else {
    refuse("number");
  }
  return true;
}

bool HeaderReader::start_array(size_t) {
  if (place_ == Place::tensor && field_ == "shape") {
    place_ = Place::shape;
    shape_.emplace();
  } else if (place_ == Place::tensor && field_ == "data_offsets") {
    place_ = Place::offsets;
    offsets_.emplace();
  } else {
    refuse("list");
  }
  return true;
}

bool HeaderReader::end_array() {
  place_ = Place::tensor;
  return true;
}

bool HeaderReader::end_object() {
  if (place_ == Place::tensor) finish_tensor();
  if (place_ != Place::file) place_ = Place::file;
  name_.clear(), field_.clear();
  return true;
}

void HeaderReader::finish_tensor() {
  field_.clear();
  if (!dtype_) refuse("end, without a dtype");
  if (!shape_) refuse("end, without a shape");
  if (!offsets_ || offsets_->size() != 2) refuse("end, without two data_offsets");
  std::vector<int64_t> extents;
  for (uint64_t extent : *shape_) {
    GSNET_CHECK(std::in_range<int64_t>(extent), fmt::format("tensor '{}' has an axis of {}", shown(name_), extent));
    extents.push_back(static_cast<int64_t>(extent));
  }
  Shape shape;
  try {
    shape = Shape(std::span<const int64_t>(extents));
  } catch (const Error& error) {
    throw Error(fmt::format("tensor '{}': {}", shown(name_), error.what()));
  }
  const uint64_t begin = (*offsets_)[0], end = (*offsets_)[1];
  uint64_t bytes = 0;
  const bool fits = !__builtin_mul_overflow(static_cast<uint64_t>(shape.numel()), size_of(*dtype_), &bytes);
  GSNET_CHECK(begin <= end && fits && end - begin == bytes,
              fmt::format("tensor '{}' of {} {} has data_offsets {} to {}, expected {} bytes", shown(name_),
                          to_string(shape), to_string(*dtype_), begin, end, bytes));
  header.entries.push_back({std::move(name_), *dtype_, shape, begin, end});
}

}  // namespace

Header parse_header(std::string_view text) {
  GSNET_CHECK(text.starts_with('{'), "the header does not begin with '{'");
  HeaderReader reader;
  json::sax_parse(text.begin(), text.end(), &reader);
  return std::move(reader.header);
}

void check_coverage(const Header& header, uint64_t bytes) {
  std::vector<const HeaderEntry*> order;
  order.reserve(header.entries.size());
  for (const HeaderEntry& entry : header.entries) order.push_back(&entry);
  std::ranges::sort(order, {}, [](const HeaderEntry* entry) { return std::pair(entry->begin, entry->end); });
  uint64_t covered = 0;
  for (const HeaderEntry* entry : order) {
    GSNET_CHECK(entry->begin == covered,
                fmt::format("tensor '{}' begins at data offset {}, expected {}: the data has {}", shown(entry->name),
                            entry->begin, covered, entry->begin < covered ? "an overlap" : "a gap"));
    GSNET_CHECK(entry->end <= bytes, fmt::format("tensor '{}' ends at data offset {}, but there are {} bytes of data",
                                                 shown(entry->name), entry->end, bytes));
    covered = entry->end;
  }
  GSNET_CHECK(covered == bytes,
              fmt::format("the tensors take {} bytes, but there are {} bytes of data", covered, bytes));
}

std::string format_header(const Header& header) {
  std::vector<std::string> members;
  try {
    if (!header.metadata.empty()) members.push_back(fmt::format("\"{}\":{}", kMetadata, json(header.metadata).dump()));
    for (const HeaderEntry& entry : header.entries) {
      const auto* type = std::ranges::find(kTypes, entry.dtype, &std::pair<std::string_view, DType>::second);
      members.push_back(fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                                    json(entry.name).dump(), type->first, fmt::join(entry.shape.extents(), ","),
                                    entry.begin, entry.end));
    }
  } catch (const json::exception&) {
    throw Error("a tensor's name or a metadata text is not UTF-8");
  }
  std::string text = fmt::format("{{{}}}", fmt::join(members, ","));
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace gsnet::io
