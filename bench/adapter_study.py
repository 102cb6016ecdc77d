#!/usr/bin/env python3
"""Adapters beside each other on one shift of the data, at about equal numbers of free parameters.

Every method's learning rate is chosen on held-out pictures with the first seed, then all seeds run at it. Runs that are
there already are read, not made again. Seconds a step are of short trainings at the end, in turns. Prints one table.

usage: bench/adapter_study.py --gsnet build/release/gsnet --model resnet20.safetensors --data DIR [--out runs/study]
       [--seeds 3] [--threads 0] [--only METHOD …]
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import tempfile

SHIFT = "gaussian_noise:5"
PICTURES, HELD_OUT, EPOCHS = 6000, 1000, 6

# Settings that give about 10,000 free numbers on ResNet-20, which has 270,000.
METHODS = {
    "full": ([], [1e-4, 3e-4, 1e-3, 3e-3]),
    "head": ([], [1e-3, 3e-3, 1e-2, 3e-2]),
    "lora": (["adapter.rank=2", 'adapter.overrides."layer3.*".rank=1', 'adapter.overrides."layer3.*".alpha=1'],
             [1e-3, 3e-3, 1e-2, 3e-2]),
    "lora, LoRA-Pro": (["adapter.rank=2", 'adapter.overrides."layer3.*".rank=1',
                        'adapter.overrides."layer3.*".alpha=1', "optimiser.lora_pro=true"], [3e-4, 1e-3, 3e-3, 1e-2]),
    "dora": (["adapter.rank=2", 'adapter.overrides."layer3.*".rank=1', 'adapter.overrides."layer3.*".alpha=1'],
             [1e-3, 3e-3, 1e-2, 3e-2]),
    "oft": (["adapter.form=kernel", "adapter.block=4"], [1e-3, 3e-3, 1e-2, 3e-2]),
    "boft": (["adapter.form=channel", "adapter.block=16", "adapter.factors=2"], [1e-3, 3e-3, 1e-2]),
    "gsoft": (["adapter.block=16", "adapter.scale=true"], [1e-3, 3e-3, 1e-2]),
    "double_gsoft": (["adapter.block=8", "adapter.scale=true"], [1e-3, 3e-3, 1e-2]),
}


def adapt(arguments, folder, method, rate, seed, more):
    """Runs `gsnet adapt` unless the folder holds its result; the result."""
    result = folder / "result.json"
    if not result.exists():
        settings = [f'data.corruption="{SHIFT}"', "data.flip=true", "data.crop_padding=2", "optimiser.kind=adamw",
                    f"optimiser.rate={rate}", "optimiser.weight_decay=0", "run.batch=64", f"run.seed={seed}"]
        kind = method.split(",")[0]
        command = [arguments.gsnet, "adapt", arguments.model, "--adapter", kind, "--data", arguments.data, "--out", folder,
                   "--quiet", "--resume"]
        for setting in settings + [f'name="{kind}"'] + METHODS[method][0]:
            command += ["--set", setting]
        done = subprocess.run([str(part) for part in command + more], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(str(part) for part in command + more)}\n{done.stderr}")
    return json.loads(result.read_text(encoding="utf-8"))


def run(arguments, method, rate, seed):
    folder = arguments.out / f"{method.replace(', ', '_').lower()}-{rate:g}-{seed}"
    return adapt(arguments, folder, method, rate, seed,
                 ["--threads", arguments.threads, "--set", f"data.limit={PICTURES}", "--set", f"data.validation={HELD_OUT}",
                  "--set", f"run.epochs={EPOCHS}"])


def step_costs(arguments):
    """Seconds of a training step on all cores and peak MB of tensors, of short trainings in turns, the least of three."""
    costs = {method: [] for method in arguments.only}
    for _ in range(3):
        for method in arguments.only:
            with tempfile.TemporaryDirectory() as folder:
                found = adapt(arguments, pathlib.Path(folder) / "run", method, METHODS[method][1][0], 1,
                              ["--set", "data.limit=1984", "--set", "data.validation=64", "--set", "run.epochs=1"])
            costs[method].append((found["seconds_a_step"], found["peak_tensor_bytes"] / 1e6))
    return {method: (f"{min(c[0] for c in cost):.3f}", f"{max(c[1] for c in cost):.0f}") for method, cost in costs.items()}


def spread(values):
    deviation = statistics.stdev(values) if len(values) > 1 else math.nan
    return f"{100 * statistics.mean(values):.1f} ± {100 * deviation:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsnet", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/study"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=list(METHODS), choices=list(METHODS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(f"shift: {SHIFT}; {PICTURES - HELD_OUT} pictures, {EPOCHS} epochs, AdamW; rates chosen on {HELD_OUT} held out")
    print("| method | rate | free numbers | file, kB | new domain, % | clean, % | s a step | tensors at most, MB |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    lines = []
    for method in arguments.only:
        tried = {rate: run(arguments, method, rate, 1)["validation"] for rate in METHODS[method][1]}
        rate = max(tried, key=tried.get)
        results = [run(arguments, method, rate, seed) for seed in range(1, arguments.seeds + 1)]
        lines.append(f"| {method} | {rate:g} | {results[0]['free']:,} | {results[0]['bytes'] / 1000:.0f} "
                     f"| {spread([r['accuracy'][SHIFT] for r in results])} "
                     f"| {spread([r['accuracy']['clean'] for r in results])}")
        print(lines[-1], file=sys.stderr, flush=True)
    costs = step_costs(arguments)
    for method, line in zip(arguments.only, lines):
        print(line, *costs[method], sep=" | ", end=" |\n")


if __name__ == "__main__":
    main()
