// What orthogonal layers promise, shown on dense operators.
#include <catch2/catch.hpp>
#include <cmath>
#include <complex>

#include "autograd/ops.h"
#include "layers/conv_bounds.h"
#include "layers/lipconvnet.h"
#include "layers/model.h"
#include "layers/orthogonal/skew_conv.h"
#include "support/op_cases.h"
#include "support/singular_values.h"
#include "train/trainer.h"

namespace gsnet {
namespace {

/// The matrix of an affine module, column by column, on maps of a shape: what the unit vectors give less what zero
/// does.
Eigen::MatrixXd dense(Backend& backend, Module& module, const Shape& shape) {
  constexpr double kUnit = 1024;  // large beside the bias, whose roundings would hide the matrix
  const int64_t in = shape.numel(), out = module.output_shape(std::vector<Shape>{shape}).numel();
  Tensor identity = Tensor::empty({in + 1, shape[0], shape[1], shape[2]}, DType::f64, Layout::channels_last);
  for (double& value : identity.host<double>()) value = 0;
  for (int64_t i = 0; i < in; ++i) identity.data<double>()[i * in + i] = kUnit;
  Tape tape(backend, {});
  const Var x = tape.input(backend.upload(identity));
  const std::vector<double> y = test::numbers(backend, module.forward(tape, std::vector<Var>{x}).value);
  Eigen::MatrixXd matrix(out, in);
  for (int64_t i = 0; i < in; ++i) {
    for (int64_t o = 0; o < out; ++o)
      matrix(o, i) = (y[static_cast<size_t>(i * out + o)] - y[static_cast<size_t>(in * out + o)]) / kUnit;
  }
  return matrix;
}

using test::singular_values;

std::unique_ptr<Module> layer(Backend& backend, const std::string& type, Attributes settings, const Shape& shape) {
  settings.set("bias", false);
  return build_module(type, settings, {backend, RandomKey(11), {shape}});
}

/// A LipConvNet after some steps of training on noise, at a rate that moves the kernels far.
Graph trained(Backend& backend, const Attributes& settings) {
  Graph graph(lipconvnet(settings, {3, 32, 32}, 10), backend, RandomKey(4));
  TrainSpec spec{.optimiser = {.rate = 0.5}, .schedule = {.kind = ScheduleKind::constant}, .steps = 2};
  Trainer trainer(graph, spec);
  for (uint64_t step = 0; step < 2; ++step) {
    Tensor x = Tensor::empty({4, 3, 32, 32}, DType::f32, Layout::channels_last);
    Random random{RandomKey(step)};
    for (float& value : x.host<float>()) value = static_cast<float>(random.normal());
    trainer.step(x, Tensor::of<int32_t>({4}, {0, 1, 2, 3}));
  }
  return graph;
}

}  // namespace

TEST_CASE("a SkewConv is an isometry, borders included", "[orthogonal]") {
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 2});
    for (const int64_t groups : {1, 2}) {
      for (const int64_t kernel : {1, 3, 5}) {
        INFO(machine << ", groups " << groups << ", kernel " << kernel);
        const Shape shape = {4, 4, 5};
        const auto module =
            layer(*backend, "skew_conv", {{"channels", int64_t{4}}, {"groups", groups}, {"kernel", kernel}}, shape);
        const Eigen::VectorXd values = singular_values(dense(*backend, *module, shape));
        CHECK(values.maxCoeff() <= 1 + 1e-5);
        CHECK(values.minCoeff() >= 1 - 1e-5);
      }
    }
  }
}

