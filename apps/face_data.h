// What a face network is tuned on, and which pairs judge it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/recipe.h"
#include "data/verification.h"

namespace gsnet::apps {

/// The pairs of some folds ("7-10"), with their pictures. Throws Error as open_verification() does; `notes` gets lines
/// for pairs that are left out because their pictures are missing.
data::VerificationSet face_pairs(const Recipe& recipe, const std::string& folds, std::vector<std::string>& notes);

/// The clean training pictures: the classes and pictures that [data] asks for (of a limit, whole people), none that
/// cannot be read. People whom `tests` show are an Error naming some of them, or left out, or allowed, as [face] says.
/// `notes` gets lines for all that is left out, and for people with a single picture.
std::shared_ptr<const data::Dataset> face_people(const Recipe& recipe,
                                                 const std::vector<const data::VerificationSet*>& tests,
                                                 std::vector<std::string>& notes);

}  // namespace gsnet::apps
