#include <catch2/catch.hpp>
#include <set>

#include "core/error.h"
#include "data/digest.h"
#include "data/fetch.h"
#include "data/unpack.h"
#include "http_server.h"
#include "scratch.h"

namespace gsnet::data {
namespace {

using Catch::Contains;
using Starts = std::vector<int64_t>;

std::string noise(size_t bytes) {
  std::string text;
  for (uint32_t state = 1; text.size() < bytes; state = state * 1664525U + 1013904223U) {
    text += static_cast<char>(state >> 24U);
  }
  return text;
}

std::string digest_of_text(const std::string& text, const std::string& like = "sha256:") {
  const Scratch folder;
  return digest_of(folder.write("x", text), like);
}

PublicDataset one_file(const HttpServer& server, const std::string& content, const std::string& name = "set.bin") {
  return {"set", "a test", {{server.url(name), name, digest_of_text(content), 0}}, false};
}

TEST_CASE("digest: known values", "[data]") {
  CHECK(digest_of_text("abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(digest_of_text("abc", "md5:") == "md5:900150983cd24fb0d6963f7d28e17f72");
  CHECK_THROWS_WITH(check_digest_form("crc:12"), Contains("crc:12"));
  CHECK_THROWS_WITH(check_digest_form("md5:12"), Contains("32"));
}

TEST_CASE("fetch: a file comes, is checked and then kept", "[data]") {
  const std::string content = noise(300'000);
  const HttpServer server({content});
  const Scratch folder;
  int64_t last = 0, total = 0;
  const auto progress = [&](std::string_view file, int64_t done, int64_t all) {
    CHECK(file == "set.bin");
    CHECK(done > last);
    last = done;
    total = all;
  };
  fetch(one_file(server, content), folder / "new/folder", progress);
  CHECK(content_of(folder / "new/folder/set.bin") == content);
  CHECK(last == 300'000);
  CHECK(total == 300'000);
  CHECK_FALSE(std::filesystem::exists(folder / "new/folder/set.bin.part"));
  fetch(one_file(server, content), folder / "new/folder");
  CHECK(server.starts() == Starts{0});
}

TEST_CASE("fetch: what an earlier try got is continued", "[data]") {
  const std::string content = noise(100'000);
  HttpServer server({.content = content, .cut_after = 40'000});
  const Scratch folder;
  CHECK_THROWS_WITH(fetch(one_file(server, content), folder.path()), Contains(server.url("set.bin")));
  CHECK(std::filesystem::file_size(folder / "set.bin.part") == 40'000);
  server.answer_with({content});
  fetch(one_file(server, content), folder.path());
  CHECK(content_of(folder / "set.bin") == content);
  CHECK(server.starts() == Starts{0, 40'000});
}

TEST_CASE("fetch: a server without ranges is asked for the whole", "[data]") {
  const std::string content = noise(50'000);
  const HttpServer server({.content = content, .ranges = false});
  const Scratch folder;
  folder.write("set.bin.part", content.substr(0, 1'000));
  fetch(one_file(server, content), folder.path());
  CHECK(content_of(folder / "set.bin") == content);
}

TEST_CASE("fetch: a temporary file that is whole already is only checked", "[data]") {
  const std::string content = noise(5'000);
  const HttpServer server({content});
  const Scratch folder;
  folder.write("set.bin.part", content);
  fetch(one_file(server, content), folder.path());
  CHECK(content_of(folder / "set.bin") == content);
}

TEST_CASE("fetch: a wrong digest removes the file", "[data]") {
  const HttpServer server({"something else"});
  const Scratch folder;
  CHECK_THROWS_WITH(fetch(one_file(server, "the right thing"), folder.path()),
                    Contains(server.url("set.bin")) && Contains(digest_of_text("something else")));
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("fetch: HTTP errors, silence and too many bytes are named", "[data]") {
  HttpServer server({.content = "not found", .status = 404});
  const Scratch folder;
  PublicDataset set = one_file(server, "x");
  CHECK_THROWS_WITH(fetch(set, folder.path()), Contains(server.url("set.bin")) && Contains("404"));
  CHECK(std::filesystem::is_empty(folder.path()));
  server.answer_with({noise(1'000)});
  set.files[0].bytes = 10;
  CHECK_THROWS_WITH(fetch(set, folder.path()), Contains("more than the 10 bytes"));
  set.files[0].url = "http://127.0.0.1:1/set.bin";
  CHECK_THROWS_WITH(fetch(set, folder.path()), Contains("http://127.0.0.1:1/set.bin"));
  set.files[0].url = "file:///etc/hostname";
  CHECK_THROWS_WITH(fetch(set, folder.path()), Contains("file:///etc/hostname"));
}

TEST_CASE("fetch: an exception of the progress function passes through", "[data]") {
  const HttpServer server({"content"});
  const Scratch folder;
  const auto stop = [](std::string_view, int64_t, int64_t) { throw Error("enough"); };
  CHECK_THROWS_WITH(fetch(one_file(server, "content"), folder.path(), stop), "enough");
}

TEST_CASE("fetch: names with folders and unknown digests are refused before anything is asked", "[data]") {
  const HttpServer server({"content"});
  const Scratch folder;
  for (const auto* name : {"../evil", "a/b", "/etc/x", "", ".."}) {
    CHECK_THROWS_AS(fetch(one_file(server, "content", name), folder.path()), Error);
  }
  PublicDataset set = one_file(server, "content");
  set.files[0].digest = "none";
  CHECK_THROWS_WITH(fetch(set, folder.path()), Contains("none"));
  CHECK(server.starts().empty());
}

TEST_CASE("fetch: archives are unpacked beside themselves", "[data]") {
  const std::string archive = tar_of({{"set/a.bin", "first"}, {"set/b/c.bin", "second"}}, true);
  const HttpServer server({archive});
  const Scratch folder;
  PublicDataset set = one_file(server, archive, "set.tar.gz");
  set.unpack = true;
  fetch(set, folder.path());
  CHECK(content_of(folder / "set/a.bin") == "first");
  std::filesystem::remove(folder / "set/b/c.bin");
  fetch(set, folder.path());
  CHECK(content_of(folder / "set/b/c.bin") == "second");
  CHECK(server.starts().size() == 1);
}

TEST_CASE("unpack: paths that leave the folder, links and damage are refused", "[data]") {
  const Scratch folder;
  const std::filesystem::path inner = folder / "in";
  std::filesystem::create_directories(inner);
  for (const std::string path : {"../evil", "a/../../evil", "/tmp/gsnet_evil"}) {
    folder.write("bad.tar.gz", tar_of({{"good", "x"}, {path, "evil"}}, true));
    CHECK_THROWS_WITH(unpack_tar(folder / "bad.tar.gz", inner), Contains("bad.tar.gz") && Contains("evil"));
  }
  CHECK_FALSE(std::filesystem::exists(folder / "evil"));
  CHECK_FALSE(std::filesystem::exists("/tmp/gsnet_evil"));
  folder.write("link.tar", tar_of({{"out", "", ".."}, {"out/evil", "x"}}, false));
  CHECK_THROWS_WITH(unpack_tar(folder / "link.tar", inner), Contains("link.tar") && Contains("'out'"));
  CHECK_FALSE(std::filesystem::exists(folder / "evil"));
  const std::string whole = tar_of({{"a", noise(5'000)}}, false);
  folder.write("cut.tar", whole.substr(0, 2'000));
  CHECK_THROWS_WITH(unpack_tar(folder / "cut.tar", inner), Contains("cut.tar"));
  CHECK_FALSE(std::filesystem::exists(inner / "a"));
}

TEST_CASE("public data sets: names, digests and terms are in order", "[data]") {
  std::set<std::string> names;
  for (const PublicDataset& set : public_datasets()) {
    names.insert(set.name);
    CHECK_FALSE(set.description.empty());
    for (const RemoteFile& file : set.files) {
      CHECK_NOTHROW(check_digest_form(file.digest));
      CHECK(file.url.ends_with("/" + file.file_name));
    }
  }
  CHECK(names == std::set<std::string>{"cifar10", "cifar100", "fashion-mnist", "mnist"});
}

}  // namespace
}  // namespace gsnet::data
