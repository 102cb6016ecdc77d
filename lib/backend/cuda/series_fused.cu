#include "backend/cuda/series_fused.h"

#include <algorithm>

#include "backend/cuda/loops.h"
#include "backend/cuda/warp_product.h"

namespace gsnet::cuda {
namespace {

constexpr int kMostTerms = 32;

/// Factors of the recurrence, one a term.
struct Factors {
  float of[kMostTerms];
};

/// What the forward pass makes of the sums J u at a place, in device memory, and of what it starts from.
struct ForwardEnds {
  const float* x;
  float* y;
  float* kept;
  float last;
  Factors factors;
  int degree;
  int64_t size;

  GSNET_ANYWHERE int steps() const { return degree; }
  GSNET_DEVICE float start(int64_t at) const {
    if (kept != nullptr) kept[at] = x[at];
    return x[at];
  }
  GSNET_DEVICE float next(int step, int64_t at, float sum) const {
    const float u = x[at] + factors.of[step] * sum;
    if (step + 1 == degree) {
      y[at] = last * u;
    } else if (kept != nullptr) {
      kept[(step + 1) * size + at] = u;
    }
    return u;
  }
};

/// The backward pass, likewise.
struct BackwardEnds {
  const float* dy;
  float* dx;
  float* kept;
  float first, second;
  Factors factors;
  int degree;
  int64_t size;

  GSNET_ANYWHERE int steps() const { return dx != nullptr ? degree : degree - 1; }
  GSNET_DEVICE float start(int64_t at) const {
    const float g = second * dy[at];
    if (kept != nullptr) kept[(degree - 1) * size + at] = g;
    if (dx != nullptr) dx[at] = first * dy[at];
    return g;
  }
  GSNET_DEVICE float next(int step, int64_t at, float sum) const {
    if (dx != nullptr) dx[at] -= sum;
    const float g = factors.of[step] * sum;
    if (kept != nullptr && step + 1 < degree) kept[(degree - 2 - step) * size + at] = g;
    return g;
  }
};

/// A group's channels of a picture.
struct GroupShape {
  int64_t images, channels, m, height, width, high, wide;  ///< m channels a group; taps up and to the left

  GroupShape(const Shape& x, const Shape& k)
      : images(x[0]), channels(x[1]), m(k[1]), height(x[2]), width(x[3]), high(k[2] / 2), wide(k[3] / 2) {}

  GSNET_ANYWHERE int64_t groups() const { return channels / m; }
  GSNET_ANYWHERE int64_t pixels() const { return height * width; }
  GSNET_ANYWHERE int64_t taps() const { return (2 * high + 1) * (2 * wide + 1); }
  GSNET_ANYWHERE int64_t line() const { return width + 2 * wide; }
  /// Of pixel p in a plane with borders.
  GSNET_DEVICE int64_t inner(int64_t p) const { return (p / width + high) * line() + p % width + wide; }
  /// Of channel c of pixel p in device memory.
  GSNET_DEVICE int64_t outer(int64_t image, int64_t group, int64_t p, int64_t c) const {
    return (image * pixels() + p) * channels + group * m + c;
  }
};

/// Kernels (g; tap, in, out) as numbers that are multiplied, so that output channels are neighbours.
template <class Number>
Tensor taps_of(Runtime& runtime, const Tensor& k) {
  Tensor made =
      Tensor::empty({k.numel() * static_cast<int64_t>(sizeof(Number))}, DType::u8, Layout::row_major, runtime.memory());
  const int64_t m = k.shape()[1], taps = k.shape()[2] * k.shape()[3];
  const float* from = k.data<float>();
  auto* to = static_cast<Number*>(made.raw());
  for_each(runtime.stream(), k.numel(), [=] GSNET_DEVICE(int64_t e) {
    const int64_t o = e % m, i = e / m % m, tap = e / (m * m) % taps, group = e / (m * m * taps);
    put(to[e], from[((group * m + o) * m + i) * taps + tap]);
  });
  return made;
}

/// In single precision: a map is (channel, row, column) with a border of zeros; two maps. A thread sums kPixels x
/// kChannels outputs; its pixels are `lanes` apart, so that threads beside each other read pixels beside each other.
struct PlaneMap : GroupShape {
  using GroupShape::GroupShape;

