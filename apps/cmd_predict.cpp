// gsnet predict
#include <fmt/format.h>

#include <algorithm>

#include "apps/command.h"
#include "apps/options.h"
#include "io/model_file.h"

namespace gsnet::apps {

int predict_command(const std::vector<std::string>& arguments) {
  Options options(
      "predict MODEL --input x.safetensors --output y.safetensors",
      "Runs the model in evaluation form on the tensor \"input\" (N, C, H, W), already normalised, and writes\n"
      "the tensor \"logits\" (N, K).");
  options.positional("MODEL", "a model file")
      .value("input", "safetensors file with the tensor \"input\"")
      .value("output", "safetensors file to write")
      .value("batch", "samples at a time", "128")
      .machine();
  if (!options.parse(arguments)) return 0;
  if (!options.given("input") || !options.given("output")) throw UsageError("predict needs --input and --output");
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  const Model model = io::load_model(options.text("MODEL"), *backend);
  const std::string file = options.text("input");
  const io::TensorFile inputs = io::read_safetensors(file);
  const Tensor* x = inputs.find("input");
  GSNET_CHECK(x != nullptr, fmt::format("{}: there is no tensor \"input\"", file));
  const Shape wanted = model.graph->input();
  GSNET_CHECK(
      x->shape().rank() == wanted.rank() + 1 && std::ranges::equal(x->shape().extents().subspan(1), wanted.extents()),
      fmt::format("{}: \"input\" is {}, the model takes (N, …) of {}", file, to_string(x->shape()), to_string(wanted)));
  const int64_t count = x->shape()[0], batch = options.integer("batch", 1, 100'000),
                classes = model.graph->output().numel();
  Tensor logits = Tensor::empty({count, classes}, DType::f32);
  for (int64_t first = 0; first < count; first += batch) {
    const int64_t rows = std::min(batch, count - first);
    Tensor part = x->rows(first, rows);
    if (wanted.rank() == 3) part = with_layout(part, Layout::channels_last);
    Tape tape(*backend, {});
    const Var z = model.graph->forward(tape, tape.input(backend->upload(part)));
    const Tensor numbers = with_dtype(backend->download(z.value), DType::f32);
    std::ranges::copy(numbers.host<float>(), logits.rows(first, rows).host<float>().begin());
  }
  io::write_safetensors(options.text("output"), {{{"logits", logits}}, {}});
  fmt::print("{} rows of {} logits: {}\n", count, classes, options.text("output"));
  return 0;
}

}  // namespace gsnet::apps
