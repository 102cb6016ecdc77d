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
      : thread_([this, milliseconds] {
          for (int i = 0; i < milliseconds && !done_; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
          struct sigaction now = {};
          while (!done_) {  // only while training listens: the default would end the tests
            sigaction(SIGINT, nullptr, &now);
            if (now.sa_handler != SIG_DFL) {
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
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace gsnet::apps
