#include "apps/head_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "io/model_file.h"

namespace gsnet::apps {
namespace {

using Json = nlohmann::ordered_json;

Json settings_json(const HeadSpec& spec) {
  Json json = {{"scale", spec.scale},
               {"multiply", spec.multiply},
               {"angle", spec.angle},
               {"cosine", spec.cosine},
               {"easy_margin", spec.easy_margin},
               {"gradient", spec.gradient == HeadGradient::plain ? "plain" : "exact"},
               {"sample_rate", spec.sample_rate},
               {"seed", spec.seed}};
  if (spec.adaptive) {
    json["adaptive"] = {{"margin", spec.adaptive->margin},
                        {"concentration", spec.adaptive->concentration},
                        {"momentum", spec.adaptive->momentum}};
  }
  return json;
}

void check_keys(const Json& json, const std::set<std::string>& known) {
  GSNET_CHECK(json.is_object(), "the settings are no object");
  for (const auto& [key, value] : json.items()) {
    GSNET_CHECK(known.contains(key), fmt::format("unknown setting '{}'", key));
  }
}

HeadSpec spec_of(const Json& json) {
  check_keys(json,
             {"scale", "multiply", "angle", "cosine", "easy_margin", "gradient", "sample_rate", "seed", "adaptive"});
  HeadSpec spec;
  spec.scale = json.at("scale").get<double>();
  spec.multiply = json.at("multiply").get<double>();
  spec.angle = json.at("angle").get<double>();
  spec.cosine = json.at("cosine").get<double>();
  spec.easy_margin = json.at("easy_margin").get<bool>();
  spec.sample_rate = json.at("sample_rate").get<double>();
  spec.seed = json.at("seed").get<uint64_t>();
  const auto gradient = json.at("gradient").get<std::string>();
  GSNET_CHECK(gradient == "exact" || gradient == "plain",
              fmt::format("the gradient is '{}', expected exact or plain", gradient));
  spec.gradient = gradient == "plain" ? HeadGradient::plain : HeadGradient::exact;
  if (!json.contains("adaptive")) return spec;
  const Json& adaptive = json.at("adaptive");
  check_keys(adaptive, {"margin", "concentration", "momentum"});
  spec.adaptive = AdaptiveMargin{adaptive.at("margin").get<double>(), adaptive.at("concentration").get<double>(),
                                 adaptive.at("momentum").get<double>()};
  return spec;
}

std::vector<NamedTensor> state_of_head(FaceHead& head) {
  return state_of([&](Visitor& visitor) { head.visit(visitor); });
}

HeadFile load_checked(const io::TensorFile& file, Backend& backend) {
  GSNET_CHECK(file.metadata.contains("gsnet.head") && file.metadata.contains("gsnet.classes"),
              "it is no face head: the metadata has no 'gsnet.head' and 'gsnet.classes'");
  const Tensor& weight = file.at("head.weight");
  GSNET_CHECK(weight.shape().rank() == 2,
              fmt::format("the centres are {}, expected (K, D)", to_string(weight.shape())));
  HeadFile loaded;
  const HeadSpec spec = spec_of(Json::parse(file.metadata.at("gsnet.head")));
  loaded.class_names = Json::parse(file.metadata.at("gsnet.classes")).get<std::vector<std::string>>();
  GSNET_CHECK(std::ssize(loaded.class_names) == weight.shape()[0],
              fmt::format("there are {} names for {} centres", loaded.class_names.size(), weight.shape()[0]));
  loaded.head = std::make_shared<FaceHead>(backend, weight.shape()[1], weight.shape()[0], spec, RandomKey(0));
  const std::vector<NamedTensor> state = state_of_head(*loaded.head);
  io::refuse_others(state, file, "");
  io::load_tensors(state, file, "", backend);
  return loaded;
}

}  // namespace

void save_head(const std::filesystem::path& path, FaceHead& head, const std::vector<std::string>& class_names) {
  GSNET_CHECK(std::ssize(class_names) == head.classes(),
              fmt::format("{}: {} names for {} centres", path.string(), class_names.size(), head.classes()));
  io::TensorFile file;
  file.metadata = {{"gsnet.head", settings_json(head.spec()).dump()},
                   {"gsnet.classes", Json(class_names).dump(-1, ' ', false, Json::error_handler_t::replace)}};
  io::store_tensors(state_of_head(head), file, "", true, head.backend());
  io::write_safetensors(path, file);
}

HeadFile load_head(const std::filesystem::path& path, Backend& backend) {
  const io::TensorFile file = io::read_safetensors(path);
  try {
    return load_checked(file, backend);
  } catch (const Error& error) {
    throw Error(fmt::format("'{}' cannot be loaded as a face head: {}", path.string(), error.what()));
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("'{}' cannot be loaded as a face head: its settings: {}", path.string(), error.what()));
  }
}

}  // namespace gsnet::apps
