// gsnet verify and gsnet embed as a user runs them, on faces that a child could tell apart; head files.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/head_file.h"
#include "apps/verify_report.h"
#include "io/model_file.h"
#include "support/op_cases.h"
#include "support/shared_folder.h"
#include "tests/apps/drawn_faces.h"
#include "tests/data/scratch.h"

namespace gsnet::apps {
namespace {

namespace fs = std::filesystem;
using Catch::Contains, Catch::StartsWith;
using data::Scratch;
using Json = nlohmann::json;

/// Six people of four pictures each, a list of pairs in two folds, a linear network.
struct Faces {
  Scratch scratch;
  std::string images, pairs, model;

  explicit Faces(ChannelOrder order = ChannelOrder::rgb) {
    for (uint64_t person = 0; person < 6; ++person) {
      for (uint64_t picture = 1; picture <= 4; ++picture) {
        const std::string name(1, static_cast<char>('A' + person));
        scratch.write("set/" + name + "/" + name + "_000" + std::to_string(picture) + ".ppm", face(person, picture));
      }
    }
    images = scratch / "set";
    pairs = scratch.write("pairs.txt",
                          "2 3\nA 1 2\nB 1 2\nC 3 4\nA 1 B 1\nB 2 C 1\nC 2 A 4\n"
                          "D 1 2\nE 1 4\nF 2 4\nD 1 E 1\nE 2 F 3\nF 1 D 2\n");
    const auto backend = make_backend({"cpu", 1});
    Model made;
    made.info.description = {{3, 8, 8},
                             {{"flat", "flatten", {}, {}}, {"fc", "linear", {}, {{"features", int64_t{64}}}}}};
    made.info.mean = {0.5, 0.5, 0.5};
    made.info.stddev = {0.25, 0.25, 0.25};
    made.info.order = order;
    made.graph = std::make_unique<Graph>(made.info.description, *backend, RandomKey(4));
    model = scratch / "model.safetensors";
    io::save_model(model, made);
  }
};

[[maybe_unused]] Tensor embedded(const std::string& path) { return io::read_safetensors(path).at("embeddings"); }

}  // namespace

#if GSNET_WITH_OPENCV
TEST_CASE("verify tells people apart, and under what it stops", "[apps][faces]") {
  const Faces faces;
  const std::string report = faces.scratch / "report", json = faces.scratch / "v.json";
  std::string out;
  REQUIRE(run({"verify", faces.model, "--pairs", faces.pairs, "--images", faces.images, "--report", report, "--json",
               json, "--corrupt", "gaussian_noise:5", "--corrupt", "brightness:1+contrast:5", "--far", "0.5,1e-2",
               "--certify", "--scores", faces.scratch / "scores.csv"},
              &out) == 0);
  CHECK_THAT(out, Contains("2-fold accuracy") && Contains("100.00 %") && Contains("too few") &&
                      Contains("brightness:1+contrast:5"));
  const Json found = Json::parse(data::content_of(json));
  CHECK(found["pictures"] == 18);
  REQUIRE(found["conditions"].size() == 3);
  CHECK(found["conditions"][0]["accuracy"] == 1);
  CHECK(found["conditions"][0]["equal_error_rate"] == 0);
  CHECK(found["conditions"][0]["rates"][0]["tar"] == 1);
  CHECK(found["conditions"][0]["rates"][1]["tar"].is_null());
  CHECK(found["conditions"][1]["name"] == "gaussian_noise:5");
  // One linear layer has a bound that is nearly attained: the certificates say something.
  CHECK(found["certificates"]["lipschitz_bound"].get<double>() > 0);
  CHECK(found["certificates"]["median_radius"].get<double>() > 0.05);
  const double near = found["certificates"]["radii"][0]["certified_accuracy"];
  CHECK(near > 0.5);
  CHECK(near >= found["certificates"]["radii"][1]["certified_accuracy"].get<double>());
  const std::string scores = data::content_of(faces.scratch / "scores.csv");
  CHECK(std::ranges::count(scores, '\n') == 1 + found["conditions"][0]["pairs"].get<int64_t>());
  CHECK_THAT(scores,
             StartsWith("first,second,same,fold,cosine,one_radius,both_radius\n") && Contains("A_0002.ppm,1,1,"));
  const std::string page = data::content_of(fs::path(report) / "verify.html");
  CHECK_THAT(page, Contains("Face verification by model.safetensors") && Contains("data:image/bmp") &&
                       Contains("</html>") && Contains("contrast:5"));
  CHECK(page.find("<script") == std::string::npos);
  CHECK(data::content_of(fs::path(report) / "verify.json") == data::content_of(json));
}

TEST_CASE("verify goes on without what is missing or broken, and says so", "[apps][faces]") {
  const Faces faces;
  faces.scratch.write("set/A/A_0002.ppm", "P6\n8 8\n255\nshort");
  fs::remove(fs::path(faces.images) / "F" / "F_0001.ppm");
  std::string out;
  REQUIRE(run({"verify", faces.model, "--pairs", faces.pairs, "--images", faces.images}, &out) == 0);
  CHECK_THAT(out, Contains("left out") && Contains("1 pairs") && Contains("F/F_0001"));
  CHECK_THAT(out,
             Contains("unreadable              1 pictures, 1 pairs are left out for them") && Contains("A_0002.ppm"));
  CHECK_THAT(out, Contains("clean") && Contains(" 10 ") && Contains("not asked for"));
}

TEST_CASE("verify judges the folds that are left, and says what is lost where none is", "[apps][faces]") {
  const Faces faces;
  std::string out, err;
  const std::string list = faces.scratch.write("two.txt",
                                               "\xEF\xBB\xBF"
                                               "A/A_0001 A/A_0002 1\nA/A_0001 Nobody 0\n");
  CHECK(run({"verify", faces.model, "--pairs", list, "--images", faces.images}, &out, &err) == 1);
  CHECK_THAT(err, Contains("two.txt: 1 pairs of one person and 0 of two are left") && Contains("Nobody"));
}

TEST_CASE("verify flips, takes a threshold, and doubles the bound for the sum", "[apps][faces]") {
  const Faces faces;
  const auto json_of = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"verify",     faces.model, "--pairs", faces.pairs, "--images",
                                          faces.images, "--json",    "-",       "--certify"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::string out;
    REQUIRE(run(arguments, &out) == 0);
    return Json::parse(out);
  };
  const Json plain = json_of({"--threshold", "0.5"}), flipped = json_of({"--flip"});
  CHECK(plain["threshold"] == 0.5);
  CHECK(flipped["certificates"]["lipschitz_bound"].get<double>() ==
        Approx(2 * plain["certificates"]["lipschitz_bound"].get<double>()));
  CHECK(flipped["conditions"][0]["accuracy"] == 1);
}

