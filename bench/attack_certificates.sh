#!/usr/bin/env bash
# Tries to break certificates by number: short attack runs, meant to be 100,000 (the last line counts them), on three
# networks as they were drawn at random, on one trained here on the embedded pictures, and on another one, if it is named.
# Fails when a certified picture breaks.
# usage: bench/attack_certificates.sh [MODEL DATA]     GSNET names the program, default build/release/gsnet
set -euo pipefail
cd "$(dirname "$0")/.."
gsnet=${GSNET:-build/release/gsnet}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
attack() {
  "$gsnet" attack "$@" --battery pgd --steps 5 | tee -a "$folder/tables"
}
for seed in 1 2 3; do  # a training step that moves nothing
  "$gsnet" train recipes/glyphs.toml --out "$folder/random$seed" --set run.seed=$seed --set run.epochs=1 --set data.limit=256 \
    --set data.validation=64 --set optimiser.rate=1e-12 --quiet >/dev/null
  attack "$folder/random$seed/model.safetensors" --data glyphs --limit 2000 --eps 1/255,4/255 --restarts 80
done
if [ $# -eq 2 ]; then
  attack "$1" --data "$2" --limit 300 --eps 36/255 --restarts 60
fi
"$gsnet" train recipes/glyphs.toml --out "$folder/glyphs" --quiet >/dev/null
attack "$folder/glyphs/model.safetensors" --data glyphs --limit 300 --eps 36/255 --restarts 30
awk '/attack runs/ { gsub(",", ""); runs += $5; broken += $8 } END { print "all: attack runs " runs ", broken certificates " broken }' \
  "$folder/tables"
