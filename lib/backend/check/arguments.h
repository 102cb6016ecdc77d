// The tensors of one kernel call: as they are for the first machine, copied for the second.
#pragma once

#include <deque>
#include <vector>

#include "backend/backend.h"

namespace gsnet::check {

/// Hands arguments through unchanged.
class Arguments {
 public:
  virtual ~Arguments() = default;
  virtual const Tensor& in(const Tensor& x) { return x; }
  virtual Tensor& out(Tensor& y) { return y; }
  virtual Tensor& in_out(Tensor& y) { return y; }
  virtual const FourForms& in(const FourForms& forms) { return forms; }
  virtual FourForms& in_out(FourForms& forms) { return forms; }
  const Tensor* in(const Tensor* x) { return x != nullptr ? &in(*x) : nullptr; }
  Tensor* out(Tensor* y) { return y != nullptr ? &out(*y) : nullptr; }
};

/// Hands copies in the second machine's memory, and remembers which of them the call writes.
class Copies final : public Arguments {
 public:
  Copies(Backend& first, Backend& second) : first_(first), second_(second) {}

  const Tensor& in(const Tensor& x) override;
  Tensor& out(Tensor& y) override;
  Tensor& in_out(Tensor& y) override;
  const FourForms& in(const FourForms& forms) override;
  FourForms& in_out(FourForms& forms) override;

  /// Throws Error naming the op when a written copy differs from the original, integers at all, others by more than
  /// 1e-4 of the largest element.
  void compare(const char* op) const;

 private:
  Tensor copy(const Tensor& x) { return second_.upload(first_.download(x)); }

  Backend& first_;
  Backend& second_;
  std::deque<Tensor> tensors_;
  std::deque<FourForms> forms_;
  struct Written {
    const Tensor* original;
    const Tensor* copy;
  };
  std::vector<Written> written_;
};

}  // namespace gsnet::check
