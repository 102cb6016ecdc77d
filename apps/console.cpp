#include "apps/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

namespace gsnet::apps {

ProgressLine::ProgressLine(bool quiet) : visible_(!quiet && isatty(STDERR_FILENO) != 0) {}

void ProgressLine::show(const std::string& text, bool last) {
  if (!visible_) return;
  const auto now = std::chrono::steady_clock::now();
  if (!last && dirty_ && now - shown_ < std::chrono::milliseconds(100)) return;
  fmt::print(stderr, "\r\x1b[K{}", text);
  std::fflush(stderr);
  shown_ = now;
  dirty_ = true;
}

void ProgressLine::clear() {
  if (!dirty_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  dirty_ = false;
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  const int64_t hours = whole / 3600, minutes = whole / 60 % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60)
                   : fmt::format("{}:{:02}", minutes, whole % 60);
}

namespace {

constexpr size_t kSignalStack = size_t{64} << 10;  // the registers of AMX alone take 8 KB

volatile sig_atomic_t interrupt_mark = 0;

void mark_interrupt(int) { interrupt_mark = 1; }

void set_handler(void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard() : stack_(kSignalStack) {
  interrupt_mark = 0;
  const stack_t own = {.ss_sp = stack_.data(), .ss_flags = 0, .ss_size = stack_.size()};
  sigaltstack(&own, &before_);
  set_handler(mark_interrupt, static_cast<int>(SA_RESETHAND | SA_RESTART | SA_ONSTACK));
}

InterruptGuard::~InterruptGuard() {
  set_handler(SIG_DFL, 0);
  sigaltstack(&before_, nullptr);
}

bool InterruptGuard::interrupted() const { return interrupt_mark != 0; }

}  // namespace gsnet::apps
