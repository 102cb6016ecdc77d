#!/bin/sh
# From an ONNX backbone, pictures of people and a list of pairs to a tuned ONNX file and its report, by three commands.
# usage: tune.sh BACKBONE.onnx PEOPLE PAIRS.txt OUT [gsnet adapt's options]
#   PEOPLE: a folder or tar of aligned pictures, a folder a person; the pairs' pictures are looked for there too.
#   MEAN, STDDEV, ORDER of the network's input (0.5, 0.5, rgb) and GSNET, the command, come from the environment.
set -eu
if [ $# -lt 4 ]; then
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
backbone=$1 people=$2 pairs=$3 out=$4
shift 4
here=$(dirname "$0")
gsnet=${GSNET:-gsnet}
# As TOML wants it between double quotes.
quoted=$(printf '%s' "$pairs" | sed 's/[\\"]/\\&/g')
mkdir -p "$out"

"$gsnet" import "$backbone" --mean "${MEAN:-0.5}" --stddev "${STDDEV:-0.5}" --order "${ORDER:-rgb}" --out "$out/backbone.safetensors"

"$gsnet" adapt "$out/backbone.safetensors" --recipe "$here/tune.toml" --data "$people" --set "face.pairs=\"$quoted\"" \
  --out "$out/run" --merged "$out/tuned.onnx" "$@"

"$gsnet" verify "$out/tuned.onnx" --pairs "$pairs" --images "$people" --folds 4-10 \
  --corrupt distant:3 --corrupt distant:4 --corrupt distant:5 --report "$out/report"
