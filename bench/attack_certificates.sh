#!/usr/bin/env bash
# Tries to break certificates by number: short attack runs, some 100,000 if most pictures survive, on a model trained here on
# the embedded pictures, on three that are as they were drawn at random, and on another one, if it is named; the tables say
# how many. Fails when a certified one breaks.
# usage: bench/attack_certificates.sh [MODEL DATA]     GSNET names the program, default build/release/gsnet
set -euo pipefail
cd "$(dirname "$0")/.."
gsnet=${GSNET:-build/release/gsnet}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ $# -eq 2 ]; then
  "$gsnet" attack "$1" --data "$2" --limit 300 --eps 36/255 --battery pgd --steps 10 --restarts 60
fi
"$gsnet" train recipes/glyphs.toml --out "$folder/glyphs" --quiet >/dev/null
"$gsnet" attack "$folder/glyphs/model.safetensors" --data glyphs --limit 1500 --eps 36/255 --battery pgd --steps 5 \
  --restarts 90
for seed in 1 2 3; do  # a step that moves nothing
  "$gsnet" train recipes/glyphs.toml --out "$folder/random$seed" --set run.seed=$seed --set run.epochs=1 --set data.limit=256 \
    --set data.validation=64 --set optimiser.rate=1e-12 --quiet >/dev/null
  "$gsnet" attack "$folder/random$seed/model.safetensors" --data glyphs --limit 600 --eps 1/255,4/255 --battery pgd \
    --steps 5 --restarts 60
done