TEST_CASE("embed writes rows and names; the order of channels is the model's", "[apps][faces]") {
  const Faces faces, reversed(ChannelOrder::bgr);
  faces.scratch.write("set/broken.png", "no picture");
  const std::string out = faces.scratch / "e.safetensors", csv = faces.scratch / "e.csv";
  std::string error;
  REQUIRE(run({"embed", faces.model, "--images", faces.images, "--out", out, "--csv", csv}, nullptr, &error) == 0);
  CHECK_THAT(error, Contains("left out") && Contains("broken.png"));
  const io::TensorFile file = io::read_safetensors(out);
  CHECK(embedded(out).shape() == Shape{24, 64});
  const Json names = Json::parse(file.metadata.at("names"));
  REQUIRE(names.size() == 24);
  CHECK_THAT(names[5].get<std::string>(), Catch::EndsWith("B/B_0002.ppm"));
  CHECK_THAT(data::content_of(csv), Contains("row,name\n0,") && Contains("B_0002.ppm"));

  const std::string unit = faces.scratch / "u.safetensors";
  REQUIRE(run({"embed", faces.model, "--images", faces.images, "--out", unit, "--normalise"}, nullptr, &error) == 0);
  double sum = 0;
  const Tensor rows = embedded(unit);
  for (const float value : rows.rows(3, 1).host<float>()) sum += value * value;
  CHECK(sum == Approx(1));

  const std::string other = faces.scratch / "o.safetensors";
  REQUIRE(run({"embed", reversed.model, "--images", faces.images, "--out", other}, nullptr, &error) == 0);
  const auto backend = make_backend({"cpu", 1});
  CHECK(io::load_model(reversed.model, *backend).info.order == ChannelOrder::bgr);
  const Tensor a = embedded(out), b = embedded(other);
  CHECK_FALSE(std::ranges::equal(a.host<float>(), b.host<float>()));
}

