// Verification packs (.bin) of insightface: a pickled pair (pictures, flags).
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/pickle.h"
#include "data/decode.h"
#include "data/files.h"
#include "data/pairs.h"
#include "data/picture_set.h"
#include "data/verification.h"

namespace gsnet::data {
namespace {

namespace fs = std::filesystem;
using Kind = PickleValue::Kind;

constexpr int64_t kMostBytes = int64_t{4} << 30;
constexpr std::array<std::string_view, 9> kGlobals = {"numpy.core.multiarray._reconstruct",
                                                      "numpy._core.multiarray._reconstruct",
                                                      "numpy.core.multiarray.scalar",
                                                      "numpy._core.multiarray.scalar",
                                                      "numpy.core.numeric._frombuffer",
                                                      "numpy._core.numeric._frombuffer",
                                                      "numpy.ndarray",
                                                      "numpy.dtype",
                                                      "_codecs.encode"};

/// The values of a pack's pickle.
class PackReader {
 public:
  explicit PackReader(Pickle pickle) : pickle_(std::move(pickle)) {}

  /// The two lists.
  std::pair<std::vector<uint32_t>, uint32_t> parts() const {
    const PickleValue& root = pickle_.at(pickle_.root);
    GSNET_CHECK((root.kind == Kind::tuple || root.kind == Kind::list) && root.items.size() == 2,
                fmt::format("it holds {}, expected a pair of lists: pictures and flags", kind_name(root.kind)));
    return {items(root.items[0], "the pictures"), root.items[1]};
  }

  std::vector<bool> flags(uint32_t id) const {
    std::vector<bool> values;
    if (pickle_.at(id).kind == Kind::call) {  // an array of flags
      for (const char byte : array(pickle_.at(id))) values.push_back(byte != 0);
      return values;
    }
    for (const uint32_t item : items(id, "the flags")) {
      const PickleValue& value = pickle_.at(item);
      if (value.kind == Kind::call) {
        const std::string byte = array(value);
        GSNET_CHECK(byte.size() == 1, fmt::format("flag {} has {} bytes, expected one", values.size(), byte.size()));
        values.push_back(byte[0] != 0);
        continue;
      }
      GSNET_CHECK((value.kind == Kind::flag || value.kind == Kind::integer) && (value.integer | 1) == 1,
                  fmt::format("flag {} is {}, expected True or False", values.size(), kind_name(value.kind)));
      values.push_back(value.integer == 1);
    }
    return values;
  }

  /// Points into the pickle, or into `made`.
  std::string_view picture(uint32_t id, std::string& made) const {
    const PickleValue& value = pickle_.at(id);
    if (value.kind == Kind::bytes || value.kind == Kind::text) return value.text;
    GSNET_CHECK(value.kind == Kind::call, fmt::format("expected bytes, got {}", kind_name(value.kind)));
    return made = array(value);
  }

 private:
  std::vector<uint32_t> items(uint32_t id, const char* what) const {
    const PickleValue& value = pickle_.at(id);
    GSNET_CHECK(value.kind == Kind::list || value.kind == Kind::tuple,
                fmt::format("{} are {}, expected a list", what, kind_name(value.kind)));
    return value.items;
  }

  const PickleValue& argument(const std::vector<uint32_t>& of, size_t i) const {
    GSNET_CHECK(i < of.size(), fmt::format("an array has {} parts, expected more than {}", of.size(), i));
    return pickle_.at(of[i]);
  }

  /// The bytes of a numpy array or scalar of one-byte elements, or what _codecs.encode says.
  std::string array(const PickleValue& call) const {
    const std::string& callable = argument(call.items, 0).text;
    if (callable == "_codecs.encode") return encoded(call);
    if (callable.ends_with(".scalar") || callable.ends_with("._frombuffer")) {
      const bool scalar = callable.ends_with(".scalar");
      check_dtype(argument(call.items, scalar ? 1 : 2));
      return raw(argument(call.items, scalar ? 2 : 1));
    }
    GSNET_CHECK(callable.ends_with("._reconstruct") && call.state != PickleValue::kNoState,
                fmt::format("expected a numpy array, got a call of '{}'", callable));
    const PickleValue& state = pickle_.at(call.state);
    GSNET_CHECK(state.kind == Kind::tuple && state.items.size() == 5,
                fmt::format("a numpy array's state is {} of {}, expected a tuple of 5", kind_name(state.kind),
                            state.items.size()));
    check_dtype(argument(state.items, 2));
    std::string bytes = raw(argument(state.items, 4));
    int64_t expected = 1;
    for (const uint32_t extent : items(state.items[1], "an array's extents")) {
      const PickleValue& value = pickle_.at(extent);
      GSNET_CHECK(value.kind == Kind::integer && value.integer >= 0 && value.integer <= kMostPictureBytes &&
                      expected <= kMostPictureBytes,
                  "an array's extent is not a sensible number");
      expected *= value.integer;
    }
    GSNET_CHECK(std::cmp_equal(bytes.size(), expected),
                fmt::format("an array has {} bytes, its extents ask for {}", bytes.size(), expected));
    return bytes;
  }

