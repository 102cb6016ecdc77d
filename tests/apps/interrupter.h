// Ctrl-C for tests of interrupted runs.
#pragma once

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

namespace gsnet::apps {

/// Sends this process an interrupt once a run folder's training has begun and some milliseconds have passed.
class Interrupter {
 public:
  explicit Interrupter(int milliseconds)
      : before_(handler()), thread_([this, milliseconds] {
          for (int i = 0; i < milliseconds && !done_; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
          while (!done_) {  // only while training listens: who listened before would end the tests
            if (handler() != before_) {
              ::kill(::getpid(), SIGINT);
              return;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
        }) {}
  ~Interrupter() {
    done_ = true;
    thread_.join();
  }

 private:
  using Handler = void (*)(int);
  static Handler handler() {
    struct sigaction now = {};
    sigaction(SIGINT, nullptr, &now);
    return now.sa_handler;
  }

  Handler before_;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace gsnet::apps
