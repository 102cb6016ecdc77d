// RecordIO (MXNet) as insightface packs pictures: records of an "IRHeader", labels and an encoded picture.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "core/error.h"
#include "data/decode.h"
#include "data/files.h"
#include "data/picture_set.h"

namespace gsnet::data {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kMagic = 0xced7230a;
constexpr int64_t kFrame = 8;    // magic number, kind and length
constexpr int64_t kHeader = 24;  // IRHeader: u32 flag, f32 label, u64 id, u64 id2
constexpr int64_t kMostIndexBytes = int64_t{1} << 32;
constexpr uint32_t kMostLabels = 1024;
constexpr const char* kTrainRecords = "train.rec";

/// A piece of a record: whole records have one, of kind 0; others a first (1), middle ones (2) and a last (3).
struct Piece {
  int64_t begin = 0, bytes = 0, next = 0;
  uint32_t kind = 0;
};

struct RecordHeader {
  float label = 0;
  float second = 0;  ///< of the labels after the header, where there are several
  uint32_t labels_after = 0;
};

class RecordFile {
 public:
  explicit RecordFile(const fs::path& path) : name_(path.string()), bytes_(file_bytes(path)) {
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    GSNET_CHECK(descriptor_ >= 0, fmt::format("{}: cannot be opened for reading: {}", name_, std::strerror(errno)));
  }
  ~RecordFile() { ::close(descriptor_); }
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  const std::string& name() const { return name_; }
  int64_t bytes() const { return bytes_; }

  void read(int64_t offset, void* to, int64_t count) const {
    GSNET_CHECK(offset >= 0 && offset <= bytes_ - count,
                fmt::format("{}: {} bytes are needed at offset {}, the file has {}", name_, count, offset, bytes_));
    for (int64_t done = 0; done < count;) {
      const auto got =
          ::pread(descriptor_, static_cast<char*>(to) + done, static_cast<size_t>(count - done), offset + done);
      GSNET_CHECK(got > 0, fmt::format("{}: reading stopped at offset {}", name_, offset + done));
      done += got;
    }
  }

  Piece piece_at(int64_t offset) const {
    std::array<uint32_t, 2> frame{};
    read(offset, frame.data(), kFrame);
    GSNET_CHECK(frame[0] == kMagic, fmt::format("{}: magic number {:#010x} at offset {}, expected {:#010x}", name_,
                                                frame[0], offset, kMagic));
    const int64_t length = frame[1] & 0x1FFF'FFFFU;
    GSNET_CHECK(length <= bytes_ - offset - kFrame,
                fmt::format("{}: the record at offset {} says {} bytes, {} are left", name_, offset, length,
                            bytes_ - offset - kFrame));
    return {offset + kFrame, length, offset + kFrame + (length + 3) / 4 * 4, frame[1] >> 29U};
  }

  /// Where the record after this one begins.
  int64_t next(int64_t offset) const {
    Piece piece = piece_at(offset);
    check_first(piece, offset);
    while (piece.kind == 1 || piece.kind == 2) piece = piece_at(piece.next);
    return piece.next;
  }

  RecordHeader header_at(int64_t offset) const {
    const Piece piece = piece_at(offset);
    check_first(piece, offset);
    GSNET_CHECK(piece.bytes >= kHeader, fmt::format("{}: the record at offset {} has {} bytes, its header takes {}",
                                                    name_, offset, piece.bytes, kHeader));
    RecordHeader header;
    read(piece.begin, &header.labels_after, 4);
    read(piece.begin + 4, &header.label, 4);
    if (header.labels_after == 0) return header;
    GSNET_CHECK(header.labels_after <= kMostLabels && piece.bytes >= kHeader + 4 * int64_t{header.labels_after},
                fmt::format("{}: the record at offset {} says {} labels in {} bytes", name_, offset,
                            header.labels_after, piece.bytes));
    read(piece.begin + kHeader, &header.label, 4);
    if (header.labels_after > 1) read(piece.begin + kHeader + 4, &header.second, 4);
    return header;
  }

  /// The encoded picture of a record: what is after the header and its labels.
  void picture_at(int64_t offset, std::vector<uint8_t>& to) const {
    to.clear();
    Piece piece = piece_at(offset);
    check_first(piece, offset);
    append(piece, to);
    while (piece.kind == 1 || piece.kind == 2) {
      piece = piece_at(piece.next);
      GSNET_CHECK(piece.kind >= 2, fmt::format("{}: the record at offset {} has no last piece", name_, offset));
      const auto* joint = reinterpret_cast<const uint8_t*>(&kMagic);  // records are parted where this number stood
      to.insert(to.end(), joint, joint + sizeof kMagic);
      append(piece, to);
    }
    const int64_t skipped = kHeader + 4 * int64_t{header_at(offset).labels_after};
    to.erase(to.begin(), to.begin() + std::min<std::ptrdiff_t>(skipped, std::ssize(to)));
  }

 private:
  void append(const Piece& piece, std::vector<uint8_t>& to) const {
    const size_t had = to.size();
    GSNET_CHECK(std::cmp_less_equal(had + static_cast<size_t>(piece.bytes), kMostPictureBytes),
                fmt::format("{}: the record at offset {} has more than {} bytes", name_, piece.begin - kFrame,
                            kMostPictureBytes));
    to.resize(had + static_cast<size_t>(piece.bytes));
    read(piece.begin, to.data() + had, piece.bytes);
  }

