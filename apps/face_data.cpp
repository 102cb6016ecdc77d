#include "apps/face_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "apps/data_source.h"
#include "apps/training_data.h"
#include "core/error.h"
#include "data/aligned.h"
#include "data/classes.h"
#include "data/pairs.h"

namespace gsnet::apps {
namespace {

using People = std::shared_ptr<const data::Dataset>;

std::set<std::string> shown_people(const std::vector<const data::VerificationSet*>& tests) {
  std::set<std::string> people;
  for (const data::VerificationSet* set : tests) people.insert(set->folders.begin(), set->folders.end());
  people.erase("");
  return people;
}

/// Where the names of people cannot meet, nobody is found in both.
void note_strangers(const data::Dataset& people, const Recipe& recipe,
                    const std::vector<const data::VerificationSet*>& tests, std::vector<std::string>& notes) {
  if (recipe.face->known_people == KnownPeople::allow) return;
  const auto is_number = [](const std::string& name) {
    return std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
  };
  const bool numbers = std::ranges::all_of(people.class_names(), is_number);
  const bool nameless = shown_people(tests).empty();
  if (!numbers && !nameless) return;
  notes.push_back(fmt::format(
      "note: whether people of the training data are in the pairs too cannot be told: {}",
      numbers ? "the training data have numbers in place of names" : "the pictures of the pairs lie in no folders"));
}

/// Those of the training data whom the pairs show.
People without_known(People people, const Recipe& recipe, const std::set<std::string>& shown,
                     std::vector<std::string>& notes) {
  const FaceRecipe& face = *recipe.face;
  std::vector<std::string> known;
  std::vector<bool> kept;
  for (const std::string& name : people->class_names()) {
    kept.push_back(!shown.contains(name));
    if (!kept.back()) known.push_back(name);
  }
  if (known.empty()) return people;
  if (face.known_people == KnownPeople::allow) {
    notes.push_back(
        fmt::format("note: {} people of the training data are in the pairs too: the figures flatter", known.size()));
    return people;
  }
  const std::string who =
      fmt::format("{} of the {} people of the training data are in the pairs of folds {} and {} too", known.size(),
                  kept.size(), face.validation_folds, face.test_folds);
  GSNET_CHECK(face.known_people == KnownPeople::leave_out,
              fmt::format("{}: {}. Figures on people that a network was trained on say nothing about others: name the "
                          "others in data.classes, or set face.known_people = \"leave_out\" (or \"allow\")",
                          who, some_of(known)));
  GSNET_CHECK(known.size() < kept.size(), who + ": nobody is left to train on");
  notes.push_back(fmt::format("left out: {}", who));
  return data::of_classes(std::move(people), kept);
}

/// Whole people, drawn by the seed, up to the limit.
People within_limit(People people, const Recipe& recipe) {
  if (recipe.limit == 0 || recipe.limit >= people->size()) return people;
  const std::vector<bool> drawn = data::drawn_classes(*people, recipe.limit, recipe.seed);
  return data::of_classes(std::move(people), drawn);
}

void note_people(const data::Dataset& people, std::vector<std::string>& notes) {
  std::vector<std::string> single;
  const std::vector<int64_t> sizes = data::class_sizes(people);
  for (size_t label = 0; label < sizes.size(); ++label) {
    if (sizes[label] == 1) single.push_back(people.class_names()[label]);
  }
  if (single.empty()) return;
  notes.push_back(fmt::format("people with a single picture: {} of {} (data.least_pictures = 2 leaves them out): {}",
                              single.size(), sizes.size(), some_of(single)));
}

}  // namespace

data::VerificationSet face_pairs(const Recipe& recipe, const std::string& folds, std::vector<std::string>& notes) {
  const FaceRecipe& face = *recipe.face;
  const std::vector<int> chosen = data::parse_folds(folds);
  if (face.pack()) return data::open_verification_pack(face.pairs, recipe.side, chosen);
  data::VerificationSet set = data::open_verification(face.pairs, face.images.empty() ? recipe.data : face.images,
                                                      {.side = recipe.side, .landmarks = face.align, .folds = chosen});
  if (set.pairs_left_out > 0) {
    notes.push_back(fmt::format("left out: {} pairs of folds {}: {} pictures that they name are not there: {}",
                                set.pairs_left_out, folds, set.missing.size(), some_of(set.missing)));
  }
  return set;
}

People face_people(const Recipe& recipe, const std::vector<const data::VerificationSet*>& tests,
                   std::vector<std::string>& notes) {
  int64_t unused = 0;  // means nothing: one list serves people and pairs
  People people = recipe.face->align.empty()
                      ? open_named(recipe.data, data::Split::train, recipe.side, recipe.glyphs)
                      : data::open_aligned_classes(recipe.data, recipe.face->align, recipe.side, unused);
  const data::PictureShape wanted{3, recipe.side, recipe.side};
  GSNET_CHECK(people->picture() == wanted,
              fmt::format("{}: pictures of {} channels, {} x {}, the network takes 3 channels, {} x {}", recipe.data,
                          people->picture().channels, people->picture().height, people->picture().width, recipe.side,
                          recipe.side));
  note_strangers(*people, recipe, tests, notes);
  people = chosen_classes(std::move(people), recipe, notes);
  people = within_limit(without_known(std::move(people), recipe, shown_people(tests), notes), recipe);
  std::vector<std::string> unreadable;
  people = readable_pictures(people, recipe.loader_threads, unreadable);
  if (!unreadable.empty()) {
    notes.push_back(
        fmt::format("unreadable, left out: {} training pictures: {}", unreadable.size(), some_of(unreadable)));
  }
  GSNET_CHECK(people->class_names().size() >= 2,
              fmt::format("{}: training needs two people, there is {}", recipe.data, people->class_names().size()));
  note_people(*people, notes);
  return people;
}

}  // namespace gsnet::apps
