// Labelled pictures, and what can be done to a set of them. Sees only core.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/random.h"

namespace gsnet::data {

/// Extents of every picture of a set, after decoding.
struct PictureShape {
  int channels = 3;
  int height = 0;
  int width = 0;

  int64_t numel() const { return int64_t{channels} * height * width; }
  bool operator==(const PictureShape&) const = default;
};

/// Pictures of one shape with one label each. Const and thread-safe: any thread may read any picture at any time.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual int64_t size() const = 0;
  virtual PictureShape picture() const = 0;
  /// One name a class, index = label. Never empty.
  virtual const std::vector<std::string>& class_names() const = 0;
  /// Label of picture i, in [0, class_names().size()).
  virtual int label(int64_t i) const = 0;
  /// Writes picture i as bytes in (H, W, C) order, RGB for three channels. `pixels` has picture().numel() bytes.
  /// Throws Error naming the file and the place when the picture cannot be read.
  virtual void read(int64_t i, std::span<uint8_t> pixels) const = 0;
  /// What to call picture i in a report: a file name, or "data_batch_1.bin[17]".
  virtual std::string name(int64_t i) const = 0;
};

/// Which part of a data set; folders and archives name the parts as their format does.
enum class Split : uint8_t { train, test };

/// The embedded set: ten classes of letters and figures drawn by the program (random affine map, colours, noise).
/// Picture i is a function of (seed, i) and has label i mod 10; sets of different seeds are independent.
struct GlyphsSpec {
  int64_t size = 10'000;
  uint64_t seed = 1;
  int side = 32;  ///< height and width, >= 16
};

struct OpenSpec {
  Split split = Split::test;
  /// Side to which pictures of folders and archives are scaled and centre-cropped; 0 keeps the first picture's size and
  /// refuses others. Sets of one fixed size (CIFAR, IDX) ignore it: see padded().
  int side = 0;
};

/// Opens what lies at `path` and says in the error what was looked for:
///   a folder with data_batch_1.bin … or test_batch*.bin (CIFAR-10), train.bin or test.bin (CIFAR-100, fine labels),
///   *-images-idx3-ubyte[.gz] with labels beside (IDX; also Fashion-MNIST), class folders of pictures (PNG, JPEG,
///   BMP, PPM, PGM; below train/ or test/ (val/) where there are such), a tar or tar.gz of the same, or one such file;
///   a .rec of RecordIO with its .idx beside or none, where classes are the labels that occur, in ascending order, or
///   a folder with train.rec (and test.rec or val.rec).
/// Where folders of pictures or records name no parts, both splits are all of them: use hold_out. A .bin or IDX file
/// that is named itself is opened whatever the split. Class names come from batches.meta.txt, fine_label_names.txt,
/// class_names.txt (IDX) or the folders. Every size is checked before anything is allocated; a truncated or oversized
/// file is an Error with file and offset. Pictures of folders and archives have three channels; they need a build with
/// OpenCV, else this throws Error.
std::shared_ptr<const Dataset> open_dataset(const std::filesystem::path& path, const OpenSpec& spec);

std::shared_ptr<const Dataset> make_glyphs(const GlyphsSpec& spec);

/// The pictures of `whole` at `indices`, in that order.
std::shared_ptr<const Dataset> subset(std::shared_ptr<const Dataset> whole, std::vector<int64_t> indices);

/// The same pictures, each a class of its own that is named as it is: labels are places in the set. At most 2^31 - 1.
std::shared_ptr<const Dataset> each_its_class(std::shared_ptr<const Dataset> whole);

/// The same pictures in the middle of a black frame of side x side; themselves where they have that size, or for 0.
/// Throws Error for pictures that are larger.
std::shared_ptr<const Dataset> padded(std::shared_ptr<const Dataset> whole, int side);

/// Two parts of a permutation of `whole` that depends on the seed only: first the held-out one of `count` pictures
/// (of each class in proportion to the whole, within one), then the rest. Each keeps the order of `whole`.
struct Holdout {
  std::shared_ptr<const Dataset> held_out;
  std::shared_ptr<const Dataset> rest;
};
Holdout hold_out(std::shared_ptr<const Dataset> whole, int64_t count, uint64_t seed);

}  // namespace gsnet::data
