// The report of a certification: what was certified, for whom, under which settings. JSON for programs, one HTML page
// for people.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gsnet {

/// One picture of the test set.
struct CertifiedSample {
  int64_t index = 0;
  std::string name;
  int label = 0;
  int predicted = 0;
  double radius_l2 = 0;           ///< certified, for the picture with pixels in [0, 1]; 0 for a tie
  double executed_radius_l2 = 0;  ///< the same for the arithmetic that ran, where that was bounded
  double root2_radius_l2 = 0;     ///< what sqrt(2) times the network's bound alone certifies, in real arithmetic
};

/// A picture to show: (H, W, C) bytes, grey (1 channel) or red, green, blue (3).
struct Thumbnail {
  int64_t sample = 0;  ///< position in samples
  int height = 0, width = 0, channels = 3;
  std::vector<uint8_t> pixels;
};

struct LayerRow {
  std::string name, type;
  std::string settings;  ///< "kernel 3, stride 2, groups 4"
  std::string output;
  int64_t parameters = 0;
  double macs = 0;
  double bound = 0;  ///< the layer's own Lipschitz upper bound
  std::string method;
};

/// Accuracy at some radii as another method tells it, for the same pictures.
struct Comparison {
  std::string name;         ///< "under attack", "randomised smoothing, sigma 0.25"
  bool from_above = false;  ///< what attacks left standing: no certificate, the truth is at most this
  std::vector<std::pair<double, double>> accuracy;  ///< (radius, share), radii ascending
  /// Of every sample: the radius that the other method certifies, or the distance of the nearest misclassified picture
  /// that attacks found, infinity where they found none; 0 where the class is wrong or withheld. Empty where not known.
  std::vector<double> samples_l2;
  std::vector<std::pair<std::string, std::string>> settings;  ///< of that run, for the page and the JSON
};

/// A picture that an attack broke: as it was, as it was made, and the change, enlarged about grey.
struct BrokenPicture {
  Thumbnail clean, broken, change;
  double distance_l2 = 0;
  int taken_for = 0;    ///< the class that the network gives it
  double enlarged = 1;  ///< by how much the change was
};

struct CertificationReport {
  std::string title;
  std::vector<std::string> class_names;
  std::vector<CertifiedSample> samples;
  std::vector<double> radii;   ///< at which certified accuracy is tabled, ascending
  double lipschitz_bound = 0;  ///< of the network, picture with pixels in [0, 1] to logits
  double network_bound = 0;    ///< of the network on normalised inputs
  bool executed = false;       ///< samples have executed radii
  std::vector<LayerRow> layers;
  std::vector<Thumbnail> most_certain, least_certain;  ///< correctly classified
  std::vector<Comparison> beside;
  std::vector<BrokenPicture> broken;
  /// Everything that was set, for the page and the JSON: model, data, backend, precision, version, seconds, … Each name
  /// once.
  std::vector<std::pair<std::string, std::string>> settings;
};

/// Shares and means of no samples at all (an empty test set, a class without pictures) are NaN.
struct CertificationSummary {
  int64_t n = 0;
  int64_t correct = 0;
  double clean_accuracy = 0;  ///< ties count as wrong
  int64_t ties = 0;
  std::vector<std::pair<double, double>> certified;  ///< (radius, share correct with a certificate larger than it)
  std::vector<double> certified_root2;     ///< shares at the same radii by sqrt(2) times the network's bound alone
  std::vector<double> certified_executed;  ///< shares at the same radii for the arithmetic that ran; empty without it
  double mean_executed_radius = 0;
  double mean_certified_radius = 0;  ///< of all samples, 0 where the prediction is wrong (average certified radius)
  std::vector<int64_t> class_n;
  std::vector<double> class_accuracy;
  std::vector<double> class_certified;  ///< at the first radius; at 0 where no radius is tabled
};

/// The prediction is the label and no tie.
bool is_correct(const CertifiedSample& sample);

/// The radius that something the machine itself misclassifies can refute: as executed where that was bounded.
double refutable_l2(const CertificationReport& report, const CertifiedSample& sample);

/// Throws Error on a label or a prediction without a class name, a radius that is negative or not finite, tabled radii
/// that do not ascend.
CertificationSummary summarise(const CertificationReport& report);

/// Stable keys: n, clean_accuracy, ties, radii: [{eps, certified_accuracy, certified_accuracy_root2,
/// certified_accuracy_executed}], mean_certified_radius, mean_executed_radius (these two kinds null where rounding was
/// not bounded), lipschitz_bound, network_bound, classes: [{name, n, clean_accuracy, certified_accuracy}], layers:
/// [{name, type, output, parameters, macs, bound, method}], beside: [{name, from_above, radii: [{eps, accuracy}],
/// settings: {…}}], settings: {…}; with `with_samples` also samples: [{index, name, label, predicted, radius,
/// root2_radius, executed_radius}]. Numbers read back bit
/// for bit; what is infinite or NaN is null, bytes that are not UTF-8 become U+FFFD. Throws Error as summarise does,
/// and on a setting named twice.
std::string report_json(const CertificationReport& report, bool with_samples);

/// One self-contained page: no scripts, no links. Curve of certified accuracy against radius, per class, histogram of
/// radii, certified radii against the distances that attacks found, the most and the least certain pictures and broken
/// ones, the bound of every layer, the settings. Throws Error as summarise does, on a picture whose bytes do not fit
/// its size, and where a comparison tells other than one number a sample.
std::string report_html(const CertificationReport& report);

}  // namespace gsnet
