// Faces that a child could tell apart, and a command line whose output is caught.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "apps/command.h"
#include "core/random.h"
#include "tests/data/scratch.h"

namespace gsnet::apps {

/// Runs a command line with stdout and stderr caught.
inline int run(const std::vector<std::string>& arguments, std::string* out = nullptr, std::string* error = nullptr) {
  const data::Scratch caught;
  std::fflush(stdout);
  std::fflush(stderr);
  const int kept_out = ::dup(1), kept_error = ::dup(2);
  REQUIRE(std::freopen((caught / "out").c_str(), "w", stdout) != nullptr);
  REQUIRE(std::freopen((caught / "error").c_str(), "w", stderr) != nullptr);
  const int code = run_command_line(arguments);
  std::fflush(stdout);
  std::fflush(stderr);
  ::dup2(kept_out, 1);
  ::dup2(kept_error, 2);
  ::close(kept_out);
  ::close(kept_error);
  if (out != nullptr) *out = data::content_of(caught / "out");
  if (error != nullptr) *error = data::content_of(caught / "error");
  return code;
}

/// A picture of 8 x 8 with a colour of its own a line: a person, and a little noise.
inline std::string face(uint64_t person, uint64_t picture) {
  Random colours(RandomKey(5).with(person)), noise(RandomKey(6).with(person).with(picture));
  std::string pixels = "P6\n8 8\n255\n";
  double lines[8][3];
  for (auto& colour : lines) {
    for (double& c : colour) c = colours.uniform(20, 235);
  }
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 24; ++x) {
      const double value = lines[y][x % 3] + 12 * noise.normal();
      pixels += static_cast<char>(static_cast<unsigned char>(std::clamp(value, 0.0, 255.0)));
    }
  }
  return pixels;
}

}  // namespace gsnet::apps
