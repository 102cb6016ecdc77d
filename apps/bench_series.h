// The series of a skew-symmetric convolution alone, forward and backward, over channels, maps and groups.
#pragma once

#include <optional>
#include <vector>

#include "backend/backend.h"

namespace gsnet::apps {

struct SeriesCase {
  int64_t channels, side, groups;
  int64_t most_images = int64_t{1} << 40;  ///< where a batch of them would not fit the memory
};

struct SeriesBenchSpec {
  int64_t batch = 128;
  int degree = 5;
  double seconds = 0.3;  ///< at least this long a figure
  SeriesSave save = SeriesSave::iterates;
  SeriesProducts products = SeriesProducts::direct;
  bool composed = false;          ///< of the machine's convolutions and passes of elements, in place of its own series
  std::vector<SeriesCase> cases;  ///< empty: series_cases()
  bool json = false;
};

/// Multiply-adds that the direct sum needs, zeros of the border left out, and median seconds.
struct SeriesTiming {
  int64_t images;
  double forward_macs, forward_seconds, backward_macs, backward_seconds;
};

/// What networks have.
std::vector<SeriesCase> series_cases();
/// 16 to 512 channels, sides of 2 to 64 and 1 to 16 groups, a batch of up to 2^26 numbers each.
std::vector<SeriesCase> every_series_case();
SeriesTiming time_series(Backend& backend, const SeriesCase& c, const SeriesBenchSpec& spec);
/// Prints a table of the cases beside the rate of a large matrix product, timed in turns with them.
int bench_series(Backend& backend, const SeriesBenchSpec& spec);

}  // namespace gsnet::apps
