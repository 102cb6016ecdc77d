// Instructions by name, and those that lead through a kernel.
#include "cuda/interpreter/forms.h"

namespace gsnet::ptx {
namespace {

void branch(const Instruction& i, Warp& warp) { warp.branch(warp.active(), i.target); }
void finish(const Instruction&, Warp& warp) { warp.finish(); }
void barrier(const Instruction&, Warp& warp) { warp.wait_for_block(); }
void warp_barrier(const Instruction&, Warp& warp) {
  warp.needs_all_lanes();
  warp.synchronise_warp();
}
void nothing(const Instruction&, Warp&) {}
void trap(const Instruction&, Warp& warp) { warp.fail("a call, which is not interpreted"); }

Table make_table() {
  Table t;
  enter_arithmetic(t);
  enter_accesses(t);
  enter_tensor_cores(t);
  enter(t, "bra", branch);
  enter(t, "bra.uni", branch);
  enter(t, "ret", finish);
  enter(t, "exit", finish);
  enter(t, "bar.sync", barrier, 4);
  enter(t, "bar.warp.sync", warp_barrier, 4);
  enter(t, "call.uni", trap);
  enter(t, "nothing", nothing);
  return t;
}

}  // namespace

Decoded decode(const std::string& name, const std::vector<int>& registers) {
  static const Table kTable = make_table();
  if (const auto found = kTable.find(name); found != kTable.end()) return found->second;
  // Accesses are told apart by their registers.
  for (const int bytes : registers) {
    if (const auto found = kTable.find(name + "/" + std::to_string(bytes));
        found != kTable.end() && (name.starts_with("ld") ? registers.front() == bytes : registers.back() == bytes)) {
      return found->second;
    }
  }
  return {};
}

}  // namespace gsnet::ptx
