// The CUDA machine with host memory behind it: its kernels run as loops. Device memory is marked as such, so that code
// which reads it from the host is found out.
#include "cuda/machine.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/loops.h"
#include "core/caching_allocator.h"
#include "core/error.h"

namespace gsnet::test {
namespace {

/// The host's memory under another name.
class MarkedAllocator final : public Allocator {
 public:
  void* allocate(size_t bytes) override { return inner_->allocate(bytes); }
  void release(void* block) noexcept override { inner_->release(block); }
  Device device() const override { return {DeviceKind::cuda, 0}; }
  MemoryStats stats() const override { return inner_->stats(); }
  void reset_peak() override { inner_->reset_peak(); }
  void trim() override { inner_->trim(); }

 private:
  std::shared_ptr<Allocator> inner_ = make_host_allocator();
};

class EmulatedRuntime final : public cuda::Runtime {
 public:
  std::string description() const override { return "kernels as host loops"; }
  Device device() const override { return {DeviceKind::cuda, 0}; }
  const std::shared_ptr<Allocator>& memory() const override { return memory_; }
  void* stream() const override { return &launches_; }
  bool has_tensor_cores() const override { return true; }
  int64_t most_shared() const override { return 96 << 10; }
  void to_device(void* to, const void* from, size_t bytes) override {
    synchronise();
    std::memcpy(to, from, bytes);
  }
  void to_host(void* to, const void* from, size_t bytes) override { to_device(to, from, bytes); }
  void stage(void* to, const void* from, size_t bytes) override { to_device(to, from, bytes); }
  void copy(void* to, const void* from, size_t bytes) override {
    launches_([=] { std::memcpy(to, from, bytes); });
  }
  void clear(void* to, size_t bytes) override {
    launches_([=] { std::memset(to, 0, bytes); });
  }
  void synchronise() override {
    if (launches_.noting()) throw cuda::NeedsHost{"the host is needed"};
  }

  std::unique_ptr<Recording> record(const std::function<void()>& work, const Recording* before,
                                    std::string& why_not) override {
    auto made = std::make_unique<Noted>();
    const auto* noted = dynamic_cast<const Noted*>(before);
    made->memory = noted != nullptr ? noted->memory : make_pool(memory_);
    const auto outside = std::exchange(memory_, made->memory);
    launches_.note(&made->launches);
    const auto end = [&] {
      launches_.note(nullptr);
      memory_ = outside;
    };
    try {
      work();
    } catch (const cuda::NeedsHost& needed) {
      made = nullptr;
      why_not = needed.what;
    } catch (const Error& error) {
      made = nullptr;
      why_not = error.what();
    } catch (...) {
      end();
      throw;
    }
    end();
    return made;
  }

  bool noting() const override { return launches_.noting(); }

  void multiply(const cuda::Product& p, const float* a, const float* b, float* y) override {
    launches_([=] { multiply_now(p, a, b, y); });
  }

  /// As cuBLAS: columns first, partial pivoting.
  void solve(int64_t batch, int64_t m, bool transpose, float** matrices) override {
    launches_([=] {
      for (int64_t i = 0; i < batch; ++i) solve_one(m, transpose, matrices[i], matrices[batch + i]);
    });
  }

  /// The machine's own loops are what is tested; of convolutions with an end every other is done here, so that both
  /// ways are gone.
  bool conv_forward(const cuda::Convolution& c, const cuda::ConvEnd& end, const float* x, const float* w,
                    float* y) override {
    if (end.plain() || c.spec.groups != 1 || endings_++ % 2 != 0) return false;
    launches_([=] { convolve_now(c, end, x, w, y); });
    return true;
  }
  bool conv_dgrad(const cuda::Convolution&, const float*, const float*, float*) override { return false; }
  bool conv_wgrad(const cuda::Convolution&, const float*, const float*, float*) override { return false; }

 private:
  struct Noted final : Recording {
    std::shared_ptr<Allocator> memory;
    std::vector<std::function<void()>> launches;
    void replay() override {
      for (const auto& launch : launches) launch();
    }
  };

