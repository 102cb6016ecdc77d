#include "data/pairs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/text.h"
#include "data/files.h"
#include "data/picture_index.h"

namespace gsnet::data {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 30;
constexpr int64_t kFolds = 10;
constexpr int64_t kMostFolds = 100'000;

using Fields = std::vector<std::string>;

std::optional<int64_t> integer(const std::string& text) {
  int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool all_integers(const Fields& fields) {
  return std::ranges::all_of(fields, [](const std::string& field) { return integer(field).has_value(); });
}

/// "Name", "7" to "Name/Name_0007".
std::string lfw_picture(const std::string& name, const std::string& number) {
  const std::optional<int64_t> value = integer(number);
  GSNET_CHECK(value && *value >= 0 && *value <= 999'999, fmt::format("'{}' is no number of a picture", shown(number)));
  return fmt::format("{0}/{0}_{1:04}", name, *value);
}

NamedPair lfw_pair(const Fields& fields) {
  GSNET_CHECK(fields.size() == 3 || fields.size() == 4,
              fmt::format("expected \"Name i j\" or \"Name1 i Name2 j\", got {} fields", fields.size()));
  if (fields.size() == 3) return {lfw_picture(fields[0], fields[1]), lfw_picture(fields[0], fields[2]), true};
  return {lfw_picture(fields[0], fields[1]), lfw_picture(fields[2], fields[3]), false};
}

NamedPair listed_pair(const Fields& fields) {
  GSNET_CHECK(fields.size() == 3 && !fields[0].empty() && !fields[1].empty(),
              fmt::format("expected \"path path 0|1\", got {} fields", fields.size()));
  GSNET_CHECK(fields[2] == "0" || fields[2] == "1",
              fmt::format("expected 1 for the same person or 0 for two, got '{}'", shown(fields[2])));
  return {fields[0], fields[1], fields[2] == "1"};
}

void divide_into_folds(PairList& list) {
  std::vector<bool> same;
  for (const NamedPair& pair : list.pairs) same.push_back(pair.same);
  std::vector<int> folds;
  list.folds = assign_folds(same, folds);
  for (size_t i = 0; i < folds.size(); ++i) list.pairs[i].fold = folds[i];
}

/// The folds that the first line of an LFW list announces.
void take_folds(const Fields& head, PairList& list, const std::string& file) {
  if (head.size() == 1) return divide_into_folds(list);
  const int64_t folds = *integer(head[0]), a_side = *integer(head[1]), lines = std::ssize(list.pairs);
  const bool sane = folds >= 1 && folds <= lines && a_side >= 1 && a_side <= lines;
  GSNET_CHECK(
      sane && lines == folds * 2 * a_side,
      fmt::format("{}: line 1 announces {} folds of 2 x {} pairs, {} pairs follow", file, folds, a_side, lines));
  list.folds = static_cast<int>(folds);
  for (int64_t i = 0; i < lines; ++i) list.pairs[static_cast<size_t>(i)].fold = static_cast<int>(i / (2 * a_side));
}

}  // namespace

int assign_folds(std::vector<bool> same, std::vector<int>& folds) {
  const int64_t all = std::ssize(same), positive = std::ranges::count(same, true), negative = all - positive;
  const int64_t least = std::min(positive, negative), count = std::clamp<int64_t>(least, 1, kFolds);
  folds.assign(same.size(), 0);
  std::array<int64_t, 2> seen = {};
  for (size_t i = 0; i < same.size(); ++i) {
    const int64_t of = same[i] ? positive : negative;
    folds[i] = static_cast<int>(seen[same[i] ? 1 : 0]++ * count / of);
  }
  return static_cast<int>(count);
}

std::vector<int> parse_folds(std::string_view text) {
  const auto fail = [&] {
    throw Error(fmt::format("folds '{}': expected numbers from 1 like 7-10 or 1,3,5-6", shown(text)));
  };
  std::set<int> folds;
  for (size_t begin = 0, end = 0; begin <= text.size(); begin = end + 1) {
    end = std::min(text.find(',', begin), text.size());
    const std::string part(text.substr(begin, end - begin));
    const size_t dash = std::min(part.find('-'), part.size());
    const auto first = integer(part.substr(0, dash));
    const auto last = dash < part.size() ? integer(part.substr(dash + 1)) : first;
    if (!first || !last || *first < 1 || *last < *first || *last > kMostFolds) fail();
    for (int64_t fold = *first; fold <= *last; ++fold) {
      if (!folds.insert(static_cast<int>(fold) - 1).second) fail();
    }
  }
  return {folds.begin(), folds.end()};
}

std::vector<int> fold_numbers(int folds, const std::vector<int>& kept) {
  std::vector<int> numbers(static_cast<size_t>(folds), -1);
  for (size_t i = 0; i < kept.size(); ++i) {
    GSNET_CHECK(kept[i] >= 0 && kept[i] < folds,
                fmt::format("there is no fold {}: the pairs have {}", kept[i] + 1, folds));
    numbers[static_cast<size_t>(kept[i])] = static_cast<int>(i);
  }
  return numbers;
}

PairList of_folds(const PairList& list, const std::vector<int>& folds) {
  const std::vector<int> numbers = fold_numbers(list.folds, folds);
  PairList found{{}, static_cast<int>(folds.size())};
  for (NamedPair pair : list.pairs) {
    pair.fold = numbers[static_cast<size_t>(pair.fold)];
    if (pair.fold >= 0) found.pairs.push_back(std::move(pair));
  }
  return found;
}

PairList read_pairs(const std::filesystem::path& path) {
  const std::vector<NumberedLine> lines = numbered_lines(path, kMostBytes);
  GSNET_CHECK(!lines.empty(), fmt::format("{}: the list of pairs is empty", path.string()));
  const Fields head = split_fields(lines[0].text);
  const bool lfw = head.size() <= 2 && all_integers(head);
  const bool titles = !lfw && head.size() == 3 && head[2] != "0" && head[2] != "1";
  PairList list;
  for (size_t i = lfw || titles ? 1 : 0; i < lines.size(); ++i) {
    const Fields fields = split_fields(lines[i].text);
    try {
      list.pairs.push_back(lfw ? lfw_pair(fields) : listed_pair(fields));
    } catch (const Error& error) {
      throw Error(fmt::format("{}: line {}: {}", path.string(), lines[i].number, error.what()));
    }
  }
  GSNET_CHECK(!list.pairs.empty(), fmt::format("{}: there is no pair after line 1", path.string()));
  if (lfw) {
    take_folds(head, list, path.string());
  } else {
    divide_into_folds(list);
  }
  return list;
}

}  // namespace gsnet::data
