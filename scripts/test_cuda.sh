#!/usr/bin/env bash
# Builds the CUDA machine where there is a CUDA toolkit, and runs its tests: everywhere with its kernels' PTX interpreted, and
# on a device where there is one; both say so where not.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v nvcc >/dev/null && [ ! -x /usr/local/cuda/bin/nvcc ]; then
  echo "no nvcc here: the CUDA machine is not built"
  exit 0
fi
export PATH="$PATH:/usr/local/cuda/bin"
scripts/setup.sh tests
cmake --preset cuda-dev >/dev/null
cmake --build --preset cuda-dev
build/cuda-dev/tests/gsnet_tests "[cuda]"
ctest --preset cuda-interpreted --parallel "$(nproc)"
INTERPRETED_FIRST=early ctest --preset cuda-interpreted --parallel "$(nproc)" --tests-regex "^interpreted:.*(uploads arrive|is done again|every form)"
tests/package/run.sh "$PWD" "$PWD/build/cuda-dev" "$PWD/build/cuda-dev/package" 1
# Where it cannot run, one line says so.
if ! said=$(build/cuda-dev/gsnet bench --backend cuda --seconds 0.01 2>&1); then
  echo "$said"
  [ "$(wc -l <<<"$said")" -eq 1 ] && [[ $said == "gsnet: backend 'cuda': no device can be used here"* ]]
fi
