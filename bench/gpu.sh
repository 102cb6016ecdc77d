#!/usr/bin/env bash
# On a machine with a device: every op case against the reference machine, then timings of ops, of the series, of layers and
# training steps beside that machine's PyTorch, eager and compiled, then a training on both machines. Prints what belongs
# into docs/performance.md. What fails is named, the rest goes on, and 1 is returned.
# usage: bench/gpu.sh [FOLDER [PART …]]   FOLDER: of gsnet, gsnet_tests and gsnet_bench_* (default build/cuda)
#                                         PART: parity, ops, series, forms, layers, steps, loader, training; none: all
#                                         of these; or sanitizer, where the toolkit's compute-sanitizer is
#                                         PYTHON: an interpreter with torch; DATA: a folder of CIFAR-10, for
#                                         cifar10_quick.toml, else the embedded pictures; DEPTHS, CONVS: of steps
#                                         (default "5 15", "gs4 gs41 soc"); MACHINES: of training (default "cuda cpu");
#                                         DEVICE: another machine in cuda's place, to try the script itself
# Where time is short: parity first, then forms, then DEPTHS=15 CONVS=gs4 steps, then MACHINES=cuda training.
set -uo pipefail
usage() { sed -n '/^# On a machine/,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; }
case ${1:-} in
  --help) usage; exit 0 ;;
  -*) usage >&2; exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/../build/cuda}
shift $(($# > 0))
program() { if [ -x "$folder/tests/$1" ]; then echo "$folder/tests/$1"; else echo "$folder/$1"; fi; }
python=${PYTHON:-python3} device=${DEVICE:-cuda}
failed=0
try() {
  "$@" && return
  echo "failed ($?): $*"
  failed=1
  return 1
}

# Where CUDA's libraries are only those that PyTorch brought.
if [[ $(ldd "$(program gsnet)") == *"not found"* ]]; then
  brought=$("$python" -c 'import glob, sys; print(":".join(sorted(f for p in sys.path for f in glob.glob(p + "/nvidia/*/lib"))))')
  export LD_LIBRARY_PATH="$brought${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  if missing=$(ldd "$(program gsnet)" | grep "not found"); then
    echo "bench/gpu.sh: libraries are missing, and $python brings none of these: $(awk '{print $1}' <<<"$missing" | xargs)" >&2
    exit 1
  fi
fi

parity() {
  local said
  said=$(mktemp)
  "$(program gsnet_tests)" "[cuda]" 2>&1 | tee "$said" || failed=1
  if grep -q "no device can be used" "$said"; then
    echo "failed: nothing was compared"
    failed=1
  fi
  rm "$said"
}
sanitizer() {
  for tool in memcheck racecheck synccheck; do
    try compute-sanitizer --tool "$tool" --error-exitcode 1 "$(program gsnet_tests)" "[cuda]~[train]"
  done
}
ops() { try "$(program gsnet_bench_ops)" --images 256 "$device"; }
series() {
  for precision in f32 tf32 bf16; do try "$(program gsnet)" bench --series --backend "$device" --precision "$precision"; done
}
forms() { try "$(program gsnet_bench_series_forms)" 256; }
# Whether this machine's PyTorch can be timed beside it.
has_peer() {
  "$python" -c "import sys, torch; assert sys.argv[1] == 'cpu' or torch.cuda.is_available()" "$device" 2>/dev/null && return
  echo "no PyTorch with CUDA in $python: nothing to compare with"
  return 1
}
layers() { try has_peer && try "$python" "$here/peers/time_series.py" --gsnet "$(program gsnet)" --device "$device" --batch 256; }
steps() {
  if ! try has_peer; then
    for depth in ${DEPTHS:-5 15}; do
      for mode in train eval; do
        try "$(program gsnet)" bench --backend "$device" --batch 256 --set depth="$depth" --only "$mode"
      done
    done
    return 1
  fi
  for depth in ${DEPTHS:-5 15}; do
    for conv in ${CONVS:-gs4 gs41 soc}; do
      try "$python" "$here/compare_peers.py" --gsnet "$(program gsnet)" --python "$python" --device "$device" --batch 256 --depth "$depth" \
        --conv "$conv" --rounds 1 --seconds 2 --variants eager,compiled
    done
  done
}
loader() { try "$(program gsnet_bench_loader)" ${DATA:+"$DATA"}; }
training() {
  for machine in ${MACHINES:-$device cpu}; do
    out=$(mktemp -d)
    if [ -n "${DATA:-}" ]; then
      try "$(program gsnet)" train "$here/../recipes/cifar10_quick.toml" --data "$DATA" --out "$out/run" --backend "$machine" &&
        try "$(program gsnet)" certify "$out/run/model.safetensors" --data "$DATA" --backend "$machine"
    else
      try "$(program gsnet)" train "$here/../recipes/glyphs.toml" --out "$out/run" --backend "$machine"
    fi
    rm -rf "$out"
  done
}

declare -A titles=([sanitizer]="compute-sanitizer" [parity]="Parity" [ops]="Ops, 256 images" [series]="The series alone" [forms]="The series in all its forms"
  [layers]="A layer's series beside PyTorch"
  [steps]="Training steps and evaluation beside PyTorch" [loader]="What the loader can feed" [training]="Training")
all=(parity ops series forms layers steps loader training)
wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=("${all[@]}")
for part in "${wanted[@]}"; do
  if [ -z "${titles[$part]:-}" ]; then
    echo "bench/gpu.sh: no part '$part'; there are: ${all[*]}" >&2
    exit 2
  fi
done
printf '\n## Device\n\n'
[ "$device" != cuda ] || try nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
for part in "${wanted[@]}"; do
  printf '\n## %s\n\n' "${titles[$part]}"
  "$part"
done
exit "$failed"
