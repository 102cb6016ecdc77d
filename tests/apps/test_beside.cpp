// What attacks and smoothing found beside certificates: the same network, the same pictures, nothing contradicted.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "apps/layer_table.h"
#include "io/file.h"
#include "io/model_file.h"
#include "io/safetensors.h"
#include "tests/apps/drawn_faces.h"
#include "tests/data/scratch.h"

namespace gsnet::apps {
namespace {

using Arguments = std::vector<std::string>;
using Catch::Contains;
using Json = nlohmann::json;

/// Certified in no time, so that it can be done again for every lie.
Model linear_classifier(Backend& backend, uint64_t key) {
  const Description net{{3, 32, 32},
                        {{"flat", "flatten", {}, {}}, {"classes", "linear", {}, {{"features", int64_t{10}}}}}};
  Model model;
  model.info = {net, {0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}, {}, {}};
  model.graph = std::make_unique<Graph>(net, backend, RandomKey(key));
  return model;
}

/// A network, attacked on 24 glyphs.
struct Attacked {
  data::Scratch scratch;
  std::string model = scratch / "m.safetensors", json = scratch / "a.json", broken = scratch / "a.safetensors";

  Attacked() {
    save(model, linear_classifier(*backend, 3));
    REQUIRE(run({"attack",    model,       "--data", "glyphs",  "--limit", "24",         "--eps",
                 "1/255,0.5", "--battery", "pgd",    "--steps", "5",       "--restarts", "1",
                 "--threads", "1",         "--json", json,      "--save",  broken}) == 0);
  }

  void save(const std::string& file, const Model& network) const { io::save_model(file, network); }

  /// "exit code: what it says" of certify with these files.
  std::string beside(const std::string& network, const std::string& attacks, const std::string& pictures = "") const {
    Arguments all = {"certify", network,   "--data",    "glyphs", "--limit",  "24",
                     "--radii", "1/255,2", "--threads", "1",      "--beside", attacks};
    if (!pictures.empty()) all.insert(all.end(), {"--broken", pictures, "--report", scratch / "report"});
    std::string error;
    const int code = run(all, nullptr, &error);
    return std::to_string(code) + ": " + error;
  }

  std::string forged(const std::function<void(Json&)>& change) const {
    Json lie = Json::parse(io::read_text(json));
    change(lie);
    const std::string file = scratch.write("lie.json", lie.dump());
    return beside(model, file);
  }

