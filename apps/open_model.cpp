#include "apps/open_model.h"

#include "io/model_file.h"
#include "io/onnx_import.h"

namespace gsnet::apps {

Model open_model(const std::filesystem::path& path, Backend& backend) {
  if (io::is_onnx_file(path)) return io::import_onnx(path, {.need_normalisation = true}, backend);
  return io::load_model(path, backend);
}

}  // namespace gsnet::apps
