#!/usr/bin/env python3
"""Ways to tune a face network beside each other: LFW as a distant camera sees it, at about equal numbers of free parameters.

The recipes are recipes/faces/*.toml. People who appear in a pair of the validation or the test folds are not trained on:
the list of the others is made of pairs.txt and the archive. Every method's rate is chosen with the first seed: of the rates
that lose at most 0.2 points of clean accuracy (--most-lost) on the validation folds, the one of the largest TAR there (where all lose more,
the one that loses least). With --more-pairs the loss is counted on more pairs of the same people, up to 25 of each and three times
as many of two: 1,200 pairs tell hardly one pair in a thousand. Then all seeds run at it; the test folds are looked at by these runs alone. Runs that are there
already are read, not made again. Seconds a step and peak memory are of `gsnet bench`, of all methods in turns. Prints one table,
the base's line first. A run takes some minutes on two idle cores.

usage: bench/face_study.py --gsnet build/release/gsnet --model mobilefacenet.safetensors --pairs pairs.txt
                           --images lfw-112x112.tar.gz [--out runs/faces] [--methods lora,gsoft] [--at gsoft:0.001] [--threads 1]
"""
import argparse
import collections
import itertools
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tarfile

RECIPES = pathlib.Path(__file__).resolve().parent.parent / "recipes" / "faces"
SHIFTS = ["distant:3", "distant:4", "distant:5"]
VALIDATION, TEST = "5-6", "7-10"
FAR = "1e-2"

RATES = {
    "full": [1e-4, 3e-4, 1e-3],
    "lora": [1e-2, 3e-2, 1e-1],
    "boft": [1e-3, 3e-3, 1e-2],
    "oft": [1e-3, 3e-3, 1e-2],
    "gsoft": [1e-3, 3e-3, 1e-2],
    "double_gsoft": [1e-3, 3e-3, 1e-2],
    "gsoft_teacher": [1e-3, 3e-3, 1e-2],
}


def people_of_folds(pairs, folds):
    """Names in the pairs of these folds, counted from 1."""
    lines = pairs.read_text(encoding="utf-8").splitlines()
    count, half = (int(field) for field in lines[0].split())
    rows = [line.split("\t") for line in lines[1:] if line]
    assert len(rows) == count * 2 * half, f"{pairs}: {len(rows)} pairs, expected {count * 2 * half}"
    names = set()
    for number, row in enumerate(rows):
        if number // (2 * half) + 1 in folds:
            names.update([row[0]] if len(row) == 3 else [row[0], row[2]])
    return names


def pictures_of_people(arguments):
    """Paths in the archive by the name of their folder."""
    pictures = collections.defaultdict(list)
    with tarfile.open(arguments.images) as archive:
        for member in archive:
            parts = pathlib.PurePosixPath(member.name).parts
            if member.isfile() and len(parts) >= 2:
                pictures[parts[-2]].append("/".join(parts[-2:]))
    return pictures


def write_people(arguments, pictures):
    """The people to train on, one a line: those of the archive whom no pair of folds 5-10 shows."""
    people = sorted(set(pictures) - people_of_folds(arguments.pairs, range(5, 11)))
    path = arguments.out / "people.txt"
    path.write_text("".join(name + "\n" for name in people), encoding="utf-8")
    print(f"trained on {sum(len(pictures[name]) for name in people)} pictures of {len(people)} people, "
          f"{sum(len(pictures[name]) > 1 for name in people)} of them with more than one")
    return path


