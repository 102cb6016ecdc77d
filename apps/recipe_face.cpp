#include "apps/recipe_face.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/recipe_section.h"
#include "core/error.h"
#include "data/pairs.h"

namespace gsnet::apps {
namespace {

constexpr double kLeastRate = 1e-6;

constexpr const char* kHeads[] = {"arcface", "cosface", "adaface", "combined", "teacher"};
constexpr const char* kGradients[] = {"exact", "plain"};
constexpr const char* kStarts[] = {"embeddings", "random"};
constexpr const char* kKnown[] = {"error", "leave_out", "allow"};
constexpr const char* kDistances[] = {"cosine", "chord"};
constexpr const char* kTests[] = {"both", "tuned", "none"};

void read_head(Section& table, FaceRecipe& face) {
  table.read("head", face.head,
             {{"arcface", FaceObjective::arcface},
              {"cosface", FaceObjective::cosface},
              {"adaface", FaceObjective::adaface},
              {"combined", FaceObjective::combined},
              {"teacher", FaceObjective::teacher}});
  const std::string because = fmt::format("with head = \"{}\"", kHeads[static_cast<size_t>(face.head)]);
  if (face.head != FaceObjective::combined) table.refuse({"margins"}, because);
  if (face.head != FaceObjective::adaface) table.refuse({"concentration", "momentum"}, because);
  if (face.head == FaceObjective::combined) table.refuse({"margin"}, because);
  if (face.head == FaceObjective::teacher) {
    table.refuse({"margin", "scale", "easy_margin", "gradient", "sample_rate", "centres", "train_centres"}, because);
    table.read("distance", face.distance, {{"cosine", TeacherDistance::cosine}, {"chord", TeacherDistance::chord}});
    face.train_centres = false;
    return;
  }
  table.refuse({"distance"}, because);
  if (face.head == FaceObjective::combined) {
    table.read("margins", face.margins);
  } else {
    face.margin = face.head == FaceObjective::arcface ? 0.5 : 0.4;
    table.read("margin", face.margin, 0, 3);
  }
  table.read("scale", face.scale, 1e-3, 1e4);
  table.read("easy_margin", face.easy_margin);
  table.read("concentration", face.concentration, 0, 100);
  table.read("momentum", face.momentum, 0, 1);
  table.read("gradient", face.gradient, {{"exact", HeadGradient::exact}, {"plain", HeadGradient::plain}});
  table.read("sample_rate", face.sample_rate, kLeastRate, 1);
  table.read("centres", face.centres, {{"embeddings", CentreStart::embeddings}, {"random", CentreStart::random}});
  table.read("train_centres", face.train_centres);
}

void read_judging(Section& table, FaceRecipe& face) {
  table.read("pairs", face.pairs);
  table.read("images", face.images);
  table.read("align", face.align);
  table.read_word("validation_folds", face.validation_folds);
  table.read_word("test_folds", face.test_folds);
  table.read("far", face.far, kLeastRate, 0.5);
  table.read("keep_clean", face.keep_clean, 0, 1);
  table.read("known_people", face.known_people,
             {{"error", KnownPeople::error}, {"leave_out", KnownPeople::leave_out}, {"allow", KnownPeople::allow}});
  table.read("test", face.test, {{"both", FaceTest::both}, {"tuned", FaceTest::tuned}, {"none", FaceTest::none}});
}

void check_folds(const FaceRecipe& face) {
  std::vector<int> both = data::parse_folds(face.validation_folds);
  for (const int fold : data::parse_folds(face.test_folds)) {
    GSNET_CHECK(
        std::ranges::find(both, fold) == both.end(),
        fmt::format("fold {} is for validation and for the test: what chose the epoch cannot judge it", fold + 1));
  }
}

/// What [face] leaves no room for in the other tables.
void check_others(const Recipe& recipe) {
  GSNET_CHECK(!recipe.face->pairs.empty(),
              "pairs is missing: the list of pairs that choose the best epoch and judge it (docs/faces.md)");
  GSNET_CHECK(!recipe.face->pack() || recipe.face->images.empty(),
              "images: the pairs are a pack, which has its own pictures");
  GSNET_CHECK(recipe.train.loss == LossSpec{} && recipe.offset_radius == 0,
              "the loss is that of the head: [loss] has no settings then");
  GSNET_CHECK(recipe.validation == 0, "validation is by pairs: data.validation has no meaning then");
  if (!recipe.adapt) return;
  GSNET_CHECK(
      recipe.adapt->method != "head",
      "the network's output is the embedding, no head is added to it: [adapter] kind = \"head\" trains nothing");
  GSNET_CHECK(recipe.adapt->head == HeadPolicy::automatic,
              "the network's output is the embedding, no head is added to it: [adapter] head has no meaning then");
  GSNET_CHECK(recipe.adapt->head_epochs == 0 || recipe.face->train_centres,
              "[adapter] head_epochs train nothing where no centres are trained");
}

/// The settings of heads that have centres.
void write_head(const FaceRecipe& face, toml::table& table) {
  table.insert("scale", face.scale);
  table.insert("easy_margin", face.easy_margin);
  table.insert("gradient", kGradients[static_cast<size_t>(face.gradient)]);
  table.insert("sample_rate", face.sample_rate);
  table.insert("centres", kStarts[static_cast<size_t>(face.centres)]);
  table.insert("train_centres", face.train_centres);
  if (face.head == FaceObjective::combined) {
    toml::array margins;
    for (const double margin : face.margins) margins.push_back(margin);
    table.insert("margins", margins);
  } else {
    table.insert("margin", face.margin);
  }
  if (face.head == FaceObjective::adaface) {
    table.insert("concentration", face.concentration);
    table.insert("momentum", face.momentum);
  }
}

}  // namespace

HeadSpec head_spec(const FaceRecipe& recipe, uint64_t seed) {
  HeadSpec spec;
  if (recipe.head == FaceObjective::arcface) spec = HeadSpec::arcface(recipe.margin);
  if (recipe.head == FaceObjective::cosface) spec = HeadSpec::cosface(recipe.margin);
  if (recipe.head == FaceObjective::adaface) {
    spec = HeadSpec::adaface({recipe.margin, recipe.concentration, recipe.momentum});
  }
  if (recipe.head == FaceObjective::combined) {
    GSNET_CHECK(recipe.margins.size() == 3,
                fmt::format("margins must be three numbers m1, m2, m3, got {}", recipe.margins.size()));
    spec.multiply = recipe.margins[0];
    spec.angle = recipe.margins[1];
    spec.cosine = recipe.margins[2];
  }
  spec.scale = recipe.scale;
  spec.easy_margin = recipe.easy_margin;
  spec.gradient = recipe.gradient;
  spec.sample_rate = recipe.sample_rate;
  spec.seed = seed;
  return spec;
}

void read_face(toml::table& root, const std::string& file, Recipe& recipe) {
  Section table(root, file, "face");
  if (!table.exists()) return;
  FaceRecipe& face = recipe.face.emplace();
  read_head(table, face);
  read_judging(table, face);
  table.finish();
  try {
    check_folds(face);
    check_others(recipe);
    head_spec(face, 0);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: [face]: {}", file, error.what()));
  }
}

toml::table face_table(const FaceRecipe& face) {
  toml::table table{{"head", kHeads[static_cast<size_t>(face.head)]},
                    {"pairs", face.pairs},
                    {"images", face.images},
                    {"align", face.align},
                    {"validation_folds", face.validation_folds},
                    {"test_folds", face.test_folds},
                    {"far", face.far},
                    {"keep_clean", face.keep_clean},
                    {"known_people", kKnown[static_cast<size_t>(face.known_people)]},
                    {"test", kTests[static_cast<size_t>(face.test)]}};
  if (face.head == FaceObjective::teacher) {
    table.insert("distance", kDistances[static_cast<size_t>(face.distance)]);
  } else {
    write_head(face, table);
  }
  return table;
}

}  // namespace gsnet::apps
