// The pictures that a recipe trains on.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "apps/recipe.h"
#include "data/dataset.h"

namespace gsnet::apps {

/// Training pictures and those held out of them to choose the best epoch.
struct Parts {
  std::shared_ptr<const data::Dataset> train, validation;
  std::shared_ptr<const data::Dataset> whole;  ///< the training part as the data have it
  std::vector<std::string> notes;              ///< what was left out, a line each
};
/// As the recipe's [data] says. Throws Error when it asks for more than there is.
Parts split_data(const Recipe& recipe);

/// The test pictures of those classes that are trained, or nothing, with a line in the notes that says why, where no
/// test part can be opened, or both parts are the same pictures. Throws Error for a test part that lacks classes.
std::shared_ptr<const data::Dataset> test_part(const Recipe& recipe, Parts& parts);

/// The classes that the recipe's [data] names and that have pictures enough; `notes` gets a line for what is left out.
std::shared_ptr<const data::Dataset> chosen_classes(std::shared_ptr<const data::Dataset> whole, const Recipe& recipe,
                                                    std::vector<std::string>& notes);

/// The pictures that can be read, every one of which is tried; classes without any are left out. `unreadable` gets the
/// others' reasons, in the order of the set. Throws Error when none is left.
std::shared_ptr<const data::Dataset> readable_pictures(const std::shared_ptr<const data::Dataset>& whole, int threads,
                                                       std::vector<std::string>& unreadable);

/// The first five of some names, and how many more there are.
std::string some_of(const std::vector<std::string>& names);

}  // namespace gsnet::apps
