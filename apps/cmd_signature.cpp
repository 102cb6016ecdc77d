// gsnet signature
#include <fmt/format.h>

#include <bit>

#include "apps/command.h"
#include "apps/options.h"
#include "data/loader.h"
#include "layers/lipconvnet.h"
#include "train/trainer.h"

namespace gsnet::apps {
namespace {

/// FNV-1a over the bytes of a tensor.
uint64_t digest(uint64_t hash, const Tensor& x) {
  const auto* bytes = static_cast<const unsigned char*>(x.raw());
  for (size_t i = 0; i < x.bytes(); ++i) hash = (hash ^ bytes[i]) * 0x100000001B3ULL;
  return hash;
}

}  // namespace

int signature_command(const std::vector<std::string>& arguments) {
  Options options("signature",
                  "Trains a small network on the embedded set for twenty steps and prints a hash of its weights: a\n"
                  "change of what training computes shows. Equal for equal backend, processor kind and threads.");
  options.machine();
  if (!options.parse(arguments)) return 0;
  const std::unique_ptr<Backend> backend = make_backend(options.backend());
  const auto glyphs = data::make_glyphs({.size = 320, .seed = 5, .side = 32});
  const Attributes settings = {{"width", int64_t{8}}, {"groups", int64_t{2}}, {"groups2", int64_t{2}}};
  Graph graph(lipconvnet(settings, {3, 32, 32}, 10), *backend, RandomKey(3));
  Trainer trainer(graph, {.optimiser = {.rate = 0.1}, .steps = 20});
  data::Loader loader(glyphs, {.batch = 16,
                               .normalisation = {{0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}},
                               .augmentation = {.crop_padding = 2, .flip = true},
                               .shuffle = true,
                               .seed = 11});
  loader.start_epoch(0);
  double loss = 0;
  while (auto batch = loader.next()) loss = trainer.step(batch->images, batch->labels).loss;
  uint64_t hash = 0xCBF29CE484222325ULL;
  for (const NamedTensor& named : state_of(graph)) hash = digest(hash, backend->download(*named.tensor));
  fmt::print("{:016x}  loss {:.9g}  {} ({})\n", hash, loss, backend->name(), backend->description());
  return 0;
}

}  // namespace gsnet::apps
