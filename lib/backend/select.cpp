// Machines by name: a literal table, no registration.
#include <fmt/format.h>

#include "backend/check/make.h"
#include "backend/cpu/make.h"
#include "backend/no_cuda/make.h"
#include "backend/reference/make.h"
#include "core/error.h"

namespace gsnet {

std::unique_ptr<Backend> make_backend(const BackendSpec& spec) {
  GSNET_CHECK(spec.threads >= 0 && spec.threads <= 1024, fmt::format("threads must be 0 … 1024, got {}", spec.threads));
  if (spec.name == "reference") return make_reference_backend(spec.threads);
  if (spec.name == "cpu") return make_cpu_backend(spec.threads);
  if (spec.name == "cuda") return make_cuda_backend();
  constexpr std::string_view kCheck = "check:";
  if (spec.name.starts_with(kCheck)) {
    const std::string pair = spec.name.substr(kCheck.size());
    const size_t comma = pair.find(',');
    GSNET_CHECK(comma != std::string::npos && !pair.substr(0, comma).starts_with(kCheck),
                fmt::format("backend '{}': write check:A,B with two machines", spec.name));
    return make_check_backend(make_backend({pair.substr(0, comma), spec.threads}),
                              make_backend({pair.substr(comma + 1), spec.threads}));
  }
  throw Error(fmt::format("unknown backend '{}'; there are cpu, reference, cuda, check:A,B", spec.name));
}

}  // namespace gsnet
