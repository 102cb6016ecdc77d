#include "apps/embed.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/data_source.h"
#include "autograd/ops.h"
#include "core/error.h"
#include "data/tolerant.h"

namespace gsnet::apps {
namespace {

/// Channels-last pictures, left and right swapped.
Tensor mirrored(const Tensor& images) {
  const Shape shape = images.shape();
  Tensor flipped = Tensor::empty(shape, DType::f32, Layout::channels_last);
  const int64_t lines = shape[0] * shape[2], width = shape[3], channels = shape[1];
  for (int64_t line = 0; line < lines; ++line) {
    for (int64_t x = 0; x < width; ++x) {
      std::copy_n(images.data<float>() + (line * width + x) * channels, channels,
                  flipped.data<float>() + (line * width + width - 1 - x) * channels);
    }
  }
  return flipped;
}

Tensor run(const Model& model, const Tensor& images) {
  Backend& backend = model.graph->backend();
  Tape tape(backend, {.fast = true});
  const Var output = model.graph->forward(tape, tape.input(backend.upload(images)));
  return with_dtype(backend.download(ops::flatten(output).value), DType::f32);
}

}  // namespace

int face_side(const Model& model) {
  const Shape input = model.graph->input();
  GSNET_CHECK(
      input.rank() == 3 && input[0] == 3 && input[1] == input[2],
      fmt::format("the model takes inputs of {}, expected square pictures of three channels", to_string(input)));
  return static_cast<int>(input[1]);
}

Embeddings embed(const Model& model, std::shared_ptr<const data::Dataset> pictures, const EmbedSpec& spec,
                 const std::function<void(int64_t, int64_t)>& progress) {
  const int side = face_side(model);
  const data::PictureShape shape = pictures->picture();
  GSNET_CHECK((shape == data::PictureShape{3, side, side}),
              fmt::format("the model takes pictures of {}, these are of ({}, {}, {})", to_string(model.graph->input()),
                          shape.channels, shape.height, shape.width));
  const auto unreadable = std::make_shared<data::UnreadablePictures>();
  const int64_t total = pictures->size(), features = model.graph->output().numel();
  data::Loader loader(
      in_order(data::tolerant(pictures, unreadable), model),
      {.batch = spec.batch, .normalisation = {model.info.mean, model.info.stddev}, .threads = spec.loader_threads});
  Embeddings result{Tensor::empty({total, features}, DType::f32), {}};
  int64_t done = 0;
  while (const auto batch = loader.next()) {
    const int64_t count = batch->images.shape()[0];
    const auto rows = result.rows.rows(done, count).host<float>();
    std::ranges::copy(run(model, batch->images).host<float>(), rows.begin());
    if (spec.flip) {
      const Tensor flipped = run(model, mirrored(batch->images));
      std::ranges::transform(rows, flipped.host<float>(), rows.begin(), std::plus<>());
    }
    for (int64_t i = 0; i < std::ssize(rows); ++i) {
      GSNET_CHECK(std::isfinite(rows[static_cast<size_t>(i)]),
                  fmt::format("{}: its embedding is not finite", pictures->name(done + i / features)));
    }
    done += count;
    if (progress) progress(done, total);
  }
  result.unreadable = unreadable->all();
  for (const auto& [picture, reason] : result.unreadable)
    std::ranges::fill(result.rows.rows(picture, 1).host<float>(), 0.0F);
  return result;
}

}  // namespace gsnet::apps
