#include "apps/pair_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "faces/certificate.h"

namespace gsnet::apps {
namespace {

std::vector<double> row_of(const Tensor& rows, int64_t n) {
  const auto row = rows.rows(n, 1).host<float>();
  return {row.begin(), row.end()};
}

std::string lost_text(const data::VerificationSet& set, const Embeddings& made) {
  std::string text;
  if (!set.missing.empty()) {
    text += fmt::format("; {} pairs name {} pictures that are not there: {}, …", set.pairs_left_out, set.missing.size(),
                        set.missing[0]);
  }
  if (!made.unreadable.empty()) {
    text += fmt::format("; {} pictures cannot be read: {}, …", made.unreadable.size(), made.unreadable.begin()->second);
  }
  return text;
}

}  // namespace

PairAngles angles_of(const data::VerificationSet& set, const Embeddings& made, const std::string& list) {
  PairAngles found;
  for (const data::PicturePair& pair : set.pairs) {
    if (made.unreadable.contains(pair.first) || made.unreadable.contains(pair.second)) continue;
    try {
      found.angles.push_back(angle_between(row_of(made.rows, pair.first), row_of(made.rows, pair.second)));
    } catch (const Error& error) {
      throw Error(
          fmt::format("{} and {}: {}", set.pictures->name(pair.first), set.pictures->name(pair.second), error.what()));
    }
    found.pairs.push_back(pair);
  }
  const auto same = std::ranges::count(found.pairs, true, &data::PicturePair::same);
  const auto others = std::ranges::count(found.pairs, false, &data::PicturePair::same);
  GSNET_CHECK(same > 0 && others > 0,
              fmt::format("{}: {} pairs of one person and {} of two are left, both kinds are needed{}", list, same,
                          others, lost_text(set, made)));
  return found;
}

VerifyCondition condition_of(const std::string& name, const PairAngles& found) {
  VerifyCondition condition{.name = name};
  for (size_t i = 0; i < found.pairs.size(); ++i) {
    condition.pairs.push_back({std::cos(found.angles[i]), found.pairs[i].same, found.pairs[i].fold});
  }
  return condition;
}

}  // namespace gsnet::apps