  void check_first(const Piece& piece, int64_t offset) const {
    GSNET_CHECK(piece.kind <= 1, fmt::format("{}: offset {} is inside a record, not at its beginning", name_, offset));
  }

  std::string name_;
  int64_t bytes_ = 0;
  int descriptor_ = -1;
};

struct IndexEntry {
  int64_t key = 0, offset = 0;
};

/// "key offset" a line.
std::vector<IndexEntry> read_index(const fs::path& path) {
  std::vector<IndexEntry> entries;
  for (const auto& [number, line] : numbered_lines(path, kMostIndexBytes)) {
    IndexEntry entry;
    const char *at = line.data(), *end = at + line.size();
    const auto key = std::from_chars(at, end, entry.key);
    const char* second = key.ptr;
    while (second != end && (*second == '\t' || *second == ' ')) ++second;
    const auto offset = std::from_chars(second, end, entry.offset);
    GSNET_CHECK(key.ec == std::errc() && offset.ec == std::errc() && offset.ptr == end && second != key.ptr,
                fmt::format("{}: line {}: expected a key and an offset", path.string(), number));
    entries.push_back(entry);
  }
  GSNET_CHECK(!entries.empty(), fmt::format("{}: the index is empty", path.string()));
  std::ranges::stable_sort(entries, {}, &IndexEntry::key);
  return entries;
}

std::vector<IndexEntry> scan(const RecordFile& file) {
  std::vector<IndexEntry> entries;
  for (int64_t offset = 0; offset < file.bytes(); offset = file.next(offset)) {
    entries.push_back({std::ssize(entries), offset});
  }
  return entries;
}

class RecordPictures final : public EncodedPictures {
 public:
  RecordPictures(std::unique_ptr<const RecordFile> file, std::vector<IndexEntry> entries)
      : file_(std::move(file)), entries_(std::move(entries)) {}

  std::string name(size_t i) const override { return fmt::format("{}[{}]", file_->name(), entries_[i].key); }
  std::span<const uint8_t> bytes(size_t i, std::vector<uint8_t>& scratch) const override {
    file_->picture_at(entries_[i].offset, scratch);
    return scratch;
  }

 private:
  std::unique_ptr<const RecordFile> file_;
  std::vector<IndexEntry> entries_;
};

/// insightface puts how many pictures follow, plus one, into the first record; what is after them is no picture.
void keep_pictures(std::vector<IndexEntry>& entries, const RecordFile& file) {
  if (entries.empty() || entries[0].key != 0) return;
  const RecordHeader first = file.header_at(entries[0].offset);
  if (first.labels_after == 0) return;
  const double end = static_cast<double>(first.label);
  GSNET_CHECK(end >= 1 && end <= 1e9 && end == std::floor(end),
              fmt::format("{}: the first record says {} pictures", file.name(), end - 1));
  std::erase_if(entries, [&](const IndexEntry& e) { return e.key < 1 || static_cast<double>(e.key) >= end; });
}

PictureCatalogue catalogue_of(const std::vector<IndexEntry>& entries, const RecordFile& file) {
  PictureCatalogue catalogue;
  std::vector<int64_t> labels;
  std::map<int64_t, int> classes;
  for (const IndexEntry& entry : entries) {
    const double label = static_cast<double>(file.header_at(entry.offset).label);
    GSNET_CHECK(label >= 0 && label <= 1e9 && label == std::floor(label),
                fmt::format("{}: record {} at offset {} has the label {}, expected a whole number", file.name(),
                            entry.key, entry.offset, label));
    labels.push_back(static_cast<int64_t>(label));
    classes.emplace(labels.back(), 0);
  }
  for (auto& [label, number] : classes) {
    number = static_cast<int>(catalogue.class_names.size());
    catalogue.class_names.push_back(std::to_string(label));
  }
  for (size_t i = 0; i < entries.size(); ++i) catalogue.entries.push_back({i, classes.at(labels[i])});
  return catalogue;
}

/// Of a folder train.rec, or for the test what lies beside it for that.
fs::path records_of(const fs::path& path, Split split) {
  if (!fs::is_directory(path)) return path;
  for (const char* name : {"test.rec", "val.rec"}) {
    if (split == Split::test && fs::is_regular_file(path / name)) return path / name;
  }
  return path / kTrainRecords;
}

}  // namespace

bool is_record_io(const fs::path& path) {
  if (fs::is_directory(path)) return fs::is_regular_file(path / kTrainRecords);
  return fs::is_regular_file(path) && lower_case(path.filename().string()).ends_with(".rec");
}

DatasetHandle open_record_io(const fs::path& where, const OpenSpec& spec) {
  const fs::path path = records_of(where, spec.split);
  require_decoder(path.string());
  auto file = std::make_unique<const RecordFile>(path);
  fs::path index = path;
  index.replace_extension(".idx");
  std::vector<IndexEntry> entries = fs::is_regular_file(index) ? read_index(index) : scan(*file);
  keep_pictures(entries, *file);
  GSNET_CHECK(!entries.empty(), fmt::format("{}: there is no picture", path.string()));
  PictureCatalogue catalogue = catalogue_of(entries, *file);
  return make_picture_set(std::make_unique<RecordPictures>(std::move(file), std::move(entries)), std::move(catalogue),
                          spec.side);
}

}  // namespace gsnet::data