TEST_CASE("layers that drop or add channels never stretch, and keep what they can", "[orthogonal]") {
  const auto backend = make_backend({"reference", 2});
  struct Case {
    int64_t in, out, stride, groups;
  };
  for (const Case& c : {Case{3, 16, 1, 2}, Case{3, 16, 2, 4}, Case{8, 16, 2, 4}, Case{8, 4, 1, 2}, Case{6, 10, 1, 2}}) {
    INFO(c.in << " to " << c.out << ", stride " << c.stride << ", groups " << c.groups);
    const Shape shape = {c.in, 4, 4};
    const auto module =
        layer(*backend, "skew_conv", {{"channels", c.out}, {"stride", c.stride}, {"groups", c.groups}}, shape);
    const Eigen::MatrixXd matrix = dense(*backend, *module, shape);
    const Eigen::VectorXd values = singular_values(matrix);
    CHECK(values.maxCoeff() <= 1 + 1e-5);
    if (c.out >= c.in * c.stride * c.stride) CHECK(values.minCoeff() >= 1 - 1e-5);
    CHECK(matrix.rowwise().norm().minCoeff() > 0);  // no output that nothing reaches
    CHECK(matrix.colwise().norm().minCoeff() > 0);  // no input that is thrown away
  }
  CHECK_THROWS_WITH(layer(*backend, "skew_conv", {{"channels", int64_t{16}}, {"groups", int64_t{4}}}, {3, 4, 4}),
                    Catch::Contains("4 groups"));
}

TEST_CASE("GroupShuffleConv is orthogonal in all its variants", "[orthogonal]") {
  const auto backend = make_backend({"reference", 2});
  const Shape shape = {8, 3, 4};
  const std::vector<Attributes> variants = {
      {{"groups", int64_t{4}}},
      {{"groups", int64_t{4}}, {"groups2", int64_t{1}}},
      {{"groups", int64_t{2}}, {"groups2", int64_t{4}}},
      {{"groups", int64_t{4}}, {"groups2", int64_t{4}}, {"paired", false}, {"variant", std::string("lpr")}},
  };
  for (Attributes settings : variants) {
    settings.set("channels", int64_t{8});
    const auto module = layer(*backend, "group_shuffle_conv", settings, shape);
    const Eigen::VectorXd values = singular_values(dense(*backend, *module, shape));
    CHECK(values.maxCoeff() <= 1 + 1e-5);
    CHECK(values.minCoeff() >= 1 - 1e-5);
  }
}

TEST_CASE("gram_norm bounds the operator it is the norm of", "[bounds]") {
  const auto backend = make_backend({"reference", 2});
  Attributes settings = {{"channels", int64_t{6}}, {"groups", int64_t{2}}, {"bias", false}, {"norm", 2.1}};
  SkewConv module(SkewConvSpec::from(settings), {*backend, RandomKey(5), {{6, 6, 6}}});
  const Tensor k = module.evaluation_kernel();
  Tensor s = backend->empty({2});
  backend->gram_norm(k, 2, s, nullptr);
  CHECK(test::numbers(*backend, s)[0] == Approx(2.1));
  const LayerBound bound = conv_norm_bound(backend->download(k), 2);
  CHECK(bound.value.value() <= 2.1 * (1 + 1e-6));
}

TEST_CASE("the stretch of a vector comes to the operator's norm from below", "[bounds]") {
  const auto backend = make_backend({"reference", 2});
  Attributes settings = {{"channels", int64_t{6}}, {"groups", int64_t{2}}, {"scale", std::string("stretch")}};
  SkewConv module(SkewConvSpec::from(settings), {*backend, RandomKey(5), {{6, 5, 6}}});
  Tape tape(*backend, {.record = true, .training = true});
  const Var x = tape.input(backend->upload(Tensor::of<double>({1, 6, 5, 6}, std::vector<double>(180, 1.0))));
  for (int step = 0; step < 300; ++step) module.forward(tape, x);
  const Tensor k = backend->download(module.evaluation_kernel());
  const double norm = conv_operator_bound(k, {{.pad = {1, 1, 1, 1}, .groups = 2}, 5, 6}).value.value();
  CHECK(norm >= 1.05);
  CHECK(norm <= 1.05 * 1.005);  // as sharp as the bound is
}

TEST_CASE("the least degree for a norm", "[series]") {
  for (const auto& [radius, error, degree] : {std::tuple(1.155, 1e-2, 3),
                                              {1.155, 1e-6, 7},
                                              {1.1, 1e-6, 7},
                                              {1.65, 1e-2, 4},
                                              {2.1, 1e-6, 9},
                                              {16.0, 1e-9, 24}}) {
    CHECK(chebyshev_degree(radius, error) == degree);
  }
}

