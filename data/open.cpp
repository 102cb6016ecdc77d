#include <fmt/format.h>

#include <array>

#include "core/error.h"
#include "data/formats.h"

namespace gsnet::data {
namespace {

struct Format {
  std::string_view looked_for;
  bool (*is)(const std::filesystem::path&);
  DatasetHandle (*open)(const std::filesystem::path&, const OpenSpec&);
};

constexpr std::array<Format, 6> kFormats = {{
    {"data_batch_N.bin or test_batch*.bin (CIFAR-10)", is_cifar10, open_cifar10},
    {"train.bin or test.bin (CIFAR-100)", is_cifar100, open_cifar100},
    {"*-images-idx3-ubyte[.gz] (IDX)", is_idx, open_idx},
    {"a .rec or train.rec (RecordIO)", is_record_io, open_record_io},
    {"a .tar, .tar.gz or .tgz of class folders", is_picture_tar, open_picture_tar},
    {"class folders of PNG, JPEG, BMP or PPM pictures", is_picture_folder, open_picture_folder},
}};

}  // namespace

std::shared_ptr<const Dataset> open_dataset(const std::filesystem::path& path, const OpenSpec& spec) {
  GSNET_CHECK(spec.side >= 0 && spec.side <= 8192,
              fmt::format("{}: a side of {} was asked for, expected 0 to 8192", path.string(), spec.side));
  std::error_code failure;
  GSNET_CHECK(std::filesystem::exists(path, failure),
              fmt::format("{}: there is no such file or folder", path.string()));
  std::string looked_for;
  for (const Format& format : kFormats) {
    if (format.is(path)) return format.open(path, spec);
    looked_for += fmt::format("{}{}", looked_for.empty() ? "" : "; ", format.looked_for);
  }
  throw Error(fmt::format("{}: no data set is recognised there; looked for {}", path.string(), looked_for));
}

}  // namespace gsnet::data
