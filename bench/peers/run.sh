#!/bin/sh
# Runs time_peer.py in PyTorch's best set-up on a CPU: tcmalloc preloaded, OMP_NUM_THREADS set.
# usage: run.sh [options of time_peer.py]
# PYTHON: the interpreter (default python3). PEER_MALLOC=default: the C library's allocator.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

threads=${OMP_NUM_THREADS:-}
previous=
for argument in "$@"; do
    case $argument in --threads=*) threads=${argument#--threads=} ;; esac
    if [ "$previous" = --threads ]; then threads=$argument; fi
    previous=$argument
done
export OMP_NUM_THREADS="${threads:-$(nproc)}"

if [ "${PEER_MALLOC:-tcmalloc}" = tcmalloc ]; then
    library=
    for name in libtcmalloc_minimal.so.4 libtcmalloc.so.4; do
        for folder in /usr/lib/*-linux-gnu /usr/lib64 /usr/lib /usr/local/lib; do
            if [ -z "$library" ] && [ -e "$folder/$name" ]; then library=$folder/$name; fi
        done
    done
    if [ -z "$library" ]; then
        echo "run.sh: no tcmalloc (Debian: libtcmalloc-minimal4 or libgoogle-perftools4)" >&2
        exit 1
    fi
    export LD_PRELOAD="$library${LD_PRELOAD:+:$LD_PRELOAD}"
fi
exec "${PYTHON:-python3}" "$here/time_peer.py" --threads "$OMP_NUM_THREADS" "$@"
