#include "apps/outputs.h"

#include <fmt/format.h>

#include <system_error>

#include "core/error.h"
#include "io/file.h"

namespace gsnet::apps {

void require_writable(const Options& options, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (options.given(name) && options.text(name) != "-") io::require_writable(options.text(name));
  }
}

void make_report_folder(const std::filesystem::path& folder) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  GSNET_CHECK(!code, fmt::format("{}: cannot make the report's folder: {}", folder.string(), code.message()));
  io::require_writable(folder / "report");
}

}  // namespace gsnet::apps
