#!/usr/bin/env bash
# Installs a build into a scratch folder, builds a consumer against it, runs it. usage: run.sh SOURCE BUILD SCRATCH
set -euo pipefail
rm -rf "$3"
cmake --install "$2" --prefix "$3/prefix" >/dev/null
cmake -S "$1/tests/package" -B "$3/build" -G Ninja -DCMAKE_PREFIX_PATH="$3/prefix" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$3/build" >/dev/null
"$3/build/consumer"
