#!/usr/bin/env bash
# Builds and tests against oneDNN 3 (GNU OpenMP) from the Python registry, beside Debian's 2.6 that everything else uses.
# usage: scripts/test_onednn3.sh [FOLDER, default build/onednn3]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh tests
folder=${1:-build/onednn3}
version=2023.2.0 # oneDNN 3.2
if [ ! -d "$folder/root" ]; then
  command -v pip3 >/dev/null || { echo "scripts/test_onednn3.sh needs pip3 to fetch the wheels" >&2; exit 2; }
  pip3 download --quiet --no-deps --dest "$folder/wheels" "onednn-cpu-gomp==$version" "onednn-devel-cpu-gomp==$version"
  for wheel in "$folder"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$folder/wheels"; done
  mkdir -p "$folder/root"
  cp -r "$folder"/wheels/*.data/data/. "$folder/root/"
fi
cmake --preset dev -B "$folder/build" -DOneDNN_ROOT="$PWD/$folder/root" >/dev/null
cmake --build "$folder/build" --target gsnet_tests
LD_LIBRARY_PATH="$PWD/$folder/root/lib" "$folder/build/tests/gsnet_tests" "[cpu],[golden],[ops]"
