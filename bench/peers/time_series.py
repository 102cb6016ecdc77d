#!/usr/bin/env python3
"""The series of a layer alone, forward and backward, in PyTorch as the public code has it and in gsnet, in turns: a table.

    bench/peers/time_series.py --gsnet build/cuda/gsnet --device cuda [--batch 256] [--variants eager,compiled]

3x3 kernels, 5 terms of Taylor's, channels, sides and groups of LipConvNet. Milliseconds, the best of some windows; ratios are
to the peer's best variant. Single precision is single precision: no TF32 on either side, but in gsnet's rows that say so.
"""
import argparse
import json
import math
import subprocess
import sys
import time

import torch

from lipconvnet import exp_series

CASES = ((32, 32, 4), (64, 16, 4), (128, 8, 4), (256, 4, 4), (512, 2, 4), (32, 32, 1), (64, 16, 1), (128, 8, 1))
TERMS = 5


def best_seconds(call, device, seconds):
    def done():
        if device != "cpu":
            torch.cuda.synchronize()

    for _ in range(3):
        call()
    done()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(5):
            call()
        done()
        best = min(best, (time.perf_counter() - start) / 5)
    return best


def time_peer(options, variant, channels, side, groups):
    """Seconds of the forward pass that keeps what a backward pass needs, and of that backward pass."""
    x = torch.randn(options.batch, channels, side, side, device=options.device, requires_grad=True)
    m = channels // groups
    k = torch.randn(groups, m, m, 3, 3, device=options.device)
    k = (0.5 / (3 * m**0.5) * (k - k.transpose(1, 2).flip(3, 4))).flatten(0, 1).requires_grad_()
    torch.compiler.reset()  # a case does not count among another's versions
    series = torch.compile(exp_series) if variant == "compiled" else exp_series
    forward = best_seconds(lambda: series(x, k, groups, TERMS), options.device, options.seconds)

    def both():
        y = series(x, k, groups, TERMS)
        y.backward(y.detach())
        x.grad = k.grad = None

    return forward, best_seconds(both, options.device, options.seconds) - forward


def time_gsnet(options, precision, channels, side, groups):
    command = [options.gsnet, "bench", "--series", "--json", "--backend", options.device, "--precision", precision, "--batch",
               str(options.batch), "--case", f"{channels},{side},{groups}"]
    case = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["cases"][0]
    return case["forward_seconds"], case["backward_seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsnet", default="build/cuda/gsnet")
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--variants", default="eager,compiled")
    parser.add_argument("--precisions", default="f32,tf32,bf16", help="gsnet's")
    parser.add_argument("--seconds", type=float, default=1, help="of a figure")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print(f"| channels, map, groups; batch {options.batch} | | forward, ms | ratio | backward, ms | ratio |\n|---|---|---|---|---|---|")
    for case in CASES:
        rows = {}
        for name, timed, kind in [*((f"PyTorch, {v}", time_peer, v) for v in options.variants.split(",")),
                                  *((f"gsnet, {p}", time_gsnet, p) for p in options.precisions.split(","))]:
            try:
                rows[name] = timed(options, kind, *case)
            except Exception as error:  # the others are wanted all the same
                print(f"{name}, {case}: {type(error).__name__}: {str(error).strip().splitlines()[-1:]}", file=sys.stderr, flush=True)
        base = [min((row[i] for name, row in rows.items() if name.startswith("PyTorch")), default=math.nan) for i in (0, 1)]
        for i, (name, (forward, backward)) in enumerate(rows.items()):
            title = "{0}, {1}x{1}, {2}".format(*case) if i == 0 else ""
            print(f"| {title} | {name} | {1e3 * forward:.3f} | {base[0] / forward:.2f} | {1e3 * backward:.3f} | "
                  f"{base[1] / backward:.2f} |", flush=True)


if __name__ == "__main__":
    main()