TEST_CASE("data show tells classes of one picture and what cannot be read", "[apps][faces]") {
  const Faces faces;
  faces.scratch.write("set/G/G_0001.ppm", face(9, 1));
  std::string out;
  CHECK(run({"data", "show", faces.images, "--read"}, &out) == 0);
  CHECK_THAT(out, Contains("25, of 8 x 8 pixels") && Contains("7, of 1 to 4 pictures") && Contains("1 classes") &&
                      Contains(": G") && Contains("all of them"));
  faces.scratch.write("set/G/G_0002.png", "no picture");
  CHECK(run({"data", "show", faces.images, "--read", "--side", "8"}, &out) == 1);
  CHECK_THAT(out, Contains("unreadable") && Contains("G_0002.png"));
}

TEST_CASE("verify and embed: one clear error", "[apps][faces]") {
  const Faces faces;
  std::string error;
  CHECK(run({"verify", faces.model, "--pairs", faces.pairs}, nullptr, &error) == 2);
  CHECK_THAT(error, Contains("--images"));
  CHECK(run({"verify", faces.model}, nullptr, &error) == 2);
  CHECK(run({"verify", faces.model, "--pairs", faces.pairs, "--images", faces.images, "--corrupt", "fog:3"}, nullptr,
            &error) == 2);
  CHECK_THAT(error, Contains("fog"));
  // Where results cannot go is told before a model is read.
  const std::string nowhere = faces.scratch / "nowhere/v.json";
  CHECK(run({"verify", faces.scratch / "no model", "--pairs", faces.pairs, "--images", faces.images, "--json", nowhere},
            nullptr, &error) == 1);
  CHECK_THAT(error, Contains("nowhere/v.json"));
  CHECK(run({"verify", faces.model, "--pairs", faces.pairs, "--images", faces.images, "--json", faces.pairs}, nullptr,
            &error) == 2);
  CHECK_THAT(error, Contains("--json") && Contains("pairs"));
  CHECK(run({"embed", faces.model, "--images", faces.images, "--out", faces.model}, nullptr, &error) == 2);
  CHECK_THAT(error, Contains("MODEL"));
  CHECK(run({"embed", faces.model, "--images", faces.images, "--out", faces.scratch / "e", "--csv",
             faces.scratch / "./e"},
            nullptr, &error) == 2);
  CHECK(run({"verify", faces.model, "--pairs", faces.pairs, "--images", faces.images, "--threshold", "1.5"}, nullptr,
            &error) == 2);
  CHECK(run({"embed", faces.scratch / "no model", "--images", faces.images, "--out", faces.scratch / "e", "--csv",
             nowhere},
            nullptr, &error) == 1);
  CHECK_THAT(error, Contains("nowhere/v.json"));
  CHECK(run({"verify", faces.model, "--pairs", faces.pairs, "--images", faces.scratch / "no"}, nullptr, &error) == 1);
  CHECK_THAT(error, Contains("no: expected a folder"));
  CHECK(run({"verify", faces.model, "--bin", faces.pairs}, nullptr, &error) == 1);
  CHECK_THAT(error, Contains("pairs.txt") && Contains("pickle"));
  const std::string same = faces.scratch.write("same.txt", "1\nA 1 2\nB 1 2\n");
  CHECK(run({"verify", faces.model, "--pairs", same, "--images", faces.images}, nullptr, &error) == 1);
  CHECK_THAT(error, Contains("both kinds"));
  CHECK(run({"embed", faces.model, "--images", faces.images}, nullptr, &error) == 2);
}
#endif

