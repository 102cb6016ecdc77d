#!/usr/bin/env python3
"""Times gsnet against the same network in PyTorch, in turns on one machine, and prints the ratio.

    bench/compare_peers.py --gsnet build/release/gsnet --python venv/bin/python [--depth 5] [--conv gs4] [--batch 128]
                           [--variants eager,compiled,channels_last]

A row for every variant of the peer; ratios are to the best of them, column by column. Then four: the reference code's
function exactly (Taylor 5 and 12, four bilinear forms, orthogonal last layer, minimum first; evaluation within 1e-6 a
layer), gsnet's own defaults (kernels scaled by the operator's norm, Chebyshev, every group used, normalised last layer),
these for least memory, and these in bf16 where the processor has it (evaluation is always f32).
Training and evaluation are processes of their own, and memory is the training one's. bench/peers/README.md says how to
install the peer; the best of several rounds counts for both sides.
"""
import argparse
import json
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
CONVS = {
    "soc": ["variant=soc", "activation=maxmin_halves"],
    "gs4": ["variant=permuted", "groups=4"],
    "gs41": ["variant=gs", "groups=4", "groups2=1"],
    "gs44": ["variant=gs", "groups=4", "groups2=4"],
}
REFERENCE = ["fit=head", "scale=four_forms", "order=min_first", "head=orthogonal", "train_series=taylor", "train_degree=5",
             "eval_series=taylor", "eval_degree=12"]
ROWS = {"gsnet, same function": REFERENCE, "gsnet, defaults": [], "gsnet, least memory": ["save=input"]}
BF16 = "gsnet, defaults, bf16"


def gsnet(options, mode, settings, precision="f32"):
    command = [options.gsnet, "bench", "--only", mode, "--precision", precision, "--json", "--batch", str(options.batch), "--threads", str(options.threads),
               "--seconds", str(options.seconds)]
    for setting in settings + [f"depth={options.depth}", f"width={options.width}"]:
        command += ["--set", setting]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def has_bf16():
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return "avx512_bf16" in flags and "avx512bw" in flags


def peer(options, variant, mode):
    command = [str(HERE / "peers" / "run.sh"), "--depth", str(options.depth), "--conv", options.conv, "--width", str(options.width),
               "--classes", "10", "--batch", str(options.batch), "--mode", mode, "--variant", variant, "--threads",
               str(options.threads), "--seconds", str(options.seconds), "--repeats", "2", "--json"]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ, PYTHON=options.python)).stdout
    return json.loads(out.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsnet", default="build/release/gsnet")
    parser.add_argument("--python", default="python3", help="the interpreter that has torch")
    parser.add_argument("--conv", choices=CONVS, default="gs4")
    parser.add_argument("--variants", default="eager", help="of the peer: eager, compiled, channels_last, bf16")
    for name, standard in (("depth", 5), ("width", 32), ("batch", 128), ("threads", os.cpu_count()), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=standard)
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()

    peers = {f"PyTorch, {variant}": variant for variant in options.variants.split(",")}
    ours = {name: (settings, "f32") for name, settings in ROWS.items()}
    if has_bf16():
        ours[BF16] = ([], "bf16")
    rows = {name: [] for name in (*peers, *ours)}
    for _ in range(options.rounds):
        for name, variant in peers.items():
            train, evaluate = peer(options, variant, "train"), peer(options, variant, "eval")
            rows[name].append((train["images_per_s"], evaluate["images_per_s"], train["peak_rss_mb"]))
        for name, (settings, precision) in ours.items():
            train, evaluate = (gsnet(options, mode, CONVS[options.conv] + settings, precision) for mode in ("train", "eval"))
            rows[name].append((train["train_images_per_second"], evaluate["eval_images_per_second"],
                               train["peak_process_bytes"] * 1e-6))
    print(f"LipConvNet-{options.depth}, {options.conv}, width {options.width}, batch {options.batch}, {options.threads} threads; "
          f"best of {options.rounds} rounds in turns, ratios to PyTorch's best")
    print(f"{'':24}{'train img/s':>12}{'ratio':>7}{'eval img/s':>12}{'ratio':>7}{'peak MB':>9}{'ratio':>7}")
    best = {name: (max(run[0] for run in runs), max(run[1] for run in runs), min(run[2] for run in runs))
            for name, runs in rows.items()}
    base = [pick(best[name][column] for name in peers) for column, pick in enumerate((max, max, min))]
    for name, (train, evaluate, memory) in best.items():
        print(f"{name:24}{train:12.1f}{train / base[0]:7.2f}{evaluate:12.1f}{evaluate / base[1]:7.2f}{memory:9.0f}"
              f"{memory / base[2]:7.2f}")


if __name__ == "__main__":
    main()
