// The figures of a smoothed classifier on a test set, to stand by themselves or beside another certificate's.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "certify/smoothing.h"

namespace gsnet {

/// One picture of the test set.
struct SmoothedSample {
  int64_t index = 0;
  std::string name;
  int label = 0;
  SmoothedPrediction outcome;
};

struct SmoothingReport {
  SmoothingSpec spec;
  std::vector<SmoothedSample> samples;
  std::vector<double> radii;  ///< at which certified accuracy is tabled, ascending
  std::vector<std::pair<std::string, std::string>> settings;
};

/// Shares and means of no pictures at all are NaN.
struct SmoothingSummary {
  int64_t n = 0;
  int64_t abstained = 0;
  double clean_accuracy = 0;                         ///< of the smoothed classifier; abstentions count as wrong
  std::vector<std::pair<double, double>> certified;  ///< (radius, share right with a certificate larger than it)
  double mean_certified_radius = 0;                  ///< of all pictures, 0 where the class is wrong
  int64_t noisy_pictures = 0;                        ///< that were run and counted
};

/// Throws Error on tabled radii that do not ascend or a radius that is negative or not finite.
SmoothingSummary summarise(const SmoothingReport& report);

/// Keys n, abstained, clean_accuracy, radii: [{eps, certified_accuracy}], mean_certified_radius, sigma, selection,
/// estimation, alpha, seed, noisy_pictures, settings; with `with_samples` also samples: [{index, name, label, predicted
/// (null: abstained), radius, hits, samples}]. Infinite and NaN are null. Throws Error as summarise does.
std::string smoothing_json(const SmoothingReport& report, bool with_samples);

}  // namespace gsnet