  std::unique_ptr<Backend> backend = make_backend({"cpu", 1});
};

}  // namespace

TEST_CASE("what attacks found is shown beside the same network's certificates, under any name", "[apps][beside]") {
  const Attacked attacked;
  const std::string copy = attacked.scratch / "copy.safetensors", other = attacked.scratch / "other.safetensors";
  std::filesystem::copy_file(attacked.model, copy);
  CHECK_THAT(attacked.beside(copy, attacked.json, attacked.broken), Catch::StartsWith("0"));
  CHECK_THAT(io::read_text(attacked.scratch / "report/report.html"), Contains("taken for"));
  attacked.save(other, linear_classifier(*attacked.backend, 4));
  CHECK_THAT(attacked.beside(other, attacked.json), Catch::StartsWith("1") && Contains("model digest"));
}

TEST_CASE("attacks that contradict a certificate, and files that cannot be, are refused", "[apps][beside]") {
  const Attacked attacked;
  CHECK_THAT(attacked.forged([](Json& lie) { lie["radii"][0]["attacked_accuracy"] = 17; }),
             Contains("an accuracy of 17"));
  CHECK_THAT(attacked.forged([](Json& lie) {
    lie["violations"] = {{{"index", 3}, {"distance", 0.1}, {"certified_radius", 0.2}}};
  }),
             Contains("broke 1 of its certificates, picture 3 at 0.1 where 0.2"));
  const auto all_at = [](double distance) {
    return [distance](Json& lie) {
      for (auto& one : lie["pictures"]) {
        if (one["right"].get<bool>()) one["distance"] = distance;
      }
      for (auto& one : lie["radii"]) one["attacked_accuracy"] = 0;
    };
  };
  CHECK_THAT(attacked.forged(all_at(1e-9)), Catch::StartsWith("1") && Contains("certified to") && Contains("at 1e-09"));
  CHECK_THAT(attacked.forged([](Json& lie) { lie["radii"][1]["attacked_accuracy"] = 1; }), Contains("follows"));
  CHECK_THAT(attacked.forged([](Json& lie) {
    for (auto& one : lie["radii"]) one["attacked_accuracy"] = 0;
  }),
             Contains("pictures are left standing"));
  CHECK_THAT(attacked.forged([](Json& lie) {  // at a radius that the report does not table
    lie.erase("pictures");
    lie["radii"] = {{{"eps", 1e-6}, {"attacked_accuracy", 0}}};
  }),
             Contains("at radius 1e-06 a share of") && Contains("only 0 standing"));
  CHECK_THAT(attacked.forged(all_at(-1)), Catch::StartsWith("1") && Contains("lie.json: picture"));
  for (const char* name : {"pictures", "distance_l2", "taken_for"}) {
    io::TensorFile lie = io::read_safetensors(attacked.broken);
    Tensor& wrong = std::ranges::find(lie.tensors, name, &std::pair<std::string, Tensor>::first)->second;
    REQUIRE(wrong.numel() > 1);
    if (wrong.dtype() == DType::f32) wrong.host<float>()[1] = NAN;
    if (wrong.dtype() == DType::f64) wrong.host<double>()[0] = NAN;
    if (wrong.dtype() == DType::i32) wrong.host<int32_t>()[0] = 10;
    const std::string file = attacked.scratch / "lie.safetensors";
    io::write_safetensors(file, lie);
    CHECK_THAT(attacked.beside(attacked.model, attacked.json, file),
               Catch::StartsWith("1") && Contains("lie.safetensors: picture"));
  }
  io::TensorFile near = io::read_safetensors(attacked.broken);
  near.at("distance_l2").host<double>()[0] = 1e-6;
  const std::string file = attacked.scratch / "near.safetensors";
  io::write_safetensors(file, near);
  CHECK_THAT(attacked.beside(attacked.model, attacked.json, file),
             Contains("near.safetensors: picture") && Contains("it says 1e-06"));
  // The pictures of another network, though the figures are this one's.
  io::TensorFile foreign = io::read_safetensors(attacked.broken);
  foreign.metadata["model digest"] = "sha256:0";
  io::write_safetensors(file, foreign);
  CHECK_THAT(attacked.beside(attacked.model, attacked.json, file), Contains("is about model digest 'sha256:0'"));
}

TEST_CASE("a picture that rounding breaks within the radius for real arithmetic is counted and named",
          "[apps][beside]") {
  const data::Scratch scratch;
  const auto backend = make_backend({"cpu", 1});
  const Model model = linear_classifier(*backend, 3);
  const std::vector<double> bias(10, 2e5);  // logits come in steps of 1/64
  for (const NamedTensor& entry : state_of(*model.graph)) {
    if (entry.tensor->shape().rank() == 1) *entry.tensor = backend->upload(Tensor::of<double>({10}, bias));
    if (entry.tensor->shape().rank() == 2) backend->scale(0.1, *entry.tensor, *entry.tensor);
  }
  state_changed(*model.graph);
  const std::string file = scratch / "m.safetensors", json = scratch / "a.json";
  io::save_model(file, model);
  std::string out;
  const Arguments attack = {"attack",    file,  "--data",  "glyphs", "--limit",   "300", "--eps",  "0.02,0.05,0.1",
                            "--battery", "pgd", "--steps", "10",     "--threads", "1",   "--json", json};
  REQUIRE(run(attack, &out) == 0);
  CHECK_THAT(out, Contains("by rounding errors, and not within that as executed") && Contains("broken certificates 0"));
  const Json said = Json::parse(io::read_text(json));
  CHECK(said["violations"].empty());
  CHECK_FALSE(said["broken_by_rounding"].empty());
  // A page of certificates in real arithmetic would contradict itself.
  std::string error;
  const Arguments certify = {"certify",   file, "--data",   "glyphs", "--limit",     "300",
                             "--threads", "1",  "--beside", json,     "--arithmetic"};
  Arguments real = certify, both = certify;
  real.emplace_back("real");
  both.emplace_back("both");
  CHECK(run(real, nullptr, &error) == 1);
  CHECK_THAT(error, Contains("rounding errors, which --arithmetic both bounds"));
  CHECK(run(both) == 0);
}

TEST_CASE("the table of layers names every setting but the usual ones", "[apps]") {
  const auto backend = make_backend({"reference", 1});
  const Description net{
      {2, 6, 6},
      {{"a", "conv2d", {}, {{"channels", int64_t{2}}, {"kernel", int64_t{1}}, {"stride", int64_t{1}}}},
       {"b",
        "conv2d",
        {},
        {{"channels", int64_t{2}}, {"padding", int64_t{1}}, {"groups", int64_t{2}}, {"bias", false}}}}};
  const Graph graph(net, *backend, RandomKey(1));
  const auto rows = layer_rows(graph);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].settings == "kernel 1");
  CHECK(rows[1].settings == "padding 1, groups 2, no bias");
}

}  // namespace gsnet::apps
