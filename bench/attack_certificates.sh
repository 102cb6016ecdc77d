#!/usr/bin/env bash
# Tries to break certificates: many short attack runs on a trained model, if one is named, and on small ones trained here
# from several seeds. Fails when a certified picture breaks.
# usage: bench/attack_certificates.sh [MODEL DATA]     GSNET names the program, default build/release/gsnet
set -euo pipefail
cd "$(dirname "$0")/.."
gsnet=${GSNET:-build/release/gsnet}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ $# -eq 2 ]; then
  "$gsnet" attack "$1" --data "$2" --limit 300 --eps 36/255 --battery pgd --steps 10 --restarts 60
fi
for seed in 1 2 3 4 5; do
  "$gsnet" train recipes/glyphs.toml --out "$folder/$seed" --quiet --set data.glyphs=3000 --set data.validation=200 \
    --set model.width=8 --set run.epochs=2 --set run.seed="$seed" >/dev/null
  "$gsnet" attack "$folder/$seed/model.safetensors" --data glyphs --limit 500 --eps 36/255,108/255 --battery pgd \
    --steps 10 --restarts 50 --seed "$seed"
done
