#include <fmt/format.h>

#include <cmath>

#include "certify/report.h"
#include "certify/report_chart.h"
#include "certify/report_picture.h"
#include "certify/report_style.h"
#include "certify/report_tables.h"
#include "certify/report_text.h"
#include "core/error.h"

namespace gsnet {
namespace {

using namespace report;

std::string figure(std::string_view name, std::string_view value, std::string_view note) {
  return fmt::format("<div><dt>{}</dt><dd>{}</dd><dd>{}</dd></div>\n", name, value, note);
}

std::string headline(const CertificationReport& report, const CertificationSummary& summary) {
  const auto of_n = [&](double share) {
    return summary.n == 0 ? "" : count(std::llround(share * static_cast<double>(summary.n))) + " pictures";
  };
  std::string out = "<dl class=\"figures\">\n";
  out += figure("images", count(summary.n), fmt::format("{} classes", count(std::ssize(report.class_names))));
  out += figure("clean accuracy", percent(summary.clean_accuracy), of_n(summary.clean_accuracy));
  for (size_t i = 0; i < summary.certified.size(); ++i) {
    const auto& [radius_l2, share] = summary.certified[i];
    const std::string executed = report.executed ? percent(summary.certified_executed[i]) + " as executed" : "";
    out += figure("certified at " + radius(radius_l2), percent(share), report.executed ? executed : of_n(share));
  }
  out += figure("mean certified radius", decimal(summary.mean_certified_radius), "0 where the prediction is wrong");
  out += figure("Lipschitz bound", rounded_up(report.lipschitz_bound), "pixels in [0, 1] to logits");
  return out + "</dl>\n";
}

std::string curve_section(const CertificationReport& report, const CertificationSummary& summary) {
  std::string key = "<span><i class=\"certified\"></i>certified, real arithmetic</span>";
  if (report.executed) key += "<span><i class=\"executed\"></i>certified, arithmetic as executed</span>";
  for (const Comparison& other : report.beside) {
    key +=
        fmt::format("<span><i class=\"{}\"></i>{}</span>", other.from_above ? "above" : "other", escaped(other.name));
  }
  const bool more = report.executed || !report.beside.empty();
  return "<h2>Certified accuracy against radius</h2>\n" + (more ? "<p class=\"key\">" + key + "</p>\n" : "") +
         accuracy_curve(report, summary) + (more ? radius_table(report, summary) : "") +
         "<p class=\"caption\">The share of pictures that are classified correctly and certified for a radius larger "
         "than the one on the axis; the left end is the clean accuracy, the area under the curve is the mean certified "
         "radius. The upper axis counts the same radii in grey levels, 1/255 each.</p>\n";
}

std::string class_section(const CertificationReport& report, const CertificationSummary& summary) {
  return fmt::format(
      "<h2>Classes</h2>\n<p class=\"key\"><span><i class=\"clean\"></i>clean accuracy</span>"
      "<span><i class=\"certified\"></i>{}</span></p>\n{}",
      first_radius_title(report), class_table(report, summary));
}

std::string histogram_section(const CertificationReport& report, const CertificationSummary& summary) {
  return fmt::format(
      "<h2>Distribution of certified radii</h2>\n<p class=\"key\"><span><i class=\"correct\"></i>correct: {}</span>"
      "<span><i class=\"wrong\"></i>wrong: {}</span></p>\n{}"
      "<p class=\"caption\">A wrong prediction has a radius too: within it the picture stays wrong. Ties, {} here, "
      "have "
      "radius 0 and count as wrong.</p>\n",
      count(summary.correct), count(summary.n - summary.correct), radius_histogram(report), count(summary.ties));
}

/// How much room there is between what is proven and what was found.
std::string tightness_section(const CertificationReport& report) {
  std::string out;
  for (const Comparison& other : report.beside) {
    if (other.from_above) out += tightness_scatter(report, other);
  }
  if (out.empty()) return out;
  const std::string which = report.executed
                                ? " The radius is that for the arithmetic as executed, in which attacks run."
                                : " The radius is that for real arithmetic.";
  return "<h2>Certified radius against the smallest attack found</h2>\n" + out +
         "<p class=\"caption\">A point a picture that is classified correctly and that an attack broke." + which +
         " The line is where both are equal: a point below it would be a broken certificate; the distance above it is "
         "what proof and search leave open. Pictures for which nothing was found are not drawn.</p>\n";
}

std::string broken_section(const CertificationReport& report) {
  if (report.broken.empty()) return "";
  std::string out =
      "<h2>Broken pictures</h2>\n<p class=\"caption\">As they were, as an attack made them, and the change "
      "about grey, enlarged.</p>\n<ul class=\"gallery broken\">\n";
  for (const BrokenPicture& one : report.broken) {
    const auto at = static_cast<size_t>(one.clean.sample);
    GSNET_CHECK(at < report.samples.size(), fmt::format("[report] a picture belongs to sample {}", one.clean.sample));
    const CertifiedSample& sample = report.samples[at];
    const std::string name = escaped(report.class_names[static_cast<size_t>(sample.label)]);
    GSNET_CHECK(one.taken_for >= 0 && static_cast<size_t>(one.taken_for) < report.class_names.size(),
                fmt::format("[report] a broken picture is taken for class {}", one.taken_for));
    const std::string other = escaped(report.class_names[static_cast<size_t>(one.taken_for)]);
    out += fmt::format(
        "<li title=\"{}\"><div>{}{}{}</div><span class=\"name\">{}, taken for {}</span><span class=\"radius\">changed "
        "by {}, certified to {}{}; the change times {:.3g}</span></li>\n",
        escaped(sample.name), image(one.clean, name), image(one.broken, "taken for " + other),
        image(one.change, "the change"), name, other, decimal(one.distance_l2),
        rounded_down(refutable_l2(report, sample)), report.executed ? " as executed" : "", one.enlarged);
  }
  return out + "</ul>\n";
}

std::string picture_section(const CertificationReport& report) {
  std::string out;
  if (!report.most_certain.empty()) out += "<h3>Most certain</h3>\n" + gallery(report, report.most_certain);
  if (!report.least_certain.empty()) out += "<h3>Least certain</h3>\n" + gallery(report, report.least_certain);
  if (out.empty()) return out;
  return "<h2>Pictures</h2>\n<p class=\"caption\">Correctly classified pictures with the largest and the smallest "
         "certified radius (L2, pixels in [0, 1], rounded down).</p>\n" +
         out;
}

std::string sample_sections(const CertificationReport& report, const CertificationSummary& summary) {
  if (summary.n == 0) return "<p>There were no pictures to certify.</p>\n";
  return curve_section(report, summary) + class_section(report, summary) + histogram_section(report, summary) +
         tightness_section(report) + picture_section(report) + broken_section(report);
}

std::string layer_section(const CertificationReport& report) {
  if (report.layers.empty()) return "";
  return "<h2>Layers</h2>\n<p class=\"caption\">The bound of a layer is proven from above: it stretches no L2 distance "
         "by more. Shown rounded up.</p>\n" +
         layer_table(report);
}

std::string settings_section(const CertificationReport& report) {
  std::string out = report.settings.empty() ? "" : "<h2>Settings</h2>\n" + settings_table(report.settings);
  for (const Comparison& other : report.beside) {
    if (!other.settings.empty()) out += "<h3>" + escaped(other.name) + "</h3>\n" + settings_table(other.settings);
  }
  return out;
}

constexpr const char* kMeaning =
    "<h2>What a certificate means</h2>\n"
    "<p>A certified radius r says: no change of the picture whose L2 norm, over all pixels and channels with values in "
    "[0, 1], is at most r changes the predicted class. This follows from the bound on how fast the logits can change "
    "and "
    "from the margins between them, so it holds against every attack, known or not. It does not say that the "
    "prediction "
    "is right; it says nothing about changes of a larger norm, as most shifts, rotations and changes of light are, "
    "nor about pictures outside the test set, for which the shares above are estimates from a sample. It concerns the "
    "picture as the network receives it, after cropping and resizing. \"Certified\" is about the network in real "
    "arithmetic and takes the logits that were computed for exact; \"as executed\" covers the rounding errors of the "
    "arithmetic that ran, here and at every changed "
    "picture. What attacks left standing is no certificate: it bounds the true robust accuracy from above. See "
    "docs/certificates.md.</p>\n";

}  // namespace

std::string report_html(const CertificationReport& report) {
  const CertificationSummary summary = summarise(report);
  const std::string title = escaped(report.title.empty() ? "Certification report" : report.title);
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n"
      "<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n"
      "<p class=\"subtitle\">Certified robustness against changes bounded in L2 norm</p>\n",
      title, style());
  page += headline(report, summary) + sample_sections(report, summary);
  page += layer_section(report) + settings_section(report) + kMeaning;
  return page + "</body>\n</html>\n";
}

}  // namespace gsnet
