// The table of layer types: what a Description may name.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "layers/activations.h"
#include "layers/combine.h"
#include "layers/conv2d.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "layers/orthogonal/group_shuffle.h"
#include "layers/orthogonal/gs_rotation.h"
#include "layers/pool.h"
#include "layers/reshape.h"
#include "layers/simple.h"

namespace gsnet {
namespace {

using Build = std::unique_ptr<Module> (*)(const Attributes&, const BuildContext&);

template <class M>
std::unique_ptr<Module> plain(const Attributes& attributes, const BuildContext&) {
  return std::make_unique<M>(attributes);
}

template <class M>
std::unique_ptr<Module> bare(const Attributes& attributes, const BuildContext&) {
  attributes.allow_only({});
  return std::make_unique<M>();
}

template <class M>
std::unique_ptr<Module> placed(const Attributes& attributes, const BuildContext& context) {
  return std::make_unique<M>(attributes, context);
}

std::unique_ptr<Module> skew_conv(const Attributes& attributes, const BuildContext& context) {
  return std::make_unique<SkewConv>(SkewConvSpec::from(attributes), context);
}

template <UnaryOp op>
std::unique_ptr<Module> squash(const Attributes& attributes, const BuildContext&) {
  attributes.allow_only({});
  return std::make_unique<Squash>(op);
}

template <bool swish>
std::unique_ptr<Module> hard(const Attributes& attributes, const BuildContext& context) {
  return std::make_unique<HardSigmoid>(attributes, context, swish);
}

struct Entry {
  const char* type;
  int inputs;  // 0: any number
  Build build;
};

constexpr Entry kTable[] = {
    {"skew_conv", 1, skew_conv},
    {"group_shuffle_conv", 1, placed<GroupShuffleConv>},
    {"gs_rotation", 1, placed<GsRotation>},
    {"conv2d", 1, placed<Conv2d>},
    {"linear", 1, placed<Linear>},
    {"orthogonal_linear", 1, placed<OrthogonalLinear>},
    {"maxmin", 1, plain<MaxMin>},
    {"group_sort", 1, plain<GroupSort>},
    {"householder", 1, placed<Householder>},
    {"relu", 1, bare<Relu>},
    {"clip", 1, plain<Clip>},
    {"prelu", 1, placed<Prelu>},
    {"leaky_relu", 1, placed<LeakyRelu>},
    {"sigmoid", 1, squash<UnaryOp::sigmoid>},
    {"tanh", 1, squash<UnaryOp::tanh>},
    {"silu", 1, bare<Silu>},
    {"hard_sigmoid", 1, hard<false>},
    {"hard_swish", 1, hard<true>},
    {"softmax", 1, bare<Softmax>},
    {"pool", 1, plain<Pool>},
    {"flatten", 1, bare<Flatten>},
    {"space_to_depth", 1, plain<SpaceToDepth>},
    {"batch_norm", 1, placed<BatchNorm>},
    {"pad_channels", 1, plain<PadChannels>},
    {"scale_shift", 1, placed<ScaleShift>},
    {"pad", 1, plain<Pad>},
    {"reshape", 1, plain<Reshape>},
    {"permute", 1, plain<Permute>},
    {"add", 0, bare<Add>},
    {"subtract", 2, bare<Subtract>},
    {"multiply", 2, bare<Multiply>},
    {"concat", 0, bare<Concat>},
};

}  // namespace

std::unique_ptr<Module> build_module(const std::string& type, const Attributes& attributes,
                                     const BuildContext& context) {
  for (const Entry& entry : kTable) {
    if (entry.type != type) continue;
    GSNET_CHECK(
        entry.inputs == 0 || entry.inputs == static_cast<int>(context.inputs.size()),
        fmt::format("takes {} input{}, got {}", entry.inputs, entry.inputs == 1 ? "" : "s", context.inputs.size()));
    return entry.build(attributes, context);
  }
  throw Error(fmt::format("unknown layer type '{}'; known are {}", type, fmt::join(module_types(), ", ")));
}

std::vector<std::string> module_types() {
  std::vector<std::string> types;
  for (const Entry& entry : kTable) types.emplace_back(entry.type);
  return types;
}

}  // namespace gsnet
