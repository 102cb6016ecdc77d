// The central operator. Where a group's map fits into the memory that the threads of a block share, all terms of the
// series are made there: device memory is read once and written once. Else the terms are convolutions one by one.
#include <algorithm>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/loops.h"

namespace gsnet::cuda {
namespace {

Shape times_images(const Shape& x, int64_t count) { return {x[0] * count, x[1], x[2], x[3]}; }

/// Iterate i in one tensor of them all.
Tensor iterate(const Tensor& all, int64_t i, int64_t images) { return all.rows(i * images, images); }

/// to = a + factor b.
void add_scaled(Stream stream, const Tensor& a, double factor, const Tensor& b, Tensor& to) {
  const float* first = a.data<float>();
  const float* second = b.data<float>();
  float* sum = to.data<float>();
  const auto f = static_cast<float>(factor);
  for_each(stream, a.numel(), [=] GSNET_DEVICE(int64_t i) { sum[i] = first[i] + f * second[i]; });
}

/// Kernels (g; in, tap, out), so that a thread's output channels are neighbours.
Tensor taps_of(Runtime& runtime, const Tensor& k) {
  Tensor made = Tensor::empty(k.shape(), DType::f32, Layout::row_major, runtime.memory());
  const int64_t m = k.shape()[1], taps = k.shape()[2] * k.shape()[3];
  const float* from = k.data<float>();
  float* to = made.data<float>();
  for_each(runtime.stream(), k.numel(), [=] GSNET_DEVICE(int64_t e) {
    const int64_t o = e % m, tap = e / m % taps, i = e / (m * taps) % m, group = e / (m * taps * m);
    to[e] = from[((group * m + o) * m + i) * taps + tap];
  });
  return made;
}

constexpr int kTilePixels = 4, kTileChannels = 4;

/// One group of one image in shared memory: maps (channel, row, column) with a border of zeros as wide as the kernel
/// reaches, twice.
struct GroupMap {
  int64_t channels, m, height, width, high, wide;  ///< m channels a group; taps up and to the left

  GSNET_ANYWHERE int64_t line() const { return width + 2 * wide; }
  GSNET_ANYWHERE int64_t plane() const { return (height + 2 * high) * line(); }
  GSNET_ANYWHERE int64_t map() const { return m * plane(); }
  GSNET_ANYWHERE int64_t shared_floats() const { return 2 * map(); }
  GSNET_ANYWHERE int64_t pixels() const { return height * width; }
  /// Tiles of kTilePixels x kTileChannels sums; the pixels of a tile are `lanes` apart.
  GSNET_ANYWHERE int64_t lanes() const { return (pixels() + kTilePixels - 1) / kTilePixels; }
  GSNET_ANYWHERE int64_t tiles() const { return lanes() * ((m + kTileChannels - 1) / kTileChannels); }
  /// Of pixel p, in a plane.
  GSNET_DEVICE int64_t inner(int64_t p) const { return (p / width + high) * line() + p % width + wide; }
  /// Of channel c of pixel p of group `index` (image, group), in device memory.
  GSNET_DEVICE int64_t outer(int64_t index, int64_t p, int64_t c) const {
    const int64_t groups = channels / m;
    return (index / groups * pixels() + p) * channels + index % groups * m + c;
  }
};

/// Sums of one tile: J times the map `from`. taps (in, tap, out) of the group.
struct TileSums {
  float of[kTilePixels][kTileChannels];

  GSNET_DEVICE TileSums(const GroupMap& map, const float* from, const float* taps, int64_t tile) {
    const int64_t first = tile / map.lanes() * kTileChannels, lane = tile % map.lanes();
    int64_t corner[kTilePixels];
    for (int j = 0; j < kTilePixels; ++j) {
      const int64_t p = lane + j * map.lanes();
      corner[j] = map.inner(p < map.pixels() ? p : 0) - map.high * map.line() - map.wide;
      for (int o = 0; o < kTileChannels; ++o) of[j][o] = 0;
    }
    const int64_t count = map.m - first < kTileChannels ? map.m - first : kTileChannels;
    for (int64_t i = 0; i < map.m; ++i) {
      const float* plane = from + i * map.plane();
      for (int64_t u = 0; u <= 2 * map.high; ++u) {
        for (int64_t v = 0; v <= 2 * map.wide; ++v) {
          float weight[kTileChannels];
          for (int o = 0; o < kTileChannels; ++o) weight[o] = o < count ? taps[first + o] : 0.0F;
          for (int j = 0; j < kTilePixels; ++j) {
            const float value = plane[corner[j] + u * map.line() + v];
            for (int o = 0; o < kTileChannels; ++o) of[j][o] += value * weight[o];
          }
          taps += map.m;
        }
      }
    }
  }