TEST_CASE("an economised series is shorter and close", "[series]") {
  for (const double radius : {0.3, 1.05, 2.1}) {
    for (const SeriesForm& form : {SeriesForm{SeriesFamily::taylor, 12}, {SeriesFamily::chebyshev, 9}}) {
      const auto whole = series_coefficients(form, 2.1);
      const auto c = economised(whole, UpperBound::proven(radius), 3e-7);
      CAPTURE(radius, form.degree, c.size());
      CHECK(c.size() <= (radius < 1 ? 6U : radius < 2 ? 8U : 11U));
      double apart = 0;
      for (int i = 0; i <= 1000; ++i) {
        const std::complex<double> z(0, radius * i / 1000);
        std::complex<double> p = 0, q = 0;
        for (size_t n = whole.size(); n-- > 0;) p = p * z + whole[n];
        for (size_t n = c.size(); n-- > 0;) q = q * z + c[n];
        apart = std::max(apart, std::abs(p - q));
      }
      CHECK(apart <= 3e-7);
      const auto shorter = economised(c, UpperBound::proven(radius), 1e-12);
      CHECK(shorter.size() == c.size());
    }
  }
}

TEST_CASE("an inverse series undoes a series", "[series]") {
  for (const SeriesForm& form :
       {SeriesForm{SeriesFamily::taylor, 5}, {SeriesFamily::taylor, 12}, {SeriesFamily::chebyshev, 3}}) {
    const double radius = form.degree == 3 ? 1.155 : 2.1;
    const auto c = series_coefficients(form, radius);
    size_t before = 0;
    for (const double error : {1e-3, 1e-5, 1e-7}) {
      const auto inverse = inverse_coefficients(c, radius, error);
      CAPTURE(form.degree, error, inverse.size());
      double apart = 0;
      for (int i = -500; i <= 500; ++i) {
        const std::complex<double> z(0, radius * i / 500);
        std::complex<double> p = 0, q = 0;
        for (size_t n = c.size(); n-- > 0;) p = p * z + c[n];
        for (size_t n = inverse.size(); n-- > 0;) q = q * z + inverse[n];
        apart = std::max(apart, std::abs(p * q - 1.0));
      }
      CHECK(apart <= 1.1 * error);  // |p| is 1.1 at most
      CHECK(inverse.size() > before);
      before = inverse.size();
    }
  }
  CHECK(inverse_coefficients({1, 0.1, 1}, 1, 1e-5).empty());  // 1 - t^2 is small near t = 1
  CHECK(inverse_coefficients({0, 1}, 1, 1e-5).empty());
}

TEST_CASE("series never expand where that is claimed", "[series]") {
  for (const int degree : {4, 8, 12}) {
    const double limit = degree == 4 ? 2.828 : degree == 8 ? 3.395 : 3.379;
    const auto c = series_coefficients({SeriesFamily::taylor, degree}, 0);
    CHECK(series_bound(c, UpperBound::proven(limit)).value() <= 1 + 1e-13);
    CHECK(series_bound(c, UpperBound::proven(limit + 0.01)).value() > 1 + 1e-6);
  }
  CHECK(series_bound(series_coefficients({SeriesFamily::taylor, 5}, 0), UpperBound::proven(2.1)).value() ==
        Approx(1.0047).epsilon(1e-3));
  for (int degree = 2; degree <= 12; ++degree) {
    const auto c = series_coefficients({SeriesFamily::chebyshev, degree}, 2.1);
    CHECK(series_bound(c, UpperBound::proven(2.1)).value() <= 1 + 1e-12);
    double largest = 0;  // against a fine sample
    for (int i = 0; i <= 4000; ++i) {
      const double t = 2.1 * i / 4000;
      double real = 0, imaginary = 0, power = 1;
      for (size_t k = 0; k < c.size(); ++k, power *= t) {
        const double sign = k % 4 < 2 ? 1 : -1;
        (k % 2 == 0 ? real : imaginary) += sign * c[k] * power;
      }
      largest = std::max(largest, std::hypot(real, imaginary));
    }
    CHECK(largest <= series_bound(c, UpperBound::proven(2.1)).value());
    CHECK(largest >= series_bound(c, UpperBound::proven(2.1)).value() - 1e-3);
  }
}