  GSNET_ANYWHERE int64_t plane() const { return (height + 2 * high) * line(); }
  GSNET_ANYWHERE int64_t map() const { return m * plane(); }
  GSNET_ANYWHERE int64_t shared_floats() const { return 2 * map(); }
  template <int kPixels>
  GSNET_ANYWHERE int64_t lanes() const {
    return (pixels() + kPixels - 1) / kPixels;
  }
  template <int kPixels, int kChannels>
  GSNET_ANYWHERE int64_t tiles() const {
    return lanes<kPixels>() * ((m + kChannels - 1) / kChannels);
  }
};

/// Sums of one tile: J times the map `from`; taps of the group.
template <int kPixels, int kChannels>
struct TileSums {
  float of[kPixels][kChannels];

  GSNET_DEVICE TileSums(const PlaneMap& map, const float* from, const float* taps, int64_t tile) {
    const int64_t lanes = map.lanes<kPixels>(), first = tile / lanes * kChannels, lane = tile % lanes;
    int64_t corner[kPixels];
    for (int j = 0; j < kPixels; ++j) {
      const int64_t p = lane + j * lanes;
      corner[j] = map.inner(p < map.pixels() ? p : 0) - map.high * map.line() - map.wide;
      for (int o = 0; o < kChannels; ++o) of[j][o] = 0;
    }
    const int64_t count = map.m - first < kChannels ? map.m - first : kChannels;
    for (int64_t u = 0; u <= 2 * map.high; ++u) {
      for (int64_t v = 0; v <= 2 * map.wide; ++v) {
        const float* shifted = from + u * map.line() + v;
        for (int64_t i = 0; i < map.m; ++i, taps += map.m, shifted += map.plane()) {
          float weight[kChannels];
          for (int o = 0; o < kChannels; ++o) weight[o] = o < count ? taps[first + o] : 0.0F;
          for (int j = 0; j < kPixels; ++j) {
            const float value = shifted[corner[j]];
            for (int o = 0; o < kChannels; ++o) of[j][o] += value * weight[o];
          }
        }
      }
    }
  }

  /// body(pixel, channel, sum) for what lies inside the map.
  template <class Body>
  GSNET_DEVICE void each(const PlaneMap& map, int64_t tile, Body body) const {
    const int64_t lanes = map.lanes<kPixels>(), first = tile / lanes * kChannels, lane = tile % lanes;
    for (int j = 0; j < kPixels; ++j) {
      const int64_t p = lane + j * lanes;
      for (int o = 0; o < kChannels; ++o) {
        if (p < map.pixels() && first + o < map.m) body(p, first + o, of[j][o]);
      }
    }
  }
};

template <int kPixels, int kChannels, class Ends>
void run_planes(Runtime& runtime, const PlaneMap& map, const Tensor& k, const Ends& ends) {
  const Tensor arranged = taps_of<float>(runtime, k);
  const auto* taps = static_cast<const float*>(arranged.raw());
  const int64_t teams = map.images * map.groups();
  for_teams(runtime.stream(), teams, map.shared_floats(), [=] GSNET_DEVICE(Team team, int64_t index) {
    const int64_t image = index / map.groups(), group = index % map.groups();
    team.each(map.shared_floats(), [&](int64_t i) { team.shared[i] = 0; });
    team.each(map.m * map.pixels(), [&](int64_t i) {
      const int64_t c = i % map.m, p = i / map.m;
      team.shared[c * map.plane() + map.inner(p)] = ends.start(map.outer(image, group, p, c));
    });
    const float* own = taps + group * map.taps() * map.m * map.m;
    for (int step = 0; step < ends.steps(); ++step) {
      const float* before = team.shared + step % 2 * map.map();
      float* after = team.shared + (step + 1) % 2 * map.map();
      team.each(map.tiles<kPixels, kChannels>(), [&](int64_t tile) {
        TileSums<kPixels, kChannels>(map, before, own, tile).each(map, tile, [&](int64_t p, int64_t c, float sum) {
          const float next = ends.next(step, map.outer(image, group, p, c), sum);
          if (step + 1 < ends.steps()) after[c * map.plane() + map.inner(p)] = next;
        });
      });
    }
  });
}

/// On tensor cores: a map is (row, column, channel) with a border of zeros, `together` images' maps one after another,
/// twice. Outputs are squares of 16 neighbouring places, borders among them, by 16 channels; what falls on borders is
/// not used.
struct PlaceMap : GroupShape {
  static constexpr int kSide = 16, kRows = 2;
  int64_t together = 1;

  using GroupShape::GroupShape;

