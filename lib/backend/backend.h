// Backend: a machine. A device, its allocator, its stream of work, and the kernel families.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "backend/channels.h"
#include "backend/conv.h"
#include "backend/eltwise.h"
#include "backend/kernel_norm.h"
#include "backend/linalg.h"
#include "backend/loss.h"
#include "backend/optim.h"
#include "backend/pool.h"
#include "backend/precision.h"
#include "backend/reduce.h"
#include "backend/rotation.h"
#include "backend/series.h"

namespace gsnet {

/// How a machine rounds: what bounds of rounding errors are made of (docs/certificates.md).
struct Arithmetic {
  double unit_roundoff = 0;       ///< a rounded result is off by at most this times itself
  int roundings_per_product = 2;  ///< of a multiply-add: 1 where it is fused
  /// A sum of n products is made in at most n / 16 + this many parts, which are added up.
  int parts = 32;
  /// conv_exp goes by Horner; else it adds up powers.
  bool horner = true;
  /// In how many different orders outputs of one pixel (or of one row of a product) may sum their products; in what
  /// order, and with how many partial sums, does not matter.
  int orders = 1;
};

/// Work that a machine can do again at little cost to the host: the same kernels on the same memory. What was allocated
/// while it was noted is the recording's; tensors from before must stay where they are.
class Recording {
 public:
  Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  virtual ~Recording() = default;
  /// In order with other work.
  virtual void replay() = 0;
  /// Whether results since seen on the host ask for more work than was noted, soon: it is time to note it again.
  virtual bool outgrown() const { return false; }
};

/// Work is ordered: a kernel sees what earlier calls wrote. Calls come from one thread at a time. Kernels trust the
/// shapes they are given (ops check them); they throw Error only for what cannot be known before.
class Backend : public ConvKernels,
                public SeriesKernels,
                public LinalgKernels,
                public KernelNormKernels,
                public EltwiseKernels,
                public ChannelKernels,
                public PoolKernels,
                public ReduceKernels,
                public LossKernels,
                public OptimKernels,
                public RotationKernels {
 public:
  /// "reference", "cpu", "cuda", "check:cpu,reference".
  virtual std::string name() const = 0;
  /// The library versions and the instruction set in use, for reports: one line.
  virtual std::string description() const = 0;
  virtual Device device() const = 0;
  /// What activations and parameters are held in: f64 on `reference`, f32 on the others.
  virtual DType dtype() const = 0;
  virtual Arithmetic arithmetic() const = 0;
  virtual const std::shared_ptr<Allocator>& memory() const = 0;
  /// Whether SeriesProducts of this precision are made here; elsewhere they are fast.
  virtual bool multiplies(Precision precision) const { return precision == Precision::f32; }
  /// x (N, C, H, W), y (N, C', H / block, W / block); bit for bit what the kernels it is made of give. `saved` as for
  /// conv_exp.
  virtual void conv_exp_between(const Tensor& x, const Tensor& k, const SeriesSpec& spec, const SeriesEnds& ends,
                                Tensor& y, SeriesSaved* saved);
  /// Its adjoint in x and the gradient in k, as conv_exp_backward gives them; dx is made here too. x is read for dk
  /// alone, and not if it is saved, and let go as soon as it can. The bias has no part in it.
  virtual void conv_exp_between_backward(Tensor x, Tensor k, const SeriesSpec& spec, const SeriesEnds& ends,
                                         const SeriesSaved& saved, const Tensor& dy, Tensor* dx, Tensor* dk);

  /// Waits until all work is done.
  virtual void synchronise() = 0;

  /// Uninitialised tensor of this machine's dtype and memory; rank 4 activations ask for channels_last.
  Tensor empty(const Shape& shape, Layout layout = Layout::row_major) const;
  Tensor empty_like(const Tensor& x) const;
  /// A copy of a host tensor in this machine's memory: floating-point elements become dtype(), integers stay.
  virtual Tensor upload(const Tensor& host) = 0;
  /// A host copy, dtype kept.
  virtual Tensor download(const Tensor& x) = 0;
  /// y becomes the upload of a host tensor, in the memory that it has if it is one alike: a recording reads it there
  /// again.
  virtual void assign(const Tensor& host, Tensor& y) = 0;

  /// Notes what `work` asks this machine to do, and the machine does none of it. Null where it does not record, or
  /// `work` asked for what needs the host (a transfer, to wait) or could not be noted; it may have run up to there.
  /// `before`: a recording that is always replayed before this one, and whose memory this one may use, or null.
  /// `why_not` (may be null): in a few words, where it tried in vain.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& work, const Recording* before,
                                            std::string* why_not = nullptr);
};

/// conv_exp made of the machine's convolutions and passes of elements, as written and not by Horner: an oracle that
/// shares no recurrence with the fast machines. Saved: the powers J x, …, J^(K-1) x.
void composed_series(Backend& backend, const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y,
                     SeriesSaved* saved);
/// Its gradients, as conv_exp_backward gives them.
void composed_series_backward(Backend& backend, const Tensor& x, const Tensor& k, const SeriesSpec& spec,
                              const SeriesSaved& saved, const Tensor& dy, Tensor* dx, Tensor* dk);

/// The shape of x whose y has this one.
Shape outer_shape(const SeriesEnds& ends, const Shape& y);
/// before(space_to_depth(x, block)).
Tensor series_input(Backend& backend, const Tensor& x, const SeriesEnds& ends);

/// Settings that every machine understands. Nothing here changes results beyond the order of sums.
struct BackendSpec {
  std::string name = "cpu";  ///< "reference", "cpu", "cuda", or "check:A,B"
  int threads = 0;           ///< host threads; 0: one a core
};

/// Throws Error naming the machines there are, or why the one asked for cannot run here.
std::unique_ptr<Backend> make_backend(const BackendSpec& spec);

}  // namespace gsnet
