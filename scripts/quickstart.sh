#!/usr/bin/env bash
# The main job on a fresh machine: packages, build, train on the embedded data, certify, report.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
cmake --preset release -DGSNET_TESTS=OFF -B build/quickstart >/dev/null
cmake --build build/quickstart --target gsnet_command
out=${1:-runs/glyphs}
rm -rf "$out"
build/quickstart/gsnet train recipes/glyphs.toml --out "$out"
build/quickstart/gsnet certify "$out/model.safetensors" --data glyphs --report "$out/report"
