// Certificates by randomised smoothing (Cohen, Rosenfeld and Kolter, ICML 2019, arXiv 1902.02918), for any network.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "layers/model.h"

namespace gsnet {

struct SmoothingSpec {
  double sigma = 0.25;           ///< deviation of the noise, pixels in [0, 1]; above 0, at most 16
  int64_t selection = 100;       ///< samples that choose the class (n0)
  int64_t estimation = 100'000;  ///< samples that bound its probability (n)
  double alpha = 0.001;          ///< chance that a picture gets a wrong certificate; above 0, below 1/2
  int64_t batch = 256;  ///< noisy pictures at a time; results do not depend on it, but for ties within rounding
  uint64_t seed = 0;
  /// Abstain before all samples are drawn where a certificate has become unlikely (one in a million at each look). It
  /// takes certificates away and adds none: the guarantee stays.
  bool stop_early = true;
  int threads = 0;  ///< that draw noise; 0: one a core
};

/// Pictures as bytes: what quantised inputs are.
struct PictureSource {
  int64_t count = 0;
  /// Writes picture i in (H, W, C) order.
  std::function<void(int64_t i, std::span<uint8_t> pixels)> read;
};

constexpr int kAbstained = -1;

struct SmoothedPrediction {
  int predicted = kAbstained;  ///< the smoothed classifier's class
  double radius_l2 = 0;        ///< certified, pixels in [0, 1]; 0 with an abstention
  int selected = kAbstained;   ///< the class most often found by the selection samples; the first of several
  int64_t hits = 0;            ///< how often the estimation samples found it again,
  int64_t samples = 0;         ///< of so many: fewer than asked for where it was stopped early
};

/// Let F be the network as executed, from integer levels of pixels to its first largest logit (none where a logit is
/// not finite), and q the rounding of pixels to the nearest level, multiples of 1/255, neither clipped. The smoothed
/// classifier is g(p) = the class c with the largest P(F(q(p + N(0, sigma^2))) = c). For each picture, with
/// probability 1 - alpha over the seed: g(p') = predicted for every p' with |p' - p|_2 < radius_l2 =
/// sigma Phi^-1(lower bound of that probability), rounding included (docs/smoothing.md says what is assumed).
///
/// Since pictures are bytes, q(p + noise) = p + q(noise): whole levels are drawn, and neither floating-point noise nor
/// its sum with the picture can tell where it came from (Voracek and Hein, ICLR 2023). Noise is a function of (seed,
/// picture, sample). Batches run across pictures and are full but for the last of each phase.
///
/// The model takes (C, H, W), or (F) with one byte a feature. Throws Error for a model or a spec that cannot be.
/// `progress` is called after each batch with the samples done and the most there can be.
std::vector<SmoothedPrediction> smooth(const Model& model, const PictureSource& pictures, const SmoothingSpec& spec,
                                       const std::function<void(int64_t done, int64_t most)>& progress = {});

}  // namespace gsnet
