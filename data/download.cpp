#include "data/download.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>

#include "core/error.h"

namespace gsnet::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostBytes = int64_t{8} << 30;
constexpr long kConnectSeconds = 30, kStallSeconds = 60, kMostRedirects = 5;

using Curl = std::unique_ptr<CURL, void (*)(CURL*)>;
using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

/// What the callback of curl needs; an exception is kept in it, for curl must not see one.
struct Transfer {
  const RemoteFile& file;
  const FetchProgress& progress;
  CURL* curl;
  std::FILE* out;
  int64_t before;  // bytes that were there
  int64_t done;
  std::exception_ptr failure;
};

int64_t most_bytes(const RemoteFile& file) { return file.bytes > 0 ? file.bytes : kMostBytes; }

void take(Transfer& transfer, const char* bytes, size_t count) {
  const RemoteFile& file = transfer.file;
  transfer.done += static_cast<int64_t>(count);
  GSNET_CHECK(transfer.done <= most_bytes(file),
              fmt::format("{}: the server sends more than the {} bytes expected", file.url, most_bytes(file)));
  GSNET_CHECK(std::fwrite(bytes, 1, count, transfer.out) == count,
              fmt::format("{}: cannot write its bytes to disk: {}", file.url, std::strerror(errno)));
  if (!transfer.progress) return;
  curl_off_t coming = -1;
  curl_easy_getinfo(transfer.curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &coming);
  const int64_t total = file.bytes > 0 ? file.bytes : coming > 0 ? transfer.before + coming : 0;
  transfer.progress(file.file_name, transfer.done, total);
}

size_t on_bytes(char* bytes, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  try {
    take(transfer, bytes, size * count);
    return size * count;
  } catch (...) {
    transfer.failure = std::current_exception();
    return size * count + 1;  // tells curl to stop
  }
}

Curl make_curl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  Curl curl(curl_easy_init(), curl_easy_cleanup);
  GSNET_CHECK(curl != nullptr, "fetch: libcurl cannot be started");
  return curl;
}

void configure(Transfer& transfer, char* reason) {
  CURL* curl = transfer.curl;
  curl_easy_setopt(curl, CURLOPT_URL, transfer.file.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kMostRedirects);
  curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "gsnet");
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(transfer.before));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
}

std::string why(CURLcode code, CURL* curl, const char* reason) {
  if (code == CURLE_HTTP_RETURNED_ERROR) {
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return fmt::format("the server answers {}", status);
  }
  return reason[0] != '\0' ? reason : curl_easy_strerror(code);
}

/// False when the server cannot continue from `before`.
bool try_download(const RemoteFile& file, const fs::path& part, int64_t before, const FetchProgress& progress) {
  const File out(std::fopen(part.c_str(), before > 0 ? "ab" : "wb"), std::fclose);
  GSNET_CHECK(out != nullptr, fmt::format("{}: cannot write {}: {}", file.url, part.string(), std::strerror(errno)));
  const Curl curl = make_curl();
  Transfer transfer{file, progress, curl.get(), out.get(), before, before, nullptr};
  char reason[CURL_ERROR_SIZE] = {};
  configure(transfer, reason);
  const CURLcode code = curl_easy_perform(curl.get());
  if (transfer.failure) std::rethrow_exception(transfer.failure);
  if (code == CURLE_RANGE_ERROR && before > 0) return false;
  GSNET_CHECK(code == CURLE_OK, fmt::format("{}: {}", file.url, why(code, curl.get(), reason)));
  GSNET_CHECK(std::fflush(out.get()) == 0,
              fmt::format("{}: cannot write {}: {}", file.url, part.string(), std::strerror(errno)));
  return true;
}

}  // namespace

void download(const RemoteFile& file, const fs::path& part, const FetchProgress& progress) {
  std::error_code none;
  const auto found = fs::file_size(part, none);
  int64_t before = none ? 0 : static_cast<int64_t>(found);
  if (file.bytes > 0 && before == file.bytes) return;
  if (before > most_bytes(file)) before = 0;
  try {
    if (!try_download(file, part, before, progress)) try_download(file, part, 0, progress);
  } catch (...) {
    if (fs::file_size(part, none) == 0) fs::remove(part, none);
    throw;
  }
}

}  // namespace gsnet::data
