// Lossy compression, by OpenCV's encoder and decoder.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "data/corruption_kinds.h"

#if GSNET_WITH_OPENCV
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#endif

namespace gsnet::data {

#if GSNET_WITH_OPENCV

void require_jpeg(const PictureShape& shape) {
  GSNET_CHECK(shape.channels == 1 || shape.channels == 3,
              fmt::format("corruption jpeg: takes one or three channels, got {}", shape.channels));
}

void jpeg(Pixels& picture, size_t severity, Random&) {
  constexpr std::array kQuality = {80, 65, 58, 50, 40};
  const auto& [channels, height, width] = picture.shape;
  require_jpeg(picture.shape);
  try {
    const bool grey = channels == 1;
    cv::Mat bytes, turned = cv::Mat(height, width, CV_32FC(channels), picture.values.data());
    turned.convertTo(bytes, CV_8U, 255);
    if (!grey) cv::cvtColor(bytes, bytes, cv::COLOR_RGB2BGR);
    std::vector<uint8_t> file;
    cv::imencode(".jpg", bytes, file, {cv::IMWRITE_JPEG_QUALITY, kQuality[severity]});
    bytes = cv::imdecode(file, grey ? cv::IMREAD_GRAYSCALE : cv::IMREAD_COLOR);
    GSNET_CHECK(bytes.rows == height && bytes.cols == width, "corruption jpeg: the picture did not come back");
    if (!grey) cv::cvtColor(bytes, bytes, cv::COLOR_BGR2RGB);
    bytes.convertTo(turned, CV_32F, 1 / 255.0);
  } catch (const cv::Exception& failure) {
    throw Error(fmt::format("corruption jpeg: {}", failure.err));
  }
}

#else

void require_jpeg(const PictureShape&) {
  throw Error("corruption jpeg: this build has no encoder (it was made without OpenCV)");
}

void jpeg(Pixels& picture, size_t, Random&) { require_jpeg(picture.shape); }

#endif

}  // namespace gsnet::data