def write_validation_pairs(arguments, pictures):
    """More pairs of the people of the validation folds, `path path 1` for one person, `path path 0` for two."""
    people = sorted(people_of_folds(arguments.pairs, {5, 6}) & set(pictures))
    draw = random.Random(1)
    one = []
    for name in people:
        pairs = list(itertools.combinations(sorted(pictures[name]), 2))
        draw.shuffle(pairs)
        one += pairs[:25]
    every = [(name, path) for name in people for path in sorted(pictures[name])]
    two = set()
    while len(two) < 3 * len(one):
        (a, path_a), (b, path_b) = draw.sample(every, 2)
        if a != b:
            two.add((path_a, path_b))
    two = sorted(two)
    draw.shuffle(one)
    draw.shuffle(two)
    path = arguments.out / "validation_pairs.txt"
    path.write_text("".join(f"{a} {b} {same}\n" for same, pairs in ((1, one), (0, two)) for a, b in pairs),
                    encoding="utf-8")
    print(f"clean accuracy is chosen by on {len(one)} pairs of one person and {len(two)} of two")
    return path


def command_output(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(str(part) for part in command)}\n{done.stderr}")
    return done.stdout


def trained(arguments, people, method, rate, seed, final):
    """The folder of one run, and its result.json. Rates are tried without a look at the test folds."""
    folder = arguments.out / f"{method}-{rate:g}-{seed}{'' if final else '-rate'}"
    result = folder / "result.json"
    if not result.exists():
        fixed = [f'face.pairs="{arguments.pairs}"', f'data.classes="{people}"', f'face.validation_folds="{VALIDATION}"',
                 f"optimiser.rate={rate!r}", f"run.seed={seed}"]
        fixed += [f'face.test_folds="{TEST}"', f'face.test="{"tuned" if final else "none"}"']
        command = [arguments.gsnet, "adapt", arguments.model, "--recipe", RECIPES / f"{method}.toml", "--data",
                   arguments.images, "--out", folder, "--quiet", "--resume", "--threads", arguments.threads]
        for setting in fixed + arguments.set:
            command += ["--set", setting]
        command_output(command)
    return folder, json.loads(result.read_text(encoding="utf-8"))


def judged(arguments, model, path, options):
    """What `gsnet verify` says of a network, by condition."""
    if not path.exists():
        command_output([arguments.gsnet, "verify", model, "--images", arguments.images, "--far", FAR, "--json", path,
                        "--threads", arguments.threads] + options)
    return {one["name"]: one for one in json.loads(path.read_text(encoding="utf-8"))["conditions"]}


def clean_accuracy(arguments, model, path):
    """On the validation pairs that the study drew."""
    return judged(arguments, model, path, ["--pairs", arguments.validation_pairs])["clean"]["accuracy"]


def verified(arguments, model, path):
    """What a network reaches on the test folds, by condition."""
    options = ["--pairs", arguments.pairs, "--folds", TEST]
    for shift in SHIFTS:
        options += ["--corrupt", shift]
    conditions = judged(arguments, model, path, options)
    return {"tar": {name: {FAR: one["rates"][0]["tar"]} for name, one in conditions.items()},
            "accuracy": {name: one["accuracy"] for name, one in conditions.items()}}


def merged(arguments, folder):
    """The network that a run made."""
    model = folder / "model.safetensors"
    if not model.exists():
        model = folder / "merged.safetensors"
    if not model.exists():
        command_output([arguments.gsnet, "merge", arguments.model, folder / "adapter.safetensors", "--out", model])
    return model


def lost(arguments, folder, result):
    """Clean accuracy on the validation people that the epoch kept has lost."""
    if arguments.validation_pairs:
        before = clean_accuracy(arguments, arguments.model, arguments.out / "base_validation.json")
        return before - clean_accuracy(arguments, merged(arguments, folder), folder / "validation.json")
    epochs = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = max(epochs, key=lambda epoch: epoch["validation_tar"])
    return result["validation_base_clean_accuracy"] - kept["validation_clean_accuracy"]


