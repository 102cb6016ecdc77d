// A recipe's [face] table as TOML. Included by .cpp files only: the TOML library stays out of other headers.
#pragma once

#include <toml++/toml.h>

#include <string>

#include "apps/recipe.h"

namespace gsnet::apps {

/// Fills in recipe.face where there is such a table. Throws Error naming file, line and key.
void read_face(toml::table& root, const std::string& file, Recipe& recipe);

toml::table face_table(const FaceRecipe& face);

}  // namespace gsnet::apps
