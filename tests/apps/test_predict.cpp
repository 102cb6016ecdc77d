// gsnet predict on pictures: classes or embeddings, in the order of names, what cannot be read left out and named.
#if GSNET_WITH_OPENCV
#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/predict_pictures.h"
#include "core/error.h"
#include "io/safetensors.h"
#include "layers/lipconvnet.h"
#include "tests/data/scratch.h"

namespace gsnet::apps {
namespace {

using Catch::Matchers::Contains;

/// The means of the three channels of pictures (3, 4, 4), less 0.5, doubled.
Model colours(Backend& backend, std::vector<std::string> classes) {
  Model model;
  model.info.description.input = {3, 4, 4};
  model.info.description.nodes = {{"mean", "pool", {}, {{"global", true}}}, {"flatten", "flatten", {}, {}}};
  model.info.mean = {0.5, 0.5, 0.5};
  model.info.stddev = {0.5, 0.5, 0.5};
  model.info.class_names = std::move(classes);
  model.graph = std::make_unique<Graph>(model.info.description, backend, RandomKey(0));
  return model;
}

}  // namespace

TEST_CASE("predict: pictures of a folder", "[apps][predict]") {
  const data::Scratch folder;
  folder.write("b.png", data::png_of(9, 5, 0, 255, 0));
  folder.write("deep/a.ppm", data::ppm_of(4, 4, 255, 0, 0));
  folder.write("a.png", data::png_of(4, 4, 0, 0, 255));
  folder.write("broken.png", data::png_of(4, 4, 0, 0, 255).substr(0, 40));
  folder.write("notes.txt", "no picture");
  const auto backend = make_backend({"reference", 1});
  const Model model = colours(*backend, {"red", "green", "blue"});
  for (const int64_t batch : {1, 2, 128}) {
    const Predictions found = predict_pictures(model, folder.path(), batch);
    REQUIRE(found.names.size() == 3);
    CHECK_THAT(found.names[0], Catch::EndsWith("/a.png"));
    CHECK_THAT(found.names[2], Catch::EndsWith("/deep/a.ppm"));
    REQUIRE(found.unreadable.size() == 1);
    CHECK_THAT(found.unreadable[0], Contains("broken.png"));
    REQUIRE(found.outputs.shape() == Shape{3, 3});
    CHECK(found.outputs.data<float>()[2] == Approx(1));
    CHECK(found.outputs.data<float>()[0] == Approx(-1));
    CHECK(found.outputs.data<float>()[4] == Approx(1));
    CHECK(found.outputs.data<float>()[6] == Approx(1));
    const auto json = nlohmann::json::parse(predictions_json(model, found));
    CHECK(json["pictures"][1]["class"] == "green");
    const double share = 1 / (1 + 2 * std::exp(-2.0));
    CHECK(json["pictures"][1]["probability"].get<double>() == Approx(share));
    CHECK(json["pictures"][1]["probabilities"].size() == 3);
    CHECK(json["unreadable"].size() == 1);
    CHECK_THAT(predictions_table(model, found), Contains("probability") && Contains("green"));
  }
}

TEST_CASE("predict: fast is the same but for rounding", "[apps][predict]") {
  const data::Scratch folder;
  for (int i = 0; i < 24; ++i) folder.write(fmt::format("{:02}.ppm", i), data::ppm_of(32, 32, 10 * i, 255 - 9 * i, 99));
  const auto backend = make_backend({"cpu", 2});
  Model model;
  model.info.description = lipconvnet(Attributes{{"width", int64_t{16}}}, {3, 32, 32}, 10);
  model.info.mean = model.info.stddev = {0.5, 0.5, 0.5};
  model.graph = std::make_unique<Graph>(model.info.description, *backend, RandomKey(1));
  const Tensor fast = predict_pictures(model, folder.path(), 24, true).outputs;
  const Tensor direct = predict_pictures(model, folder.path(), 24).outputs;
  double apart = 0;
  for (int64_t i = 0; i < fast.numel(); ++i) {
    apart = std::max(apart, std::abs(static_cast<double>(fast.data<float>()[i] - direct.data<float>()[i])));
  }
  CHECK(apart > 0);
  CHECK(apart < 1e-5);
}

TEST_CASE("predict: colours in the model's order", "[apps][predict]") {
  const data::Scratch folder;
  folder.write("blue.png", data::png_of(4, 4, 0, 0, 255));
  const auto backend = make_backend({"reference", 1});
  Model model = colours(*backend, {"first", "second", "third"});
  model.info.order = ChannelOrder::bgr;
  const Predictions found = predict_pictures(model, folder.path(), 1);
  CHECK(found.outputs.data<float>()[0] == Approx(1));
  CHECK(found.outputs.data<float>()[2] == Approx(-1));
}

TEST_CASE("predict: without names of classes, embeddings", "[apps][predict]") {
  const data::Scratch folder;
  const auto picture = folder.write("a.png", data::png_of(4, 4, 255, 255, 255));
  const auto backend = make_backend({"reference", 1});
  const Model model = colours(*backend, {});
  const Predictions found = predict_pictures(model, picture, 8);
  CHECK_THAT(predictions_table(model, found), Contains("embedding") && Contains("1.732"));
  write_predictions(folder / "y.safetensors", model, found);
  const io::TensorFile file = io::read_safetensors(folder / "y.safetensors");
  CHECK(file.at("embeddings").shape() == Shape{1, 3});
  CHECK(file.find("probabilities") == nullptr);
  CHECK(nlohmann::json::parse(file.metadata.at("pictures"))[0] == picture.string());
  write_predictions(folder / "y.json", model, found);
  CHECK(nlohmann::json::parse(data::content_of(folder / "y.json"))["pictures"][0]["embedding"].size() == 3);
}

TEST_CASE("predict: nothing to look at", "[apps][predict]") {
  const data::Scratch folder;
  const auto backend = make_backend({"reference", 1});
  Model model = colours(*backend, {});
  CHECK_THROWS_WITH(predict_pictures(model, folder.path(), 8), Contains("there is no picture"));
  CHECK_THROWS_WITH(predict_pictures(model, folder / "none.png", 8), Contains("no such file"));
  folder.write("a.png", "text");
  CHECK_THROWS_WITH(predict_pictures(model, folder.path(), 8), Contains("none of 1 pictures") && Contains("a.png"));
  model.info.description.input = {1, 4, 4};
  model.graph = std::make_unique<Graph>(model.info.description, *backend, RandomKey(0));
  CHECK_THROWS_WITH(predict_pictures(model, folder.path(), 8), Contains("square pictures of three channels"));
}

}  // namespace gsnet::apps
#endif
