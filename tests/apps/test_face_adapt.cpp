// gsnet adapt of a face network as a user runs it, on drawn faces.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/console.h"
#include "apps/head_file.h"
#include "apps/recipe.h"
#include "io/adapter_file.h"
#include "io/model_file.h"
#include "tests/apps/drawn_faces.h"
#include "tests/apps/interrupter.h"

namespace gsnet::apps {
namespace {

namespace fs = std::filesystem;
using Catch::Contains;
using data::Scratch;
using Json = nlohmann::json;
using Arguments = std::vector<std::string>;

constexpr int kLearners = 8, kOthers = 10, kPictures = 4;

std::string learner(int i) { return "Learner" + std::to_string(i); }
std::string other(int i) { return "Other" + std::to_string(i); }

std::string number(int i) { return " " + std::to_string(i); }

/// Four folds of five pairs of one of the other people and five of two.
std::string pair_list() {
  std::string text = "4 5\n";
  for (int fold = 0; fold < 4; ++fold) {
    for (int i = 0; i < 5; ++i) text += other((i + fold) % kOthers) + number(1 + fold % 3) + number(4) + "\n";
    for (int i = 0; i < 5; ++i) {
      text += other(i + fold) + number(1 + fold) + " " + other((i + fold + 1 + fold) % kOthers) + number(2) + "\n";
    }
  }
  return text;
}

/// People to learn from and others in pairs; a small network whose output is an embedding.
struct Album {
  Scratch scratch;
  int64_t features;
  std::string people, others, pairs, model;

  explicit Album(int64_t numbers = 16) : features(numbers) {
    for (int person = 0; person < kLearners + kOthers; ++person) {
      const std::string name = person < kLearners ? learner(person) : other(person - kLearners);
      for (int picture = 1; picture <= kPictures; ++picture) {
        const std::string path = (person < kLearners ? "people/" : "others/") + name + "/" + name + "_000";
        scratch.write(path + std::to_string(picture) + ".ppm",
                      face(static_cast<uint64_t>(person), static_cast<uint64_t>(picture)));
      }
    }
    people = scratch / "people";
    others = scratch / "others";
    pairs = scratch.write("pairs.txt", pair_list());
    model = save("model.safetensors", {});
  }

  std::string save(const std::string& name, const std::vector<std::string>& classes) const {
    const auto backend = make_backend({"cpu", 1});
    Model made;
    made.info.description = {{3, 8, 8},
                             {{"conv", "conv2d", {}, {{"channels", int64_t{8}}, {"kernel", int64_t{3}}}},
                              {"relu", "relu", {}, {}},
                              {"flat", "flatten", {}, {}},
                              {"fc", "linear", {}, {{"features", features}}}}};
    made.info.mean = {0.5, 0.5, 0.5};
    made.info.stddev = {0.25, 0.25, 0.25};
    made.info.class_names = classes;
    made.graph = std::make_unique<Graph>(made.info.description, *backend, RandomKey(4));
    const std::string path = scratch / name;
    io::save_model(path, made);
    return path;
  }

