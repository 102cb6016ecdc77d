#!/usr/bin/env bash
# Format, include arrows, clang-tidy on the sources changed since a revision (default: by the last commit).
# usage: scripts/lint.sh [REVISION]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh tests lint
mapfile -t sources < <(git ls-files '*.h' '*.cpp' '*.cu' '*.cuh')
clang-format --dry-run -Werror "${sources[@]}"
echo "format: ${#sources[@]} files"
python3 scripts/check_arrows.py
base=${1:-HEAD~1}
git rev-parse -q --verify "$base" >/dev/null || exit 0
cmake --preset dev >/dev/null
mapfile -t changed < <(git diff --name-only --diff-filter=d "$base" -- 'lib/*.cpp' 'data/*.cpp' 'apps/*.cpp' | grep -v kernels_ || true)
known() { while read -r file; do ! grep -q "\"file\": \".*/$file\"" build/dev/compile_commands.json || echo "$file"; done; }
mapfile -t changed < <([ ${#changed[@]} -eq 0 ] || printf '%s\n' "${changed[@]}" | known)  # those that this build compiles
# Every file is looked at, whatever was found in another; clang-tidy's words are shown where it found something.
tidy='words=$(clang-tidy -p build/dev --quiet --extra-arg=-Wno-unknown-warning-option --warnings-as-errors="*" "$0" 2>/dev/null) || { echo "$words"; exit 1; }'
[ ${#changed[@]} -eq 0 ] || printf '%s\n' "${changed[@]}" | xargs -P "$(nproc)" -n 1 bash -c "$tidy"
echo "clang-tidy: ${#changed[@]} changed files"
