#!/usr/bin/env bash
# On a machine with a device: every op case against the reference machine, then timings of ops, of the series and of
# training steps beside the same network in that machine's PyTorch, eager and compiled, then a short training on both
# machines. Prints what belongs into docs/performance.md. What fails is named, the rest goes on, and 1 is returned.
# usage: bench/gpu.sh [FOLDER [PART …]]   FOLDER: of gsnet, gsnet_tests and gsnet_bench_* (default build/cuda)
#                                         PART: parity, ops, series, forms, steps, loader, training; none: all of them
#                                         PYTHON: an interpreter with torch; DATA: a folder of CIFAR-10, else the embedded
#                                         pictures; DEPTHS: of steps (default "5 15")
set -uo pipefail
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

parity() { try "$(program gsnet_tests)" "[cuda]"; }
ops() { try "$(program gsnet_bench_ops)" --images 256 cuda; }
series() {
  for precision in f32 tf32 bf16; do try "$(program gsnet)" bench --series --backend cuda --precision "$precision"; done
}
forms() { try "$(program gsnet_bench_series_forms)" 256; }
steps() {
  for depth in ${DEPTHS:-5 15}; do
    for conv in "gs4 variant=permuted groups=4" "gs41 variant=gs groups=4 groups2=1" "soc variant=soc"; do
      read -r name settings <<<"$conv"
      set_options=()
      for setting in $settings; do set_options+=(--set "$setting"); done
      for precision in f32 tf32 bf16; do
        echo "gsnet, depth $depth, $name, $precision"
        try "$(program gsnet)" bench --backend cuda --batch 256 --precision "$precision" --set "depth=$depth" \
          "${set_options[@]}" --json
      done
      if "$python" -c "import torch" 2>/dev/null; then
        for variant in eager compiled; do
          for mode in train eval; do
            try "$python" "$here/peers/time_peer.py" --device cuda --depth "$depth" --conv "$name" --batch 256 --classes 10 \
              --variant "$variant" --mode "$mode" --seconds 3 --repeats 2 --json
          done
        done
      fi
    done
  done
}
loader() { try "$(program gsnet_bench_loader)" ${DATA:+"$DATA"}; }
training() {
  for machine in cuda cpu; do
    out=$(mktemp -d)
    if [ -n "${DATA:-}" ]; then
      try "$(program gsnet)" train "$here/../recipes/cifar10_quick.toml" --data "$DATA" --out "$out/run" \
        --backend "$machine" --set data.limit=12000 --set run.epochs=1
    else
      try "$(program gsnet)" train "$here/../recipes/glyphs.toml" --out "$out/run" --backend "$machine"
    fi
    rm -rf "$out"
  done
}

declare -A titles=([parity]="Parity" [ops]="Ops, 256 images" [series]="The series alone" [forms]="The series in all its forms"
  [steps]="Training steps and evaluation, images a second" [loader]="What the loader can feed" [training]="A short training")
all=(parity ops series forms steps loader training)
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