  Arguments adapt(const std::string& out, const Arguments& settings, const Arguments& more = {}) const {
    Arguments all = {"adapt", model, "--data", people, "--out", scratch / out, "--threads", "1"};
    Arguments sets = {"face.pairs=\"" + pairs + "\"",
                      "face.images=\"" + others + "\"",
                      "face.validation_folds=1-2",
                      "face.test_folds=3-4",
                      "face.far=0.1",
                      "adapter.kind=lora",
                      "data.corruption=\"contrast:5+gaussian_noise:5,clean\"",
                      "optimiser.kind=adamw",
                      "optimiser.rate=0.01",
                      "run.epochs=3",
                      "run.batch=16"};
    const bool teacher = std::ranges::find(settings, "face.head=teacher") != settings.end();
    if (!teacher) sets.emplace_back("face.scale=16");
    sets.insert(sets.end(), settings.begin(), settings.end());
    for (const std::string& setting : sets) all.insert(all.end(), {"--set", setting});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  Json result(const std::string& out) const { return Json::parse(data::content_of(scratch / (out + "/result.json"))); }

  /// Runs it, expects that it fails, and gives what it says.
  std::string complaint(const Arguments& arguments, int code = 1) const {
    std::string error;
    CHECK(run(arguments, nullptr, &error) == code);
    CHECK_FALSE(fs::exists(scratch / "bad/log.jsonl"));
    return error;
  }
};

}  // namespace

#if GSNET_WITH_OPENCV
TEST_CASE("a face network is tuned, judged as verify judges, and merged", "[apps][adapt][faces]") {
  const Album album;
  const std::string merged = album.scratch / "merged.safetensors";
  std::string out;
  REQUIRE(run(album.adapt("run", {}, {"--merged", merged}), &out) == 0);
  CHECK_THAT(out, Contains("32 pictures of 8 people") && Contains("TAR@1e-1") && Contains("clean, before") &&
                      Contains("contrast:5+gaussian_noise:5, after"));
  const Json result = album.result("run");
  for (const char* key : {"method", "trained", "free", "bytes", "seconds_a_step", "peak_process_bytes"}) {
    CHECK(result.contains(key));
  }
  CHECK(result["validation"].get<double>() > result["validation_base"].get<double>());

  const fs::path folder = album.scratch / "run";
  const auto backend = make_backend({"cpu", 1});
  const HeadFile head = load_head(folder / "head.safetensors", *backend);
  CHECK(head.class_names.size() == kLearners);
  CHECK(head.head->features() == 16);
  for (const auto& [name, tensor] : io::read_safetensors(folder / "adapter.safetensors").tensors) {
    CHECK_FALSE(Contains("head.").match(name));
  }
  CHECK_FALSE(io::read_adapter(folder / "adapter.safetensors").network.has_value());

  REQUIRE(run({"verify", merged, "--pairs", album.pairs, "--images", album.others, "--folds", "3-4", "--threads", "1",
               "--batch", "16", "--far", "1e-1", "--json", "-"},
              &out) == 0);
  const Json clean = Json::parse(out)["conditions"][0];
  CHECK(clean["pairs"] == 20);
  CHECK(clean["accuracy"] == result["accuracy"]["clean"]);
  CHECK(clean["rates"][0]["tar"] == result["tar"]["clean"]["1e-1"]);
  CHECK(result["tar"]["clean"]["1e-3"].is_null());  // ten pairs of two people cannot tell
}

TEST_CASE("a tuned network is written as ONNX, and verified as such", "[apps][adapt][faces]") {
#if GSNET_WITH_ONNX
  const Album album;
  const std::string onnx = album.scratch / "merged.onnx", plain = album.scratch / "merged.safetensors";
  REQUIRE(run(album.adapt("run", {"adapter.kind=gsoft", "adapter.block=4", "run.epochs=1"}, {"--merged", onnx})) == 0);
  REQUIRE(run({"merge", album.model, album.scratch / "run/adapter.safetensors", "--out", plain}) == 0);
  const auto accuracy = [&](const std::string& model) {
    std::string out;
    REQUIRE(run({"verify", model, "--pairs", album.pairs, "--images", album.others, "--json", "-"}, &out) == 0);
    return Json::parse(out)["conditions"][0]["area_under_curve"].get<double>();
  };
  CHECK(accuracy(onnx) == Approx(accuracy(plain)).epsilon(1e-6));
  CHECK_THAT(album.complaint(album.adapt("bad", {}, {"--merged", "m.pt"}), 2), Contains(".onnx or .safetensors"));
  CHECK_THAT(album.complaint(album.adapt("bad", {}, {"--merged", album.scratch / "no/m.onnx"})), Contains("no/m.onnx"));
#endif
}

TEST_CASE("a teacher needs no people, costs nothing on clean pictures, and goes on where it was left",
          "[apps][adapt][faces][teacher]") {
  const Album album;
  const auto first_loss = [&](const std::string& out) {
    const std::string log = data::content_of(album.scratch / (out + "/log.jsonl"));
    return Json::parse(log.substr(0, log.find('\n')))["loss"].get<double>();
  };
  const Arguments still = {"face.head=teacher", "optimiser.rate=1e-9", "run.epochs=1", "data.flip=false"};
  Arguments clean = still, corrupted = still;
  clean.emplace_back("data.corruption=\"clean\"");
  corrupted.emplace_back("data.corruption=\"contrast:5\"");
  std::string out;
  REQUIRE(run(album.adapt("clean", clean), &out) == 0);
  CHECK_FALSE(fs::exists(album.scratch / "clean/head.safetensors"));
  REQUIRE(run(album.adapt("corrupted", corrupted)) == 0);
  CHECK(std::abs(first_loss("clean")) < 1e-6);
  CHECK(first_loss("corrupted") > 1e-3);

  const Arguments settings = {"face.head=teacher", "run.epochs=6", "run.batch=4"};
  REQUIRE(run(album.adapt("whole", settings)) == 0);
  const Json result = album.result("whole");
  CHECK(result["validation"].get<double>() > result["validation_base"].get<double>());
  int code = kInterrupted;
  for (int attempt = 0; attempt < 100 && code == kInterrupted; ++attempt) {
    const Interrupter soon(attempt < 3 ? 20 + 10 * attempt : 100000);
    code = run(album.adapt("parts", settings, {"--resume"}));
  }
  REQUIRE(code == 0);
  CHECK(data::content_of(album.scratch / "whole/adapter.safetensors") ==
        data::content_of(album.scratch / "parts/adapter.safetensors"));
}

TEST_CASE("an interrupted tuning goes on bit for bit, head and all", "[apps][adapt][faces]") {
  const Album album;
  const Arguments settings = {"face.head=adaface", "face.sample_rate=0.75", "run.epochs=12", "run.batch=4"};
  REQUIRE(run(album.adapt("whole", settings)) == 0);
  int code = kInterrupted, interruptions = 0;
  for (int attempt = 0; attempt < 100 && code == kInterrupted; ++attempt) {
    const Interrupter soon(attempt < 4 ? 20 + 10 * attempt : 100000);
    code = run(album.adapt("parts", settings, {"--resume"}));
    interruptions += code == kInterrupted ? 1 : 0;
  }
  REQUIRE(code == 0);
  CHECK(interruptions > 0);
  for (const char* file : {"adapter.safetensors", "head.safetensors"}) {
    CHECK(data::content_of(album.scratch / "whole" / file) == data::content_of(album.scratch / "parts" / file));
  }
  const auto a = io::read_safetensors(album.scratch / "whole/checkpoint.safetensors");
  const auto b = io::read_safetensors(album.scratch / "parts/checkpoint.safetensors");
  REQUIRE(a.tensors.size() == b.tensors.size());
  bool head = false;
  for (const auto& [name, tensor] : a.tensors) {
    CHECK(std::memcmp(tensor.raw(), b.at(name).raw(), tensor.bytes()) == 0);
    head = head || name == "model/head.weight";
  }
  CHECK(head);
}

TEST_CASE("centres begin as the embeddings of the people, and may stay", "[apps][adapt][faces]") {
  const Album album;
  const auto backend = make_backend({"cpu", 1});
  const auto centres = [&](const std::string& out, const Arguments& settings) {
    REQUIRE(run(album.adapt(out, settings)) == 0);
    const io::TensorFile file = io::read_safetensors(album.scratch / (out + "/head.safetensors"));
    return file.at("head.weight");
  };
  const Tensor kept = centres("kept", {"face.train_centres=false"});
  REQUIRE(run({"embed", album.model, "--images", album.people, "--out", album.scratch / "e"}) == 0);
  const Tensor rows = io::read_safetensors(album.scratch / "e").at("embeddings");
  for (int64_t k = 0; k < kLearners; ++k) {
    std::vector<double> sum(16, 0);
    for (int64_t i = k * kPictures; i < (k + 1) * kPictures; ++i) {
      double square = 0;
      for (const float v : rows.rows(i, 1).host<float>()) square += double{v} * v;
      for (size_t d = 0; d < 16; ++d) sum[d] += rows.rows(i, 1).host<float>()[d] / std::sqrt(square);
    }
    double square = 0;
    for (const double v : sum) square += v * v;
    for (size_t d = 0; d < 16; ++d) {
      CHECK(kept.rows(k, 1).host<float>()[d] == Approx(sum[d] / std::sqrt(square)).margin(1e-5));
    }
  }
  const Tensor moved = centres("moved", {"face.test=tuned"});
  CHECK(album.result("kept").contains("before"));
  CHECK_FALSE(album.result("moved").contains("before"));
  CHECK(album.result("moved")["tar"].contains("clean"));
  CHECK(std::memcmp(kept.raw(), moved.raw(), kept.bytes()) != 0);
  const Tensor random = centres("random", {"face.centres=random", "face.train_centres=false", "face.test=none"});
  CHECK_FALSE(album.result("random").contains("tar"));
  double square = 0;
  for (const float v : random.host<float>()) square += double{v} * v;
  CHECK(square / static_cast<double>(random.numel()) == Approx(1e-4).epsilon(0.4));
}

TEST_CASE("an epoch that loses too much on clean pictures is not kept", "[apps][adapt][faces]") {
  const Album album(2);  // two numbers, of which a step far too large leaves one
  std::string out, error;
  Arguments wild = {"face.keep_clean=0.01", "adapter.kind=full", "optimiser.kind=sgd", "optimiser.rate=1e5",
                    "run.epochs=2"};
  CHECK(run(album.adapt("run", wild), &out, &error) == 1);
  CHECK_THAT(out, Contains("too much is lost: not kept"));
  CHECK_THAT(error, Contains("face.keep_clean = 0.01") && Contains("nothing is kept"));
  CHECK_FALSE(fs::exists(album.scratch / "run/model.safetensors"));
  CHECK(fs::exists(album.scratch / "run/checkpoint.safetensors"));
  wild[0] = "face.keep_clean=1";
  CHECK(run(album.adapt("all", wild), &out) == 0);
  CHECK(fs::exists(album.scratch / "all/model.safetensors"));
}

TEST_CASE("what is left out of a tuning is counted and named", "[apps][adapt][faces]") {
  const Album album;
  album.scratch.write("people/Learner0/Learner0_0002.ppm", "P6\n8 8\n255\nshort");
  album.scratch.write("people/Single/Single_0001.ppm", face(99, 1));
  album.scratch.write("people/Broken/Broken_0001.ppm", "no picture");
  album.scratch.write("people/Other3/Other3_0009.ppm", face(kLearners + 3, 9));
  fs::remove(fs::path(album.others) / "Other0" / "Other0_0004.ppm");
  std::string out;
  const Arguments known = {"face.known_people=leave_out", "run.epochs=1"};
  REQUIRE(run(album.adapt("run", known), &out) == 0);
  CHECK_THAT(out, Contains("left out: 1 of the 11 people") && Contains("2 training pictures") &&
                      Contains("Learner0_0002.ppm") && Contains("Broken_0001.ppm"));
  CHECK_THAT(out, Contains("people with a single picture: 1 of 9") && Contains("Single"));
  CHECK_THAT(out, Contains("Other0/Other0_0004") && Contains("32 pictures of 9 people"));
  Arguments more = known;
  more.push_back("data.least_pictures=2");
  REQUIRE(run(album.adapt("more", more), &out) == 0);
  CHECK_THAT(out, Contains("2 classes of fewer than 2 pictures") || Contains("classes of fewer than 2 pictures"));
  CHECK_THAT(out, Contains("31 pictures of 8 people"));
  more.push_back("data.limit=9");
  REQUIRE(run(album.adapt("few", more), &out) == 0);
  CHECK_THAT(out, Contains("of 2 people"));
  const std::string list = album.scratch.write("list.txt", "Learner1\nLearner5\n");
  REQUIRE(run(album.adapt("list", {"data.classes=\"" + list + "\"", "run.epochs=1"}), &out) == 0);
  CHECK_THAT(out, Contains("2 of 11 classes are named") && Contains("8 pictures of 2 people"));
  // Judges that cannot be read are named too, here and in the result; what remains of them is counted.
  album.scratch.write("others/Other5/Other5_0004.ppm", "P6\n8 8\n255\nshort");
  REQUIRE(run(album.adapt("judges", {"face.known_people=leave_out", "run.epochs=1"}), &out) == 0);
  CHECK_THAT(out, Contains("unreadable, left out: 1 pictures of 1 validation pairs: ") && Contains("Other5_0004.ppm") &&
                      Contains("18 validation and 20 test pairs") && Contains("1 pictures of 3 test pairs"));
  const Json unreadable = album.result("judges")["unreadable"];
  CHECK_THAT(unreadable["validation"][0].get<std::string>(), Contains("Other5_0004.ppm"));
  CHECK(unreadable["test"].size() == 1);
  REQUIRE(run(album.adapt("allow", {"face.known_people=allow", "run.epochs=1"}), &out) == 0);
  CHECK_THAT(out, Contains("the figures flatter"));
}

TEST_CASE("a tuning aligns its pictures by landmarks, and says where nobody can be recognised by name",
          "[apps][adapt][faces]") {
  const Album album;
  std::string marks, out;
  for (int picture = 1; picture <= kPictures; ++picture) {
    for (int person = 0; person < kLearners + kOthers; ++person) {
      const std::string name = person < kLearners ? learner(person) : other(person - kLearners);
      if (name != learner(2)) marks += name + "_000" + std::to_string(picture) + " 2 3 5 3 4 5 3 6 5 6\n";
    }
  }
  const std::string list = album.scratch.write("marks.txt", marks);
  REQUIRE(run(album.adapt("aligned", {"face.align=\"" + list + "\"", "run.epochs=1"}), &out) == 0);
  CHECK_THAT(out, Contains("4 training pictures") && Contains("Learner2") && Contains("no landmarks") &&
                      Contains("28 pictures of 7 people"));
  REQUIRE(run(album.adapt("plain", {"run.epochs=1"}), &out) == 0);
  CHECK(album.result("plain")["before"]["tar"] != album.result("aligned")["before"]["tar"]);
  CHECK_THAT(out, !Contains("cannot be told"));

  for (int person = 0; person < kLearners; ++person) {
    fs::rename(fs::path(album.people) / learner(person), fs::path(album.people) / std::to_string(person));
  }
  REQUIRE(run(album.adapt("numbers", {"run.epochs=1"}), &out) == 0);
  CHECK_THAT(out, Contains("cannot be told") && Contains("numbers in place of names"));
}

TEST_CASE("a tuning that cannot be is refused in one line", "[apps][adapt][faces]") {
  const Album album;
  const auto says = [&](const Arguments& settings) { return album.complaint(album.adapt("bad", settings)); };
  CHECK_THAT(says({"face.pairs=missing.txt"}), Contains("missing.txt"));
  CHECK_THAT(says({"face.validation_folds=5"}), Contains("there is no fold 5") && Contains("4"));
  CHECK_THAT(says({"face.validation_folds=2-3"}), Contains("fold 3 is for validation and for the test"));
  CHECK_THAT(says({"face.test_folds=all"}), Contains("7-10"));
  CHECK_THAT(says({"face.head=magic"}), Contains("face.head") && Contains("adaface"));
  CHECK_THAT(says({"face.margins=[1,2,3]"}), Contains("'face.margins' has no meaning with head = \"arcface\""));
  CHECK_THAT(says({"face.head=combined", "face.margin=0.5"}), Contains("'face.margin' has no meaning"));
  CHECK_THAT(says({"face.momentum=0.5"}), Contains("'face.momentum' has no meaning"));
  CHECK_THAT(says({"face.head=teacher", "face.scale=8"}), Contains("'face.scale' has no meaning"));
  CHECK_THAT(says({"face.distance=chord"}), Contains("'face.distance' has no meaning with head = \"arcface\""));
  CHECK_THAT(says({"face.head=teacher", "face.distance=euclid"}), Contains("face.distance") && Contains("chord"));
  CHECK_THAT(says({"face.head=teacher", "adapter.head_epochs=1"}), Contains("head_epochs"));
  CHECK_THAT(says({"face.head=combined", "face.margins=[1,2]"}), Contains("three numbers"));
  CHECK_THAT(says({"face.head=combined", "face.margins=[0.5,0,0]"}), Contains("factor of the angle"));
  CHECK_THAT(says({"face.far=0.01"}), Contains("10 pairs of two people") && Contains("bring 100"));
  CHECK_THAT(says({"face.pairs=\"missing.bin\""}), Contains("images: the pairs are a pack"));
  CHECK_THAT(says({"face.pairs=\"missing.bin\"", "face.images=\"\""}), Contains("missing.bin"));
  CHECK_THAT(says({"face.align=\"missing.txt\""}), Contains("missing.txt"));
  CHECK_THAT(says({"face.pairs=\"\""}), Contains("pairs is missing"));
  CHECK_THAT(says({"loss.temperature=2"}), Contains("[loss]"));
  CHECK_THAT(says({"data.validation=5"}), Contains("data.validation"));
  CHECK_THAT(says({"adapter.kind=head"}), Contains("trains nothing"));
  CHECK_THAT(says({"adapter.head=append"}), Contains("[adapter] head"));
  CHECK_THAT(says({"adapter.head_epochs=1", "face.train_centres=false"}), Contains("head_epochs"));
  const std::string list = album.scratch.write("list.txt", "Learner1\nNobody\n");
  CHECK_THAT(says({"data.classes=\"" + list + "\""}), Contains("list.txt: line 2: 'Nobody'"));
  CHECK_THAT(says({"data.least_pictures=9"}), Contains("data.least_pictures"));
  CHECK_THAT(
      album.complaint({"adapt", album.model, "--data", album.others, "--out", album.scratch / "bad", "--adapter",
                       "lora", "--set", "face.pairs=\"" + album.pairs + "\"", "--set", "face.validation_folds=1",
                       "--set", "face.test_folds=2-4", "--set", "face.far=0.5"}),
      Contains("people of the training data are in the pairs") && Contains("Other0") && Contains("known_people"));
  const std::string classifier = album.save("classes.safetensors", std::vector<std::string>(16, "x"));
  Arguments of_classes = album.adapt("bad", {});
  of_classes[1] = classifier;
  CHECK_THAT(album.complaint(of_classes), Contains("16 classes") && Contains("no embedding"));
  CHECK_THAT(album.complaint({"train", album.scratch.write("t.toml", "[face]\npairs = \"p\"\n")}),
             Contains("gsnet adapt"));
}
#endif

TEST_CASE("a recipe's face table is written out and read back", "[apps][recipe][faces]") {
  for (const Arguments& settings :
       {Arguments{"face.head=arcface"}, Arguments{"face.head=cosface", "face.margin=0", "face.gradient=plain"},
        Arguments{"face.head=adaface", "face.momentum=0.5", "face.known_people=leave_out"},
        Arguments{"face.head=combined", "face.margins=[1,0.3,0.2]", "face.centres=random", "face.test=tuned"},
        Arguments{"face.head=teacher", "face.keep_clean=0.1", "face.distance=chord"}}) {
    Arguments all = {"face.pairs=p.txt", "adapter.kind=lora", "data.corruption=\"distant:3,clean\""};
    all.insert(all.end(), settings.begin(), settings.end());
    const Recipe recipe = read_recipe("", all);
    REQUIRE(recipe.face.has_value());
    const std::string text = recipe_text(recipe);
    const Scratch scratch;
    Recipe again = read_recipe(scratch.write("again.toml", text), {});
    CHECK(recipe_text(again) == text);
    CHECK(head_spec(*again.face, 7) == head_spec(*recipe.face, 7));
    CHECK(again.face->distance == recipe.face->distance);
  }
  CHECK(head_spec(*read_recipe("", {"face.pairs=p", "face.head=cosface"}).face, 0).cosine == 0.4);
  CHECK(head_spec(*read_recipe("", {"face.pairs=p", "face.head=cosface", "face.margin=0"}).face, 0).cosine == 0);
}

}  // namespace gsnet::apps
