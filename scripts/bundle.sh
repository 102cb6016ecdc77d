#!/usr/bin/env bash
# A folder of the CUDA build, with the shared objects it needs, that runs on a bare machine with the CUDA and cuDNN
# runtimes, and glibc 2.36 or newer: ./bench/gpu.sh . there checks and times everything. Without OpenCV and ONNX.
# usage: scripts/bundle.sh [FOLDER]     default build/bundle; a FOLDER.tar.xz is made beside it
#                                       PRESET: cuda (default), cuda-dev, cuda-all
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/bundle}
scripts/setup.sh tests
export PATH="$PATH:/usr/local/cuda/bin"
# RPATH, not RUNPATH: libraries find theirs by it too.
cmake --preset "${PRESET:-cuda}" -B build/cuda-bundle -DGSNET_OPENCV=OFF -DGSNET_ONNX=OFF -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
  '-DCMAKE_INSTALL_RPATH=$ORIGIN/lib' '-DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags' >/dev/null
cmake --build build/cuda-bundle --target gsnet_command gsnet_tests gsnet_bench_ops gsnet_bench_series_forms gsnet_bench_loader
rm -rf "$folder"
mkdir -p "$folder/lib"
cp build/cuda-bundle/gsnet build/cuda-bundle/tests/gsnet_tests build/cuda-bundle/gsnet_bench_ops \
   build/cuda-bundle/gsnet_bench_series_forms build/cuda-bundle/gsnet_bench_loader "$folder"
strip "$folder"/gsnet*
# Everything but the C library and what the CUDA runtime brings.
ldd "$folder"/gsnet* | awk '$2 == "=>" && $3 ~ "^/" {print $3}' | sort -u |
  grep -vE '/(libc|libm|libpthread|libdl|librt|libresolv|ld-linux[^/]*)\.so|/lib(cuda|cudart|cublas|cublasLt|cudnn|nv)[^/]*\.so' |
  xargs -I{} cp -L {} "$folder/lib"
cp -r bench recipes "$folder"
tar -C "$(dirname "$folder")" -cJf "$folder.tar.xz" "$(basename "$folder")"
du -sh "$folder" "$folder.tar.xz"
if [ "$(stat -c %s "$folder.tar.xz")" -gt $((60 << 20)) ]; then
  echo "$folder.tar.xz is too large to be carried: more than 60 MiB" >&2
  exit 1
fi
