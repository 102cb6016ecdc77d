// gsnet import
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <filesystem>
#include <initializer_list>

#include "apps/command.h"
#include "apps/options.h"
#include "apps/outputs.h"
#include "io/import_gs.h"
#include "io/import_state.h"
#include "io/model_file.h"
#include "io/onnx_import.h"
#include "io/torch_file.h"
#include "layers/architectures.h"

namespace gsnet::apps {
namespace {

/// Of those with a public state dict.
std::string architecture_names() {
  std::vector<std::string_view> names;
  for (const Architecture& one : architectures()) {
    if (!one.head.empty()) names.push_back(one.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

void declare(Options& options) {
  options.positional("FILE", "an ONNX file; or a state dict: safetensors, or what torch.save wrote")
      .value("out", "the model file to write")
      .value("architecture", "plain network: " + architecture_names())
      .value("size", "side of its pictures, or HIGH,WIDE, where they are not those of the published network")
      .value("network", "plain network: a JSON file that describes it (docs/import.md)")
      .value("prefix", "take the tensors whose names begin with this, cut off")
      .value("mean", "of the input's channels, pixels being 0 ... 1: 0.485,0.456,0.406")
      .value("stddev", "of the input's channels: 0.229,0.224,0.225")
      .value("order", "in which the network takes colours: rgb or bgr", "rgb")
      .value("classes", "names separated by commas, or a file with one a line")
      .value("input", "ONNX: the shape of one input, 3,112,112, where the file leaves it open")
      .value("output", "ONNX: which output, where there are several")
      .value("conv-layer", "soc, permuted_soc, gs_soc, gs_soc_accelerated or lpr_soc")
      .value("groups", "4, or 4,1 for two exponentials")
      .value("activation", "minmax, minmax_permuted or maxmin")
      .value("paired", "true or false")
      .value("init-channels", "width of the first level")
      .value("block-size", "convolutions a level")
      .value("num-classes", "classes")
      .machine();
}

std::vector<double> numbers(const Options& options, const char* name) {
  if (!options.given(name)) throw UsageError(fmt::format("a plain network needs --{}", name));
  std::vector<double> values;
  for (const std::string& part : split_list(options.text(name))) values.push_back(parse_number(part));
  return values;
}

std::vector<std::string> class_names(const std::string& text) {
  if (text.empty()) return {};
  if (!std::filesystem::is_regular_file(text)) return split_list(text);
  std::vector<std::string> lines = split_list(io::read_text(text, 1U << 20U), '\n');
  for (std::string& line : lines) {
    if (line.ends_with('\r')) line.pop_back();
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

/// "160" or "112,96", with the channels of the published network.
Shape picture_size(const std::string& architecture, const std::string& text) {
  if (architecture.empty()) throw UsageError("--size needs --architecture");
  const std::vector<std::string> parts = split_list(text);
  std::vector<int64_t> sides;
  for (const std::string& part : parts) {
    const double side = parse_number(part);
    if (!(side >= 1 && side <= 65'536) || side != std::floor(side)) {
      throw UsageError(fmt::format("--size: '{}' is no number of pixels", part));
    }
    sides.push_back(static_cast<int64_t>(side));
  }
  if (sides.size() > 2) throw UsageError("--size: one or two numbers, HIGH,WIDE");
  const Shape known = find_architecture(architecture).input;
  return {known.rank() == 3 ? known[0] : 3, sides.front(), sides.back()};
}

constexpr std::initializer_list<const char*> kGsOptions = {"conv-layer",    "groups",     "activation", "paired",
                                                           "init-channels", "block-size", "num-classes"};

void refuse(const Options& options, std::initializer_list<const char*> names, const char* place) {
  for (const char* name : names) {
    if (options.given(name)) throw UsageError(fmt::format("--{} is for {}", name, place));
  }
}

Shape parse_shape(const std::string& text) {
  std::vector<int64_t> extents;
  for (const std::string& part : split_list(text)) {
    const double extent = parse_number(part);
    if (extent < 1 || extent > 65'536 || extent != std::floor(extent)) {
      throw UsageError(fmt::format("--input must be extents from 1 to 65536 like 3,112,112, got '{}'", text));
    }
    extents.push_back(static_cast<int64_t>(extent));
  }
  if (extents.size() != 1 && extents.size() != 3) throw UsageError("--input must be C,H,W or C");
  return Shape(std::span<const int64_t>(extents));
}

ChannelOrder order(const Options& options) {
  try {
    return io::channel_order(options.text("order"));
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

io::OnnxImportOptions onnx_options(const Options& options) {
  refuse(options, kGsOptions, "networks of the GS paper's code");
  refuse(options, {"architecture", "network", "prefix", "size"}, "state dicts");
  io::OnnxImportOptions wanted;
  if (options.given("mean")) wanted.mean = numbers(options, "mean");
  if (options.given("stddev")) wanted.stddev = numbers(options, "stddev");
  if (options.given("input")) wanted.input = parse_shape(options.text("input"));
  if (options.given("order")) wanted.order = order(options);
  wanted.output = options.text("output");
  wanted.class_names = class_names(options.text("classes"));
  return wanted;
}

/// Says what the model file holds, and what nobody said.
void report(const Model& model, const Options& options, bool onnx) {
  fmt::print("{} layers, {} {}: {}\n", model.graph->nodes().size(), model.graph->output().numel(),
             model.info.class_names.empty() ? "numbers of an embedding" : "logits", options.text("out"));
  const bool mean = options.given("mean"), stddev = options.given("stddev");
  if (!onnx || (mean && stddev)) return;
  fmt::print(
      "normalisation of pixels 0 ... 1: mean {}, stddev {}; not given: {}; the file's own, or 0 and 1 where it says "
      "nothing\n",
      fmt::join(model.info.mean, ","), fmt::join(model.info.stddev, ","),
      mean     ? "--stddev"
      : stddev ? "--mean"
               : "--mean and --stddev");
}

io::StateImportOptions plain_options(const Options& options) {
  refuse(options, kGsOptions, "networks of the GS paper's code");
  refuse(options, {"input", "output"}, "ONNX files");
  io::StateImportOptions wanted;
  wanted.architecture = options.text("architecture");
  if (options.given("network")) {
    if (options.given("architecture")) throw UsageError("either --architecture or --network");
    const std::string file = options.text("network");
    try {
      wanted.network = io::description_from_json(io::read_text(file));
    } catch (const Error& error) {
      throw Error(fmt::format("{}: {}", file, error.what()));
    }
  }
  if (options.given("size")) wanted.input = picture_size(wanted.architecture, options.text("size"));
  wanted.prefix = options.text("prefix");
  wanted.mean = numbers(options, "mean");
  wanted.stddev = numbers(options, "stddev");
  wanted.class_names = class_names(options.text("classes"));
  wanted.order = order(options);
  return wanted;
}

io::GsImportOptions gs_options(const Options& options) {
  refuse(options, {"input", "output"}, "ONNX files");
  for (const char* name : {"mean", "stddev", "order", "classes", "size"}) {
    if (options.given(name)) throw UsageError(fmt::format("--{} needs --architecture or --network", name));
  }
  io::GsImportOptions wanted;
  const auto text = [&](const char* name, std::optional<std::string>& to) {
    if (options.given(name)) to = options.text(name);
  };
  const auto number = [&](const char* name, std::optional<int64_t>& to) {
    if (options.given(name)) to = options.integer(name, 1, 1'000'000);
  };
  text("conv-layer", wanted.conv_layer);
  text("groups", wanted.groups);
  text("activation", wanted.activation);
  number("init-channels", wanted.init_channels);
  number("block-size", wanted.block_size);
  number("num-classes", wanted.num_classes);
  if (options.given("paired")) {
    const std::string value = options.text("paired");
    if (value != "true" && value != "false") throw UsageError("--paired must be true or false");
    wanted.paired = value == "true";
  }
  return wanted;
}

}  // namespace

int import_command(const std::vector<std::string>& arguments) {
  Options options("import FILE --out MODEL",
                  "Makes a model file of an ONNX file, or of a state dict: safetensors or a PyTorch file, in which\n"
                  "nothing is executed. Of a state dict, a network of plain layers is named by --architecture or\n"
                  "described by --network, with --mean and --stddev. Otherwise the state dict is one of the\n"
                  "Group-and-Shuffle paper's public code; its settings come from the file's metadata, or from the\n"
                  "options, which win.");
  declare(options);
  if (!options.parse(arguments)) return 0;
  if (!options.given("out")) throw UsageError("import needs --out MODEL");
  require_writable(options, {"out"}, {"FILE", "network"});
  const std::string file = options.text("FILE"), prefix = options.text("prefix");
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  if (io::is_onnx_file(file)) {
    const Model model = io::import_onnx(file, onnx_options(options), *backend);
    io::save_model(options.text("out"), model);
    report(model, options, true);
    return 0;
  }
  const bool plain = options.given("architecture") || options.given("network");
  const auto plain_wanted = plain ? std::optional(plain_options(options)) : std::nullopt;
  const auto gs_wanted = plain ? std::nullopt : std::optional(gs_options(options));
  const io::TensorFile state = io::read_tensors(file);
  try {
    const auto gs_state = [&] {
      io::TensorFile part = prefix.empty() ? state : io::sub_state(state, prefix);
      part.metadata = state.metadata;
      return part;
    };
    const Model model =
        plain ? io::import_state(state, *plain_wanted, *backend) : io::import_gs(gs_state(), *gs_wanted, *backend);
    io::save_model(options.text("out"), model);
    report(model, options, false);
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", file, error.what()));
  }
  return 0;
}

}  // namespace gsnet::apps