TEST_CASE("no weight of the default LipConvNet has an identically zero gradient", "[orthogonal]") {
  const auto backend = make_backend({"reference", 2});
  for (const int64_t groups2 : {0, 2}) {
    const Attributes settings = {
        {"depth", int64_t{groups2 == 0 ? 10 : 5}}, {"width", int64_t{8}}, {"groups", int64_t{4}}, {"groups2", groups2}};
    Graph graph(lipconvnet(settings, {3, 32, 32}, 10), *backend, RandomKey(3));
    Tape tape(*backend, {.record = true, .training = true});
    const Tensor x = test::make_input(*backend, {{2, 3, 32, 32}, Layout::channels_last}, 1);
    const Tensor labels = Tensor::of<int32_t>({2}, {1, 7});
    tape.backward(ops::mean(ops::cross_entropy(graph.forward(tape, tape.input(x)), labels, {})));
    for (const NamedParameter& named : parameters_of(graph)) {
      INFO(named.name);
      REQUIRE(named.parameter->grad);
      const std::vector<double> gradient = test::numbers(*backend, named.parameter->grad);
      const Shape shape = named.parameter->value.shape();
      size_t zeros = 0;
      for (double value : gradient) zeros += value == 0 ? 1 : 0;
      // The diagonal of a skew kernel's middle tap is zero by construction, and so is its gradient; on a map of one row
      // or column, or of one pixel, taps that reach outside never act.
      const bool kernel = shape.rank() == 4;
      const size_t diagonal = kernel ? static_cast<size_t>(shape[0]) : 0;
      CHECK(zeros <= diagonal);
    }
  }
}

TEST_CASE("a LipConvNet moves no farther than its input, at random and trained", "[orthogonal]") {
  for (const char* machine : {"reference", "cpu"}) {
    // Rounding of f32 at a distance of a hundredth of the pictures; in double there is next to none.
    const double slack = std::string(machine) == "cpu" ? 1e-3 : 1e-11;
    const auto backend = make_backend({machine, 2});
    for (const char* variant : {"gs", "permuted", "soc", "lpr"}) {
      const auto groups = int64_t{std::string(variant) == "soc" ? 1 : 2};
      const auto width = int64_t{std::string(machine) == "cpu" ? 8 : 4};  // the reference machine is slow
      const Attributes settings = {{"width", width}, {"groups", groups}, {"variant", std::string(variant)}};
      for (const bool after_training : {false, true}) {
        if (after_training && width == 4 && std::string(variant) != "gs") continue;
        INFO(machine << ", " << variant << (after_training ? ", trained" : ""));
        Graph graph = after_training ? trained(*backend, settings)
                                     : Graph(lipconvnet(settings, {3, 32, 32}, 10), *backend, RandomKey(4));
        const double bound = graph.bounds().back().from_input.value();
        constexpr int64_t kPictures = 4;
        const Tensor x = test::make_input(*backend, {{kPictures, 3, 32, 32}, Layout::channels_last}, 1);
        const Tensor step = test::make_input(*backend, {{kPictures, 3, 32, 32}, Layout::channels_last}, 2);
        Tensor y = backend->empty_like(x);
        backend->axpby(1, x, 0.01, step, y);
        Tape tape(*backend, {});
        const std::vector<double> fx = test::numbers(*backend, graph.forward(tape, tape.input(x)).value);
        const std::vector<double> fy = test::numbers(*backend, graph.forward(tape, tape.input(y)).value);
        const std::vector<double> xs = test::numbers(*backend, x), ys = test::numbers(*backend, y);
        for (size_t n = 0; n < kPictures; ++n) {
          double out = 0, in = 0;
          for (size_t k = 0; k < 10; ++k) out += std::pow(fx[n * 10 + k] - fy[n * 10 + k], 2);
          for (size_t k = 0; k < 3072; ++k) in += std::pow(xs[n * 3072 + k] - ys[n * 3072 + k], 2);
          CHECK(std::sqrt(out) <= bound * std::sqrt(in) * (1 + slack));
        }
      }
    }
  }
}

