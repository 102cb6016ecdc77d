// What the loader makes of a data set in memory, cropped at random and mirrored, in pictures a second: what a machine
// can be fed with. usage: gsnet_bench_loader [DATA]     DATA: a folder of CIFAR-10 or another set (default: embedded
// pictures)
#include "data/loader.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "core/error.h"
#include "data/formats.h"

namespace gsnet {
namespace {

double pictures_a_second(const std::shared_ptr<const data::Dataset>& set, int threads) {
  const auto channels = static_cast<size_t>(set->picture().channels);
  data::LoaderSpec spec;
  spec.normalisation = {std::vector(channels, 0.5), std::vector(channels, 0.25)};
  spec.augmentation = {4, true};
  spec.shuffle = true;
  spec.batch = 256;
  spec.threads = threads;
  data::Loader loader(set, spec);
  double best = 0;
  for (int64_t epoch = 0; epoch < 5; ++epoch) {
    loader.start_epoch(epoch);
    const auto begin = std::chrono::steady_clock::now();
    int64_t pictures = 0;
    while (const auto batch = loader.next()) pictures += std::ssize(batch->indices);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    best = std::max(best, static_cast<double>(pictures) / passed.count());
  }
  return best;
}

/// The embedded pictures, drawn before they are loaded.
data::DatasetHandle drawn_glyphs() {
  const auto glyphs = data::make_glyphs({});
  data::MemoryPictures drawn;
  drawn.what = "glyphs";
  drawn.shape = glyphs->picture();
  drawn.class_names = glyphs->class_names();
  drawn.parts = {{"glyphs", 0}};
  drawn.pixels.resize(static_cast<size_t>(glyphs->size() * drawn.shape.numel()));
  for (int64_t i = 0; i < glyphs->size(); ++i) {
    drawn.labels.push_back(static_cast<uint8_t>(glyphs->label(i)));
    const auto first = static_cast<size_t>(i * drawn.shape.numel());
    glyphs->read(i, std::span(drawn.pixels).subspan(first, static_cast<size_t>(drawn.shape.numel())));
  }
  return data::make_memory_dataset(std::move(drawn));
}

}  // namespace
}  // namespace gsnet

int main(int count, char** arguments) try {
  if (count > 2) {
    fmt::print(stderr, "usage: gsnet_bench_loader [DATA]\n");
    return 2;
  }
  const auto set = count == 2 ? gsnet::data::open_dataset(arguments[1], {.split = gsnet::data::Split::train})
                              : gsnet::drawn_glyphs();
  const gsnet::data::PictureShape shape = set->picture();
  fmt::print("{} pictures of {} x {}; best of 5 epochs\n", set->size(), shape.height, shape.width);
  for (const int threads : {1, 2, 4}) {
    fmt::print("{} workers {:12.0f} pictures/s\n", threads, gsnet::pictures_a_second(set, threads));
  }
  return 0;
} catch (const gsnet::Error& error) {
  fmt::print(stderr, "gsnet_bench_loader: {}\n", error.what());
  return 1;
}
