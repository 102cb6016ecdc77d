#!/usr/bin/env bash
# Installs a build into a scratch folder, builds a consumer against it, runs it.
# usage: run.sh SOURCE BUILD SCRATCH PICTURES     PICTURES: 1 if the build has the picture library, else 0
set -euo pipefail
rm -rf "$3"
cmake --install "$2" --prefix "$3/prefix" >/dev/null
cmake -S "$1/tests/package" -B "$3/build" -G Ninja -DCMAKE_PREFIX_PATH="$3/prefix" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$3/build" >/dev/null
if [ "$4" = 1 ]; then
  mkdir -p "$3/pictures/red"
  printf 'P6 2 2 255\n\377\0\0\377\0\0\377\0\0\377\0\0' > "$3/pictures/red/1.ppm"
fi
"$3/build/consumer" "$3/pictures"
