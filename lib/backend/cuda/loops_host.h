// loops.h as loops of a host compiler.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend/cuda/loops.h"

namespace gsnet::cuda {

/// body(i) for i in [0, count), in an order that nothing may rely on: an odd one comes before the even ones beside it,
/// and after the odd one that follows.
template <class Count, class Body>
void in_no_order(Count count, Body body) {
  for (Count i = count / 2 * 2 - 1; i > 0; i -= 2) body(i);
  for (Count i = 0; i < count; i += 2) body(i);
}

template <class Own>
class Held {
 public:
  explicit Held(const Team& team) : own_(static_cast<size_t>(team.threads)) {}

 private:
  friend Team;
  std::vector<Own> own_;
};

template <class Own>
class HeldByWarps {
 public:
  explicit HeldByWarps(const Team& team) : own_(static_cast<size_t>(team.threads / kWarpThreads)) {}

 private:
  friend Team;
  std::vector<Own> own_;
};

template <class Body>
void Team::each(int count, Body body) const {
  in_no_order(count, body);
}

/// What a Stream is where loops run on the host: launches are done at once, or noted.
class Launches {
 public:
  void operator()(const std::function<void()>& launch) {
    if (noted_ != nullptr) {
      noted_->push_back(launch);
    } else {
      launch();
    }
  }
  /// Null: no more.
  void note(std::vector<std::function<void()>>* noted) { noted_ = noted; }
  bool noting() const { return noted_ != nullptr; }

 private:
  std::vector<std::function<void()>>* noted_ = nullptr;
};

template <class Launch>
void launch(Stream stream, Launch launched) {
  (*static_cast<Launches*>(stream))(launched);
}

template <class Body>
void Team::each_warp(int count, Body body) const {
  in_no_order(count, body);
}

template <class Own, class Body>
void Team::by_threads(Held<Own>& held, Body body) const {
  in_no_order(threads, [&](int thread) { body(thread, held.own_[static_cast<size_t>(thread)]); });
}

template <class Own, class Body>
void Team::by_warps(HeldByWarps<Own>& held, Body body) const {
  in_no_order(threads / kWarpThreads, [&](int warp) { body(warp, held.own_[static_cast<size_t>(warp)]); });
}

template <class Read, class Write>
void Team::move(int count, Read read, Write write) const {
  in_no_order(count, [&](int i) { write(i, read(i)); });
}

template <class Start>
void Team::each_copy(int count, Start start) const {
  in_no_order(count, start);
}

template <int n>
void copy_run(float* to, const float* from, bool zeros) {
  put_run(to, zeros ? Run<n>{} : run_at<n>(from));
}

template <int kMostThreads, int kAtOnce>
constexpr int most_threads(TeamSize<kMostThreads, kAtOnce>) {
  return kMostThreads;
}

template <class Size, class Body>
void for_teams(Stream stream, int64_t teams, int threads, int64_t shared_floats, Body body) {
  if (threads < 1 || threads > most_threads(Size{}) || threads % kWarpThreads != 0) {
    throw std::logic_error("a team of " + std::to_string(threads) + " threads");
  }
  launch(stream, [=] {
    std::vector<Run<4>> memory(static_cast<size_t>((shared_floats + 3) / 4));
    float* shared = memory.data()->of;
    in_no_order(teams, [&](int64_t team) {
      std::fill(shared, shared + shared_floats, NAN);  // as far as anybody may know
      body(Team{shared, threads}, team);
    });
  });
}

template <class Body>
void for_each(Stream stream, int64_t count, Body body) {
  launch(stream, [=] { in_no_order(count, body); });
}

template <class Join, class Term, class Finish, class Then>
void rows_on_host(int64_t rows, int64_t columns, Term term, Finish finish, Then then) {
  in_no_order(rows, [&](int64_t row) {
    typename Join::Value parts[kRowThreads];
    for (int64_t thread = 0; thread < kRowThreads; ++thread) {
      parts[thread] = Join::start();
      for (int64_t column = thread; column < columns; column += kRowThreads) {
        parts[thread] = Join::join(parts[thread], term(row, column));
      }
    }
    for (int half = kRowThreads / 2; half > 0; half /= 2) {
      for (int thread = 0; thread < half; ++thread) parts[thread] = Join::join(parts[thread], parts[thread + half]);
    }
    finish(row, parts[0]);
    in_no_order(columns, [&](int64_t column) { then(row, column, parts[0]); });
  });
}

template <class Join, class Term, class Finish, class Then>
void for_rows(Stream stream, int64_t rows, int64_t columns, Term term, Finish finish, Then then) {
  launch(stream, [=] { rows_on_host<Join>(rows, columns, term, finish, then); });
}

}  // namespace gsnet::cuda
