#include "apps/outputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "core/error.h"
#include "io/file.h"
#include "io/model_file.h"
#include "io/onnx_export.h"

namespace gsnet::apps {

bool same_file(const std::string& a, const std::string& b) {
  std::error_code code;
  if (std::filesystem::equivalent(a, b, code)) return true;
  return std::filesystem::absolute(a, code).lexically_normal() == std::filesystem::absolute(b, code).lexically_normal();
}

void require_writable(const Options& options, std::initializer_list<const char*> names,
                      std::initializer_list<const char*> inputs, std::initializer_list<const char*> to_stdout) {
  std::vector<std::pair<std::string, std::string>> taken;  // what names it, and the file
  for (const char* name : inputs) {
    if (!options.given(name)) continue;
    taken.emplace_back(name, options.text(name));
    const std::vector<std::string> parts = split_list(options.text(name));
    for (size_t i = 0; parts.size() > 1 && i < parts.size(); ++i) taken.emplace_back(name, parts[i]);
  }
  for (const char* name : names) {
    if (!options.given(name)) continue;
    const std::string file = options.text(name);
    if (file == "-") {
      const auto is_name = [&](const char* other) { return std::string_view(other) == name; };
      if (is_name("json") || std::ranges::any_of(to_stdout, is_name)) continue;
      throw UsageError(fmt::format("--{} -: it is a file, standard output has no place for it", name));
    }
    for (const auto& [other, path] : taken) {
      if (same_file(file, path)) throw UsageError(fmt::format("--{} {}: that is {} too", name, file, other));
    }
    io::require_writable(file);
    taken.emplace_back(fmt::format("--{}", name), file);
  }
}

void write_network(const std::string& file, const Model& model) {
  if (std::filesystem::path(file).extension() == ".onnx") return io::export_onnx(file, model);
  io::save_model(file, model);
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

void make_report_folder(const std::filesystem::path& folder) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  GSNET_CHECK(!code, fmt::format("{}: cannot make the report's folder: {}", folder.string(), code.message()));
  io::require_writable(folder / "report");
}

}  // namespace gsnet::apps
