#include "certify/attack.h"

#include <fmt/format.h>

#include "core/error.h"

namespace gsnet {
namespace {

constexpr Attack kAttacks[] = {
    {"pgd", pgd_attack},   {"apgd-ce", apgd_ce_attack}, {"apgd-t", apgd_t_attack},
    {"fab-t", fab_attack}, {"square", square_attack},
};

}  // namespace

std::span<const Attack> attacks() { return kAttacks; }

const Attack& find_attack(const std::string& name) {
  std::string names;
  for (const Attack& attack : kAttacks) {
    if (name == attack.name) return attack;
    names += std::string(names.empty() ? "" : ", ") + attack.name;
  }
  throw Error(fmt::format("[attack] there is no attack '{}', only {}", name, names));
}

}  // namespace gsnet
