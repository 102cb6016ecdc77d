// Data sets by the names that the command line uses.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "certify/report.h"
#include "data/corruption.h"
#include "data/loader.h"
#include "layers/model.h"

namespace gsnet::apps {

/// "glyphs" (the embedded set: `glyphs` pictures for training, a fifth of that and at least 1,000 for testing) or a
/// path.
std::shared_ptr<const data::Dataset> open_named(const std::string& name, data::Split split, int side, int64_t glyphs);

/// The same at the size that the model takes; of "glyphs" 10,000.
std::shared_ptr<const data::Dataset> open_for(const Model& model, const std::string& name, data::Split split);

/// What a data set's pictures are usually normalised with: CIFAR's (stddev 0.2507 throughout) for three channels of 32
/// x 32, else mean 0.5 and stddev 0.25.
data::Normalisation usual_normalisation(const data::Dataset& dataset);

/// "jpeg:3", or several, one after the other, with + between. Throws UsageError.
data::CorruptionChain parse_chain(const std::string& text, uint64_t seed);

/// The same pictures corrupted as `name` says ("gaussian_noise:3", or several, one after the other, with + between); as
/// they are where it is empty or "clean". With commas between several such conditions each picture gets one of them,
/// drawn from the seed and its number. Throws UsageError.
std::shared_ptr<const data::Dataset> open_corrupted(std::shared_ptr<const data::Dataset> clean, const std::string& name,
                                                    uint64_t seed = 0);

/// The conditions between the commas of such a name, but for "clean": what a network is to become good at.
std::vector<std::string> corrupted_conditions(const std::string& name);

/// The pictures as the model takes them: in its order of channels.
std::shared_ptr<const data::Dataset> in_order(std::shared_ptr<const data::Dataset> dataset, const Model& model);

/// Picture number `picture` of a set, for a report.
Thumbnail thumbnail(const data::Dataset& pictures, int64_t picture);

data::Split parse_split(const std::string& text);

}  // namespace gsnet::apps
