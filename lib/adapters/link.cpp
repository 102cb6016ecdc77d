#include "adapters/link.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "adapters/low_rank.h"
#include "adapters/rotation_link.h"
#include "core/error.h"

namespace gsnet {

Var AdapterLink::apply(Tape& tape, const Var& w) {
  if (!enabled_ || strength_ == 0) return w;
  if (strength_ == 1) return adapted(tape, w);
  GSNET_CHECK(!tape.mode().training, fmt::format("layer '{}': adapter '{}' trains at strength 1 only, it has {}",
                                                 site_.layer, adapter_, strength_));
  return adapted_at(tape, w, strength_);
}

uint64_t AdapterLink::version() const {
  uint64_t sum = switches_;
  for (const auto& [name, parameter] : parameters_) sum += parameter.version;
  return sum;
}

void AdapterLink::enable(bool on) {
  switches_ += on == enabled_ ? 0 : 1;
  enabled_ = on;
}

void AdapterLink::set_strength(double t) {
  GSNET_CHECK(std::isfinite(t), fmt::format("a strength must be a finite number, got {}", t));
  switches_ += t == strength_ ? 0 : 1;
  strength_ = t;
}

void AdapterLink::visit(const std::string& path, Visitor& visitor) {
  for (auto& [name, parameter] : parameters_) {
    visitor.parameter(fmt::format("{}.{}.{}", path, adapter_, name), parameter);
  }
}

std::vector<std::pair<std::string, Parameter*>> AdapterLink::parameters() {
  std::vector<std::pair<std::string, Parameter*>> all;
  for (auto& [name, parameter] : parameters_) all.emplace_back(name, &parameter);
  return all;
}

const Parameter* AdapterLink::find(const std::string& name) const {
  const auto found = std::ranges::find(parameters_, name, &std::pair<std::string, Parameter>::first);
  return found == parameters_.end() ? nullptr : &found->second;
}

Parameter& AdapterLink::keep(std::string name, Tensor value) {
  Parameter& made = parameters_.emplace_back(std::move(name), Parameter{}).second;
  made.value = std::move(value);
  made.decay = false;
  return made;
}

std::shared_ptr<AdapterLink> make_link(Backend& backend, const std::string& adapter, const AdapterSpec& spec,
                                       const AdapterSite& site, const Tensor& base, RandomKey key) {
  try {
    if (spec.low_rank()) return std::make_shared<LowRankLink>(backend, adapter, spec, site, base, key);
    return std::make_shared<RotationLink>(backend, adapter, spec, site);
  } catch (const Error& error) {
    throw Error(fmt::format("layer '{}' cannot take {}: {}", site.layer, to_string(spec.kind), error.what()));
  }
}

}  // namespace gsnet