TEST_CASE("fast evaluation is the same function", "[orthogonal]") {
  const auto cpu = make_backend({"cpu", 2});
  const Attributes ours = {{"width", int64_t{16}}, {"groups2", int64_t{4}}};
  Attributes reference = {{"width", int64_t{16}},
                          {"fit", std::string("head")},
                          {"scale", std::string("four_forms")},
                          {"variant", std::string("permuted")},
                          {"head", std::string("orthogonal")}};
  for (const char* phase : {"train", "eval"}) {
    reference.set(std::string(phase) + "_series", std::string("taylor"));
    reference.set(std::string(phase) + "_degree", int64_t{phase[0] == 't' ? 5 : 12});
  }
  for (const Attributes& settings : {ours, reference}) {
    Graph graph = trained(*cpu, settings);
    const Tensor x = test::make_input(*cpu, {{40, 3, 32, 32}, Layout::channels_last}, 1);
    const auto logits = [&](const TapeMode& mode) {
      Tape tape(*cpu, mode);
      return test::numbers(*cpu, graph.forward(tape, tape.input(x)).value);
    };
    const std::vector<double> direct = logits({});
    std::vector<double> fast;
    for (int i = 0; i < 35; ++i) fast = logits({.fast = true});  // until matrices and shorter series pay
    double largest = 0, apart = 0;
    for (size_t i = 0; i < direct.size(); ++i) {
      largest = std::max(largest, std::abs(direct[i]));
      apart = std::max(apart, std::abs(direct[i] - fast[i]));
    }
    CHECK(apart > 0);  // another order of sums
    CHECK(apart <= 1e-5 * largest);
  }
}

TEST_CASE("where many images are announced the first is evaluated as the last", "[orthogonal]") {
  const auto cpu = make_backend({"cpu", 1});
  const auto first_and_last = [&](const TapeMode& mode) {
    Graph graph = trained(*cpu, {{"width", int64_t{16}}, {"groups2", int64_t{4}}});
    const Tensor x = test::make_input(*cpu, {{40, 3, 32, 32}, Layout::channels_last}, 1);
    std::vector<std::vector<double>> logits;
    for (int i = 0; i < 35; ++i) {
      Tape tape(*cpu, mode);
      logits.push_back(test::numbers(*cpu, graph.forward(tape, tape.input(x)).value));
    }
    return std::pair(logits.front(), logits.back());
  };
  const auto [first, last] = first_and_last({.fast = true, .many = true});
  CHECK((first == last));
  const auto [before, after] = first_and_last({.fast = true});
  CHECK_FALSE((before == after));  // matrices and shorter series come when they pay
  CHECK((after == last));
}

TEST_CASE("layers of a trained network are isometries where no channel is dropped, and never stretch", "[orthogonal]") {
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 2});
    Graph graph = trained(*backend, {{"depth", int64_t{10}}, {"width", int64_t{4}}, {"groups2", int64_t{2}}});
    int isometries = 0;
    for (const Graph::Node& node : graph.nodes()) {
      const Shape shape = graph.input_shapes(node).at(0);
      if (node.description.type != "group_shuffle_conv" || shape.numel() > 600) continue;
      INFO(machine << ", " << node.description.name);
      const Eigen::VectorXd values = singular_values(dense(*backend, *node.module, shape));
      CHECK(values.maxCoeff() <= 1 + 1e-5);
      if (shape.numel() != node.output.numel()) continue;
      CHECK(values.minCoeff() >= 1 - 1e-5);
      ++isometries;
    }
    CHECK(isometries >= 2);
  }
}

}  // namespace gsnet
