// Pictures and pairs of a verification test: folders, archives, packs; RecordIO; what cannot be read.
#include "data/verification.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "core/error.h"
#include "data/aligned.h"
#include "data/pairs.h"
#include "data/tolerant.h"
#include "scratch.h"
#include "support/shared_folder.h"
#include "tests/io/torch_bytes.h"

#if GSNET_WITH_OPENCV

namespace gsnet::data {
namespace {

using Catch::Contains;
using test::global, test::little, test::proto, test::tuple;

std::vector<uint8_t> pixels_of(const Dataset& set, int64_t i) {
  std::vector<uint8_t> pixels(static_cast<size_t>(set.picture().numel()));
  set.read(i, pixels);
  return pixels;
}

/// The red of a picture of one colour.
int red_of(const Dataset& set, int64_t i) { return pixels_of(set, i)[0]; }

std::string byte_text(const std::string& bytes) { return "B" + little(bytes.size(), 4) + bytes; }

/// A numpy array of bytes as protocol 2 and later write it.
std::string array_of(const std::string& bytes, const std::string& dtype = "u1", int64_t extent = -1) {
  const std::string shape = tuple({test::integer(extent < 0 ? static_cast<int64_t>(bytes.size()) : extent), "K\x01"});
  const std::string type = global("numpy", "dtype") + tuple({test::text(dtype), "\x89", "\x88"}) + "R";
  return global("numpy.core.multiarray", "_reconstruct") +
         tuple({global("numpy", "ndarray"), tuple({std::string("K\x00", 2)}),
                "C\x01"
                "b"}) +
         "R" + tuple({"K\x01", shape, type, "\x89", byte_text(bytes)}) + "b";
}

std::string list_of(const std::vector<std::string>& parts) {
  std::string all = "](";
  for (const std::string& part : parts) all += part;
  return all + "e";
}

std::string record(const std::string& payload, uint32_t kind = 0) {
  const auto length = static_cast<uint32_t>(payload.size());
  return little(0xced7230a, 4) + little(kind << 29U | length, 4) + payload + std::string((4 - length % 4) % 4, '\0');
}

std::string float_of(float value) { return {reinterpret_cast<const char*>(&value), 4}; }

std::string labelled(float label, const std::string& picture) {
  return little(0, 4) + float_of(label) + little(7, 8) + little(0, 8) + picture;
}

std::string many_labels(const std::vector<float>& labels, const std::string& picture) {
  std::string all = little(labels.size(), 4) + float_of(0) + little(0, 8) + little(0, 8);
  for (const float label : labels) all += float_of(label);
  return all + picture;
}

}  // namespace

TEST_CASE("verification: pairs of a folder or an archive, missing ones left out", "[data][faces]") {
  const Scratch scratch;
  std::vector<TarMember> members;
  const auto add = [&](const std::string& path, int red) {
    scratch.write("set/" + path, png_of(8, 6, red, 0, 0));
    members.push_back({"set/" + path, png_of(8, 6, red, 0, 0)});
  };
  add("Bo/Bo_0002.png", 4);
  add("Ann/Ann_0001.png", 1);
  add("Ann/Ann_0002.png", 2);
  add("Cy/Cy_0001.png", 9);
  const auto pairs = scratch.write("pairs.txt", "2 1\nAnn 1 2\nAnn 1 Bo 2\nBo 2 3\nAnn 2 Bo 2\n");
  const auto tar = scratch.write("set.tar.gz", tar_of(members, true));
  for (const auto& images : {scratch / "set", tar}) {
    const VerificationSet set = open_verification(pairs, images, {.side = 4});
    REQUIRE(set.pairs.size() == 3);
    CHECK(set.pairs_left_out == 1);
    CHECK(set.missing == std::vector<std::string>{"Bo/Bo_0003"});
    CHECK(set.pictures->size() == 3);  // each once, and only those asked for
    CHECK(set.pictures->picture() == PictureShape{3, 4, 4});
    CHECK(red_of(*set.pictures, set.pairs[0].first) == 1);
    CHECK(red_of(*set.pictures, set.pairs[0].second) == 2);
    CHECK(red_of(*set.pictures, set.pairs[2].first) == 2);
    CHECK(red_of(*set.pictures, set.pairs[2].second) == 4);
    CHECK(set.pairs[2].fold == 1);
    CHECK_FALSE(set.pairs[1].same);
  }
  const VerificationSet second = open_verification(pairs, tar, {.side = 4, .folds = {1}});
  CHECK(second.pairs.size() == 1);
  CHECK(second.folds == 1);
  CHECK(second.pairs[0].fold == 0);
  CHECK(second.pictures->size() == 2);
  CHECK(second.pairs_left_out == 1);
  CHECK(second.folders == std::vector<std::string>{"Ann", "Bo"});
  CHECK_THROWS_WITH(open_verification(pairs, tar, {.side = 4, .folds = {2}}),
                    Contains("pairs.txt: there is no fold 3"));
  const auto others = scratch.write("others.txt", "x.png y.png 1\n");
  CHECK_THROWS_WITH(open_verification(others, tar, {.side = 4}),
                    Contains("none of the 1 pairs") && Contains("'x.png'") && Contains("set.tar.gz"));
  CHECK_THROWS_WITH(open_verification(pairs, scratch / "nowhere", {.side = 4}), Contains("nowhere"));
}

TEST_CASE("verification: errors name the line of the file, blank ones counted", "[data][faces]") {
  const Scratch scratch;
  const auto list = scratch.write("l.txt", "a b 1\n\n\n\na b c d\n");
  CHECK_THROWS_WITH(read_pairs(list), Contains("l.txt: line 5:"));
}

TEST_CASE("verification: landmarks align, pictures without any are told", "[data][faces]") {
  const Scratch scratch;
  scratch.write("p/a.png", png_of(112, 112, 10, 20, 30));
  scratch.write("p/b.png", png_of(112, 112, 10, 20, 30));
  const auto marks =
      scratch.write("m.txt",
                    "a.png 38.2946 51.6963 73.5318 51.5014 56.0252 71.7366 41.5493 92.3655 70.7299 92.2041\n"
                    "z.png 1 2 3 4 5 6 7 8 9 0\n");
  int64_t unused = 0;
  const auto set = open_pictures(scratch / "p", {.side = 112, .landmarks = marks}, &unused);
  CHECK(unused == 1);
  CHECK(pixels_of(*set, 0)[3 * (50 * 112 + 50) + 1] == 20);
  CHECK_THROWS_WITH(pixels_of(*set, 1), Contains("b.png") && Contains("no landmarks"));
  scratch.write("people/A/a.png", png_of(150, 150, 10, 20, 30));
  scratch.write("people/B/b.png", png_of(150, 150, 10, 20, 30));
  const auto people = open_aligned_classes(scratch / "people", marks, 112, unused);
  CHECK(unused == 1);
  CHECK(people->class_names() == std::vector<std::string>{"A", "B"});
  CHECK(people->label(1) == 1);
  CHECK(people->picture() == PictureShape{3, 112, 112});
  CHECK(pixels_of(*people, 0)[3 * (50 * 112 + 50) + 1] == 20);
  CHECK_THROWS_WITH(pixels_of(*people, 1), Contains("b.png") && Contains("no landmarks"));
  const auto none = scratch.write("n.txt", "z.png 1 2 3 4 5 6 7 8 9 0\n");
  CHECK_THROWS_WITH(open_pictures(scratch / "p", {.side = 112, .landmarks = none}), Contains("none of the 2 pictures"));
}

TEST_CASE("verification: unreadable pictures are black and put down", "[data][faces]") {
  const Scratch scratch;
  scratch.write("p/a.png", png_of(4, 4, 10, 20, 30));
  scratch.write("p/b.png", png_of(4, 4, 10, 20, 30).substr(0, 60));
  const auto unreadable = std::make_shared<UnreadablePictures>();
  const auto set = tolerant(open_pictures(scratch / "p", {.side = 4}), unreadable);
  CHECK(pixels_of(*set, 0)[1] == 20);
  CHECK(unreadable->all().empty());
  CHECK(pixels_of(*set, 1) == std::vector<uint8_t>(48, 0));
  pixels_of(*set, 1);
  REQUIRE(unreadable->all().size() == 1);
  CHECK(unreadable->all().at(1).find("b.png") != std::string::npos);
  CHECK(pixels_of(*reversed_channels(set), 0)[0] == 30);
}

TEST_CASE("packs: bytes, texts of Python 2 and numpy arrays", "[data][faces]") {
  const Scratch scratch;
  const std::string a = png_of(4, 4, 1, 0, 0), b = png_of(4, 4, 200, 0, 0);
  std::string latin;  // as _codecs.encode gets it
  for (const char c : a) {
    const auto byte = static_cast<unsigned char>(c);
    latin += byte < 0x80 ? std::string(1, c)
                         : std::string{static_cast<char>(0xC0 | byte >> 6U), static_cast<char>(0x80 | (byte & 0x3FU))};
  }
  const std::string encoded = global("_codecs", "encode") + tuple({test::text(latin), test::text("latin1")}) + "R";
  const std::string python2 = "T" + little(b.size(), 4) + b;
  const std::string content = proto(list_of({byte_text(a), python2, array_of(b), encoded}) +
                                    "](\x88\x89"
                                    "e\x86");
  const VerificationSet set = open_verification_pack(scratch.write("small.bin", content), 4);
  REQUIRE(set.pairs.size() == 2);
  CHECK(set.pairs[0].same);
  CHECK_FALSE(set.pairs[1].same);
  CHECK(set.folds == 1);
  CHECK(set.pictures->name(3) == "small.bin[3]");
  CHECK(red_of(*set.pictures, 0) == 1);
  CHECK(red_of(*set.pictures, 1) == 200);
  CHECK(red_of(*set.pictures, 2) == 200);
  CHECK(red_of(*set.pictures, 3) == 1);
  const std::string flags = array_of(std::string("\x01\x00", 2), "b1");
  const auto numpy = scratch.write(
      "flags.bin", proto(list_of({byte_text(a), byte_text(a), byte_text(b), byte_text(b)}) + flags + "\x86"));
  CHECK_FALSE(open_verification_pack(numpy, 4).pairs[1].same);
}

TEST_CASE("packs: the same bytes again and again take their room once", "[data][faces]") {
  const Scratch scratch;
  constexpr int kPairs = 20'000;  // of a picture of a megabyte: 40 GB if each were a copy
  const std::string picture = png_of(4, 4, 7, 0, 0) + std::string(1 << 20, '\0');
  std::string pictures = "](" + byte_text(picture) + "q\x05", flags = "](";
  for (int i = 1; i < 2 * kPairs; ++i) pictures += "h\x05";
  for (int i = 0; i < kPairs; ++i) flags += "\x88";
  const auto pack = scratch.write("again.bin", proto(pictures + "e" + flags + "e\x86"));
  const VerificationSet set = open_verification_pack(pack, 4);
  CHECK(set.pairs.size() == kPairs);
  CHECK(red_of(*set.pictures, 2 * kPairs - 1) == 7);
}

TEST_CASE("packs: nothing is run, and what does not fit is named", "[data][faces]") {
  const Scratch scratch;
  const std::string picture = byte_text(png_of(4, 4, 1, 0, 0));
  const auto open = [&](const std::string& body) {
    return open_verification_pack(scratch.write("x.bin", proto(body)), 4);
  };
  CHECK_THROWS_WITH(open(global("os", "system") + tuple({test::text("id")}) + "R"),
                    Contains("x.bin") && Contains("os.system"));
  CHECK_THROWS_WITH(open(global("numpy.core.multiarray", "fromstring")), Contains("fromstring"));
  CHECK_THROWS_WITH(open("]"), Contains("pair of lists"));
  CHECK_THROWS_WITH(open(list_of({picture}) + "](\x88"
                                              "e\x86"),
                    Contains("1 pictures and 1 flags"));
  CHECK_THROWS_WITH(open(list_of({picture, "K\x01"}) + "](\x88"
                                                       "e\x86"),
                    Contains("picture 1") && Contains("an integer"));
  CHECK_THROWS_WITH(open(list_of({picture, picture}) + "](K\x02"
                                                       "e\x86"),
                    Contains("flag 0"));
  CHECK_THROWS_WITH(open(list_of({array_of("abc", "u1", 4), picture}) + "](\x88"
                                                                        "e\x86"),
                    Contains("extents ask for 4"));
  CHECK_THROWS_WITH(open(list_of({array_of("abcd", "f4"), picture}) + "](\x88"
                                                                      "e\x86"),
                    Contains("'f4'"));
  CHECK_THROWS_WITH(open_verification_pack(scratch / "nowhere.bin", 4), Contains("nowhere.bin"));
  const std::string whole = proto(list_of({array_of("abcd"), picture}) +
                                  "](\x88"
                                  "e\x86");
  for (size_t cut = 0; cut + 1 < whole.size(); cut += 7) {
    CHECK_THROWS_AS(open_verification_pack(scratch.write("cut.bin", whole.substr(0, cut)), 4), Error);
  }
}

TEST_CASE("RecordIO: insightface's packs, with and without an index", "[data][faces]") {
  const Scratch scratch;
  const std::string a = png_of(4, 4, 1, 0, 0), b = png_of(4, 4, 200, 0, 0);
  const std::vector<std::string> records = {record(many_labels({4, 6}, "")), record(labelled(10, a)),
                                            record(many_labels({3, 0.5}, b)), record(labelled(10, b)),
                                            record(many_labels({1, 2}, ""))};  // the last describes an identity
  std::string all, index;
  for (size_t i = 0; i < records.size(); ++i) {
    index += std::to_string(i) + "\t" + std::to_string(all.size()) + "\n";
    all += records[i];
  }
  for (const bool with_index : {true, false}) {
    const std::string stem = with_index ? "with" : "without";
    const auto path = scratch.write(stem + ".rec", all);
    if (with_index) scratch.write(stem + ".idx", index);
    const auto set = open_dataset(path, {.split = Split::train, .side = 4});
    REQUIRE(set->size() == 3);
    CHECK(set->class_names() == std::vector<std::string>{"3", "10"});
    CHECK(set->label(0) == 1);
    CHECK(set->label(1) == 0);
    CHECK(set->label(2) == 1);
    CHECK(red_of(*set, 0) == 1);
    CHECK(red_of(*set, 1) == 200);
    CHECK(set->name(2).ends_with(".rec[3]"));
  }
  const std::string two = record(labelled(0, a)) + record(labelled(1, b));
  const auto plain = open_dataset(scratch.write("plain.rec", two), {});
  scratch.write("pack/train.rec", two);
  CHECK(open_dataset(scratch / "pack", {})->size() == 2);
  scratch.write("pack/val.rec", record(labelled(0, a)));
  CHECK(open_dataset(scratch / "pack", {.split = Split::test})->size() == 1);
  CHECK(open_dataset(scratch / "pack", {.split = Split::train})->size() == 2);
  CHECK(plain->size() == 2);
}

TEST_CASE("RecordIO: a picture that holds the magic number is parted there", "[data][faces]") {
  const Scratch scratch;
  const std::string magic = little(0xced7230a, 4);
  const std::string picture = ppm_of(4, 2, 0, 0, 0).substr(0, 11) + magic + std::string(20, 'x');  // 24 bytes of pixels
  const std::string head = labelled(0, picture.substr(0, 11));
  const std::string whole = record(head, 1) + record(std::string(20, 'x'), 3);
  const auto set = open_dataset(scratch.write("p.rec", whole), {});
  const auto pixels = pixels_of(*set, 0);
  CHECK(pixels[0] == 0x0a);
  CHECK(pixels[3] == 0xce);
  CHECK(pixels[4] == 'x');
}

TEST_CASE("RecordIO: damage is named with its offset", "[data][faces]") {
  const Scratch scratch;
  const std::string good = record(labelled(0, png_of(4, 4, 1, 0, 0)));
  const auto open = [&](const std::string& bytes, const std::string& index = {}) {
    scratch.write("x.idx", index);
    if (index.empty()) std::filesystem::remove(scratch / "x.idx");
    return open_dataset(scratch.write("x.rec", bytes), {.side = 4});
  };
  CHECK_THROWS_WITH(open("garbage!garbage!"), Contains("x.rec") && Contains("magic number"));
  CHECK_THROWS_WITH(open(good.substr(0, 40)), Contains("are left"));
  CHECK_THROWS_WITH(open(good + "ab"), Contains("offset " + std::to_string(good.size())));
  CHECK_THROWS_WITH(open(record("short")), Contains("its header takes 24"));
  CHECK_THROWS_WITH(open(record(little(2000, 4) + std::string(20, '\0'))), Contains("2000 labels"));
  CHECK_THROWS_WITH(open(record(labelled(0.5F, ""))), Contains("label 0.5"));
  CHECK_THROWS_WITH(open(record(labelled(NAN, ""))), Contains("whole number"));
  CHECK_THROWS_WITH(open(record(many_labels({1, 1}, ""))), Contains("no picture"));
  CHECK_THROWS_WITH(open(record(labelled(0, "x"), 2)), Contains("inside a record"));
  CHECK_THROWS_WITH(open(good, "0\n"), Contains("x.idx: line 1"));
  CHECK_THROWS_WITH(open(good, "1 99999\n"), Contains("offset 99999"));
  CHECK_THROWS_WITH(open(good, "1 -8\n"), Contains("offset -8"));
  const auto unreadable = open(record(labelled(0, "no picture")));
  CHECK_THROWS_WITH(pixels_of(*unreadable, 0), Contains("x.rec[0]"));
}

TEST_CASE("verification: the list and the pictures of LFW", "[data][faces]") {
  GSNET_NEED_SHARED(shared);
  const auto folder = shared / "data" / "lfw";
  const VerificationSet set = open_verification(folder / "pairs.txt", folder / "lfw-112x112.tar.gz", {.side = 112});
  CHECK(set.pairs.size() == 6000);
  CHECK(set.pictures->size() == 7701);
  CHECK(set.folds == 10);
  CHECK(set.pairs_left_out == 0);
  CHECK(std::ranges::count(set.pairs, true, &PicturePair::same) == 3000);
  CHECK(pixels_of(*set.pictures, 7700).size() == 3 * 112 * 112);
}

}  // namespace gsnet::data

#endif
