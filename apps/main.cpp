#include "apps/command.h"

int main(int argc, char** argv) { return gsnet::apps::run_command_line({argv + 1, argv + argc}); }
