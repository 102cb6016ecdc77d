#!/usr/bin/env bash
# Installs what gsnet needs to build, run and test on Debian 12. Run as root or with sudo at hand.
set -euo pipefail

build=(g++ cmake ninja-build ccache libdnnl-dev libeigen3-dev libfmt-dev nlohmann-json3-dev libtomlplusplus-dev
  libboost-program-options-dev libarchive-dev libcurl4-openssl-dev libssl-dev zlib1g-dev ca-certificates
  libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev libonnx-dev libprotobuf-dev)
tests=(catch2 git python3)
lint=(clang-format clang-tidy)

packages=("${build[@]}")
for part in "$@"; do
  case "$part" in
    tests) packages+=("${tests[@]}") ;;
    lint) packages+=("${lint[@]}") ;;
    *) echo "usage: scripts/setup.sh [tests] [lint]" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

run=()
[ "$(id -u)" -eq 0 ] || run=(sudo)
"${run[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${run[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
