#include <cstdio>
#include <filesystem>
#include <vector>

#include "autograd/ops.h"
#include "data/loader.h"
#include "io/model_file.h"
#include "layers/lipconvnet.h"

int main(int, char** arguments) {
  if (std::filesystem::exists(arguments[1])) {
    const auto pictures = gsnet::data::open_dataset(arguments[1], {});
    std::vector<uint8_t> pixels(static_cast<size_t>(pictures->picture().numel()));
    pictures->read(0, pixels);
    if (pixels[0] != 255 || pixels[1] != 0) return 1;
  }
  const auto backend = gsnet::make_backend({.name = "cpu", .threads = 1});
  gsnet::Graph graph(gsnet::lipconvnet({{"width", int64_t{4}}, {"groups", int64_t{2}}}, {3, 32, 32}, 10), *backend,
                     gsnet::RandomKey(1));
  const auto glyphs = gsnet::data::make_glyphs({.size = 8});
  const auto batch = gsnet::data::read_batch(*glyphs, 0, 8, {{0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}});
  gsnet::Tape tape(*backend, {});
  const gsnet::Var logits = graph.forward(tape, tape.input(backend->upload(batch.images)));
  std::printf("%s\n", to_string(logits.shape()).c_str());
  return logits.shape() == gsnet::Shape{8, 10} ? 0 : 1;
}
