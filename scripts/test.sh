#!/usr/bin/env bash
# All tests on a fresh machine: packages, build, ctest.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh tests
preset=${1:-dev}
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"
ctest --preset "$preset" --parallel "$(nproc)" --timeout 600
