#include <fmt/format.h>

#include "backend/host/host_backend.h"
#include "backend/reference/make.h"

namespace gsnet {
namespace {

class ReferenceBackend final : public host::HostBackend<double> {
 public:
  using host::HostBackend<double>::HostBackend;
  std::string name() const override { return "reference"; }
  std::string description() const override { return fmt::format("plain loops in f64, {} threads", threads()); }
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend(int threads) { return std::make_unique<ReferenceBackend>(threads); }

}  // namespace gsnet
