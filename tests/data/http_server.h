// A server on 127.0.0.1 for the tests of downloads: one file, one thread, HTTP/1.1 with Range.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace gsnet::data {

struct HttpAnswer {
  std::string content;
  int status = 200;
  bool ranges = true;      ///< answers 206 to a Range
  int64_t cut_after = -1;  ///< closes the connection after so many bytes of content
};

class HttpServer {
 public:
  explicit HttpServer(HttpAnswer answer);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url(const std::string& name) const;
  void answer_with(HttpAnswer answer);
  /// First byte asked for by each request so far.
  std::vector<int64_t> starts() const;

 private:
  void serve();
  void reply(int connection, const std::string& request);

  mutable std::mutex mutex_;
  HttpAnswer answer_;
  std::vector<int64_t> starts_;
  int socket_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::jthread thread_;
};

}  // namespace gsnet::data