  /// body(pixel, channel, sum) for what lies inside the map.
  template <class Body>
  GSNET_DEVICE void each(const GroupMap& map, int64_t tile, Body body) const {
    const int64_t first = tile / map.lanes() * kTileChannels, lane = tile % map.lanes();
    for (int j = 0; j < kTilePixels; ++j) {
      const int64_t p = lane + j * map.lanes();
      for (int o = 0; o < kTileChannels; ++o) {
        if (p < map.pixels() && first + o < map.m) body(p, first + o, of[j][o]);
      }
    }
  }
};

constexpr int kMostTerms = 32;

/// Factors of the recurrence, one a term.
struct Factors {
  float of[kMostTerms];
};

GroupMap map_of(const Tensor& x, const Tensor& k) {
  return {x.shape()[1], k.shape()[1], x.shape()[2], x.shape()[3], k.shape()[2] / 2, k.shape()[3] / 2};
}

bool fits(const GroupMap& map, int degree) { return degree <= kMostTerms && map.shared_floats() * 4 <= kMostShared; }

/// u <- x + f_i J u, `degree` times, then y = c_0 u; iterates (u_K first), or none, in `kept`.
void fused_forward(Runtime& runtime, const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y,
                   Tensor* kept) {
  const GroupMap map = map_of(x, k);
  const int degree = spec.degree();
  Factors factors{};
  for (int step = 0; step < degree; ++step) {
    const auto c = [&](int at) { return spec.coefficients[static_cast<size_t>(at)]; };
    factors.of[step] = static_cast<float>(c(degree - step) / c(degree - step - 1));
  }
  const Tensor arranged = taps_of(runtime, k);
  const int64_t groups = map.channels / map.m, group_taps = k.numel() / groups, size = x.numel();
  const auto last = static_cast<float>(spec.coefficients[0]);
  const float* from = x.data<float>();
  const float* taps = arranged.data<float>();
  float* to = y.data<float>();
  float* iterates = kept != nullptr ? kept->data<float>() : nullptr;
  for_teams(runtime.stream(), x.shape()[0] * groups, map.shared_floats(), [=] GSNET_DEVICE(Team team, int64_t index) {
    team.each(map.shared_floats(), [&](int64_t i) { team.shared[i] = 0; });
    team.each(map.m * map.pixels(), [&](int64_t i) {
      const int64_t c = i % map.m, p = i / map.m, at = map.outer(index, p, c);
      team.shared[c * map.plane() + map.inner(p)] = from[at];
      if (iterates != nullptr) iterates[at] = from[at];
    });
    const float* own = taps + index % groups * group_taps;
    for (int step = 0; step < degree; ++step) {
      const float* before = team.shared + step % 2 * map.map();
      float* after = team.shared + (step + 1) % 2 * map.map();
      team.each(map.tiles(), [&](int64_t tile) {
        TileSums(map, before, own, tile).each(map, tile, [&](int64_t p, int64_t c, float sum) {
          const int64_t at = map.outer(index, p, c);
          const float u = from[at] + factors.of[step] * sum;
          if (step + 1 == degree) {
            to[at] = last * u;
          } else {
            after[c * map.plane() + map.inner(p)] = u;
            if (iterates != nullptr) iterates[(step + 1) * size + at] = u;
          }
        });
      });
    }
  });
}

/// g <- f_i J g, dx = c_0 dy - sum of J g; the iterates g (g_K first) in `kept`, or none. Either output may be null.
void fused_backward(Runtime& runtime, const Tensor& dy, const Tensor& k, const SeriesSpec& spec, Tensor* dx,
                    Tensor* kept) {
  const GroupMap map = map_of(dy, k);
  const int degree = spec.degree();
  const auto c = [&](int at) { return spec.coefficients[static_cast<size_t>(at)]; };
  Factors factors{};
  for (int step = 0; step + 1 < degree; ++step) factors.of[step] = static_cast<float>(-c(step + 2) / c(step + 1));
  const Tensor arranged = taps_of(runtime, k);
  const int64_t groups = map.channels / map.m, group_taps = k.numel() / groups, size = dy.numel();
  const auto c0 = static_cast<float>(c(0)), c1 = static_cast<float>(c(1));
  const float* from = dy.data<float>();
  const float* taps = arranged.data<float>();
  float* to = dx != nullptr ? dx->data<float>() : nullptr;
  float* iterates = kept != nullptr ? kept->data<float>() : nullptr;
  for_teams(runtime.stream(), dy.shape()[0] * groups, map.shared_floats(), [=] GSNET_DEVICE(Team team, int64_t index) {
    team.each(map.shared_floats(), [&](int64_t i) { team.shared[i] = 0; });
    team.each(map.m * map.pixels(), [&](int64_t i) {
      const int64_t channel = i % map.m, p = i / map.m, at = map.outer(index, p, channel);
      team.shared[channel * map.plane() + map.inner(p)] = c1 * from[at];
      if (iterates != nullptr) iterates[(degree - 1) * size + at] = c1 * from[at];
      if (to != nullptr) to[at] = c0 * from[at];
    });
    const float* own = taps + index % groups * group_taps;
    for (int step = 0; step < (to != nullptr ? degree : degree - 1); ++step) {
      const float* before = team.shared + step % 2 * map.map();
      float* after = team.shared + (step + 1) % 2 * map.map();
      team.each(map.tiles(), [&](int64_t tile) {
        TileSums(map, before, own, tile).each(map, tile, [&](int64_t p, int64_t channel, float sum) {
          const int64_t at = map.outer(index, p, channel);
          if (to != nullptr) to[at] -= sum;
          if (step + 1 == degree) return;
          after[channel * map.plane() + map.inner(p)] = factors.of[step] * sum;
          if (iterates != nullptr) iterates[(degree - 2 - step) * size + at] = factors.of[step] * sum;
        });
      });
    }
  });
}

}  // namespace

// u_K = x, u_{k-1} = x + (c_k / c_{k-1}) J u_k, y = c_0 u_0. Saved: u_K … u_1, in this order.
void CudaBackend::conv_exp(const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y, SeriesSaved* saved) {
  if (x.numel() == 0) return;
  const int degree = spec.degree();
  const int64_t images = x.shape()[0];
  const bool keep = saved != nullptr && spec.save == SeriesSave::iterates;
  const bool fused = fits(map_of(x, k), degree);
  Tensor all = keep || !fused ? empty(times_images(x.shape(), keep ? degree : 2), Layout::channels_last) : Tensor();
  if (keep) saved->tensors = {all};
  if (fused) return fused_forward(*runtime_, x, k, spec, y, keep ? &all : nullptr);
  const ConvSpec conv = series_convolution(k.shape(), spec.groups);
  Tensor u = iterate(all, 0, images), product = empty_like(x);
  copy(x, u);
  for (int i = degree; i >= 1; --i) {
    const auto c = [&](int at) { return spec.coefficients[static_cast<size_t>(at)]; };
    convolve(u, k, conv, product);
    Tensor next = i == 1 ? y : iterate(all, keep ? degree - i + 1 : (degree - i + 1) % 2, images);
    add_scaled(stream(), x, c(i) / c(i - 1), product, next);
    u = next;
  }
  if (spec.coefficients[0] != 1) scale(spec.coefficients[0], y, y);
}

// g_1 = c_1 dy, g_{k+1} = (c_{k+1} / c_k) J' g_k, J' = -J: dk = sum_k g_k (x) u_k, one weight gradient over K times the
// images; dx = c_0 dy + sum_k J' g_k.
void CudaBackend::conv_exp_backward(const Tensor& x, Tensor k, const SeriesSpec& spec, const SeriesSaved& saved,
                                    const Tensor& dy, Tensor* dx, Tensor* dk) {
  if (dk != nullptr) *dk = empty_like(k);
  if (x.numel() == 0) {
    if (dk != nullptr) fill(0, *dk);
    return;
  }
  const ConvSpec conv = series_convolution(k.shape(), spec.groups);
  const int degree = spec.degree();
  const int64_t images = x.shape()[0];
  Tensor iterates;
  if (dk != nullptr) {
    SeriesSaved made = saved;
    if (made.tensors.empty()) {
      SeriesSpec again = spec;
      again.save = SeriesSave::iterates;
      Tensor ignored = empty_like(x);
      conv_exp(x, k, again, ignored, &made);
    }
    iterates = made.tensors[0];
  }
  const bool fused = fits(map_of(x, k), degree);
  // In the order of the iterates: u_K first, so g_1 last.
  const bool keep = dk != nullptr;
  Tensor all = keep || !fused ? empty(times_images(x.shape(), keep ? degree : 2), Layout::channels_last) : Tensor();
  if (fused) {
    fused_backward(*runtime_, dy, k, spec, dx, keep ? &all : nullptr);
  } else {
    const auto c = [&](int at) { return spec.coefficients[static_cast<size_t>(at)]; };
    const auto place = [&](int i) { return iterate(all, keep ? degree - i : i % 2, images); };
    Tensor product = empty_like(x), g = place(1);
    scale(c(1), dy, g);
    if (dx != nullptr) scale(c(0), dy, *dx);
    for (int i = 1; i <= degree && (i < degree || dx != nullptr); ++i) {
      convolve(g, k, conv, product);
      if (dx != nullptr) add_scaled(stream(), *dx, -1, product, *dx);
      if (i == degree) break;
      g = place(i + 1);
      scale(-c(i + 1) / c(i), product, g);
    }
  }
  if (keep) conv2d_wgrad(iterates, all, conv, *dk);
}

}  // namespace gsnet::cuda
