// Square Attack in L2.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "certify/attack_parts.h"

namespace gsnet {
namespace {

constexpr double kFirstShare = 0.1;  // of the picture's area that the first windows have
constexpr std::array<int, 9> kHalvings = {10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000};  // of 10,000 queries

struct Extent {
  int64_t height = 1, width = 1;
};

/// Two bumps of opposite sign side by side, of norm 1: eta of the paper.
struct Bump {
  Extent extent;
  std::vector<double> values;

  Bump(Extent size, bool beside) : extent(size), values(static_cast<size_t>(size.height * size.width)) {
    const int64_t rows = beside ? size.width : size.height, columns = beside ? size.height : size.width;
    const int64_t half = rows / 2;
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        const double v = r < half ? pyramid({half, columns}, r, c) : -pyramid({rows - half, columns}, r - half, c);
        values[static_cast<size_t>(beside ? c * rows + r : r * columns + c)] = v;
        sum += v * v;
      }
    }
    for (double& v : values) v /= std::sqrt(sum);
  }

  /// Rings around the middle, each 1 / m^2 higher than the one outside it.
  static double pyramid(Extent size, int64_t r, int64_t c) {
    const int64_t ring = std::max(std::abs(r - size.height / 2), std::abs(c - size.width / 2));
    double height = 0;
    for (int64_t m = ring + 1; m <= std::max(size.height, size.width) / 2 + 1; ++m)
      height += 1 / (static_cast<double>(m) * static_cast<double>(m));
    return height;
  }
};

/// Perturbations of one picture shape.
class Windows {
 public:
  explicit Windows(const Shape& picture)
      : channels_(picture.rank() == 3 ? picture[0] : 1),
        picture_{picture.rank() == 3 ? picture[1] : 1, picture[picture.rank() - 1]} {}

  /// Odd and at least 3, where the picture is not smaller.
  Extent extent_at(int query, int queries) const {
    double share = kFirstShare;
    for (int halving : kHalvings) share /= int64_t{query} * 10'000 > int64_t{halving} * queries ? 2 : 1;
    const double area = static_cast<double>(picture_.height * picture_.width);
    const int64_t side = std::max<int64_t>(3, std::lround(std::sqrt(share * area))) | 1;
    return {std::min(side, picture_.height), std::min(side, picture_.width)};
  }

  /// Tiles of bumps over the whole picture, a sign for each tile and channel.
  void start(Random& random, std::span<double> delta) const {
    const Extent tile = {std::max<int64_t>(1, picture_.height / 5), std::max<int64_t>(1, picture_.width / 5)};
    const std::array<Bump, 2> bumps = {Bump(tile, false), Bump(tile, true)};
    for (int64_t row = 0; row + tile.height <= picture_.height; row += tile.height) {
      for (int64_t column = 0; column + tile.width <= picture_.width; column += tile.width) {
        const Bump& bump = bumps[random.below(2)];
        for (int64_t c = 0; c < channels_; ++c) {
          const double sign = random.below(2) == 0 ? -1 : 1;
          for (int64_t r = 0; r < tile.height; ++r) {
            for (int64_t k = 0; k < tile.width; ++k)
              delta[at(c, row + r, column + k)] = sign * bump.values[static_cast<size_t>(r * tile.width + k)];
          }
        }
      }
    }
  }