  GSNET_ANYWHERE int64_t first() const { return high * line() + wide; }
  GSNET_ANYWHERE int64_t squares() const {
    const int64_t places = (height - 1) * line() + width;
    return (places + kSide * kRows - 1) / (kSide * kRows) * kRows;
  }
  /// Of a map: up to what the last square's last tap reads.
  GSNET_ANYWHERE int64_t places() const { return 2 * first() + squares() * kSide; }
  GSNET_ANYWHERE int64_t map() const { return places() * m; }
  GSNET_ANYWHERE int64_t maps() const { return together * map(); }
  /// A warp's pieces of work in a map.
  GSNET_ANYWHERE int64_t pieces(int columns) const { return squares() / kRows * (m / (kSide * columns)); }
  GSNET_ANYWHERE int64_t scratch_floats() const { return kTeamWarps * kSide * kSide; }
  template <class Number>
  GSNET_ANYWHERE int64_t shared_floats() const {
    return scratch_floats() + (2 * maps() * static_cast<int64_t>(sizeof(Number)) + 3) / 4;
  }
};

/// Images that a team takes together, so that its warps have work.
template <class Number>
PlaceMap together_map(const Runtime& runtime, const Shape& x, const Shape& k, int columns) {
  PlaceMap map(x, k);
  const auto grown = [&] {
    PlaceMap more = map;
    more.together *= 2;
    return more;
  };
  while (map.together < map.images && map.together * map.pieces(columns) < 2 * kTeamWarps &&
         grown().template shared_floats<Number>() * 8 <= runtime.most_shared()) {
    map = grown();
  }
  return map;
}

template <class Number, int kColumns, class Ends>
void run_places(Runtime& runtime, const PlaceMap& map, const Tensor& k, const Ends& ends) {
  using Sums = WarpSums<Number, PlaceMap::kRows, kColumns>;
  constexpr int kSide = PlaceMap::kSide;
  const Tensor arranged = taps_of<Number>(runtime, k);
  const auto* taps = static_cast<const Number*>(arranged.raw());
  const int64_t shared = map.shared_floats<Number>(), blocks = (map.images + map.together - 1) / map.together;
  for_teams(runtime.stream(), blocks * map.groups(), shared, [=] GSNET_DEVICE(Team team, int64_t index) {
    const int64_t image = index / map.groups() * map.together, group = index % map.groups();
    const int64_t images = map.images - image < map.together ? map.images - image : map.together;
    auto* numbers = reinterpret_cast<Number*>(team.shared + map.scratch_floats());
    team.each(shared, [&](int64_t i) { team.shared[i] = 0; });
    team.each(images * map.pixels() * map.m, [&](int64_t i) {
      const int64_t c = i % map.m, p = i / map.m % map.pixels(), of = i / (map.m * map.pixels());
      put(numbers[of * map.map() + map.inner(p) * map.m + c], ends.start(map.outer(image + of, group, p, c)));
    });
    const Number* own = taps + group * map.taps() * map.m * map.m;
    const int64_t pieces = map.pieces(kColumns), columns = map.m / (kSide * kColumns);
    for (int step = 0; step < ends.steps(); ++step) {
      const Number* before = numbers + step % 2 * map.maps();
      Number* after = numbers + (step + 1) % 2 * map.maps();
      team.each_warp(images * pieces, [&](int64_t item, int warp) {
        const int64_t of = item / pieces, piece = item % pieces;
        const int64_t square = piece / columns * PlaceMap::kRows, channel = piece % columns * kSide * kColumns;
        const Number* window = before + of * map.map() + square * kSide * map.m;
        const Number* weights = own + channel;
        Sums sums;
        for (int64_t u = 0; u <= 2 * map.high; ++u) {
          for (int64_t v = 0; v <= 2 * map.wide; ++v) {
            const Number* place = window + (u * map.line() + v) * map.m;
            for (int64_t i = 0; i < map.m; i += Sums::kDepth, weights += Sums::kDepth * map.m) {
              sums.add(place + i, map.m, weights, map.m);
            }
          }
        }
        float* scratch = team.shared + warp * kSide * kSide;
        for (int r = 0; r < PlaceMap::kRows; ++r) {
          for (int c = 0; c < kColumns; ++c) {
            sums.store(r, c, scratch);
            each_lane(kSide * kSide, [&](int64_t i) {
              const int64_t place = (square + r) * kSide + i / kSide, o = channel + c * kSide + i % kSide;
              const int64_t row = place / map.line(), column = place % map.line();
              if (row >= map.height || column >= map.width) return;
              const int64_t p = row * map.width + column;
              const float next = ends.next(step, map.outer(image + of, group, p, o), scratch[i]);
              if (step + 1 < ends.steps()) put(after[of * map.map() + map.inner(p) * map.m + o], next);
            });
          }
        }
      });
    }
  });
}

template <class Number>
bool places_fit(const Runtime& runtime, const Shape& x, const Shape& k) {
  return PlaceMap(x, k).shared_floats<Number>() * 4 <= runtime.most_shared();
}

/// bf16 and tf32 where tensor cores can do the groups; else single precision.
Precision precision_for(const Shape& k, const SeriesSpec& spec) {
  return k[1] % PlaceMap::kSide == 0 ? precision_of(spec.products) : Precision::f32;
}

template <class Number, class Ends>
void run_on_tensor_cores(Runtime& runtime, const Shape& x, const Tensor& k, const Ends& ends) {
  if (k.shape()[1] % (2 * PlaceMap::kSide) == 0) {
    run_places<Number, 2>(runtime, together_map<Number>(runtime, x, k.shape(), 2), k, ends);
  } else {
    run_places<Number, 1>(runtime, together_map<Number>(runtime, x, k.shape(), 1), k, ends);
  }
}

template <class Ends>
void run(Runtime& runtime, const Shape& x, const Tensor& k, const SeriesSpec& spec, const Ends& ends) {
  switch (precision_for(k.shape(), spec)) {
    case Precision::bf16:
      return run_on_tensor_cores<Bf16>(runtime, x, k, ends);
    case Precision::tf32:
      return run_on_tensor_cores<float>(runtime, x, k, ends);
    case Precision::f32:
      break;
  }
  const PlaneMap map(x, k.shape());
  constexpr int64_t kEnough = 128;  // threads with work
  if (map.tiles<8, 8>() >= kEnough) return run_planes<8, 8>(runtime, map, k, ends);
  run_planes<4, 4>(runtime, map, k, ends);
}

double coefficient(const SeriesSpec& spec, int at) { return spec.coefficients[static_cast<size_t>(at)]; }

float* data_or_null(Tensor* tensor) { return tensor != nullptr ? tensor->data<float>() : nullptr; }

}  // namespace

Precision precision_of(SeriesProducts products) {
  switch (products) {
    case SeriesProducts::tf32:
      return Precision::tf32;
    case SeriesProducts::bf16:
      return Precision::bf16;
    case SeriesProducts::direct:
    case SeriesProducts::fast:
      break;
  }
  return Precision::f32;
}

bool fused_series_fits(const Runtime& runtime, const Shape& x, const Shape& k, const SeriesSpec& spec) {
  if (spec.degree() > kMostTerms) return false;
  switch (precision_for(k, spec)) {
    case Precision::bf16:
      return places_fit<Bf16>(runtime, x, k);
    case Precision::tf32:
      return places_fit<float>(runtime, x, k);
    case Precision::f32:
      break;
  }
  return PlaneMap(x, k).shared_floats() * 4 <= runtime.most_shared();
}

void fused_forward(Runtime& runtime, const Tensor& x, const Tensor& k, const SeriesSpec& spec, Tensor& y,
                   Tensor* kept) {
  const int degree = spec.degree();
  ForwardEnds ends{.x = x.data<float>(),
                   .y = y.data<float>(),
                   .kept = data_or_null(kept),
                   .last = static_cast<float>(coefficient(spec, 0)),
                   .factors = {},
                   .degree = degree,
                   .size = x.numel()};
  for (int step = 0; step < degree; ++step) {
    ends.factors.of[step] = static_cast<float>(coefficient(spec, degree - step) / coefficient(spec, degree - step - 1));
  }
  run(runtime, x.shape(), k, spec, ends);
}

void fused_backward(Runtime& runtime, const Tensor& dy, const Tensor& k, const SeriesSpec& spec, Tensor* dx,
                    Tensor* kept) {
  const int degree = spec.degree();
  BackwardEnds ends{.dy = dy.data<float>(),
                    .dx = data_or_null(dx),
                    .kept = data_or_null(kept),
                    .first = static_cast<float>(coefficient(spec, 0)),
                    .second = static_cast<float>(coefficient(spec, 1)),
                    .factors = {},
                    .degree = degree,
                    .size = dy.numel()};
  for (int step = 0; step + 1 < degree; ++step) {
    ends.factors.of[step] = static_cast<float>(-coefficient(spec, step + 2) / coefficient(spec, step + 1));
  }
  run(runtime, dy.shape(), k, spec, ends);
}

}  // namespace gsnet::cuda
