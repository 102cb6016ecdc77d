#include "layers/weight.h"

namespace gsnet {

Var Weight::use(Tape& tape) {
  uint64_t version = stored.version;
  for (const auto& link : chain_) version += link->version();
  if (!tape.mode().training && kept_ && kept_version_ == version && !tape.tracks(stored)) {
    return tape.input(kept_);
  }
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
