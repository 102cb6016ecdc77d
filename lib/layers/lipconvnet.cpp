#include "layers/lipconvnet.h"

#include <fmt/format.h>

#include "core/error.h"

namespace gsnet {
namespace {

constexpr int kLevels = 5;

constexpr const char* kSeriesKeys[] = {"scale", "train_series", "train_degree", "eval_series", "eval_degree", "save"};

void copy_settings(const Attributes& from, Attributes& to, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (const AttributeValue* value = from.find(key)) to.set(key, *value);
  }
}

/// As many groups as asked for, or the most that divide the channels and that `inputs` channels can all feed: pictures
/// of three channels would leave a fourth group without any. The reference code's `head` fit takes the number as it is.
int64_t fed_groups(const Attributes& settings, int64_t groups, int64_t inputs, int64_t channels) {
  if (settings.text("fit", "per_group") == "head") return groups;
  while (groups > 1 && (groups > inputs || channels % groups != 0)) --groups;
  return groups;
}

NodeDescription convolution(const Attributes& settings, const std::string& variant, int64_t inputs, int64_t channels,
                            int64_t kernel, int64_t stride) {
  NodeDescription node;
  node.type = variant == "gs" || variant == "lpr" ? "group_shuffle_conv" : "skew_conv";
  const int64_t wanted = settings.integer("groups", variant == "soc" ? 1 : 4);
  GSNET_CHECK(wanted >= 1, fmt::format("groups must be at least 1, got {}", wanted));
  GSNET_CHECK(variant != "soc" || wanted == 1,
              fmt::format("variant soc has one group, got {}: groups without a shuffle never mix", wanted));
  const int64_t groups = inputs == 0 ? wanted : fed_groups(settings, wanted, inputs, channels);
  node.attributes = {{"channels", channels}, {"kernel", kernel}, {"stride", stride}, {"groups", groups}};
  if (variant == "permuted") node.attributes.set("shuffle", groups);
  if (node.type == "group_shuffle_conv") {
    node.attributes.set("groups2", settings.integer("groups2", variant == "lpr" ? groups : 0));
    copy_settings(settings, node.attributes, {"variant", "shuffle2"});
  }
  copy_settings(settings, node.attributes, {"paired", "fit"});
  node.attributes.set("scale", std::string("stretch"));
  for (const char* key : kSeriesKeys) copy_settings(settings, node.attributes, {key});
  if (kernel > 1) copy_settings(settings, node.attributes, {"norm"});
  return node;
}

NodeDescription activation(const Attributes& settings) {
  const std::string kind = settings.text("activation", "maxmin");
  if (kind == "householder") return {"", "householder", {}, {}};
  GSNET_CHECK(kind == "maxmin" || kind == "maxmin_halves",
              fmt::format("setting 'activation' must be one of maxmin, maxmin_halves, householder, got '{}'", kind));
  NodeDescription node{"", "maxmin", {}, {{"pairing", std::string(kind == "maxmin" ? "neighbours" : "halves")}}};
  copy_settings(settings, node.attributes, {"order"});
  return node;
}

NodeDescription head(const Attributes& settings, int64_t classes) {
  const std::string kind = settings.text("head", "normalised");
  GSNET_CHECK(kind == "normalised" || kind == "orthogonal" || kind == "linear",
              fmt::format("setting 'head' must be one of normalised, orthogonal, linear, got '{}'", kind));
  NodeDescription node{"head", kind == "orthogonal" ? "orthogonal_linear" : "linear", {}, {{"features", classes}}};
  if (kind == "normalised") node.attributes.set("unit_rows", true);
  if (kind == "orthogonal") {
    node.attributes.set("scale", std::string("stretch"));
    for (const char* key : kSeriesKeys) copy_settings(settings, node.attributes, {key});
    copy_settings(settings, node.attributes, {"fit"});
  }
  return node;
}

}  // namespace

Description lipconvnet(const Attributes& settings, const Shape& input, int64_t classes) {
  settings.allow_only({"depth", "width", "groups", "groups2", "variant", "paired", "activation", "order", "head", "fit",
                       "scale", "norm", "train_series", "train_degree", "eval_series", "eval_degree", "save",
                       "shuffle2"});
  const int64_t depth = settings.integer("depth", 5), width = settings.integer("width", 32);
  const std::string variant = settings.text("variant", "gs");
  GSNET_CHECK(depth >= kLevels && depth % kLevels == 0 && depth <= 100,
              fmt::format("depth must be a multiple of 5 up to 100, got {}", depth));
  GSNET_CHECK(width >= 2 && width % 2 == 0 && width <= 4096,
              fmt::format("width must be even, 2 … 4096, got {}", width));
  GSNET_CHECK(variant == "gs" || variant == "lpr" || variant == "permuted" || variant == "soc",
              fmt::format("setting 'variant' must be one of gs, lpr, permuted, soc, got '{}'", variant));
  GSNET_CHECK(input.rank() == 3 && input[1] % 32 == 0 && input[2] % 32 == 0,
              fmt::format("a LipConvNet needs pictures whose sides divide by 32, got {}", to_string(input)));
  GSNET_CHECK(classes >= 2, fmt::format("needs at least two classes, got {}", classes));
  Description net;
  net.input = input;
  int64_t channels = width;
  for (int level = 1; level <= kLevels; ++level) {
    for (int64_t block = 0; block < depth / kLevels; ++block) {
      const bool last = block == depth / kLevels - 1;
      const int64_t kernel = last && level == kLevels ? 1 : 3;
      const int64_t pictures = net.nodes.empty() ? input[0] * (last ? 4 : 1) : 0;  // 0: not the first layer
      NodeDescription conv =
          convolution(settings, variant, pictures, last ? 2 * channels : channels, kernel, last ? 2 : 1);
      conv.name = fmt::format("level{}.conv{}", level, block);
      NodeDescription act = activation(settings);
      act.name = fmt::format("level{}.act{}", level, block);
      net.nodes.push_back(std::move(conv));
      net.nodes.push_back(std::move(act));
    }
    channels *= 2;
  }
  net.nodes.push_back({"flatten", "flatten", {}, {}});
  net.nodes.push_back(head(settings, classes));
  return net;
}

}  // namespace gsnet
