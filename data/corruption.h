// Common corruptions: what cameras, files and obstacles do to pictures, in five severities.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace gsnet::data {

/// Parameters of all but occlusion, low_resolution, distant and mask are those of CIFAR-10-C (Hendrycks and Dietterich,
/// ICLR 2019, arXiv 1903.12261), for 32 x 32 pixels; lengths in pixels grow with the smaller side. Edges repeat. The
/// code is ours: pictures are as severe as theirs, not the same bytes.
enum class Corruption : uint8_t {
  gaussian_noise,  ///< deviation 0.04, 0.06, 0.08, 0.09, 0.10 of white
  shot_noise,      ///< Poisson, white counting 500, 250, 100, 75, 50
  impulse_noise,   ///< a share 0.01, 0.02, 0.03, 0.05, 0.07 of all numbers becomes 0 or 255
  gaussian_blur,   ///< deviation 0.4, 0.6, 0.7, 0.8, 1 pixels
  motion_blur,     ///< trails of deviation 1, 1.5, 2, 2, 2.5 pixels within 45 degrees of the horizontal
  defocus_blur,    ///< disks of radius 0.3, 0.4, 0.5, 1, 1.5 pixels, softened by 0.4, 0.5, 0.6, 0.2, 0.1
  jpeg,            ///< quality 80, 65, 58, 50, 40; needs OpenCV and one or three channels
  occlusion,       ///< a square of one random colour, 0.2, 0.3, 0.4, 0.5, 0.6 of the smaller side; ours
  low_resolution,  ///< averaged to 0.75, 0.6, 0.5, 0.375, 0.25 of each side, then enlarged linearly; ours
  brightness,      ///< the largest of red, green and blue plus 0.05, 0.1, 0.15, 0.2, 0.3, hue and saturation kept
  contrast,        ///< distance from each channel's mean times 0.75, 0.5, 0.4, 0.3, 0.15
  /// A face seen from afar, ours: averaged to 1/4, 3/14, 5/28, 17/112, 1/8 of each side (of 112 pixels 28, 24, 20, 17,
  /// 14), blurred before by 0.3, 0.35, 0.4, 0.45, 0.5 of the large pixels so made, given Gaussian noise of deviation
  /// 0.01, 0.015, 0.02, 0.025, 0.03 of white, then enlarged linearly.
  distant,
  /// An aligned face (112 x 112 template: eyes at 0.46 of the height, mouth at 0.82) that wears a mask of one random
  /// colour, ours: its upper edge in the middle at 0.80, 0.72, 0.65, 0.58, 0.52 of the height, 0.06 lower at the sides,
  /// which draw in from 0.08 of the width at half the height to 0.22 at the lower edge of the picture.
  mask,
};

struct CorruptionSpec {
  Corruption kind = Corruption::gaussian_noise;
  int severity = 1;  ///< 1 to 5
  uint64_t seed = 0;
};

/// Names of all kinds, in the order of the enumeration: "gaussian_noise", …
std::span<const std::string_view> corruption_names();

/// "gaussian_noise:3", and back. Throws Error naming the kinds there are, or the severities.
std::string to_string(const CorruptionSpec& spec);
CorruptionSpec parse_corruption(std::string_view text, uint64_t seed = 0);

/// "low_resolution:3+jpeg:2": one after the other, from the left. Throws Error as parse_corruption() does, and for a
/// kind that is there twice: both would draw the same random numbers.
using CorruptionChain = std::vector<CorruptionSpec>;
std::string to_string(const CorruptionChain& chain);
CorruptionChain parse_corruption_chain(std::string_view text, uint64_t seed = 0);

/// The same pictures and labels, corrupted as they are read. Picture i depends on (seed, kind, severity, i) and on
/// picture i of `clean`; severities of one seed share their random numbers, so that they differ by severity alone.
/// Thread-safe. Throws Error for a severity or a picture that cannot be, and for jpeg without a picture library.
std::shared_ptr<const Dataset> corrupted(std::shared_ptr<const Dataset> clean, const CorruptionSpec& spec);
std::shared_ptr<const Dataset> corrupted(std::shared_ptr<const Dataset> clean, const CorruptionChain& chain);

/// Picture i is picture i of one of these sets, drawn from (seed, i) with equal chances: a mixture of conditions.
/// Thread-safe. Throws Error unless all are the same pictures: as many, of one shape, with the first one's labels.
std::shared_ptr<const Dataset> one_of(std::vector<std::shared_ptr<const Dataset>> sets, uint64_t seed);

}  // namespace gsnet::data
