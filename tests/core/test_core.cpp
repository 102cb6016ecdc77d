// Shapes, tensors, memory, random numbers, bounds.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <thread>

#include "core/bound.h"
#include "core/error.h"
#include "core/random.h"
#include "core/tensor.h"

namespace gsnet {

TEST_CASE("a shape refuses what no tensor can have", "[core]") {
  CHECK_THROWS_WITH(Shape({2, -1}), Catch::Contains("-1"));
  CHECK_THROWS_AS(Shape({int64_t{1} << 40, int64_t{1} << 40}), Error);
  CHECK_THROWS_AS(Shape({1, 1, 1, 1, 1, 1, 1}), Error);
  CHECK_THROWS_WITH((Shape{2, 3}[2]), Catch::Contains("no axis 2"));
  CHECK((Shape{2, 3, 4}[-1]) == 4);
  CHECK(to_string(Shape{2, 3}) == "(2, 3)");
}

TEST_CASE("layouts convert there and back", "[core]") {
  std::vector<float> values(2 * 3 * 4 * 5);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Tensor x = Tensor::of<float>({2, 3, 4, 5}, std::span<const float>(values));
  const Tensor last = with_layout(x, Layout::channels_last);
  CHECK(last.data<float>()[1] == 20);  // the second channel of the first pixel
  const Tensor back = with_layout(last, Layout::row_major);
  CHECK(std::equal(values.begin(), values.end(), back.data<float>()));
  CHECK_THROWS_AS(last.view({6, 20}), Error);
}

TEST_CASE("half precisions round to nearest even and keep special values", "[core]") {
  const Tensor x =
      Tensor::of<float>({8}, {1.0F, -2.5F, 65504.0F, 70000.0F, 5.9604645e-8F, 1.00048828125F, INFINITY, 0.1F});
  const Tensor half = with_dtype(with_dtype(x, DType::f16), DType::f32);
  CHECK(half.data<float>()[0] == 1.0F);
  CHECK(half.data<float>()[2] == 65504.0F);
  CHECK(std::isinf(half.data<float>()[3]));
  CHECK(half.data<float>()[4] == 5.9604645e-8F);
  CHECK(half.data<float>()[5] == 1.0F);
  CHECK(std::isinf(half.data<float>()[6]));
  const Tensor brain = with_dtype(with_dtype(x, DType::bf16), DType::f32);
  CHECK(brain.data<float>()[1] == -2.5F);
  CHECK(std::fabs(brain.data<float>()[7] - 0.1F) < 4e-4F);
}

namespace {

/// What a block takes of the host's memory; builds that look for faults keep a guard behind it.
int64_t taken(size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  bytes += 64;
#endif
  return static_cast<int64_t>((bytes + 63) / 64 * 64);
}

}  // namespace

TEST_CASE("freed memory is handed out again and counted", "[core]") {
  const auto allocator = make_host_allocator();
  void* block = allocator->allocate(1000);
  CHECK(allocator->stats().active_bytes == taken(1000));
  allocator->release(block);
  CHECK(allocator->stats().cached_bytes == taken(1000));
  CHECK(allocator->allocate(1010) == block);
  CHECK(allocator->stats().peak_bytes == taken(1000));
  allocator->release(block);
  allocator->trim();
  CHECK(allocator->stats().cached_bytes == 0);
  CHECK_THROWS_AS(allocator->allocate(std::numeric_limits<size_t>::max()), Error);
}

TEST_CASE("blocks of one size become room for another", "[core]") {
  const auto allocator = make_host_allocator();
  constexpr size_t kBlock = size_t{1} << 16;
  std::vector<void*> blocks(6);
  for (void*& block : blocks) block = allocator->allocate(kBlock);
  void* last = blocks[5];
  for (const size_t i : {1, 3, 2}) allocator->release(blocks[i]);  // joined on both sides
  CHECK(allocator->allocate(3 * kBlock) == blocks[1]);
  allocator->release(blocks[1]);
  void* small = allocator->allocate(64);
  CHECK(small == blocks[1]);
  CHECK(allocator->allocate(kBlock) == static_cast<char*>(small) + taken(64));
  CHECK(allocator->stats().active_bytes == 4 * taken(kBlock) + taken(64));
  CHECK(allocator->stats().cached_bytes == 2 * taken(kBlock) - taken(64));
  CHECK(allocator->stats().peak_bytes == 6 * taken(kBlock));
  allocator->release(last);
  allocator->trim();  // what is in use holds the segment
  CHECK(allocator->stats().cached_bytes == 3 * taken(kBlock) - taken(64));
}

TEST_CASE("blocks in use never overlap", "[core]") {
  struct InUse {
    unsigned char* start;
    size_t bytes;
    unsigned char mark;
  };
  const auto allocator = make_host_allocator();
  Random random{RandomKey(3)};
  std::vector<InUse> blocks;
  int64_t bytes_in_use = 0;
  const auto release = [&](size_t i) {
    const InUse block = blocks[i];
    CHECK(std::all_of(block.start, block.start + block.bytes, [&](unsigned char c) { return c == block.mark; }));
    allocator->release(block.start);
    bytes_in_use -= taken(block.bytes);
    blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(i));
  };
  for (int step = 0; step < 4000; ++step) {
    if (blocks.size() > 40 || (!blocks.empty() && random.bits() % 2 == 0)) {
      release(random.bits() % blocks.size());
    } else {
      const size_t most = size_t{1} << (random.bits() % 18);
      const size_t bytes = 1 + random.bits() % most;
      InUse block{static_cast<unsigned char*>(allocator->allocate(bytes)), bytes,
                  static_cast<unsigned char>(random.bits())};
      CHECK(reinterpret_cast<uintptr_t>(block.start) % 64 == 0);
      std::fill_n(block.start, bytes, block.mark);
      bytes_in_use += taken(bytes);
      blocks.push_back(block);
    }
    CHECK(allocator->stats().active_bytes == bytes_in_use);
  }
  while (!blocks.empty()) release(blocks.size() - 1);
  CHECK(allocator->stats().active_bytes == 0);
  CHECK(allocator->stats().cached_bytes < 3 * allocator->stats().peak_bytes);
  allocator->trim();
  CHECK(allocator->stats().cached_bytes == 0);
}