  void check_dtype(const PickleValue& dtype) const {
    const bool call = dtype.kind == Kind::call && argument(dtype.items, 0).text == "numpy.dtype";
    const std::string type = call ? argument(dtype.items, 1).text : std::string();
    GSNET_CHECK(type == "u1" || type == "|u1" || type == "i1" || type == "b1" || type == "|b1",
                fmt::format("an array has elements of '{}', expected bytes", type));
  }

  std::string raw(const PickleValue& value) const {
    if (value.kind == Kind::call) return encoded(value);
    GSNET_CHECK(value.kind == Kind::bytes || value.kind == Kind::text,
                fmt::format("an array's numbers are {}, expected bytes", kind_name(value.kind)));
    return value.text;
  }

  /// _codecs.encode(text, "latin1"): how Python 3 writes bytes for protocol 2.
  std::string encoded(const PickleValue& call) const {
    GSNET_CHECK(argument(call.items, 0).text == "_codecs.encode" && argument(call.items, 2).text.starts_with("latin"),
                "expected bytes encoded as latin1");
    const std::string& text = argument(call.items, 1).text;
    std::string bytes;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (byte < 0x80) {
        bytes += text[i];
        continue;
      }
      GSNET_CHECK((byte == 0xC2 || byte == 0xC3) && i + 1 < text.size(), "bytes encoded as latin1 have other letters");
      bytes += static_cast<char>((byte & 3U) << 6U | (static_cast<unsigned char>(text[++i]) & 0x3FU));
    }
    return bytes;
  }

  Pickle pickle_;
};

/// Pictures stay in the pickle: many may be the same bytes.
class PackPictures final : public EncodedPictures {
 public:
  PackPictures(std::string file, PackReader reader, std::vector<uint32_t> pictures)
      : file_(std::move(file)), reader_(std::move(reader)), pictures_(std::move(pictures)) {}

  std::string name(size_t i) const override { return fmt::format("{}[{}]", file_, i); }
  std::span<const uint8_t> bytes(size_t i, std::vector<uint8_t>& scratch) const override {
    std::string made;
    const std::string_view encoded = reader_.picture(pictures_[i], made);
    if (!made.empty()) {
      scratch.assign(made.begin(), made.end());
      return scratch;
    }
    return {reinterpret_cast<const uint8_t*>(encoded.data()), encoded.size()};
  }

 private:
  std::string file_;
  PackReader reader_;
  std::vector<uint32_t> pictures_;
};

VerificationSet read_pack(const fs::path& pack, int side, const std::vector<int>& kept) {
  const std::vector<uint8_t> content = read_file(pack, kMostBytes);
  const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
  PackReader reader(read_pickle(text, 0, kGlobals));
  auto [bins, flag_list] = reader.parts();
  const std::vector<bool> same = reader.flags(flag_list);
  GSNET_CHECK(!same.empty() && bins.size() == 2 * same.size(),
              fmt::format("{} pictures and {} flags, expected two pictures a flag", bins.size(), same.size()));
  std::string made;
  for (size_t i = 0; i < bins.size(); ++i) {
    try {
      reader.picture(bins[i], made);
    } catch (const Error& error) {
      throw Error(fmt::format("picture {}: {}", i, error.what()));
    }
  }
  std::vector<int> folds;
  VerificationSet set;
  set.folds = assign_folds(same, folds);
  PictureCatalogue catalogue{{}, {"picture"}};
  const std::vector<int> numbers = kept.empty() ? std::vector<int>() : fold_numbers(set.folds, kept);
  for (size_t i = 0; i < same.size(); ++i) {
    if (!kept.empty()) folds[i] = numbers[static_cast<size_t>(folds[i])];
    if (folds[i] < 0) continue;
    const auto first = std::ssize(catalogue.entries);
    catalogue.entries.push_back({2 * i, 0});
    catalogue.entries.push_back({2 * i + 1, 0});
    set.pairs.push_back({first, first + 1, same[i], folds[i]});
  }
  if (!kept.empty()) set.folds = static_cast<int>(std::ssize(kept));
  set.pictures =
      make_picture_set(std::make_unique<PackPictures>(pack.filename().string(), std::move(reader), std::move(bins)),
                       std::move(catalogue), side);
  return set;
}

}  // namespace

VerificationSet open_verification_pack(const fs::path& pack, int side, const std::vector<int>& folds) {
  require_decoder(pack.string());
  try {
    return read_pack(pack, side, folds);
  } catch (const Error& error) {
    const std::string reason = error.what();
    throw Error(reason.starts_with(pack.string()) ? reason : fmt::format("{}: {}", pack.string(), reason));
  }
}

}  // namespace gsnet::data
