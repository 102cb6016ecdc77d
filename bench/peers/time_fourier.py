#!/usr/bin/env python3
"""A layer with circular padding, whose exponential is one matrix a frequency, beside gsnet's series: a table.

    bench/peers/time_fourier.py --gsnet build/release/gsnet [--batch 128] [--threads 2]

Milliseconds, the best of some windows. The layer in the Fourier domain is PyTorch's transforms and complex products, forward with
its matrices kept (evaluation), and forward and backward with their exponentials made anew (training); beside them its products
and its transforms alone, which no other program of it would leave out. The series are gsnet's: 7 terms in evaluation, 3 in
training. First the layer is compared with its series in double precision.
"""
import argparse
import json
import math
import subprocess
import time

import torch

CASES = ((32, 32, 4), (64, 16, 4), (128, 8, 4), (256, 4, 4), (32, 32, 1), (64, 16, 1), (128, 16, 4), (128, 8, 1))
EVALUATION_TERMS, TRAINING_TERMS = 7, 3


def best_milliseconds(call, seconds):
    call()
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


def skew_kernel(channels, groups, dtype=torch.float32):
    m = channels // groups
    k = torch.randn(groups, m, m, 3, 3, dtype=dtype)
    return (0.5 / (3 * m**0.5) * (k - k.transpose(1, 2).flip(3, 4))).flatten(0, 1)


def exponentials(k, groups, side):
    """(frequencies · groups, m, m): exp of the convolution by k on a torus of side x side."""
    m = k.shape[1]
    taps = torch.roll(torch.nn.functional.pad(k, (0, side - 3, 0, side - 3)), (-1, -1), (2, 3))
    symbols = torch.fft.rfft2(taps).conj().permute(2, 3, 0, 1).reshape(-1, m, m)
    return torch.linalg.matrix_exp(symbols)


def forward_transform(x, m):
    return torch.fft.rfft2(x).permute(2, 3, 1, 0).reshape(-1, m, x.shape[0])


def backward_transform(z, shape):
    images, channels, side, _ = shape
    return torch.fft.irfft2(z.reshape(side, side // 2 + 1, channels, images).permute(3, 2, 0, 1), s=(side, side))


def layer(x, e):
    return backward_transform(torch.bmm(e, forward_transform(x, e.shape[1])), x.shape)


def check():
    k, x = skew_kernel(12, 3, torch.float64), torch.randn(2, 12, 8, 8, dtype=torch.float64)
    y, term = x.clone(), x
    for i in range(1, 30):
        term = torch.nn.functional.conv2d(torch.nn.functional.pad(term, (1, 1, 1, 1), "circular"), k, groups=3) / i
        y += term
    apart = (layer(x, exponentials(k, 3, 8)) - y).abs().max().item()
    assert apart < 1e-12, apart


def time_layer(options, channels, side, groups):
    """Evaluation, its products, its transforms, a training step, all in milliseconds."""
    x = torch.randn(options.batch, channels, side, side)
    k = skew_kernel(channels, groups)
    m = channels // groups
    with torch.no_grad():
        e = exponentials(k, groups, side)
        z = forward_transform(x, m)
        evaluation = best_milliseconds(lambda: layer(x, e), options.seconds)
        products = best_milliseconds(lambda: torch.bmm(e, z), options.seconds)
        transforms = best_milliseconds(lambda: torch.fft.irfft2(torch.fft.rfft2(x), s=(side, side)), options.seconds)
    x.requires_grad_()
    k.requires_grad_()

    def step():
        y = layer(x, exponentials(k, groups, side))
        y.backward(y.detach())
        x.grad = k.grad = None

    return evaluation, products, transforms, best_milliseconds(step, options.seconds)


def time_series(options, terms, channels, side, groups):
    command = [options.gsnet, "bench", "--series", "--json", "--batch", str(options.batch), "--threads", str(options.threads),
               "--seconds", str(options.seconds), "--degree", str(terms), "--case", f"{channels},{side},{groups}"]
    case = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["cases"][0]
    return 1e3 * case["forward_seconds"], 1e3 * case["backward_seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsnet", default="build/release/gsnet")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    check()
    print(f"| batch {options.batch}, {options.threads} threads | evaluation, Fourier, ms | its products | its transforms | series | "
          "ratio | training, Fourier, ms | series | ratio |\n|---|---|---|---|---|---|---|---|---|")
    for channels, side, groups in CASES:
        evaluation, products, transforms, step = time_layer(options, channels, side, groups)
        forward, _ = time_series(options, EVALUATION_TERMS, channels, side, groups)
        train = sum(time_series(options, TRAINING_TERMS, channels, side, groups))
        print(f"| {channels} channels, {side}x{side}, {groups} groups | {evaluation:.1f} | {products:.1f} | {transforms:.1f} | "
              f"{forward:.1f} | {evaluation / forward:.2f} | {step:.1f} | {train:.1f} | {step / train:.2f} |", flush=True)


if __name__ == "__main__":
    main()
