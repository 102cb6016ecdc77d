#!/usr/bin/env bash
# On a machine with a device: every op case against the reference machine, then timings of ops, of the series, of layers and
# training steps beside that machine's PyTorch, eager and compiled, then a training on both machines. Prints what belongs
# into docs/performance.md. What fails is named, the rest goes on, and 1 is returned.
# usage: bench/gpu.sh [FOLDER [PART …]]   FOLDER: of gsnet, gsnet_tests and gsnet_bench_* (default build/cuda)
#                                         PART: parity, ops, series, forms, layers, steps, loader, training; none: all
#                                         PYTHON: an interpreter with torch; DATA: a folder of CIFAR-10, for
#                                         cifar10_quick.toml, else the embedded pictures; DEPTHS, CONVS: of steps
#                                         (default "5 15", "gs4 gs41 soc")
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
python=${PYTHON:-python3}
failed=0
try() {
  "$@" && return
  echo "failed ($?): $*"
  failed=1
}

# Where CUDA's libraries are only those that PyTorch brought.
if ldd "$(program gsnet)" | grep -q "not found"; then
  brought=$("$python" -c 'import glob, sys; print(":".join(sorted(f for p in sys.path for f in glob.glob(p + "/nvidia/*/lib"))))')
  export LD_LIBRARY_PATH="${brought:-}:${LD_LIBRARY_PATH:-}"
fi

parity() {
  local said
  said=$("$(program gsnet_tests)" "[cuda]" 2>&1) || failed=1
  echo "$said"
  if grep -q "skipped:" <<<"$said"; then
    echo "failed: nothing was compared"
    failed=1
  fi
}
ops() { try "$(program gsnet_bench_ops)" --images 256 cuda; }
series() {
  for precision in f32 tf32 bf16; do try "$(program gsnet)" bench --series --backend cuda --precision "$precision"; done
}
forms() { try "$(program gsnet_bench_series_forms)" 256; }
# Whether this machine's PyTorch can be timed beside it.
has_peer() {
  "$python" -c "import torch; assert torch.cuda.is_available()" 2>/dev/null && return
  echo "no PyTorch with CUDA in $python: nothing to compare with"
  return 1
}
layers() { try has_peer && try "$python" "$here/peers/time_series.py" --gsnet "$(program gsnet)" --device cuda --batch 256; }
steps() {
  try has_peer || return
  for depth in ${DEPTHS:-5 15}; do
    for conv in ${CONVS:-gs4 gs41 soc}; do
      try "$python" "$here/compare_peers.py" --gsnet "$(program gsnet)" --python "$python" --device cuda --batch 256 --depth "$depth" \
        --conv "$conv" --rounds 1 --seconds 2 --variants eager,compiled
    done
  done
}
loader() { try "$(program gsnet_bench_loader)" ${DATA:+"$DATA"}; }
training() {
  for machine in cuda cpu; do
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

declare -A titles=([parity]="Parity" [ops]="Ops, 256 images" [series]="The series alone" [forms]="The series in all its forms"
  [layers]="A layer beside PyTorch"
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
try nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
for part in "${wanted[@]}"; do
  printf '\n## %s\n\n' "${titles[$part]}"
  "$part"
done
exit "$failed"
