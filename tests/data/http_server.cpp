#include "http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

namespace gsnet::data {
namespace {

std::string read_request(int connection) {
  std::string request;
  std::array<char, 4096> piece{};
  while (request.find("\r\n\r\n") == std::string::npos) {
    const auto got = recv(connection, piece.data(), piece.size(), 0);
    if (got <= 0) return {};
    request.append(piece.data(), static_cast<size_t>(got));
  }
  return request;
}

void send_all(int connection, const std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const auto sent = send(connection, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (sent <= 0) return;
    done += static_cast<size_t>(sent);
  }
}

int64_t first_byte(const std::string& request) {
  const size_t at = request.find("Range: bytes=");
  return at == std::string::npos ? 0 : std::stoll(request.substr(at + 13));
}

}  // namespace

HttpServer::HttpServer(HttpAnswer answer) : answer_(std::move(answer)), socket_(socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(socket_, generic, size) != 0 || listen(socket_, 8) != 0 || getsockname(socket_, generic, &size) != 0) {
    close(socket_);
    throw std::runtime_error("no server on 127.0.0.1 can be started");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::jthread([this] { serve(); });
}

HttpServer::~HttpServer() {
  stopping_ = true;
  thread_.join();
  close(socket_);
}

std::string HttpServer::url(const std::string& name) const {
  return "http://127.0.0.1:" + std::to_string(port_) + "/" + name;
}

void HttpServer::answer_with(HttpAnswer answer) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
}

std::vector<int64_t> HttpServer::starts() const {
  const std::lock_guard lock(mutex_);
  return starts_;
}

void HttpServer::serve() {
  while (!stopping_) {
    pollfd waiting{socket_, POLLIN, 0};
    if (poll(&waiting, 1, 20) <= 0) continue;
    const int connection = accept(socket_, nullptr, nullptr);
    if (connection < 0) continue;
    const std::string request = read_request(connection);
    if (!request.empty()) reply(connection, request);
    close(connection);
  }
}

void HttpServer::reply(int connection, const std::string& request) {
  const std::lock_guard lock(mutex_);
  const int64_t asked = first_byte(request), size = static_cast<int64_t>(answer_.content.size());
  starts_.push_back(asked);
  int status = answer_.status;
  const bool partial = status == 200 && answer_.ranges && asked > 0;
  if (partial) status = asked < size ? 206 : 416;
  std::string body = status == 206 ? answer_.content.substr(static_cast<size_t>(asked)) : answer_.content;
  if (status == 416) body.clear();
  std::string head = "HTTP/1.1 " + std::to_string(status) +
                     " answer\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  if (status == 206) {
    head += "Content-Range: bytes " + std::to_string(asked) + "-" + std::to_string(size - 1) + "/" +
            std::to_string(size) + "\r\n";
  }
  if (answer_.cut_after >= 0) body.resize(std::min(body.size(), static_cast<size_t>(answer_.cut_after)));
  send_all(connection, head + "\r\n" + body);
}

}  // namespace gsnet::data