  /// What the library multiplies: rounded to tf32 where the product is not f32's.
  static float factor(const cuda::Product& p, float value) {
    if (p.precision == Precision::f32) return value;
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    bits = (bits + 0x1000) & ~uint32_t{0x1FFF};
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }

  static void multiply_now(const cuda::Product& p, const float* a, const float* b, float* y) {
    for (int64_t i = 0; i < p.batch; ++i) {
      for (int64_t r = 0; r < p.rows; ++r) {
        for (int64_t c = 0; c < p.columns; ++c) {
          float total = 0;
          for (int64_t k = 0; k < p.inner; ++k) {
            total += factor(p, a[i * p.stride_a + (p.transpose_a ? k * p.step_a + r : r * p.step_a + k)]) *
                     factor(p, b[i * p.stride_b + (p.transpose_b ? c * p.step_b + k : k * p.step_b + c)]);
          }
          y[i * p.stride_y + r * p.step_y + c] = total;
        }
      }
    }
  }

  static void convolve_now(const cuda::Convolution& c, const cuda::ConvEnd& end, const float* x, const float* w,
                           float* y) {
    const int64_t in = c.x[1], out = c.y[1], height = c.x[2], width = c.x[3];
    for (int64_t i = 0; i < c.y.numel(); ++i) {
      const int64_t o = i % out, column = i / out % c.y[3], row = i / (out * c.y[3]) % c.y[2];
      const int64_t image = i / (out * c.y[3] * c.y[2]);
      float total = 0;
      for (int64_t u = 0; u < c.w[2]; ++u) {
        for (int64_t v = 0; v < c.w[3]; ++v) {
          const int64_t down = row * c.spec.stride[0] + u * c.spec.dilation[0] - c.spec.pad[0];
          const int64_t right = column * c.spec.stride[1] + v * c.spec.dilation[1] - c.spec.pad[1];
          if (down < 0 || down >= height || right < 0 || right >= width) continue;
          for (int64_t n = 0; n < in; ++n) {
            total +=
                x[((image * height + down) * width + right) * in + n] * w[((o * c.w[2] + u) * c.w[3] + v) * in + n];
          }
        }
      }
      total *= end.scale;
      if (end.addend != nullptr) total += end.addend[i];
      if (end.bias != nullptr) total += end.bias[o];
      y[i] = std::min(std::max(total, end.low), end.high);
    }
  }

  static void solve_one(int64_t m, bool transpose, float* a, float* b) {
    std::vector<float> work(a, a + m * m);
    const auto at = [&](int64_t r, int64_t c) -> float& {
      return work[static_cast<size_t>(transpose ? r * m + c : c * m + r)];
    };
    for (int64_t step = 0; step < m; ++step) {
      int64_t pivot = step;
      for (int64_t r = step + 1; r < m; ++r) {
        if (std::fabs(at(r, step)) > std::fabs(at(pivot, step))) pivot = r;
      }
      for (int64_t c = 0; c < m; ++c) {
        std::swap(at(step, c), at(pivot, c));
        std::swap(b[c * m + step], b[c * m + pivot]);
      }
      for (int64_t r = step + 1; r < m; ++r) {
        const float factor = at(r, step) / at(step, step);
        for (int64_t c = step; c < m; ++c) at(r, c) -= factor * at(step, c);
        for (int64_t c = 0; c < m; ++c) b[c * m + r] -= factor * b[c * m + step];
      }
    }
    for (int64_t c = 0; c < m; ++c) {
      for (int64_t r = m; r-- > 0;) {
        float total = b[c * m + r];
        for (int64_t k = r + 1; k < m; ++k) total -= at(r, k) * b[c * m + k];
        b[c * m + r] = total / at(r, r);
      }
    }
    std::memcpy(a, work.data(), work.size() * sizeof(float));
  }

  int64_t endings_ = 0;
  mutable cuda::Launches launches_;
  std::shared_ptr<Allocator> memory_ = std::make_shared<MarkedAllocator>();
};

}  // namespace

std::unique_ptr<Backend> make_cuda(std::optional<cuda::SeriesForm> only) {
  return std::make_unique<cuda::CudaBackend>(std::make_unique<EmulatedRuntime>(), only);
}

}  // namespace gsnet::test