def tuned(arguments, people, method, rates):
    """The rate chosen of these, and the results of all seeds at it."""
    folders, tried = {}, {}
    for rate in rates:
        folders[rate], result = trained(arguments, people, method, rate, 1, False)
        tried[rate] = result | {"lost": lost(arguments, folders[rate], result)}
    chosen = chosen_rate(tried, arguments.most_lost)
    for rate, result in tried.items():
        print(f"{method} at {rate:g}: TAR {100 * result['validation']:.2f}, clean accuracy lost "
              f"{100 * result['lost']:.2f}{', chosen' if rate == chosen else ''}", file=sys.stderr)
    first = tried[chosen] | verified(arguments, merged(arguments, folders[chosen]), folders[chosen] / "test.json")
    return chosen, [first] + [trained(arguments, people, method, chosen, seed, True)[1]
                              for seed in range(2, arguments.seeds + 1)]


def chosen_rate(tried, most_lost):
    """Of results by rate."""
    within = {rate: result for rate, result in tried.items() if result["lost"] <= most_lost + 1e-9}
    if within:
        return max(within, key=lambda rate: within[rate]["validation"])
    return min(tried, key=lambda rate: tried[rate]["lost"])


def step_costs(arguments, methods):
    """Seconds of a training step on all cores, and peak MB of its tensors beyond weights and moments."""
    command = [arguments.gsnet, "bench", "--network", "mobilefacenet", "--batch", "64", "--json"]
    for method in methods:
        command += ["--adapter", RECIPES / f"{method}.toml"]
    rows = json.loads(command_output(command))
    return [(f"{row['seconds']:.2f}", f"{row['peak_tensor_bytes'] / 1e6:.0f}") for row in rows]


def spread(values):
    if None in values:
        return "too few"
    text = f"{100 * statistics.mean(values):.2f}"
    return text + f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else text


def cells(results):
    """TAR and accuracy on every condition, clean last."""
    conditions = SHIFTS + ["clean"]
    row = [spread([result["tar"][name][FAR] for result in results]) for name in conditions]
    return row + [spread([result["accuracy"][name] for result in results]) for name in conditions]


def print_row(parts):
    print("| " + " | ".join(parts) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsnet", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--pairs", type=pathlib.Path, required=True, help="pairs.txt of LFW")
    parser.add_argument("--images", type=pathlib.Path, required=True, help="a tar of aligned pictures, a folder a person")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/faces"))
    parser.add_argument("--methods", default=",".join(method for method in RATES if method != "gsoft_teacher"),
                        help="with commas between; gsoft_teacher besides")
    parser.add_argument("--at", action="append", default=[], metavar="METHOD:RATE",
                        help="a line more, of a rate that nothing chose; any number of times")
    parser.add_argument("--most-lost", type=float, default=0.002, help="of clean accuracy on the validation folds")
    parser.add_argument("--more-pairs", action="store_true", help="count that loss on more pairs of these people")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of a run; 0: one a core")
    parser.add_argument("--set", action="append", default=[], help="a setting more for every run: run.epochs=1")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    pictures = pictures_of_people(arguments)
    people = write_people(arguments, pictures)
    arguments.validation_pairs = write_validation_pairs(arguments, pictures) if arguments.more_pairs else None
    names = SHIFTS + ["clean"]
    header = (["method", "rate"] + [f"TAR@{FAR}, {name}" for name in names] + [f"accuracy, {name}" for name in names] +
              ["free numbers", "file, kB", "s a step", "MB of a step, beyond weights and moments"])
    print_row(header)
    print("|" + "---|" * len(header), flush=True)
    print_row(["none", ""] + cells([verified(arguments, arguments.model, arguments.out / "base.json")]) + ["0", "", "", ""])
    lines = [(method, RATES[method]) for method in arguments.methods.split(",") if method]
    lines += [(method, [float(rate)]) for method, rate in (line.split(":") for line in arguments.at)]
    rows = []
    for method, rates in lines:
        rate, results = tuned(arguments, people, method, rates)
        rows.append([method, f"{rate:g}"] + cells(results) +
                    [f"{results[0]['free']:,}", f"{results[0]['bytes'] / 1000:.0f}"])
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    for row, costs in zip(rows, step_costs(arguments, [method for method, _ in lines])):
        print_row(row + list(costs))


if __name__ == "__main__":
    main()
