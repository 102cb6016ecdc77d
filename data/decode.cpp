#include "data/decode.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

#if GSNET_WITH_OPENCV
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#endif

namespace gsnet::data {

#if GSNET_WITH_OPENCV

namespace {

/// libjpeg fills what is missing with grey and says nothing: ask for the end marker.
bool has_jpeg_end(std::span<const uint8_t> encoded) {
  for (size_t at = encoded.size(); at >= 2; --at) {
    if (encoded[at - 2] == 0xFF && encoded[at - 1] == 0xD9) return true;
  }
  return false;
}

cv::Mat decode(std::span<const uint8_t> encoded, const std::string& name) {
  const PictureExtent extent = announced_extent(encoded, name);
  GSNET_CHECK(encoded[0] != 0xFF || has_jpeg_end(encoded),
              fmt::format("{}: the JPEG data is cut short, no end marker in {} bytes", name, encoded.size()));
  const cv::Mat bytes(1, static_cast<int>(encoded.size()), CV_8UC1, const_cast<uint8_t*>(encoded.data()));
  const cv::Mat picture = cv::imdecode(bytes, cv::IMREAD_COLOR);
  GSNET_CHECK(!picture.empty(), fmt::format("{}: damaged or cut short, {} bytes announce {} x {} pixels", name,
                                            encoded.size(), extent.height, extent.width));
  const bool upright = picture.rows == extent.height && picture.cols == extent.width;
  const bool turned = picture.rows == extent.width && picture.cols == extent.height;
  GSNET_CHECK(picture.type() == CV_8UC3 && (upright || turned),
              fmt::format("{}: decoded to {} x {} pixels, the header announces {} x {}", name, picture.rows,
                          picture.cols, extent.height, extent.width));
  return picture;
}

cv::Mat square(const cv::Mat& picture, int side) {
  const int edge = std::min(picture.rows, picture.cols);
  const cv::Mat middle = picture(cv::Rect((picture.cols - edge) / 2, (picture.rows - edge) / 2, edge, edge));
  if (edge == side) return middle;
  cv::Mat scaled;
  cv::resize(middle, scaled, cv::Size(side, side), 0, 0, edge > side ? cv::INTER_AREA : cv::INTER_LINEAR);
  return scaled;
}

}  // namespace

void require_decoder(const std::string&) {}

Picture decode_picture(std::span<const uint8_t> encoded, const std::string& name, int side) {
  try {
    const cv::Mat decoded = decode(encoded, name);
    const cv::Mat cut = side > 0 ? square(decoded, side) : decoded;
    Picture picture{{3, cut.rows, cut.cols}, {}};
    picture.pixels.resize(static_cast<size_t>(picture.shape.numel()));
    cv::Mat rgb(cut.rows, cut.cols, CV_8UC3, picture.pixels.data());
    cv::cvtColor(cut, rgb, cv::COLOR_BGR2RGB);
    return picture;
  } catch (const cv::Exception& failure) {
    throw Error(fmt::format("{}: the decoder failed: {}", name, failure.err));
  }
}

#else

void require_decoder(const std::string& name) {
  throw Error(fmt::format("{}: this build has no picture decoder (it was made without OpenCV)", name));
}

Picture decode_picture(std::span<const uint8_t>, const std::string& name, int) {
  require_decoder(name);
  return {};
}

#endif

}  // namespace gsnet::data
