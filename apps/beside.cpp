#include "apps/beside.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <utility>

#include "apps/data_source.h"
#include "apps/options.h"
#include "apps/outputs.h"
#include "core/error.h"
#include "io/safetensors.h"

namespace gsnet::apps {
namespace {

using Json = nlohmann::json;

/// The run must have been about the same model and pictures.
void check_settings(const std::string& path, const Json& settings, const CertificationReport& report) {
  const auto other = [&](const std::string& key) {
    return settings.contains(key) ? settings.at(key).get<std::string>() : std::string("none");
  };
  for (const auto& [key, here] : report.settings) {
    if (key != "model" && key != "data" && key != "split" && key != "corruption") continue;
    const std::string there = other(key);
    GSNET_CHECK(here == there || same_file(here, there),
                fmt::format("{}: is about {} '{}', here it is '{}'", path, key, there, here));
  }
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
std::vector<double> attacked_distances(const Json& pictures) {
  std::vector<double> distances;
  for (const Json& one : pictures) {
    const Json& distance = one.at("distance");
    const double found = distance.is_null() ? std::numeric_limits<double>::infinity() : distance.get<double>();
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

Comparison comparison_of(const std::string& path, const Json& json, const CertificationReport& report) {
  const bool attack = json.contains("violations"), smoothing = json.contains("sigma");
  GSNET_CHECK(attack || smoothing, fmt::format("{}: was written by neither gsnet attack nor gsnet smooth", path));
  const auto n = json.at("n").get<int64_t>(), count = std::ssize(report.samples);
  GSNET_CHECK(n == count, fmt::format("{}: is about {} pictures, here are {}", path, n, count));
  check_settings(path, json.at("settings"), report);
  Comparison other;
  other.from_above = attack;
  other.name = attack ? "under attack" : fmt::format("randomised smoothing, sigma {}", json.at("sigma").get<double>());
  for (const Json& row : json.at("radii")) {
    other.accuracy.emplace_back(row.at("eps").get<double>(),
                                row.at(attack ? "attacked_accuracy" : "certified_accuracy").get<double>());
  }
  const char* each = attack ? "pictures" : "samples";
  if (json.contains(each)) {
    check_labels(path, json.at(each), report);
    other.samples_l2 = attack ? attacked_distances(json.at(each)) : smoothed_radii(json.at(each));
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
BrokenPicture broken_picture(Thumbnail clean, const std::vector<float>& broken, double distance_l2) {
  BrokenPicture one{clean, clean, std::move(clean), distance_l2};
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

std::vector<BrokenPicture> read_broken(const std::string& file, const CertificationReport& report,
                                       const data::Dataset& dataset, bool reversed, size_t most) {
  const io::TensorFile saved = io::read_safetensors(file);
  for (const char* name : {"pictures", "index", "label", "distance_l2"})
    GSNET_CHECK(saved.find(name) != nullptr,
                fmt::format("{}: has no tensor '{}'; gsnet attack --save writes them", file, name));
  const Tensor &pictures = saved.at("pictures"), &index = saved.at("index"), &distance = saved.at("distance_l2");
  const data::PictureShape shape = dataset.picture();
  const int64_t count = index.numel();
  const Tensor& label = saved.at("label");
  GSNET_CHECK(label.dtype() == DType::i32 && label.numel() == count,
              fmt::format("{}: label is {}, expected one a picture", file, to_string(label.shape())));
  GSNET_CHECK(pictures.dtype() == DType::f32 && index.dtype() == DType::i64 && distance.dtype() == DType::f64 &&
                  distance.numel() == count && pictures.numel() == count * shape.numel(),
              fmt::format("{}: pictures {}, index {}, distance_l2 {}: expected one picture of {} x {} x {}, index and "
                          "distance each",
                          file, to_string(pictures.shape()), to_string(index.shape()), to_string(distance.shape()),
                          shape.channels, shape.height, shape.width));
  std::vector<size_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return distance.host<double>()[i]; });
  std::vector<BrokenPicture> shown;
  for (const size_t i : order) {
    const int64_t sample = index.host<int64_t>()[i];
    GSNET_CHECK(sample >= 0 && sample < std::ssize(report.samples),
                fmt::format("{}: row {} is about picture {}, there are {}", file, i, sample, report.samples.size()));
    const int there = label.host<int32_t>()[i], here = report.samples[static_cast<size_t>(sample)].label;
    GSNET_CHECK(there == here, fmt::format("{}: picture {} is of class {}, here it is of class {}: other pictures",
                                           file, sample, there, here));
    if (shown.size() == most || !is_correct(report.samples[static_cast<size_t>(sample)])) continue;
    const auto numbers = static_cast<size_t>(shape.numel());
    const std::span<const float> planes = pictures.host<float>().subspan(i * numbers, numbers);
    shown.push_back(broken_picture(thumbnail(dataset, sample),
                                   by_pixel(planes, static_cast<size_t>(shape.channels), reversed),
                                   distance.host<double>()[i]));
  }
  return shown;
}

void check_order(const CertificationSummary& summary, const std::vector<Comparison>& beside) {
  for (const Comparison& other : beside) {
    for (const auto& [radius, share] : other.accuracy) {
      for (size_t i = 0; i < summary.certified.size(); ++i) {
        const bool same = std::abs(radius - summary.certified[i].first) <= 1e-12;
        const double certified =
            summary.certified_executed.empty() ? summary.certified[i].second : summary.certified_executed[i];
        GSNET_CHECK(!other.from_above || !same || certified <= share,
                    fmt::format("at radius {:.6g} a share of {} is certified, but attacks left only {} standing: the "
                                "certificate, or the pairing of the files, is wrong",
                                radius, certified, share));
      }
    }
  }
}

}  // namespace gsnet::apps
