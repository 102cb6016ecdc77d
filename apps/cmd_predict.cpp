// gsnet predict
#include <fmt/format.h>

#include <algorithm>

#include "apps/command.h"
#include "apps/options.h"
#include "apps/outputs.h"
#include "apps/predict_pictures.h"
#include "io/model_file.h"

namespace gsnet::apps {
namespace {

void predict_tensor(const Model& model, const Options& options) {
  Backend& backend = model.graph->backend();
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
    Tape tape(backend, prediction_mode(options.has("fast"), count));
    const Var z = model.graph->forward(tape, tape.input(backend.upload(part)));
    const Tensor numbers = with_layout(with_dtype(backend.download(z.value), DType::f32), Layout::row_major);
    std::ranges::copy(numbers.host<float>(), logits.rows(first, rows).host<float>().begin());
  }
  io::write_safetensors(options.text("output"), {{{"logits", logits}}, {}});
  fmt::print("{} rows of {} logits: {}\n", count, classes, options.text("output"));
}

void predict_folder(const Model& model, const Options& options) {
  const Predictions found =
      predict_pictures(model, options.text("pictures"), options.integer("batch", 1, 100'000), options.has("fast"));
  const std::string to = options.text("output");
  if (to.empty()) {
    fmt::print("{}", predictions_table(model, found));
  } else if (to == "-") {
    fmt::print("{}", predictions_json(model, found));
  } else {
    write_predictions(to, model, found);
    fmt::print("{} pictures: {}\n", found.names.size(), to);
  }
  if (found.unreadable.empty()) return;
  fmt::print(stderr, "gsnet: {} of {} pictures left out:\n", found.unreadable.size(),
             found.unreadable.size() + found.names.size());
  for (const std::string& message : found.unreadable) fmt::print(stderr, "  {}\n", message);
}

}  // namespace

int predict_command(const std::vector<std::string>& arguments) {
  Options options("predict MODEL --pictures DIR|FILE [--output FILE]",
                  "Runs the model in evaluation form on pictures, cut to the square in the middle, scaled and\n"
                  "normalised as the model says: the likeliest class with its probability, or, where the model names\n"
                  "no classes, an embedding. Without --output a table is printed; else JSON, or safetensors where the\n"
                  "name says so, with everything. Pictures that cannot be read are left out, and named.\n"
                  "With --input, on the tensor \"input\" (N, C, H, W), already normalised, of a safetensors file;\n"
                  "the tensor \"logits\" (N, K) is written to --output.");
  options.positional("MODEL", "a model file")
      .value("pictures", "a picture, or a folder of them")
      .value("input", "safetensors file with the tensor \"input\"")
      .value("output", "file to write; - is JSON on standard output")
      .value("batch", "samples at a time", "128")
      .flag(
          "fast",
          "orthogonal convolutions by fewer multiplications, as validation does: several times faster, the same within "
          "1e-5; certificates of what was executed are of the other way")
      .machine();
  if (!options.parse(arguments)) return 0;
  if (options.given("pictures") == options.given("input")) {
    throw UsageError("predict needs either --pictures, or --input with --output");
  }
  if (options.given("input") && !options.given("output")) throw UsageError("predict needs --input and --output");
  if (options.given("pictures")) {
    require_writable(options, {"output"}, {"MODEL", "pictures"}, {"output"});
  } else {
    require_writable(options, {"output"}, {"MODEL", "input"});
  }
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  const Model model = io::load_model(options.text("MODEL"), *backend);
  options.given("pictures") ? predict_folder(model, options) : predict_tensor(model, options);
  return 0;
}

}  // namespace gsnet::apps
