// The library says what it can do on a device that it is only told of, so this needs none.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <memory>

#include "backend/cuda/conv_plans.h"
#include "core/error.h"

namespace gsnet::test {
namespace {

using cuda::ConvEnd;
using cuda::Convolution;
using Kind = cuda::ConvPlans::Kind;

struct Device {
  const char* name;
  int capability, multiprocessors, shared, threads;  ///< bytes that a block may share, threads of a multiprocessor
};
constexpr Device kH100 = {"NVIDIA H100 80GB HBM3", 900, 132, 232448, 2048};

/// As cuDNN 9.19 wants it.
std::string described(const Device& d) {
  return fmt::format(
      R"({{"cudaDeviceId": 0, "deviceVer": {}, "driverVer": 13000, "isTccDriver": 0, "l2CacheSize": 52428800,
  "maxCtasPerSM": 32, "maxRegistersPerSM": 65536, "maxSharedMemoryPerBlock": 49152,
  "maxSharedMemoryPerBlockOptin": {}, "maxThreadsPerBlock": 1024, "maxThreadsPerSM": {},
  "memClockRateKHz": 2619000, "multiProcessorCount": {}, "pciDeviceId": 9008, "regsPerBlock": 65536,
  "reservedSharedMemoryPerBlock": 1024, "smClockRateKHz": 1980000, "supportCoopLaunch": 1,
  "totalGlobalMem": 85000000000, "warpSize": 32, "maxGridSize": [2147483647, 65535, 65535],
  "maxBlockSize": [1024, 1024, 64], "deviceName": "{}"}})",
      d.capability, d.shared, d.threads, d.multiprocessors, d.name);
}

std::unique_ptr<cuda::ConvPlans> plans_on_paper(const Device& device) {
  try {
    return std::make_unique<cuda::ConvPlans>(described(device));
  } catch (const Error& error) {
    WARN("skipped: this cuDNN describes devices otherwise: " << error.what());
    return nullptr;
  }
}

Convolution square(int64_t images, int64_t in, int64_t out, int64_t side, int64_t groups, int64_t stride = 1) {
  const int64_t after = (side - 1) / stride + 1;
  return {{images, in, side, side},
          {out, in / groups, 3, 3},
          {images, out, after, after},
          {.stride = {stride, stride}, .pad = {1, 1, 1, 1}, .groups = groups}};
}

}  // namespace

TEST_CASE("cuda: the library has engines for networks' convolutions", "[cuda][plans]") {
  const std::vector<Convolution> cases = {
      square(256, 32, 32, 32, 4),     square(256, 32, 32, 32, 1),  square(256, 64, 64, 16, 4),
      square(256, 128, 128, 8, 4),    square(256, 256, 256, 4, 4), square(256, 512, 512, 4, 1),
      square(1280, 64, 64, 16, 1),    square(4, 10, 10, 3, 2),     square(64, 3, 64, 112, 1),
      square(64, 64, 128, 56, 1, 2),  square(64, 64, 64, 56, 64),  square(64, 128, 128, 28, 1),
      square(64, 64, 64, 112, 64, 2), square(1, 3, 10, 5, 1)};
  for (const Device& device :
       {kH100, Device{"NVIDIA A100-SXM4-80GB", 800, 108, 166912, 2048},
        Device{"NVIDIA GeForce RTX 3090", 860, 82, 101376, 1536},
        Device{"NVIDIA GeForce RTX 4090", 890, 128, 101376, 1536}, Device{"NVIDIA B200", 1000, 148, 232448, 2048},
        Device{"NVIDIA GeForce RTX 5090", 1200, 170, 101376, 1536}}) {
    const auto plans = plans_on_paper(device);
    if (plans == nullptr) return;
    for (Convolution c : cases) {
      for (const Precision precision : {Precision::f32, Precision::tf32}) {
        c.precision = precision;
        INFO(device.name << ": " << to_string(c.x) << " to " << to_string(c.y) << " in " << c.spec.groups << " groups"
                         << (precision == Precision::f32 ? "" : ", tf32"));
        CHECK(plans->can(Kind::forward, c, {}));
        CHECK(plans->can(Kind::dgrad, c, {}));
        CHECK(plans->can(Kind::wgrad, c, {}));
      }
    }
  }
}

TEST_CASE("cuda: what follows a convolution is in the library's graph", "[cuda][plans]") {
  const auto plans = plans_on_paper(kH100);
  if (plans == nullptr) return;
  const float value = 0;
  const ConvEnd term = {.addend = &value, .scale = 0.25F}, bias = {.bias = &value};
  const ConvEnd relu = {.low = 0}, bias_relu = {.bias = &value, .low = 0},
                sum_relu = {.bias = &value, .addend = &value, .low = 0};
  for (const int64_t groups : {1, 4}) {
    for (const Precision precision : {Precision::f32, Precision::tf32}) {
      Convolution c = square(256, 64, 64, 32, groups);
      c.precision = precision;
      INFO(groups << " groups" << (precision == Precision::f32 ? "" : ", tf32"));
      CHECK(plans->can(Kind::forward, c, term));
      CHECK(plans->can(Kind::forward, c, bias));
      CHECK(plans->can(Kind::forward, c, relu));
      CHECK(plans->can(Kind::forward, c, bias_relu));
      CHECK(plans->can(Kind::forward, c, sum_relu));
    }
  }
  // Left to a pass of its own: the library has only its most general engine for it.
  CHECK_FALSE(plans->can(Kind::forward, square(256, 64, 64, 32, 1), {.bias = &value, .low = 0, .high = 6}));
  CHECK_FALSE(plans->can(Kind::forward, square(256, 64, 64, 32, 1), {.bias = &value, .low = -1}));
}

}  // namespace gsnet::test