TEST_CASE("the allocator serves several threads", "[core][threads]") {
  const auto allocator = make_host_allocator();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&allocator, t] {
      for (size_t i = 1; i < 500; ++i) {
        const size_t bytes = (i * 37 + static_cast<size_t>(t)) % 5000 + 1;
        allocator->release(allocator->allocate(bytes));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(allocator->stats().active_bytes == 0);
}

TEST_CASE("random numbers depend on the key only, and look as they should", "[core]") {
  Random a{RandomKey(1).with(2)}, b{RandomKey(1).with(2)}, c{RandomKey(1).with(3)};
  CHECK(a.bits() == b.bits());
  CHECK(a.bits() != c.bits());
  double sum = 0, squares = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double x = a.normal();
    sum += x;
    squares += x * x;
  }
  CHECK(std::fabs(sum / kCount) < 0.02);
  CHECK(std::fabs(squares / kCount - 1) < 0.02);
  std::vector<int64_t> order(100);
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  b.shuffle(order);
  std::vector<int64_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  CHECK(order != sorted);
  CHECK(sorted[99] == 99);
}

TEST_CASE("bounds round up", "[core]") {
  const UpperBound third = UpperBound::proven(1.0 / 3);
  CHECK((third * UpperBound::proven(3)).value() > 1 - 1e-15);
  CHECK((third * UpperBound::proven(1)).value() == third.value());
  CHECK((third + third).value() > 2.0 / 3);
  CHECK(outward(1) > 1);
  CHECK(std::isinf(outward(std::numeric_limits<double>::quiet_NaN())));
}

}  // namespace gsnet
