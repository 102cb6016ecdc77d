#include "apps/beside.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <utility>

#include "apps/data_source.h"
#include "apps/options.h"
#include "apps/outputs.h"
#include "certify/attack_ball.h"
#include "core/error.h"
#include "data/digest.h"
#include "io/safetensors.h"

namespace gsnet::apps {
namespace {

using Json = nlohmann::json;

using Settings = std::map<std::string, std::string>;

/// The run must have been about the same model and pictures.
void check_settings(const std::string& path, const Settings& settings, const CertificationReport& report) {
  const auto other = [&](const std::string& key) {
    const auto found = settings.find(key);
    return found == settings.end() ? std::string("none") : found->second;
  };
  for (const auto& [key, here] : report.settings) {
    if (!tells_run(key)) continue;
    const std::string there = other(key);
    GSNET_CHECK(here == there || same_file(here, there),
                fmt::format("{}: is about {} '{}', here it is '{}'", path, key, there, here));
  }
}

void check_share(const std::string& path, double radius_l2, double share) {
  GSNET_CHECK(radius_l2 >= 0 && share >= 0 && share <= 1,
              fmt::format("{}: an accuracy of {} at radius {}", path, share, radius_l2));
}

/// An attack that contradicted certificates of its own is no neighbour for others.
void check_violations(const std::string& path, const Json& violations) {
  if (violations.empty()) return;
  const Json& first = violations.at(0);
  throw Error(
      fmt::format("{}: the attack broke {} of its certificates, picture {} at {:.6g} where {:.6g} was certified", path,
                  violations.size(), first.at("index").get<int64_t>(), first.at("distance").get<double>(),
                  first.at("certified_radius").get<double>()));
}

/// Radii that smoothing certifies, by picture.
std::vector<double> smoothed_radii(const Json& samples) {
  std::vector<double> radii;
  for (const Json& one : samples) {
    const Json &predicted = one.at("predicted"), &radius = one.at("radius");
    const bool right = !predicted.is_null() && predicted == one.at("label");
    radii.push_back(right && radius.is_number() ? radius.get<double>() : 0);
  }
  return radii;
}

/// Distances of the nearest misclassified pictures, by picture.
std::vector<double> attacked_distances(const std::string& path, const Json& pictures) {
  std::vector<double> distances;
  for (const Json& one : pictures) {
    const Json& distance = one.at("distance");
    const double found = distance.is_null() ? std::numeric_limits<double>::infinity() : distance.get<double>();
    GSNET_CHECK(found >= 0,
                fmt::format("{}: picture {} was broken at a distance of {}", path, distances.size(), found));
    distances.push_back(one.at("right").get<bool>() ? found : 0);
  }
  return distances;
}

/// Labels tell whether the pictures are the report's.
void check_labels(const std::string& path, const Json& pictures, const CertificationReport& report) {
  GSNET_CHECK(pictures.size() == report.samples.size(),
              fmt::format("{}: lists {} pictures, here are {}", path, pictures.size(), report.samples.size()));
  for (size_t i = 0; i < pictures.size(); ++i) {
    const int there = pictures[i].at("label").get<int>(), here = report.samples[i].label;
    GSNET_CHECK(there == here, fmt::format("{}: picture {} is of class {}, here it is of class {}: other pictures",
                                           path, i, there, here));
  }
}

/// What is left standing at a radius is left at smaller ones.
void check_falling(const std::string& path, const Comparison& attacks) {
  for (size_t i = 1; i < attacks.accuracy.size(); ++i) {
    const auto& [before, more] = attacks.accuracy[i - 1];
    const auto& [radius, share] = attacks.accuracy[i];
    GSNET_CHECK(
        radius > before && share <= more,
        fmt::format("{}: an accuracy of {} at radius {:.6g} follows {} at {:.6g}", path, share, radius, more, before));
  }
}

/// Shares are those of the pictures in the same file.
void check_sums(const std::string& path, const Comparison& attacks) {
  const double count = static_cast<double>(std::max<size_t>(1, attacks.samples_l2.size()));
  for (const auto& [radius, share] : attacks.accuracy) {
    const auto left =
        std::ranges::count_if(attacks.samples_l2, [&, radius = radius](double found) { return found > radius; });
    GSNET_CHECK(std::abs(static_cast<double>(left) / count - share) < 1e-9,
                fmt::format("{}: an accuracy of {} at radius {:.6g}, where {} of its {} pictures are left standing",
                            path, share, radius, left, attacks.samples_l2.size()));
  }
}

Comparison comparison_of(const std::string& path, const Json& json, const CertificationReport& report) {
  const bool attack = json.contains("violations"), smoothing = json.contains("sigma");
  GSNET_CHECK(attack || smoothing, fmt::format("{}: was written by neither gsnet attack nor gsnet smooth", path));
  const auto n = json.at("n").get<int64_t>(), count = std::ssize(report.samples);
  GSNET_CHECK(n == count, fmt::format("{}: is about {} pictures, here are {}", path, n, count));
  check_settings(path, json.at("settings").get<Settings>(), report);
  Comparison other;
  other.from_above = attack;
  other.name = attack ? "under attack" : fmt::format("randomised smoothing, sigma {}", json.at("sigma").get<double>());
  if (attack) check_violations(path, json.at("violations"));
  for (const Json& row : json.at("radii")) {
    other.accuracy.emplace_back(row.at("eps").get<double>(),
                                row.at(attack ? "attacked_accuracy" : "certified_accuracy").get<double>());
    check_share(path, other.accuracy.back().first, other.accuracy.back().second);
  }
  if (attack) check_falling(path, other);
  const char* each = attack ? "pictures" : "samples";
  if (json.contains(each)) {
    check_labels(path, json.at(each), report);
    other.samples_l2 = attack ? attacked_distances(path, json.at(each)) : smoothed_radii(json.at(each));
    if (attack) check_sums(path, other);
  }
  for (const auto& [key, value] : json.at("settings").items())
    other.settings.emplace_back(key, value.get<std::string>());
  for (const char* key : {"abstained", "sigma", "selection", "estimation", "alpha", "seed"}) {
    const bool known = json.at("settings").contains(key);
    if (smoothing && !known && json.contains(key)) other.settings.emplace_back(key, json.at(key).dump());
  }
  return other;
}

/// (C, H, W) as (H, W, C), with the channels in the other order if `reversed`.
std::vector<float> by_pixel(std::span<const float> planes, size_t channels, bool reversed) {
  const size_t pixels = planes.size() / channels;
  std::vector<float> made(planes.size());
  for (size_t i = 0; i < made.size(); ++i) {
    const size_t c = i % channels;
    made[i] = planes[(reversed ? channels - 1 - c : c) * pixels + i / channels];
  }
  return made;
}

uint8_t pixel_of(double value) { return static_cast<uint8_t>(std::lround(255 * std::clamp(value, 0.0, 1.0))); }

/// The change is enlarged so that its largest number fills the range.
BrokenPicture broken_picture(Thumbnail clean, const std::vector<float>& broken, double distance_l2, int taken_for) {
  BrokenPicture one{clean, clean, std::move(clean), distance_l2, taken_for};
  const auto change = [&](size_t i) { return double{broken[i]} - one.clean.pixels[i] / 255.0; };
  double largest = 1e-9;
  for (size_t i = 0; i < broken.size(); ++i) largest = std::max(largest, std::abs(change(i)));
  one.enlarged = 0.5 / largest;
  for (size_t i = 0; i < broken.size(); ++i) {
    one.broken.pixels[i] = pixel_of(broken[i]);
    one.change.pixels[i] = pixel_of(0.5 + one.enlarged * change(i));
  }
  return one;
}

}  // namespace

bool tells_run(const std::string& key) {
  return key == kModelDigest || key == "data" || key == "split" || key == "corruption";
}

std::string model_digest(const std::string& file) { return data::digest_of(file, "sha256:"); }

std::vector<Comparison> read_comparisons(const std::string& files, const CertificationReport& report) {
  std::vector<Comparison> all;
  for (const std::string& path : split_list(files)) {
    const std::string text = io::read_text(path);
    try {
      all.push_back(comparison_of(path, Json::parse(text), report));
    } catch (const Json::exception& error) {
      throw Error(fmt::format("{}: {}", path, error.what()));
    }
  }
  return all;
}

namespace {

/// What gsnet attack --save wrote, a row a broken picture.
struct BrokenRows {
  std::span<const float> pictures;
  std::span<const int64_t> index;
  std::span<const int32_t> label, taken_for;
  std::span<const double> distance;
};

template <class T>
std::span<const T> numbers_of(const std::string& path, const io::TensorFile& file, const char* name, int64_t count) {
  const Tensor* tensor = file.find(name);
  GSNET_CHECK(tensor != nullptr, fmt::format("{}: has no tensor '{}'; gsnet attack --save writes them", path, name));
  GSNET_CHECK(tensor->dtype() == dtype_of<T>() && tensor->numel() == count,
              fmt::format("{}: {} is {} {}, expected {} numbers, {}", path, name, to_string(tensor->dtype()),
                          to_string(tensor->shape()), count, to_string(dtype_of<T>())));
  return tensor->host<T>();
}

/// Throws Error where a row is not about a picture of the report, or not of a picture at all.
void check_row(const std::string& path, const BrokenRows& rows, size_t row, const CertificationReport& report,
               std::span<const float> pixels) {
  const int64_t sample = rows.index[row];
  GSNET_CHECK(sample >= 0 && sample < std::ssize(report.samples),
              fmt::format("{}: row {} is about picture {}, there are {}", path, row, sample, report.samples.size()));
  const int there = rows.label[row], here = report.samples[static_cast<size_t>(sample)].label;
  GSNET_CHECK(there == here, fmt::format("{}: picture {} is of class {}, here it is of class {}: other pictures", path,
                                         sample, there, here));
  const int classes = static_cast<int>(report.class_names.size()), taken_for = rows.taken_for[row];
  GSNET_CHECK(
      taken_for >= 0 && taken_for < classes && taken_for != there,
      fmt::format("{}: picture {} of class {} is taken for class {} of {}", path, sample, there, taken_for, classes));
  GSNET_CHECK(rows.distance[row] >= 0 && std::isfinite(rows.distance[row]),
              fmt::format("{}: picture {} lies at a distance of {}", path, sample, rows.distance[row]));
  for (const float pixel : pixels) {
    GSNET_CHECK(pixel >= 0 && pixel <= 1,
                fmt::format("{}: picture {} has a pixel of {}, expected 0 to 1", path, sample, pixel));
  }
}

/// Of a picture that is right: what was found must lie beyond its radius.
void check_unbroken(const CertificationReport& report, const CertifiedSample& sample, double found) {
  const double radius = refutable_l2(report, sample);
  GSNET_CHECK(!(radius > 0 && found <= radius),
              fmt::format("picture {} ({}) is certified to {:.6g}, but was broken at {:.6g}: {}", sample.index,
                          sample.name, radius, found,
                          report.executed ? "the certificate, or the pairing of the files, is wrong"
                                          : "rounding errors, which --arithmetic both bounds, or the certificate, or "
                                            "the pairing of the files, is wrong"));
}

/// The distance must be that of the pictures, and beyond what the certificate excludes.
void check_distance(const std::string& path, const CertifiedSample& sample, const CertificationReport& report,
                    double stated, std::span<const uint8_t> bytes, std::span<const float> broken) {
  std::vector<float> clean(bytes.size());
  std::ranges::transform(bytes, clean.begin(), [](uint8_t byte) { return static_cast<float>(byte / 255.0); });
  const double distance = distance_l2(clean, broken);
  GSNET_CHECK(
      std::abs(distance - stated) <= 1e-9 * (1 + distance),
      fmt::format("{}: picture {} lies at a distance of {:.9g}, it says {:.9g}", path, sample.index, distance, stated));
  if (is_correct(sample)) check_unbroken(report, sample, distance);
}

}  // namespace

std::vector<BrokenPicture> read_broken(const std::string& file, const CertificationReport& report,
                                       const data::Dataset& dataset, bool reversed, size_t most) {
  const io::TensorFile saved = io::read_safetensors(file);
  const data::PictureShape shape = dataset.picture();
  const Tensor* index = saved.find("index");
  GSNET_CHECK(index != nullptr, fmt::format("{}: has no tensor 'index'; gsnet attack --save writes them", file));
  const int64_t count = index->numel();
  const BrokenRows rows = {
      numbers_of<float>(file, saved, "pictures", count * shape.numel()),
      numbers_of<int64_t>(file, saved, "index", count), numbers_of<int32_t>(file, saved, "label", count),
      numbers_of<int32_t>(file, saved, "taken_for", count), numbers_of<double>(file, saved, "distance_l2", count)};
  check_settings(file, saved.metadata, report);
  std::vector<size_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return rows.distance[i]; });
  std::vector<BrokenPicture> shown;
  std::vector<uint8_t> clean(static_cast<size_t>(shape.numel()));
  for (const size_t i : order) {
    const auto numbers = static_cast<size_t>(shape.numel());
    const std::span<const float> planes = rows.pictures.subspan(i * numbers, numbers);
    check_row(file, rows, i, report, planes);
    const int64_t sample = rows.index[i];
    dataset.read(sample, clean);
    const std::vector<float> broken = by_pixel(planes, static_cast<size_t>(shape.channels), reversed);
    check_distance(file, report.samples[static_cast<size_t>(sample)], report, rows.distance[i], clean, broken);
    if (shown.size() == most || !is_correct(report.samples[static_cast<size_t>(sample)])) continue;
    shown.push_back(broken_picture(thumbnail(dataset, sample), broken, rows.distance[i], rows.taken_for[i]));
  }
  return shown;
}

