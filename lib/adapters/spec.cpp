#include "adapters/spec.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"

namespace gsnet {
namespace {

constexpr const char* kKinds[] = {"gsoft", "double_gsoft", "oft", "boft", "lora", "dora"};
constexpr const char* kForms[] = {"channel", "kernel"};
constexpr const char* kMaps[] = {"cayley", "exp", "neumann"};

std::vector<std::string> keys_of(AdapterKind kind) {
  if (kind == AdapterKind::lora || kind == AdapterKind::dora) return {"kind", "rank", "alpha", "rank_stabilised"};
  std::vector<std::string> keys = {"kind", "form", "map", "block", "scale"};
  if (kind == AdapterKind::oft) {
    keys.insert(keys.end(), {"share", "constraint", "terms"});
  } else {
    keys.emplace_back("factors");
  }
  return keys;
}

int64_t positive(const Attributes& attributes, const char* key, int64_t missing) {
  const int64_t value = attributes.integer(key, missing);
  GSNET_CHECK(value >= 1 && value <= 65'536, fmt::format("setting '{}' must be 1 … 65536, got {}", key, value));
  return value;
}

}  // namespace

std::string to_string(AdapterKind kind) { return kKinds[static_cast<size_t>(kind)]; }

AdapterSpec AdapterSpec::from(const Attributes& attributes) {
  AdapterSpec spec;
  const auto choose = [&](const char* key, std::initializer_list<std::string_view> choices, size_t missing) {
    return attributes.find(key) == nullptr ? missing : attributes.choice(key, choices);
  };
  spec.kind = static_cast<AdapterKind>(choose("kind", {"gsoft", "double_gsoft", "oft", "boft", "lora", "dora"}, 0));
  const std::vector<std::string> known = keys_of(spec.kind);
  for (const auto& [key, value] : attributes.entries()) {
    GSNET_CHECK(std::ranges::find(known, key) != known.end(),
                fmt::format("adapter kind {} has no setting '{}'; it has {}", to_string(spec.kind), key,
                            fmt::join(known, ", ")));
  }
  const bool kernel_form = spec.kind == AdapterKind::oft || spec.kind == AdapterKind::boft;
  spec.form = static_cast<RotationForm>(choose("form", {"channel", "kernel"}, kernel_form ? 1 : 0));
  spec.map = static_cast<OrthogonalMap>(choose("map", {"cayley", "exp", "neumann"}, 0));
  spec.block = positive(attributes, "block", spec.block);
  spec.factors = positive(attributes, "factors", spec.kind == AdapterKind::oft ? 1 : spec.factors);
  spec.scale = attributes.flag("scale", spec.kind == AdapterKind::boft);
  spec.share = attributes.flag("share", spec.share);
  spec.constraint = attributes.number("constraint", spec.constraint);
  spec.terms = positive(attributes, "terms", spec.terms);
  spec.rank = positive(attributes, "rank", spec.rank);
  spec.alpha = attributes.number("alpha", static_cast<double>(spec.rank));
  spec.rank_stabilised = attributes.flag("rank_stabilised", spec.rank_stabilised);
  GSNET_CHECK(std::isfinite(spec.constraint) && spec.constraint >= 0,
              fmt::format("setting 'constraint' must be at least 0, got {}", spec.constraint));
  GSNET_CHECK(std::isfinite(spec.alpha) && spec.alpha > 0,
              fmt::format("setting 'alpha' must be positive, got {}", spec.alpha));
  GSNET_CHECK(spec.map != OrthogonalMap::neumann || spec.kind == AdapterKind::oft,
              "map 'neumann' is for reading PEFT's OFT: use cayley");
  GSNET_CHECK(spec.factors <= 16, fmt::format("setting 'factors' must be 1 … 16, got {}", spec.factors));
  GSNET_CHECK(spec.terms <= 64, fmt::format("setting 'terms' must be 1 … 64, got {}", spec.terms));
  return spec;
}

Attributes AdapterSpec::attributes() const {
  const Attributes all = {{"kind", to_string(kind)},
                          {"form", std::string(kForms[static_cast<size_t>(form)])},
                          {"map", std::string(kMaps[static_cast<size_t>(map)])},
                          {"block", block},
                          {"scale", scale},
                          {"share", share},
                          {"constraint", constraint},
                          {"terms", terms},
                          {"factors", factors},
                          {"rank", rank},
                          {"alpha", alpha},
                          {"rank_stabilised", rank_stabilised}};
  Attributes used;
  for (const std::string& key : keys_of(kind)) used.set(key, *all.find(key));
  return used;
}

double AdapterSpec::low_rank_scale() const {
  const auto r = static_cast<double>(rank);
  return alpha / (rank_stabilised ? std::sqrt(r) : r);
}

}  // namespace gsnet