TEST_CASE("a head's file brings back the head", "[apps][faces][head]") {
  const Scratch scratch;
  const auto backend = make_backend({"cpu", 1});
  HeadSpec spec = HeadSpec::adaface({.margin = 0.3, .concentration = 0.5, .momentum = 0.1});
  spec.gradient = HeadGradient::plain;
  spec.sample_rate = 0.75;
  spec.seed = 9;
  FaceHead head(*backend, 4, 3, spec, RandomKey(3));
  const auto loss = [&](FaceHead& of) {
    Tape tape(*backend, {.training = true});
    const Tensor x = test::make_input(*backend, {{2, 4}}, 1);
    return test::numbers(*backend,
                         of.evaluate(tape, tape.input(x), {*backend, Tensor::of<int32_t>({2}, {0, 2})}).loss.value)[0];
  };
  loss(head);
  const fs::path path = scratch / "head.safetensors";
  save_head(path, head, {"Ann", "Bo", "Cy"});
  const HeadFile loaded = load_head(path, *backend);
  CHECK(loaded.class_names == std::vector<std::string>{"Ann", "Bo", "Cy"});
  CHECK(loaded.head->spec() == spec);
  for (int step = 0; step < 3; ++step) CHECK(loss(*loaded.head) == loss(head));
  CHECK_THROWS_WITH(save_head(path, head, {"Ann"}), Contains("1 names for 3"));
  const auto changed = [&](const char* key, const std::string& value) {
    io::TensorFile file = io::read_safetensors(path);
    file.metadata[key] = value;
    io::write_safetensors(scratch / "wrong.safetensors", file);
    return scratch / "wrong.safetensors";
  };
  CHECK_THROWS_WITH(load_head(changed("gsnet.head", "{\"scale\":64}"), *backend),
                    Contains("wrong.safetensors") && Contains("multiply"));
  CHECK_THROWS_WITH(load_head(changed("gsnet.head", "{\"depth\":1}"), *backend), Contains("'depth'"));
  CHECK_THROWS_WITH(load_head(changed("gsnet.head", "[]"), *backend), Contains("no object"));
  CHECK_THROWS_WITH(load_head(changed("gsnet.classes", "[\"A\"]"), *backend), Contains("1 names for 3 centres"));
  CHECK_THROWS_WITH(load_head(changed("gsnet.classes", "{"), *backend), Contains("settings"));
}

TEST_CASE("sentences about certificates", "[apps][faces]") {
  VerifyReport report;
  report.threshold = 0.5;
  report.radii = {36.0 / 255};
  report.conditions.push_back({.name = "clean", .pairs = {{0.9, true, 0}, {0.8, false, 0}, {0.7, true, 0}}});
  report.certificates.lipschitz = 3e20;
  report.certificates.pairs = {{1e-18, 0}, {1e-18, 0}, {1e-18, 0}};
  CHECK_THAT(certificate_text(report), Contains("none that says anything") && Contains("3e+20"));
  report.certificates.pairs = {{0.2, 0}, {0.2, 0}, {0.1, 0}};
  CHECK(report.certified(36.0 / 255) == Approx(1.0 / 3));  // the second is wrong, the third too near
  CHECK_THAT(certificate_text(report), Contains("36/255 33.33 %"));
  report.certificates.missing = "layer 'x' has none";
  CHECK_THAT(certificate_text(report), Contains("none: layer 'x'"));
}

}  // namespace gsnet::apps
