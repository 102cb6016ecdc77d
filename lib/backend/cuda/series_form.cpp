#include "backend/cuda/series_form.h"

#include <limits>

#include "backend/cuda/series_dense.h"
#include "backend/cuda/series_fused.h"

namespace gsnet::cuda {
namespace {

struct Choice {
  int64_t most_pixels;      ///< of a map
  int64_t fewest_channels;  ///< of a group
  SeriesForm form;
};

constexpr int64_t kAny = std::numeric_limits<int64_t>::max();

// The first row that fits a shape and can do it. Reckoned, not measured: no device was at hand. On maps of up to 4
// pixels a 3x3 kernel reaches from every pixel to every other, so that the matrix has no products with zeros, and all
// images share what is read of it, where the fused form reads a group's kernel once an image. gsnet_bench_series_forms
// times all forms of every shape: what it says belongs here.
constexpr Choice kChoices[] = {
    {4, 16, SeriesForm::dense},
    {kAny, 1, SeriesForm::fused},
    {kAny, 1, SeriesForm::terms},
};

}  // namespace

const char* to_string(SeriesForm form) {
  switch (form) {
    case SeriesForm::fused:
      return "fused";
    case SeriesForm::dense:
      return "dense";
    case SeriesForm::terms:
      break;
  }
  return "terms";
}

bool can_series_form(const Runtime& runtime, SeriesForm form, const Shape& x, const Shape& k, const SeriesSpec& spec) {
  switch (form) {
    case SeriesForm::fused:
      return fused_series_fits(runtime, x, k, spec);
    case SeriesForm::dense:
      return dense_series_fits(x, k);
    case SeriesForm::terms:
      break;
  }
  return true;
}

SeriesForm choose_series_form(const Runtime& runtime, const Shape& x, const Shape& k, const SeriesSpec& spec) {
  for (const Choice& choice : kChoices) {
    if (x[2] * x[3] > choice.most_pixels || k[1] < choice.fewest_channels) continue;
    if (can_series_form(runtime, choice.form, x, k, spec)) return choice.form;
  }
  return SeriesForm::terms;
}

}  // namespace gsnet::cuda
