// Geometry of L2 attacks: the ball around a picture, the box [0, 1]^n of pixels, planes.
#pragma once

#include <span>
#include <vector>

#include "core/random.h"

namespace gsnet {

/// |a - b|_2, in double.
double distance_l2(std::span<const float> a, std::span<const float> b);

/// The point of ball and box nearest to x: clean + t (x - clean), clipped, for the largest t <= 1 that stays within the
/// radius. distance_l2(clean, x) <= radius holds for the floats that come out. `clean` lies in the box.
void project_to_ball(std::span<const float> clean, double radius_l2, std::span<float> x);
/// The same without t <= 1: as far from `clean` in the direction of x as ball and box allow.
void stretch_to_ball(std::span<const float> clean, double radius_l2, std::span<float> x);

/// x + length g / |g|; x where |g| is zero or not finite.
void step_along(std::span<const float> g, double length, std::span<float> x);

/// A uniformly random direction from `clean`, `length` long, then projected.
void random_start(std::span<const float> clean, double length, double radius_l2, Random& random, std::span<float> x);

/// u - from for the point u of the box nearest to `from` with offset + g (u - from) = 0; where the box does not reach
/// that plane, for the u that comes nearest to it along g.
std::vector<double> step_to_plane(std::span<const float> from, std::span<const float> g, double offset);

}  // namespace gsnet