namespace {

/// At the radii of the attacks, whatever the report's are.
void check_shares(const CertificationReport& report, const Comparison& attacks) {
  const double count = static_cast<double>(std::max<size_t>(1, report.samples.size()));
  for (const auto& [radius, share] : attacks.accuracy) {
    const auto left = std::ranges::count_if(report.samples, [&, radius = radius](const CertifiedSample& sample) {
      return is_correct(sample) && refutable_l2(report, sample) > radius;
    });
    const double certified = static_cast<double>(left) / count;
    GSNET_CHECK(certified <= share + 1e-12,
                fmt::format("at radius {:.6g} a share of {} is certified, but attacks left only {} standing: the "
                            "certificate, or the pairing of the files, is wrong",
                            radius, certified, share));
  }
}

void check_pictures(const CertificationReport& report, const Comparison& attacks) {
  for (size_t i = 0; i < attacks.samples_l2.size(); ++i) {
    if (is_correct(report.samples[i])) check_unbroken(report, report.samples[i], attacks.samples_l2[i]);
  }
}

}  // namespace

void check_attacks(const CertificationReport& report) {
  for (const Comparison& other : report.beside) {
    if (!other.from_above) continue;
    check_pictures(report, other);
    check_shares(report, other);
  }
}

}  // namespace gsnet::apps
