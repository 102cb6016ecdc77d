// The teacher in the place of class centres: its loss in closed form, its gradient by differences, what it refuses.
#include "faces/teacher.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "core/error.h"
#include "support/op_cases.h"
#include "tests/faces/differences.h"

namespace gsnet {
namespace {

using test::numbers;

/// Three targets in the plane: along the axes, and between them.
Tensor targets() { return Tensor::of<double>({3, 2}, {2, 0, 0, 0.5, 3, 3}); }

}  // namespace

TEST_CASE("a teacher's loss is the distance to a picture's own target", "[faces][teacher]") {
  const auto [distance, expected] =
      GENERATE(std::pair(TeacherDistance::cosine, (0 + 0.4) / 2),
               std::pair(TeacherDistance::chord, (std::sqrt(0 + 1e-8) + std::sqrt(0.8 + 1e-8)) / 2));
  for (const char* machine : {"reference", "cpu"}) {
    const auto backend = make_backend({machine, 1});
    TeacherHead head(*backend, targets(), distance);
    CHECK(head.pictures() == 3);
    CHECK(head.features() == 2);
    Tape tape(*backend, {});
    const Var x = tape.input(backend->upload(Tensor::of<double>({2, 2}, {5, 5, 3, 4})));
    const auto value = head.evaluate(tape, x, {*backend, Tensor::of<int32_t>({2}, {2, 0})});
    CHECK(numbers(*backend, value.loss.value)[0] == Approx(expected).margin(1e-6));
    const auto scores = numbers(*backend, value.scores);  // to the targets of the batch: the diagonal, then the axis
    REQUIRE(scores.size() == 4);
    CHECK(scores[0] == Approx(1));
    CHECK(scores[1] == Approx(std::sqrt(0.5)));
    CHECK(scores[2] == Approx(7 / (5 * std::sqrt(2))));
    CHECK(scores[3] == Approx(0.6));
    CHECK(value.columns.data<int32_t>()[0] == 0);
    CHECK(value.columns.data<int32_t>()[1] == 1);
  }
}

TEST_CASE("a teacher's gradient agrees with differences, and is nothing at the target", "[faces][teacher][gradient]") {
  const auto backend = make_backend({"reference", 1});
  const auto distance = GENERATE(TeacherDistance::cosine, TeacherDistance::chord);
  TeacherHead head(*backend, test::make_input(*backend, {{5, 4}}, 3), distance);
  const Tensor labels = Tensor::of<int32_t>({3}, {4, 0, 4});
  Tensor x = test::make_input(*backend, {{3, 4}}, 9);
  const auto loss_at = [&] {
    Tape tape(*backend, {});
    return numbers(*backend, head.evaluate(tape, tape.input(x), {*backend, labels}).loss.value)[0];
  };
  Tape tape(*backend, {.record = true});
  const Var leaf = tape.input(x, true);
  tape.backward(head.evaluate(tape, leaf, {*backend, labels}).loss);
  test::check_differences(x, numbers(*backend, tape.grad(leaf)), loss_at, 1e-6, 1e-8);
  TeacherHead own(*backend, backend->download(x), distance);
  Tape still(*backend, {.record = true});
  const Var same = still.input(x, true);
  still.backward(own.evaluate(still, same, {*backend, Tensor::of<int32_t>({3}, {0, 1, 2})}).loss);
  // Rounding errors of u - t, which a chord divides by its smallest length.
  const double most = distance == TeacherDistance::cosine ? 1e-14 : 1e-14 / std::sqrt(1e-8);
  for (const double value : numbers(*backend, still.grad(same))) CHECK(std::abs(value) < most);
}

TEST_CASE("a teacher refuses targets and labels that cannot be", "[faces][teacher]") {
  const auto backend = make_backend({"reference", 1});
  const auto make = [&](const Tensor& rows) { TeacherHead(*backend, rows); };
  CHECK_THROWS_WITH(make(Tensor::of<double>({2}, {1, 2})), Catch::Contains("targets must be rows (R, D)"));
  CHECK_THROWS_WITH(make(Tensor::of<double>({2, 2}, {1, 2, 0, 0})), Catch::Contains("target 1 has the length 0"));
  CHECK_THROWS_WITH(make(Tensor::of<double>({1, 2}, {1, NAN})), Catch::Contains("target 0 has the length nan"));
  TeacherHead head(*backend, targets());
  Tape tape(*backend, {});
  const Var x = tape.input(test::make_input(*backend, {{1, 2}}, 1));
  CHECK_THROWS_WITH(head.evaluate(tape, x, {*backend, Tensor::of<int32_t>({1}, {3})}), Catch::Contains("label 3"));
  CHECK_THROWS_WITH(head.evaluate(tape, x, {*backend, Tensor::of<int32_t>({1}, {-1})}), Catch::Contains("label -1"));
  const Var wide = tape.input(test::make_input(*backend, {{1, 3}}, 1));
  CHECK_THROWS_WITH(head.evaluate(tape, wide, {*backend, Tensor::of<int32_t>({1}, {0})}),
                    Catch::Contains("embeddings (N, 2)"));
}

}  // namespace gsnet