  /// Moves the mass of two random windows, and what the radius leaves unused, into one of them, shaped by a bump.
  void propose(Random& random, double radius, const std::array<Bump, 2>& bumps, std::span<double> delta) const {
    const Bump& bump = bumps[random.below(2)];
    const Extent e = bump.extent;
    const auto corner = [&](int64_t whole, int64_t part) {
      return static_cast<int64_t>(random.below(static_cast<uint32_t>(whole - part + 1)));
    };
    const int64_t row = corner(picture_.height, e.height), column = corner(picture_.width, e.width);
    const int64_t from_row = corner(picture_.height, e.height), from_column = corner(picture_.width, e.width);
    double used = 0;
    for (double d : delta) used += d * d;
    const double unused = std::max(0.0, radius * radius - used) / static_cast<double>(channels_);
    std::vector<double> made(bump.values.size());
    for (int64_t c = 0; c < channels_; ++c) {
      const auto for_window = [&](int64_t r0, int64_t c0, auto&& body) {
        for (int64_t r = 0; r < e.height; ++r) {
          for (int64_t k = 0; k < e.width; ++k)
            body(static_cast<size_t>(r * e.width + k), delta[at(c, r0 + r, c0 + k)]);
        }
      };
      double own = 0, both = 0, norm = 0;
      for_window(row, column, [&](size_t i, double& d) { own += d * d, made[i] = d; });
      const double sign = random.below(2) == 0 ? -1 : 1, scale = own > 0 ? 1 / std::sqrt(own) : 0;
      for (size_t i = 0; i < made.size(); ++i) {
        made[i] = sign * bump.values[i] + scale * made[i];
        norm += made[i] * made[i];
      }
      for_window(row, column, [&](size_t, double& d) { both += d * d, d = 0; });
      for_window(from_row, from_column, [&](size_t, double& d) { both += d * d, d = 0; });  // what overlaps is 0 by now
      const double grow = norm > 0 ? std::sqrt((both + unused) / norm) : 0;
      for_window(row, column, [&](size_t i, double& d) { d = grow * made[i]; });
    }
  }

 private:
  size_t at(int64_t c, int64_t r, int64_t k) const {
    return static_cast<size_t>((c * picture_.height + r) * picture_.width + k);
  }

  int64_t channels_;
  Extent picture_;
};

/// clean + delta, as far as ball and box allow.
void apply(std::span<const float> clean, double radius, std::span<const double> delta, std::span<float> x) {
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(static_cast<double>(clean[i]) + delta[i]);
  stretch_to_ball(clean, radius, x);
}

}  // namespace

AttackFinds square_attack(AttackTarget& target, const AttackTask& task, const AttackSpec& spec) {
  Candidates candidates(task);
  const Windows windows(target.picture());
  std::vector<Random> randoms;
  for (const RandomKey& key : task.keys) randoms.emplace_back(key);
  std::vector<double> least(task.labels.size(), std::numeric_limits<double>::infinity());
  Pixels best = task.clean;
  std::vector<int64_t> open = candidates.open();
  for (int query = 0; query < spec.queries && !open.empty(); ++query) {
    const Extent extent = windows.extent_at(query, spec.queries);
    const std::array<Bump, 2> bumps = {Bump(extent, false), Bump(extent, true)};
    Pixels x = best.at(open);
    std::vector<double> delta(static_cast<size_t>(x.size));
    for (size_t i = 0; i < open.size(); ++i) {
      const int64_t n = open[i], row = static_cast<int64_t>(i);
      for (size_t k = 0; k < delta.size(); ++k)
        delta[k] = static_cast<double>(best[n][k]) - static_cast<double>(task.clean[n][k]);
      Random& random = randoms[static_cast<size_t>(n)];
      query == 0 ? windows.start(random, delta) : windows.propose(random, spec.radius_l2, bumps, delta);
      apply(task.clean[n], spec.radius_l2, delta, x[row]);
    }
    const Logits z = target.tried(x);
    for (size_t i = 0; i < open.size(); ++i) {
      const int64_t n = open[i], row = static_cast<int64_t>(i);
      const double margin = attack_margin(z[row], task.labels[static_cast<size_t>(n)]);
      if (!(margin < least[static_cast<size_t>(n)])) continue;
      least[static_cast<size_t>(n)] = margin;
      std::ranges::copy(x[row], best[n].begin());
      candidates.offer(n, x[row], z[row]);
    }
    open = candidates.open(open);
  }
  return {candidates.take(), task.count()};
}

}  // namespace gsnet
