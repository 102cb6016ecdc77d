#include "backend/check/check_backend.h"

#include <fmt/format.h>

#include <cmath>

#include "backend/check/make.h"
#include "core/error.h"

namespace gsnet {
namespace check {

const Tensor& Copies::in(const Tensor& x) {
  tensors_.push_back(copy(x));
  return tensors_.back();
}

Tensor& Copies::out(Tensor& y) {
  const bool real = y.dtype() == first_.dtype();
  tensors_.push_back(Tensor::empty(y.shape(), real ? second_.dtype() : y.dtype(), y.layout(), second_.memory()));
  written_.push_back({&y, &tensors_.back()});
  return tensors_.back();
}

Tensor& Copies::in_out(Tensor& y) {
  tensors_.push_back(copy(y));
  written_.push_back({&y, &tensors_.back()});
  return tensors_.back();
}

const FourForms& Copies::in(const FourForms& forms) {
  forms_.emplace_back();
  for (size_t i = 0; i < 4; ++i) {
    forms_.back().u[i] = copy(forms.u[i]);
    forms_.back().v[i] = copy(forms.v[i]);
  }
  return forms_.back();
}

FourForms& Copies::in_out(FourForms& forms) {
  in(forms);
  FourForms& copied = forms_.back();
  for (size_t i = 0; i < 4; ++i) {
    written_.push_back({&forms.u[i], &copied.u[i]});
    written_.push_back({&forms.v[i], &copied.v[i]});
  }
  return copied;
}

void Copies::compare(const char* op) const {
  for (const Written& pair : written_) {
    const double tolerance = pair.original->dtype() == DType::i32 ? 0 : 1e-4;
    const Tensor a = with_dtype(first_.download(*pair.original), DType::f64);
    const Tensor b = with_dtype(second_.download(*pair.copy), DType::f64);
    double largest = 0, difference = 0;
    for (int64_t i = 0; i < a.numel(); ++i) {
      const double p = a.data<double>()[i], q = b.data<double>()[i];
      if (std::isnan(p) && std::isnan(q)) continue;
      largest = std::fmax(largest, std::fabs(q));
      difference = std::isnan(p - q) && p != q ? INFINITY : std::fmax(difference, p == q ? 0 : std::fabs(p - q));
    }
    GSNET_CHECK(difference <= tolerance * largest + 1e-30,
                fmt::format("[check] {}: {} and {} differ by {:.3g} where the largest element is {:.3g}, shape {}", op,
                            first_.name(), second_.name(), difference, largest, to_string(a.shape())));
  }
}

}  // namespace check

CheckBackend::CheckBackend(std::unique_ptr<Backend> first, std::unique_ptr<Backend> second)
    : first_(std::move(first)), second_(std::move(second)) {}

std::string CheckBackend::description() const {
  return fmt::format("{} ({}) compared with {} ({})", first_->name(), first_->description(), second_->name(),
                     second_->description());
}

void CheckBackend::both(const char* op, const Call& call) {
  check::Copies copies(*first_, *second_);
  call(*second_, copies);
  Arguments originals;
  call(*first_, originals);
  copies.compare(op);
}

void CheckBackend::conv_exp(const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y, SeriesSaved* saved) {
  both("conv_exp", [&](Backend& b, Arguments& a) {
    b.conv_exp(a.in(x), a.in(k), spec, a.out(y), &b == first_.get() ? saved : nullptr);
  });
  if (saved != nullptr) saved->with_input = false;
}

// What the first machine saved means nothing to the second, which computes it again.
void CheckBackend::conv_exp_between(const Tensor& x, const Tensor& k, const SeriesSpec& spec, const SeriesEnds& ends,
                                    Tensor& y, SeriesSaved* saved) {
  SeriesSpec fresh = spec;
  fresh.cache = nullptr;  // which belongs to one machine
  both("conv_exp_between", [&](Backend& on, Arguments& the) {
    const bool first = &on == first_.get();
    SeriesEnds with = ends;
    with.bias = the.in(ends.bias);
    on.conv_exp_between(the.in(x), the.in(k), first ? spec : fresh, with, the.out(y), first ? saved : nullptr);
  });
  if (saved != nullptr) saved->with_input = false;
}

void CheckBackend::conv_exp_backward(const Tensor& x, Tensor k, const SeriesSpec& spec, const SeriesSaved& saved,
                                     const Tensor& dy, Tensor* dx, Tensor* dk) {
  SeriesSpec alone = spec;
  alone.save = SeriesSave::input;
  if (dk != nullptr) *dk = empty_like(k);  // to be copied
  both("conv_exp_backward", [&](Backend& b, Arguments& a) {
    const bool first = &b == first_.get();
    b.conv_exp_backward(a.in(x), a.in(k), first ? spec : alone, first ? saved : SeriesSaved{}, a.in(dy), a.out(dx),
                        a.out(dk));
  });
}

void CheckBackend::conv_exp_between_backward(Tensor x, Tensor k, const SeriesSpec& spec, const SeriesEnds& ends,
                                             const SeriesSaved& saved, const Tensor& dy, Tensor* dx, Tensor* dk) {
  SeriesSpec alone = spec;
  alone.save = SeriesSave::input;
  alone.cache = nullptr;
  if (dk != nullptr) *dk = empty_like(k);  // to be copied, as dx
  if (dx != nullptr) *dx = empty(outer_shape(ends, dy.shape()), Layout::channels_last);
  both("conv_exp_between_backward", [&](Backend& b, Arguments& a) {
    const bool first = &b == first_.get();
    b.conv_exp_between_backward(dk != nullptr ? a.in(x) : Tensor(), a.in(k), first ? spec : alone, ends,
                                first ? saved : SeriesSaved{}, a.in(dy), a.out(dx), a.out(dk));
  });
}

double CheckBackend::sum_of_squares(const Tensor& x) {
  const double a = first_->sum_of_squares(x), b = second_->sum_of_squares(second_->upload(first_->download(x)));
  GSNET_CHECK(a == b || (std::isnan(a) && std::isnan(b)) || std::fabs(a - b) <= 1e-4 * std::fabs(b),
              fmt::format("[check] sum_of_squares: {} and {}", a, b));
  return a;
}

std::unique_ptr<Backend> make_check_backend(std::unique_ptr<Backend> first, std::unique_ptr<Backend> second) {
  return std::make_unique<CheckBackend>(std::move(first), std::move(second));
}

}  // namespace gsnet
