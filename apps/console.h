// What a person sees while a command runs.
#pragma once

#include <signal.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace gsnet::apps {

/// A line on stderr that rewrites itself; nothing when stderr is no terminal or `quiet`.
class ProgressLine {
 public:
  explicit ProgressLine(bool quiet = false);
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  bool visible() const { return visible_; }
  /// At most ten times a second; `last` is always shown.
  void show(const std::string& text, bool last = false);
  void clear();

 private:
  bool visible_;
  bool dirty_ = false;
  std::chrono::steady_clock::time_point shown_;
};

/// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// "1:02:03" or "4:05".
std::string clock_text(double seconds);

/// Until it goes, Ctrl-C only sets a mark that interrupted() tells; a second Ctrl-C ends the program as usual. Signals
/// are handled on a stack of their own: oneDNN's matrix products point the stack pointer into the heap, which a handler
/// on the usual stack would write over (its issue 4845). For the thread that made it, which must be the first one.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  bool interrupted() const;

 private:
  std::vector<std::byte> stack_;
  stack_t before_ = {};
};

}  // namespace gsnet::apps
