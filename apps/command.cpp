#include "apps/command.h"

#include <fmt/format.h>

#include <cstdio>
#include <exception>

namespace gsnet::apps {
namespace {

constexpr Command kCommands[] = {
    {"train", "train a 1-Lipschitz classifier from a recipe", train_command},
    {"adapt", "fine-tune a pretrained network with an adapter", adapt_command},
    {"merge", "fold an adapter into its network", merge_command},
    {"certify", "certified accuracy of a model on a test set, with a report", certify_command},
    {"attack", "attacks on a model, held against its certificates", attack_command},
    {"smooth", "certified accuracy by randomised smoothing, for any model", smooth_command},
    {"verify", "are two pictures of one person: accuracy, TAR at FAR, certificates", verify_command},
    {"embed", "embeddings of pictures", embed_command},
    {"predict", "classes or embeddings of pictures, logits of tensors", predict_command},
    {"inspect", "layers of a model: shapes, parameters, MACs, Lipschitz bounds", inspect_command},
    {"import", "a model from an ONNX file, a PyTorch state dict or the GS paper's checkpoints", import_command},
    {"export", "a model as an ONNX file", export_command},
    {"adapter", "show an adapter; read and write those of PEFT", adapter_command},
    {"data", "list, download and look into data sets", data_command},
    {"bench", "time training and evaluation of a network", bench_command},
    {"signature", "one number that fingerprints what training computes", signature_command},
};

std::string help() {
  std::string text =
      "gsnet trains, certifies and inspects robust convolutional networks.\n\nusage: gsnet COMMAND [options]\n\n";
  for (const Command& command : kCommands) text += fmt::format("  {:<10} {}\n", command.name, command.summary);
  return text + "\ngsnet COMMAND --help says everything about a command; gsnet --version the version.\n";
}

int dispatch(const std::vector<std::string>& arguments) {
  if (arguments.empty()) throw UsageError("a command is needed; gsnet --help lists them");
  const std::string& first = arguments[0];
  if (first == "--help" || first == "-h" || first == "help") {
    fmt::print("{}", help());
    return 0;
  }
  if (first == "--version") {
    fmt::print("gsnet {}\n", GSNET_VERSION);
    return 0;
  }
  for (const Command& command : kCommands) {
    if (first == command.name) return command.run({arguments.begin() + 1, arguments.end()});
  }
  throw UsageError(fmt::format("unknown command '{}'; gsnet --help lists them", first));
}

}  // namespace

std::span<const Command> commands() { return kCommands; }

int run_command_line(const std::vector<std::string>& arguments) {
  try {
    const int code = dispatch(arguments);
    if (std::fflush(stdout) != 0) throw Error("standard output: cannot be written");
    return code;
  } catch (const UsageError& error) {
    fmt::print(stderr, "gsnet: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "gsnet: {}\n", error.what());
    return 1;
  }
}

}  // namespace gsnet::apps
