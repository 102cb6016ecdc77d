// What people do with networks, on the CUDA machine as on the reference machine: adapters, certificates, attacks.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "adapters/adapter_cases.h"
#include "certify/attack_models.h"
#include "certify/margin.h"
#include "cuda/machine.h"
#include "layers/architectures.h"

namespace gsnet {

TEST_CASE("cuda: adapters compute, merge and come off as on the reference machine", "[cuda][adapters]") {
  const auto cuda = test::make_cuda(), reference = make_backend({"reference", 1});
  if (cuda == nullptr) return;
  for (const AdapterSpec& spec : test::all_adapters()) {
    INFO(test::name_of(spec));
    Graph on_device(test::mixed_network(), *cuda, RandomKey(3)),
        expected(test::mixed_network(), *reference, RandomKey(3));
    AdapterBank bank(on_device), beside(expected);
    bank.attach("a", spec, {}, RandomKey(1));
    beside.attach("a", spec, {}, RandomKey(1));
    test::disturb(on_device, bank, "a", 40);
    test::disturb(expected, beside, "a", 40);
    CHECK(test::difference(test::outputs(on_device), test::outputs(expected)) <= 1e-4);
    bank.merge();
    CHECK(test::difference(test::outputs(on_device), test::outputs(expected)) <= 1e-4);
    bank.unmerge();
    bank.remove("a");
    Graph base(test::mixed_network(), *cuda, RandomKey(3));
    CHECK(test::difference(test::outputs(on_device), test::outputs(base)) == 0);
  }
}

namespace {

Model small_lipconvnet(Backend& backend) {
  const Description net = make_architecture("lipconvnet", {{"width", int64_t{8}}}, {3, 32, 32}, 10);
  return {{net, {0.5, 0.48, 0.52}, {0.25, 0.2, 0.3}, {}, {}}, std::make_unique<Graph>(net, backend, RandomKey(2))};
}

}  // namespace

TEST_CASE("cuda: certificates, and the rounding errors that they count", "[cuda][certify]") {
  const auto cuda = test::make_cuda(), reference = make_backend({"reference", 2});
  if (cuda == nullptr) return;
  const Model on_device = small_lipconvnet(*cuda), expected = small_lipconvnet(*reference);
  AttackTarget target(on_device, AttackPasses::executed), beside(expected, AttackPasses::executed);
  Pixels x(3, target.picture().numel());
  Random random(RandomKey(9));
  for (float& pixel : x.values) pixel = static_cast<float>(random.uniform(0, 1));
  const Logits z = target.logits(x), real = beside.logits(x);
  const std::vector<LogitError> errors = target.rounding_errors(x, 3);
  const MarginGeometry geometry(*on_device.graph), exact(*expected.graph);
  const UpperBound scale = input_scale(on_device.info.stddev);
  for (int64_t n = 0; n < x.count(); ++n) {
    double squares = 0;
    for (size_t k = 0; k < 10; ++k) squares += std::pow(z[n][k] - real[n][k], 2);
    const LogitError& error = errors[static_cast<size_t>(n)];
    const double bound = std::sqrt(10.0) * error.features.here + error.last.here;  // ten rows of length 1
    CHECK(std::sqrt(squares) <= bound);
    CHECK(bound < 0.1);
    const Certificate certificate = certify(z[n], geometry, scale), truth = certify(real[n], exact, scale);
    CHECK(certificate.predicted == truth.predicted);
    CHECK(certificate.radius_l2 == Approx(truth.radius_l2).margin(1e-5));
  }
}

TEST_CASE("cuda: attacks break a linear classifier beyond its boundary, and not before", "[cuda][attack]") {
  const auto cuda = test::make_cuda();
  if (cuda == nullptr) return;
  const test::LinearModel linear(*cuda);
  AttackTarget target(linear.model);
  const AttackTask tasks = linear.task(2);
  for (int64_t n = 0; n < tasks.count(); ++n) {
    const AttackTask task = test::one_of(tasks, n);
    const double distance = linear.distance(task.clean[0], task.labels[0]);
    for (const double times : {1.1, 0.95}) {
      const AttackFinds finds = pgd_attack(target, task, {.radius_l2 = times * distance, .steps = 40, .restarts = 2});
      CHECK((attack_margin(target.logits(finds.pictures)[0], task.labels[0]) > 0) == (times < 1));
    }
  }
}

}  // namespace gsnet
