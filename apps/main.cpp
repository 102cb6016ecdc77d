#include <csignal>

#include "apps/command.h"

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond the limit of sizes is an error of the write, told like others
  return gsnet::apps::run_command_line({argv + 1, argv + argc});
}
