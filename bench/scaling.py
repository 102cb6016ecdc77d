#!/usr/bin/env python3
"""Time of the series, forward and backward, against batch, channels, map side, groups and degree, one varied at a time, and
the operations that a direct sum needs beside it: draws docs/scaling.svg and prints the table. Needs matplotlib.

usage: bench/scaling.py [--gsnet build/release/gsnet] [--out docs/scaling.svg]
"""
import argparse
import json
import subprocess

BASE = {"batch": 64, "channels": 128, "side": 16, "groups": 4, "degree": 5}
VARIED = {"batch": [16, 32, 64, 128, 256], "channels": [32, 64, 128, 256, 512], "side": [4, 8, 16, 32, 64],
          "groups": [1, 2, 4, 8, 16], "degree": [1, 2, 4, 8, 12]}


def measure(gsnet, threads, case):
    command = [gsnet, "bench", "--series", "--json", "--seconds", "0.3", "--threads", str(threads), "--batch", str(case["batch"]),
               "--degree", str(case["degree"]), "--case", f"{case['channels']},{case['side']},{case['groups']}"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    row = found["cases"][0]
    return (row["forward_seconds"] + row["backward_seconds"], row["forward_macs"] + row["backward_macs"],
            found["matmul_macs_per_second"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsnet", default="build/release/gsnet")
    parser.add_argument("--out", default="docs/scaling.svg")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    matplotlib.rcParams["svg.hashsalt"] = "gsnet"
    figure, axes = pyplot.subplots(1, len(VARIED), figsize=(16, 3.4), sharey=True)
    print("| varied | value | ms | at the rate of a matrix product, ms | share |\n|---|---|---|---|---|")
    for axis, (name, values) in zip(axes, VARIED.items()):
        rows = [measure(arguments.gsnet, arguments.threads, {**BASE, name: value}) for value in values]
        ideal = [1e3 * macs / rate for _, macs, rate in rows]
        taken = [1e3 * seconds for seconds, _, _ in rows]
        for value, ms, least in zip(values, taken, ideal):
            print(f"| {name} | {value} | {ms:.1f} | {least:.1f} | {100 * least / ms:.0f} % |", flush=True)
        axis.loglog(values, taken, "o-", label="measured")
        axis.loglog(values, ideal, "--", color="grey", label="operations at the matrix product's rate")
        axis.set_xlabel(name)
        axis.set_xticks(values, [str(value) for value in values])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("ms, forward and backward")
    axes[0].legend(fontsize=7)
    others = ", ".join(f"{name} {value}" for name, value in BASE.items())
    figure.suptitle(f"conv_exp 3x3; {others} where not varied", fontsize=10)
    figure.tight_layout()
    figure.savefig(arguments.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
