// Memory of the interpreted device, and who touched it: accesses outside of what is allocated, not at a multiple of
// their bytes, and such as nothing orders, are found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace gsnet::ptx {

enum class Space : uint8_t { global, shared, local, generic };
/// look: of the interpreter's own, nobody's access.
enum class Use : uint8_t { read, write, look };

/// Addresses of shared and local memory among all others.
constexpr uint64_t kSharedWindow = uint64_t{1} << 56, kLocalWindow = uint64_t{2} << 56,
                   kWindowBytes = uint64_t{1} << 24;

/// Whose access: the same block's are in order where a barrier is between them, the same warp's where it synchronised.
/// In one word, the launch foremost; numbers wrap.
class Accessor {
 public:
  Accessor() = default;
  Accessor(uint32_t launch, uint32_t block, uint32_t barriers, uint32_t synchronised, uint32_t thread)
      : bits_(uint64_t{launch & 0xFFFF} << kLaunch | uint64_t{block & 0x3FFFF} << kBlock |
              uint64_t{barriers & 0xFFF} << kBarriers | uint64_t{synchronised & 0x3F} << kSynchronised |
              uint64_t{thread & 0x3FF} << kThread) {}
  static constexpr uint32_t kLaunches = 0xFFFF;  ///< numbers from 1 to this are told apart
  static Accessor of(uint64_t bits) { return Accessor(bits); }
  uint64_t bits() const { return bits_; }
  Accessor lane(int l) const { return Accessor(bits_ + (static_cast<uint64_t>(l) << kThread)); }

  bool same_launch(Accessor other) const { return (bits_ ^ other.bits_) >> kLaunch == 0; }
  bool same_block(Accessor other) const { return (bits_ ^ other.bits_) >> kBlock == 0; }
  bool same_barriers(Accessor other) const { return (bits_ ^ other.bits_) >> kBarriers == 0; }
  /// Of one launch: whether something orders an earlier access before this one.
  bool follows(Accessor before) const {
    if (!same_block(before)) return false;
    const uint64_t apart = bits_ ^ before.bits_;
    if (apart >> kBarriers != 0 || (apart >> kThread & 0x3FF) == 0) return true;
    return (apart >> (kThread + 5) & 0x1F) == 0 && (apart >> kSynchronised & 0x3F) != 0;
  }

 private:
  static constexpr int kThread = 2, kSynchronised = 12, kBarriers = 18, kBlock = 30, kLaunch = 48;
  explicit Accessor(uint64_t bits) : bits_(bits) {}
  uint64_t bits_ = 0;  ///< the lowest two are others'
};

/// Accesses of 4 bytes each.
class Tracks {
 public:
  explicit Tracks(size_t bytes);
  Tracks(const Tracks&) = delete;
  Tracks& operator=(const Tracks&) = delete;
  ~Tracks();
  void forget();
  /// False: an access of another thread's, of which one is a write, is not in order with it. Of numbers of 16 bits only
  /// the last access is kept: two threads may share a word.
  bool note(size_t offset, int bytes, Use use, Accessor who) {
    bool fine = true;
    for (size_t at = offset / 4; at <= (offset + static_cast<size_t>(bytes) - 1) / 4; ++at) {
      Word& word = words_[at];
      const Accessor write = Accessor::of(word.write), read = Accessor::of(word.read);
      if (write.same_launch(who) && !who.follows(write) && bytes >= 4) fine = false;
      if (use == Use::read) {
        uint64_t others = 0;
        if (read.same_launch(who)) {
          if (!read.same_block(who) || (word.read & kByBlocks) != 0) others |= kByBlocks;
          if (read.same_barriers(who) && (!who.follows(read) || (word.read & kByThreads) != 0)) others |= kByThreads;
        }
        word.read = who.bits() | others;
      } else {
        if (read.same_launch(who) && bytes >= 4 &&
            (!who.follows(read) || (word.read & kByBlocks) != 0 ||
             (read.same_barriers(who) && (word.read & kByThreads) != 0))) {
          fine = false;
        }
        word.write = who.bits();
      }
    }
    return fine;
  }

 private:
  struct Word {
    uint64_t write, read;
  };
  static constexpr uint64_t kByThreads = 1, kByBlocks = 2;  ///< read by others besides
  Word* words_ = nullptr;
  size_t bytes_ = 0;
};

/// All that is allocated.
class DeviceMemory {
 public:
  /// Filled with NaN.
  void* allocate(size_t bytes);
  /// False: there is none.
  bool free(void* memory);
  /// Somebody else's memory, which the device may read.
  void add(void* memory, size_t bytes);
  /// Null: not all of it is allocated. who: of a launch that next_launch() counted.
  std::byte* reach(uint64_t address, int bytes, Use use, Accessor who, bool& in_order) {
    if (address - last_start_ >= last_bytes_ && !find_piece(address)) return nullptr;
    const uint64_t offset = address - last_start_;
    if (last_bytes_ - offset < static_cast<uint64_t>(bytes)) return nullptr;
    in_order = use == Use::look || last_tracks_->note(offset, bytes, use, who);
    return reinterpret_cast<std::byte*>(address);
  }
  bool holds(const void* memory, size_t bytes) const;
  /// From 1; before their numbers come again all accesses are forgotten.
  uint32_t next_launch();

 private:
  struct Piece {
    size_t bytes;
    std::unique_ptr<Tracks> tracks;
    bool owned;
  };
  bool find_piece(uint64_t address);

  std::map<uint64_t, Piece> pieces_;
  uint64_t last_start_ = 0, last_bytes_ = 0;  ///< the piece reached last
  Tracks* last_tracks_ = nullptr;
  uint32_t launches_ = 0;
};

}  // namespace gsnet::ptx
