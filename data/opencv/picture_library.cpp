#include "data/picture_library.h"

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <stdexcept>

namespace gsnet::data {
namespace {

/// The same pixels.
cv::Mat view_of(const Picture& picture) {
  return {picture.shape.height, picture.shape.width, CV_8UC(picture.shape.channels),
          const_cast<uint8_t*>(picture.pixels.data())};
}

Picture blank(int channels, int height, int width) {
  Picture picture{{channels, height, width}, {}};
  picture.pixels.resize(static_cast<size_t>(picture.shape.numel()));
  return picture;
}

cv::Mat square(const cv::Mat& picture, int side) {
  const int edge = std::min(picture.rows, picture.cols);
  cv::Mat middle = picture(cv::Rect((picture.cols - edge) / 2, (picture.rows - edge) / 2, edge, edge));
  if (edge == side) return middle;
  cv::Mat scaled;
  cv::resize(middle, scaled, cv::Size(side, side), 0, 0, edge > side ? cv::INTER_AREA : cv::INTER_LINEAR);
  return scaled;
}

template <class Body>
auto guarded(const Body& body) {
  try {
    return body();
  } catch (const cv::Exception& failure) {
    throw std::runtime_error(failure.err);
  }
}

class OpenCv final : public PictureLibrary {
 public:
  Decoded decode(std::span<const uint8_t> encoded, int channels, int side) const override {
    return guarded([&]() -> Decoded {
      const cv::Mat bytes(1, static_cast<int>(encoded.size()), CV_8UC1, const_cast<uint8_t*>(encoded.data()));
      const cv::Mat whole = cv::imdecode(bytes, channels == 1 ? cv::IMREAD_GRAYSCALE : cv::IMREAD_COLOR);
      if (whole.empty() || whole.type() != CV_8UC(channels)) return {};
      const cv::Mat cut = side > 0 ? square(whole, side) : whole;
      Decoded decoded{{whole.rows, whole.cols}, blank(channels, cut.rows, cut.cols)};
      cv::Mat to = view_of(decoded.picture);
      if (channels == 1)
        cut.copyTo(to);
      else
        cv::cvtColor(cut, to, cv::COLOR_BGR2RGB);
      return decoded;
    });
  }

  std::vector<uint8_t> jpeg(const Picture& picture, int quality) const override {
    return guarded([&] {
      cv::Mat pixels = view_of(picture);
      if (picture.shape.channels == 3) {
        cv::Mat turned;
        cv::cvtColor(pixels, turned, cv::COLOR_RGB2BGR);
        pixels = turned;
      }
      std::vector<uint8_t> file;
      cv::imencode(".jpg", pixels, file, {cv::IMWRITE_JPEG_QUALITY, quality});
      return file;
    });
  }

  Picture warped(const Picture& picture, const Similarity& s, int side) const override {
    return guarded([&] {
      Picture to = blank(picture.shape.channels, side, side);
      cv::Mat pixels = view_of(to);
      const cv::Matx23d matrix(s.a, -s.b, s.u, s.b, s.a, s.v);
      cv::warpAffine(view_of(picture), pixels, matrix, pixels.size(), cv::INTER_LINEAR, cv::BORDER_CONSTANT,
                     cv::Scalar());
      return to;
    });
  }
};

}  // namespace
}  // namespace gsnet::data

extern "C" __attribute__((visibility("default"))) const gsnet::data::PictureLibrary* gsnet_picture_library_2() {
  static const gsnet::data::OpenCv library;
  return &library;
}
