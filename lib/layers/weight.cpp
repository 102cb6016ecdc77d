#include "layers/weight.h"

#include <algorithm>

#include "core/error.h"

namespace gsnet {

void Weight::push(std::shared_ptr<Parametrisation> link) {
  chain_.push_back(std::move(link));
  kept_ = {};
}

void Weight::remove(const Parametrisation& link) {
  const auto found = std::ranges::find(chain_, &link, &std::shared_ptr<Parametrisation>::get);
  GSNET_CHECK(found != chain_.end(), "[weight] the link is not in the chain");
  chain_.erase(found);
  kept_ = {};
}

Var Weight::use(Tape& tape) {
  uint64_t version = stored.version;
  for (const auto& link : chain_) version += link->version();
  const bool constant = !tape.mode().record || tape.mode().frozen;
  if (!tape.mode().training && kept_ && kept_version_ == version && constant) return tape.input(kept_);
  Var w = tape.use(stored);
  for (const auto& link : chain_) w = link->apply(tape, w);
  if (!tape.mode().training && !w.tracked()) {
    kept_ = w.value;
    kept_version_ = version;
  } else if (tape.mode().training) {
    kept_ = {};
  }
  return w;
}

void Weight::visit(const std::string& path, Visitor& visitor) {
  visitor.parameter(path, stored);
  for (const auto& link : chain_) link->visit(path, visitor);
}

}  // namespace gsnet
