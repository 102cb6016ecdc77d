// What an orthogonal layer does to its kernel before use: the skew-symmetric part, and a scale from a spectral norm.
// k (C, C/g, Kh, Kw) row-major, split along its first axis into g groups of (m, m, Kh, Kw), m = C/g.
#pragma once

#include <array>
#include <vector>

#include "core/tensor.h"

namespace gsnet {

/// Left and right vectors of the four bilinear forms of a kernel (Singla and Feizi, "Fantastic Four", ICLR 2021), each
/// of unit length, a row a group:
///   0: u (in, w)       v (out, h)         1: u (in, h)   v (out, w)
///   2: u (in, h, w)    v (out)            3: u (out, h, w) v (in)
struct FourForms {
  std::array<Tensor, 4> u;  ///< (g, size)
  std::array<Tensor, 4> v;  ///< (g, size)
};

/// How often gram_norm squares the Gram matrix: fewer times where the products of (m, m) matrices would cost more than
/// the layer they belong to. Every number gives a sound bound, more of them a sharper one.
constexpr int gram_squarings(int64_t m) { return m <= 128 ? 4 : m <= 256 ? 3 : 1; }

/// What gram_norm left behind, as large as the square of a group's channels; it belongs to the machine that made it.
struct GramSaved {
  std::vector<Tensor> tensors;
};

class KernelNormKernels {
 public:
  virtual ~KernelNormKernels() = default;

  /// k = (w - T w) / 2, T swapping in- and output channels and flipping both spatial axes. Its own adjoint.
  virtual void skew(const Tensor& w, int64_t groups, Tensor& k) = 0;

  /// s[g] >= |J_g|, an upper bound in exact arithmetic: sqrt(Kh Kw) times the Schatten norm of order p = 2^(q + 2),
  /// q = gram_squarings(m), of the group's kernel seen as a matrix (out) x (in, h, w), by Gram iteration with rescaling
  /// (Delattre et al., ICML 2023): at most m^(1/p) times its largest singular value.
  /// `saved` is null when no backward pass follows.
  virtual void gram_norm(const Tensor& k, int64_t groups, Tensor& s, GramSaved* saved) = 0;
  /// dk for ds; where nothing was saved the iterates are computed again.
  virtual void gram_norm_backward(const Tensor& k, const Tensor& s, const GramSaved& saved, const Tensor& ds,
                                  Tensor& dk) = 0;

  /// `iterations` rounds of power iteration on all four forms, in place, then s[g] = the smallest of the four values
  /// u' K v: the reference code's estimate of |J_g| / sqrt(Kh Kw). An estimate: it may be too small. smallest (g) i32:
  /// which form it is of.
  virtual void four_forms(const Tensor& k, int64_t groups, int iterations, FourForms& forms, Tensor& s,
                          Tensor& smallest) = 0;
  /// dk for ds with u, v held fixed: ds[g] u v' of the group's smallest form.
  virtual void four_forms_backward(const FourForms& forms, const Tensor& smallest, const Tensor& ds, Tensor& dk) = 0;

  /// One round of power iteration: s[g] = |J_g v_g| / |v_g| on zero-padded maps, u = J v of unit length a group (v
  /// where that is 0). v, u (C, H, W) row-major. s is an estimate of |J_g| from below.
  virtual void stretch(const Tensor& k, int64_t groups, const Tensor& v, Tensor& u, Tensor& s) = 0;
  /// dk for ds with v of unit length and u held fixed: ds[g] u_g v_g' at every tap.
  virtual void stretch_backward(const Tensor& v, const Tensor& u, const Tensor& ds, Tensor& dk) = 0;

  /// y[g] = k[g] * numerator / (s[g] + epsilon); s (g).
  virtual void scale_groups(const Tensor& k, const Tensor& s, double numerator, double epsilon, Tensor& y) = 0;
  /// ds for dy; dk is scale_groups of dy.
  virtual void scale_groups_backward(const Tensor& k, const Tensor& s, double numerator, double epsilon,
                                     const Tensor& dy, Tensor& ds) = 0;
};

}  // namespace gsnet
