#include "certify/report.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "certify/report_chart.h"
#include "certify/report_picture.h"
#include "certify/report_text.h"
#include "core/error.h"

using namespace gsnet;

namespace {

constexpr double kEps = 36.0 / 255;

/// Class 0: beyond the radius, exactly at it, a tie. Class 1: one wrong with a large radius, one right. Class 2: none.
CertificationReport hand_made() {
  CertificationReport report;
  report.title = "A & B";
  report.class_names = {"cat", "<script>alert('x')</script>", "empty"};
  report.samples = {{0, "a.png", 0, 0, 0.5},
                    {1, "b.png", 0, 0, kEps},
                    {2, "c.png", 0, 0, 0},
                    {3, "\"><img src=x>.png", 1, 0, 2},
                    {4, "e.png", 1, 1, 0.1}};
  report.radii = {kEps, 0.4};
  report.lipschitz_bound = 1.0 / 3;
  report.network_bound = std::numeric_limits<double>::infinity();
  report.layers = {{"stem", "Conv2d", "kernel 3", "(64, 32, 32)", 1728, 1.77e6, 1.00000001, "gram"}};
  report.settings = {{"precision", "f32"}, {"data", "bad\xffname"}};
  report.most_certain = {{0, 1, 2, 3, {255, 0, 0, 0, 0, 255}}};
  return report;
}

size_t occurrences(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

std::vector<std::string> keys(const nlohmann::ordered_json& object) {
  std::vector<std::string> names;
  for (const auto& item : object.items()) names.push_back(item.key());
  return names;
}

}  // namespace

TEST_CASE("A summary counts ties as wrong and certifies only beyond the radius", "[certify][report]") {
  const CertificationSummary summary = summarise(hand_made());
  CHECK(summary.n == 5);
  CHECK(summary.correct == 3);
  CHECK(summary.ties == 1);
  CHECK(summary.clean_accuracy == 3.0 / 5);
  REQUIRE(summary.certified.size() == 2);
  CHECK(summary.certified[0] == std::pair(kEps, 1.0 / 5));
  CHECK(summary.certified[1] == std::pair(0.4, 1.0 / 5));
  CHECK(summary.mean_certified_radius == Approx((0.5 + kEps + 0.1) / 5));
  CHECK(summary.class_n == std::vector<int64_t>{3, 2, 0});
  CHECK(summary.class_accuracy[0] == 2.0 / 3);
  CHECK(summary.class_accuracy[1] == 0.5);
  CHECK(std::isnan(summary.class_accuracy[2]));
  CHECK(summary.class_certified[0] == 1.0 / 3);
  CHECK(summary.class_certified[1] == 0);
  CHECK(std::isnan(summary.class_certified[2]));
}

TEST_CASE("A summary refuses what cannot be", "[certify][report]") {
  CertificationReport report = hand_made();
  SECTION("label without a name") { report.samples[0].label = 3; }
  SECTION("negative prediction") { report.samples[0].predicted = -1; }
  SECTION("negative radius") { report.samples[0].radius_l2 = -0.1; }
  SECTION("infinite radius") { report.samples[0].radius_l2 = std::numeric_limits<double>::infinity(); }
  SECTION("NaN radius") { report.samples[0].radius_l2 = std::nan(""); }
  SECTION("radii out of order") { report.radii = {0.2, 0.1}; }
  SECTION("radius tabled twice") { report.radii = {0.2, 0.2}; }
  CHECK_THROWS_AS(summarise(report), Error);
}

TEST_CASE("Executed radii and other methods' figures stand beside the certificates", "[certify][report]") {
  CertificationReport report = hand_made();
  report.executed = true;
  for (CertifiedSample& sample : report.samples) {
    sample.executed_radius_l2 = sample.radius_l2 / 2;
    sample.root2_radius_l2 = sample.radius_l2 / 4;
  }
  report.beside = {{"under <attack>", true, {{report.radii[0], 0.625}}, {}, {{"steps", "7"}}}};
  const CertificationSummary summary = summarise(report);
  REQUIRE(summary.certified_executed.size() == report.radii.size());
  for (size_t i = 0; i < report.radii.size(); ++i) CHECK(summary.certified_executed[i] <= summary.certified[i].second);
  CHECK(summary.mean_executed_radius == Approx(summary.mean_certified_radius / 2));
  CHECK(summary.certified_root2 == std::vector<double>{0, 0});  // 0.125 at most
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(report_json(report, true));
  CHECK(json["beside"][0]["radii"][0]["accuracy"] == 0.625);
  CHECK(json["beside"][0]["settings"]["steps"] == "7");
  CHECK(json["radii"][0]["certified_accuracy_executed"].is_number());
  CHECK(json["radii"][0]["certified_accuracy_root2"] == 0);
  CHECK(json["samples"][0]["root2_radius"] == 0.125);
  const std::string page = report_html(report);
  CHECK_THAT(page, Catch::Contains("at most: under &lt;attack&gt;") && Catch::Contains("62.5"));
  CHECK_THAT(page, Catch::Contains("as executed") && !Catch::Contains("class=\"point\""));
  for (const CertifiedSample& sample : report.samples) report.beside[0].samples_l2.push_back(2 * sample.radius_l2);
  // The first picture: certified to 0.25 as executed, broken at 1.
  CHECK_THAT(report_html(report),
             Catch::Contains("class=\"point\"") && Catch::Contains("is that for the arithmetic as"));
  const report::Plot plot = {{0, 1.03 * 0.25, 66, 704}, {0, 1.03 * 1.0, 334, 12}, 720, 390};
  CHECK_THAT(gsnet::report::tightness_scatter(report, report.beside[0]),
             Catch::Contains(fmt::format("cx=\"{:.1f}\" cy=\"{:.1f}\"", plot.x(0.25), plot.y(1.0))));
  report.beside[0].samples_l2.pop_back();
  CHECK_THROWS_AS(report_html(report), Error);
}

TEST_CASE("What others found beyond the certificates leaves the curve's picture and does not fall at its edge",
          "[certify][report]") {
  CertificationReport report = hand_made();
  const auto line = [&](const char* style) {
    const std::string page = report_html(report), begin = fmt::format("<path class=\"{}\" d=\"", style);
    const size_t at = page.find(begin);
    REQUIRE(at != std::string::npos);
    return page.substr(at + begin.size(), page.find('"', at + begin.size()) - at - begin.size());
  };
  report.beside = {{"under attack", true, {{kEps, 0.6}}, {9, 7, 0, 0, 8}, {}}};
  CHECK(line("aboveline") == "M66.00 154.00H704.00");  // three of five, whatever is drawn
  report.beside = {{"smoothing", false, {{3, 0.4}}, {3.5, 3.5, 0, 0, 0.1}, {}}};
  CHECK_THAT(line("otherline"), Catch::EndsWith("V334.00H704.00"));
  CHECK(report_html(report).find(">3.5</text>") != std::string::npos);  // the axis holds the farthest
  report.beside.clear();
  const report::Scale alone = {0, report::radius_limit(report), 66, 704};
  CHECK_THAT(line("curve"), Catch::Contains(fmt::format("H{:.2f}V", alone(0.5))));  // and is no longer than it must be
  report.beside = {{"smoothing", false, {{3, 0.4}}, {3.5, 3.5, 0, 0, 0.1}, {}}};
  CHECK_THAT(line("curve"), Catch::EndsWith("V334.00H704.00"));
  CHECK(occurrences(report_html(report), "<path class=\"other\"") == 1);
}

TEST_CASE("The page is UTF-8 whatever the names are", "[certify][report]") {
  CertificationReport report = hand_made();
  report.title = "caf\xC3\xA9 \xFF \xE2\x82";
  CHECK_THAT(report_html(report),
             Catch::Contains("caf\xC3\xA9 \xEF\xBF\xBD ") && !Catch::Contains("\xFF") && !Catch::Contains("\xE2\x82<"));
}

TEST_CASE("The JSON has stable keys and full precision", "[certify][report]") {
  const std::string text = report_json(hand_made(), true);
  const auto json = nlohmann::ordered_json::parse(text);
  CHECK(keys(json) == std::vector<std::string>{"n", "clean_accuracy", "ties", "radii", "mean_certified_radius",
                                               "mean_executed_radius", "lipschitz_bound", "network_bound", "classes",
                                               "layers", "beside", "settings", "samples"});
  CHECK(keys(json["radii"][0]) == std::vector<std::string>{"eps", "certified_accuracy", "certified_accuracy_root2",
                                                           "certified_accuracy_executed"});
  CHECK(keys(json["classes"][0]) == std::vector<std::string>{"name", "n", "clean_accuracy", "certified_accuracy"});
  CHECK(keys(json["layers"][0]) ==
        std::vector<std::string>{"name", "type", "settings", "output", "parameters", "macs", "bound", "method"});
  CHECK(keys(json["samples"][0]) ==
        std::vector<std::string>{"index", "name", "label", "predicted", "radius", "root2_radius", "executed_radius"});
  CHECK(json["radii"][0]["eps"].get<double>() == kEps);
  CHECK(json["lipschitz_bound"].get<double>() == 1.0 / 3);
  CHECK(json["network_bound"].is_null());
  CHECK(json["classes"][2]["clean_accuracy"].is_null());
  CHECK(json["settings"]["data"] == "bad\ufffdname");
  CHECK_FALSE(nlohmann::json::parse(report_json(hand_made(), false)).contains("samples"));
}

TEST_CASE("The JSON refuses a setting named twice", "[certify][report]") {
  CertificationReport report = hand_made();
  report.settings.emplace_back("precision", "bf16");
  CHECK_THROWS_AS(report_json(report, false), Error);
}

TEST_CASE("The page escapes hostile names and needs nothing from outside", "[certify][report]") {
  CertificationReport report = hand_made();
  report.least_certain = {{4, 1, 1, 1, {7}}};
  report.samples[4].name = "\"><img src=x>.png";
  const std::string page = report_html(report);
  CHECK(page.find("<script") == std::string::npos);
  CHECK(page.find("&lt;script&gt;alert(&#39;x&#39;)") != std::string::npos);
  CHECK(page.find("http") == std::string::npos);
  CHECK(page.find("<img src=x") == std::string::npos);
  CHECK(page.find("<h1>A &amp; B</h1>") != std::string::npos);
  CHECK(page.find("36/255 (0.141)") != std::string::npos);
  CHECK(occurrences(page, "src=\"data:image/bmp;base64,") == 2);
  CHECK(occurrences(page, "src=") == 2 + occurrences(page, "&gt;&lt;img src="));
  CHECK(page.find("nan") == std::string::npos);
}

TEST_CASE("Nothing certified is still a report", "[certify][report]") {
  CertificationReport report;
  const CertificationSummary summary = summarise(report);
  CHECK(summary.n == 0);
  CHECK(std::isnan(summary.clean_accuracy));
  CHECK(nlohmann::json::parse(report_json(report, true))["clean_accuracy"].is_null());
  CHECK(report_html(report).find("There were no pictures to certify.") != std::string::npos);
  report.class_names = {"only"};
  report.samples = {{0, "tie", 0, 0, 0}};
  CHECK(report_html(report).find("nan") == std::string::npos);
}

TEST_CASE("A page draws extreme radii", "[certify][report]") {
  CertificationReport report = hand_made();
  report.samples[0].radius_l2 = GENERATE(1e-300, 1e-9, 1e300, std::numeric_limits<double>::max());
  report.radii = GENERATE(std::vector<double>{}, std::vector<double>{0, 1e-9});
  const std::string page = report_html(report);
  CHECK(page.find("nan") == std::string::npos);
  CHECK(page.find("\"inf") == std::string::npos);
  CHECK(page.size() < 100'000);
}

TEST_CASE("A picture becomes a bitmap", "[certify][report]") {
  const std::vector<uint8_t> file = report::bitmap({0, 2, 1, 3, {1, 2, 3, 4, 5, 6}});
  REQUIRE(file.size() == 54 + 2 * 4);
  CHECK(file[0] == 'B');
  CHECK(file[2] == 62);
  CHECK(std::vector<uint8_t>(file.begin() + 54, file.end()) == std::vector<uint8_t>{6, 5, 4, 0, 3, 2, 1, 0});
  CHECK_THROWS_AS(report::bitmap({0, 2, 2, 3, {1, 2, 3}}), Error);
  CHECK_THROWS_AS(report::bitmap({0, 1, 1, 2, {1, 2}}), Error);
  CHECK_THROWS_AS(report::bitmap({0, -1, 1, 1, {}}), Error);
  CertificationReport report = hand_made();
  report.most_certain[0].sample = GENERATE(-1, 2, 3, 5);  // outside, a tie, a wrong one, outside
  CHECK_THROWS_AS(report_html(report), Error);
}

TEST_CASE("Base64 pads", "[certify][report]") {
  const std::vector<uint8_t> bytes{'f', 'o', 'o', 'b'};
  CHECK(report::base64({bytes.data(), 0}).empty());
  CHECK(report::base64({bytes.data(), 1}) == "Zg==");
  CHECK(report::base64({bytes.data(), 2}) == "Zm8=");
  CHECK(report::base64({bytes.data(), 3}) == "Zm9v");
  CHECK(report::base64({bytes.data(), 4}) == "Zm9vYg==");
}

TEST_CASE("Numbers are written for people", "[certify][report]") {
  CHECK(report::radius(36.0 / 255) == "36/255 (0.141)");
  CHECK(report::radius(0.5) == "0.5");
  CHECK(report::radius(1) == "255/255 (1.000)");
  CHECK(report::count(1234567) == "1,234,567");
  CHECK(report::count(-123) == "-123");
  CHECK(report::rounded_up(1) == "1");
  CHECK(report::rounded_up(std::nextafter(1.0, 2.0)) == "1.000001");
  CHECK(report::rounded_up(4.0481234567) == "4.048124");
  CHECK(report::rounded_down(0.7899) == "0.789");
  CHECK(report::tick_label(0.25, 0.05) == "0.25");
  CHECK(report::tick_label(2, 0.5) == "2.0");
  CHECK(report::nice_step(0.3) == Approx(0.5));
  CHECK(report::ticks(0, 1, 5).size() == 6);
}
