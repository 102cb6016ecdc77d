// AMX on processors without it: its instructions are not known to them, which the system tells by SIGILL; the handler
// does what the manual says they do (Intel, Instruction Set Extensions Programming Reference, chapter 3).
#pragma once

namespace gsnet {

/// From here to the end of its life every thread has AMX: LDTILECFG, TILERELEASE, TILEZERO, TILELOADD, TILESTORED and
/// TDPBF16PS. What would fault on a processor (a tile that is not configured, shapes that do not fit) ends the process
/// with a line that says so.
class AmxTraps {
 public:
  AmxTraps();
  ~AmxTraps();
  AmxTraps(const AmxTraps&) = delete;
  AmxTraps& operator=(const AmxTraps&) = delete;

  /// Instructions so far, of all threads.
  static long count();
};

}  // namespace gsnet
