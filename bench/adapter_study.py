#!/usr/bin/env python3
"""Adapters beside each other on one shift of the data, at about equal numbers of free parameters.

Every method's learning rate is chosen on held-out pictures with the first seed, then all seeds run at it. Runs that are
there already are read, not made again. Seconds a step are measured by `gsnet bench` at the end, in turns. Prints one table.

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

SHIFT = "gaussian_noise:5"
PICTURES, HELD_OUT, EPOCHS = 6000, 1000, 6

# Settings that give about 10,000 free numbers on ResNet-20, which has 270,000.
METHODS = {
    "full": ([], [1e-4, 3e-4, 1e-3]),
    "head": ([], [1e-3, 3e-3, 1e-2]),
    "lora": (["adapter.rank=2", 'adapter.overrides."layer3.*".rank=1', 'adapter.overrides."layer3.*".alpha=1'],
             [1e-3, 3e-3, 1e-2]),
    "lora, LoRA-Pro": (["adapter.rank=2", 'adapter.overrides."layer3.*".rank=1',
                        'adapter.overrides."layer3.*".alpha=1', "optimiser.lora_pro=true"], [3e-4, 1e-3, 3e-3]),
    "dora": (["adapter.rank=2", 'adapter.overrides."layer3.*".rank=1', 'adapter.overrides."layer3.*".alpha=1'],
             [1e-3, 3e-3, 1e-2]),
    "oft": (["adapter.form=kernel", "adapter.block=4"], [1e-3, 3e-3, 1e-2]),
    "boft": (["adapter.form=channel", "adapter.block=16", "adapter.factors=2"], [1e-3, 3e-3, 1e-2]),
    "gsoft": (["adapter.block=16", "adapter.scale=true"], [1e-3, 3e-3, 1e-2]),
    "double_gsoft": (["adapter.block=8", "adapter.scale=true"], [1e-3, 3e-3, 1e-2]),
}
BENCHED = ("full", "lora", "dora", "oft", "boft", "gsoft", "double_gsoft")


def run(arguments, method, rate, seed):
    settings, _ = METHODS[method]
    kind = method.split(",")[0]
    folder = arguments.out / f"{method.replace(', ', '_').lower()}-{rate:g}-{seed}"
    result = folder / "result.json"
    if not result.exists():
        command = [arguments.gsnet, "adapt", arguments.model, "--adapter", kind, "--data", arguments.data, "--out", folder,
                   "--quiet", "--resume", "--threads", arguments.threads]
        fixed = [f'data.corruption="{SHIFT}"', f"data.limit={PICTURES}", f"data.validation={HELD_OUT}", "data.flip=true",
                 "data.crop_padding=2", "optimiser.kind=adamw", f"optimiser.rate={rate}", "optimiser.weight_decay=0",
                 f"run.epochs={EPOCHS}", "run.batch=64", f"run.seed={seed}", f'name="{kind}"']
        for setting in fixed + settings:
            command += ["--set", setting]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(str(part) for part in command)}\n{done.stderr}")
    return json.loads(result.read_text(encoding="utf-8"))


def step_costs(arguments):
    """Of the methods that `gsnet bench` knows, one after the other in turns: seconds of a training step, peak MB of tensors."""
    def spelled(method):
        settings = [s.split(".", 1)[1] for s in METHODS[method][0] if s.startswith("adapter.") and ".overrides." not in s]
        return ":".join([method] + ([",".join(settings)] if settings else []))
    names = {method: spelled(method) for method in arguments.only if method in BENCHED}
    if not names:
        return {}
    command = [str(arguments.gsnet), "bench", "--batch", "64", "--json"]
    for name in names.values():
        command += ["--adapter", name]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    rows = {row["adapter"]: (f"{row['seconds']:.3f}", f"{row['peak_tensor_bytes'] / 1e6:.0f}") for row in rows}
    return {method: rows[name] for method, name in names.items()}


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
        print(line, *costs.get(method, ("", "")), sep=" | ", end=" |\n")


if __name__ == "__main__":
    main()
