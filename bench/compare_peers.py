#!/usr/bin/env python3
"""Times gsnet against the same network in PyTorch, in turns on one machine, and prints a table of ratios.

    bench/compare_peers.py --gsnet build/release/gsnet --python venv/bin/python [--depth 5] [--conv gs4] [--batch 128]
                           [--variants eager,compiled,channels_last] [--all] [--peer-only] [--device cuda]

First the outputs: 1024 pictures through the same weights on both sides, in gsnet as it is timed and as it is certified.
Then a row for every variant of the peer; ratios are to the best of them, column by column. Then six: the reference code's
function exactly (Taylor 5 and 12, four bilinear forms, orthogonal last layer, minimum first; evaluation within 1e-6 a
layer) and gsnet's own defaults (kernels scaled by the operator's norm, Chebyshev, every group used, normalised last
layer), each of them also for least memory (save = "input"), and in bf16 where the processor has it (evaluation is always
f32).
Shares are of this machine's matrix product of 1024^3 in f32, measured in every run, and count the direct sums of a row's
function: more than 100 % is done with fewer multiplications than these.
Training and evaluation are processes of their own, and memory is the training one's. bench/peers/README.md says how to
install the peer; the best of several rounds counts for both sides. --all: eight networks, batches of 64 and of 128.
--peer-only: the peer's variants beside each other, in images/s and as ratios to the first of them. --profile: where the
time of a step and of an evaluation of ours goes. --memory: training with every place of the memory dial, save = "iterates",
"input" and "output".
--device cuda: both on the first GPU, f32 as f32 (no TF32 on either side but in the rows that say so); memory is the device's.
"""
import argparse
import contextlib
import itertools
import json
import math
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CONVS = {
    "soc": ("SOC", ["variant=soc", "activation=maxmin_halves"]),
    "gs4": ("GS (4, -)", ["variant=permuted", "groups=4"]),
    "gs41": ("GS (4, 1)", ["variant=gs", "groups=4", "groups2=1"]),
    "gs44": ("GS (4, 4)", ["variant=gs", "groups=4", "groups2=4"]),
}
REFERENCE = ["fit=head", "scale=four_forms", "order=min_first", "head=orthogonal", "train_series=taylor", "train_degree=5",
             "eval_series=taylor", "eval_degree=12"]
SAME = "gsnet, same function"
ROWS = {SAME: (REFERENCE, "f32"), "same, least memory": (REFERENCE + ["save=input"], "f32"),
        "gsnet, defaults": ([], "f32"), "defaults, least memory": (["save=input"], "f32")}
MEMORY = {f"{name}, {save}": (settings + [f"save={save}"], "f32") for name, settings in (("same", REFERENCE), ("defaults", []))
          for save in ("iterates", "input", "output")}
REDUCED = {"same, bf16": (REFERENCE, "bf16"), "defaults, bf16": ([], "bf16")}
# What `gsnet bench --profile` calls the parts of a step.
PARTS = {"series": ["conv_exp"], "1x1 and dense": ["conv2d", "matmul", "matrix_exp"],
         "kernels": ["stretch", "four_forms", "skew", "scale_groups", "gram_norm", "normalise_rows"], "activations": ["maxmin"],
         "maps": ["map_channels", "space_to_depth", "depth_to_space", "add_bias"]}


class Network:
    def __init__(self, options, conv, depth, batch):
        self.options, self.conv, self.depth, self.batch = options, conv, depth, batch
        self.name = f"LipConvNet-{depth}, {CONVS[conv][0]}"
        self.matmul = 0

    def command(self, mode, settings, precision):
        o = self.options
        command = [o.gsnet, "bench", "--only", mode, "--precision", precision, "--json", "--batch", str(self.batch), "--backend",
                   o.device, "--seconds", str(o.seconds)]
        if o.device == "cpu":
            command += ["--threads", str(o.threads)]
        for setting in CONVS[self.conv][1] + settings + [f"depth={self.depth}", f"width={o.width}"]:
            command += ["--set", setting]
        return command

    def gsnet(self, mode, settings, precision):
        command = self.command(mode, settings, precision)
        run = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        self.matmul = max(self.matmul, run["matmul_gflops"])
        return run

    def profile(self, mode, settings):
        """part: its share of the time."""
        command = [*self.command(mode, settings, "f32"), "--profile"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        ops = {}
        for words in (line.split() for line in lines if line.startswith("  ")):
            if words[:2] == ["the", "rest"]:
                ops["the rest"] = float(words[2])
            elif len(words) == 6:
                ops[words[0]] = float(words[2]) + float(words[3])
        whole = sum(ops.values())
        made = {part: sum(ops.pop(op, 0) for op in of) / whole for part, of in PARTS.items()}
        return made | {"the rest": sum(ops.values()) / whole}

    def peer(self, *arguments):
        start = [str(HERE / "peers" / "run.sh")]  # with the allocator that suits it on a processor
        if self.options.device != "cpu":
            start = [self.options.python, str(HERE / "peers" / "time_peer.py"), "--device", self.options.device]
        command = [*start, "--depth", str(self.depth), "--conv", self.conv, "--width", str(self.options.width),
                   "--classes", "10", *arguments]
        out = subprocess.run(command, check=True, capture_output=True, text=True,
                             env=dict(os.environ, PYTHON=self.options.python)).stdout
        return json.loads(out.strip().splitlines()[-1])

    def time_peer(self, variant, mode):
        o = self.options
        return self.peer("--batch", str(self.batch), "--mode", mode, "--variant", variant, "--threads", str(o.threads),
                         "--seconds", str(o.seconds), "--repeats", "2", "--json")

    def outputs(self):
        """The largest differences of logits: as timed, as certified; and the largest logit."""
        command = [self.options.python, str(HERE / "peers" / "check_import.py"), self.options.gsnet, "--conv", self.conv, "--depth",
                   str(self.depth), "--width", str(self.options.width), "--backend", self.options.device]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    @contextlib.contextmanager
    def survived(self, row):
        """A row that fails is named, and left out."""
        try:
            yield
        except subprocess.CalledProcessError as error:
            print(f"{self.name}, {row}: {reason(error)}", file=sys.stderr, flush=True)

    def peers(self):
        return {f"PyTorch, {variant}": variant for variant in self.options.variants.split(",")}

    def rows(self):
        """name: (training, evaluation, memory, share of training, of evaluation), the best of all rounds."""
        peers = self.peers()
        ours = dict(ROWS)
        if self.options.device != "cpu":
            ours["defaults, tf32"] = ([], "tf32")
        if self.options.device != "cpu" or has_bf16():
            ours |= REDUCED
        peer_memory, memory = ("peak_rss_mb", "peak_process_bytes") if self.options.device == "cpu" else ("peak_device_mb",
                                                                                                      "peak_tensor_bytes")
        runs, work = {name: [] for name in (*peers, *ours)}, {}
        for _ in range(self.options.rounds):
            for name, variant in peers.items():
                with self.survived(name):
                    train, evaluate = self.time_peer(variant, "train"), self.time_peer(variant, "eval")
                    runs[name].append((train["images_per_s"], evaluate["images_per_s"], train[peer_memory]))
            for name, (settings, precision) in ours.items():
                with self.survived(name):
                    train, evaluate = (self.gsnet(mode, settings, precision) for mode in ("train", "eval"))
                    runs[name].append((train["train_images_per_second"], evaluate["eval_images_per_second"],
                                       train[memory] * 1e-6))
                    work[name] = (2e-3 * train["train_mmacs_per_image"], 2e-3 * evaluate["eval_mmacs_per_image"])  # GFLOP an image
        made = {}
        for name, of in runs.items():
            if not of:
                continue
            train, evaluate = max(run[0] for run in of), max(run[1] for run in of)
            needed = work.get(name, work.get(SAME, (math.nan, math.nan)))
            made[name] = (train, evaluate, min(run[2] for run in of), train * needed[0] / (self.matmul or math.nan),
                          evaluate * needed[1] / (self.matmul or math.nan))
        return made


def has_bf16():
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return "avx512_bf16" in flags and "avx512bw" in flags


def print_network(network):
    rows = network.rows()
    base = [pick((row[column] for name, row in rows.items() if name.startswith("PyTorch")), default=math.nan) for column, pick in
            enumerate((max, max, min))]
    for i, (name, (train, evaluate, memory, train_share, eval_share)) in enumerate(rows.items()):
        print(f"| {network.name if i == 0 else ''} | {name} | {train:.1f} | {train / base[0]:.2f} | {100 * train_share:.0f} % "
              f"| {evaluate:.1f} | {evaluate / base[1]:.2f} | {100 * eval_share:.0f} % | {memory:.0f} | {memory / base[2]:.2f} |", flush=True)


def print_memory(network):
    """Training alone: images/s, and the process's memory at its peak."""
    peers = network.peers()
    runs = {name: [] for name in (*peers, *MEMORY)}
    for _ in range(network.options.rounds):
        for name, variant in peers.items():
            with network.survived(name):
                train = network.time_peer(variant, "train")
                runs[name].append((train["images_per_s"], train["peak_rss_mb"]))
        for name, (settings, precision) in MEMORY.items():
            with network.survived(name):
                train = network.gsnet("train", settings, precision)
                runs[name].append((train["train_images_per_second"], train["peak_process_bytes"] * 1e-6))
    best = {name: (max(run[0] for run in of), min(run[1] for run in of)) for name, of in runs.items() if of}
    base = [pick((best[name][column] for name in peers if name in best), default=math.nan) for column, pick in enumerate((max, min))]
    for i, (name, (rate, memory)) in enumerate(best.items()):
        print(f"| {network.name if i == 0 else ''} | {name} | {rate:.1f} | {rate / base[0]:.2f} | {memory:.0f} | "
              f"{memory / base[1]:.2f} |", flush=True)


def print_profile(network):
    for name, settings in (("defaults", []), ("same function", REFERENCE)):
        shares = [network.profile(mode, settings) for mode in ("train", "eval")]
        cells = [f"{100 * share:.0f} %" if share >= 0.005 else "" for of in shares for share in of.values()]
        print(f"| {network.name}, {name} | {' | '.join(cells)} |", flush=True)


def reason(error):
    return (error.stderr.strip().splitlines() or [str(error)])[-1]


def rate_of(network, variant, mode):
    """Images a second; 0 where the peer does not survive it."""
    try:
        return network.time_peer(variant, mode)["images_per_s"]
    except subprocess.CalledProcessError as error:
        print(f"{network.name}, {variant}, {mode}: {reason(error)}", file=sys.stderr, flush=True)
        return 0


def print_peers(network):
    """Training and evaluation, the best of all rounds."""
    best = {name: [0, 0] for name in network.peers()}
    for _ in range(network.options.rounds):
        for name, variant in network.peers().items():
            best[name] = list(map(max, best[name], [rate_of(network, variant, mode) for mode in ("train", "eval")]))
    first = next(iter(best.values()))
    cells = [f"{rates[mode]:.1f} ({rates[mode] / first[mode]:.2f})" if rates[mode] else "dies" for mode in (0, 1) for rates in
             best.values()]
    print(f"| {network.name} | {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsnet", default="build/release/gsnet")
    parser.add_argument("--python", default="python3", help="the interpreter that has torch")
    parser.add_argument("--conv", choices=CONVS, default="gs4")
    parser.add_argument("--variants", default="eager", help="of the peer: eager, compiled, channels_last, bf16")
    for name, standard in (("depth", 5), ("width", 32), ("batch", 128), ("threads", os.cpu_count()), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=standard)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--all", action="store_true", help="all networks and batches")
    parser.add_argument("--peer-only", action="store_true", help="the peer's variants beside each other")
    parser.add_argument("--memory", action="store_true", help="training with every place of the memory dial")
    parser.add_argument("--profile", action="store_true", help="where our time goes, and nothing of the peer's")
    options = parser.parse_args()

    networks = [(options.conv, options.depth)]
    if options.all:
        networks = list(itertools.product(("gs4", "gs41", "gs44", "soc"), (5, 15)))
    batches = (64, 128) if options.all and options.device == "cpu" else (options.batch,)
    where = f"{options.threads} threads" if options.device == "cpu" else options.device
    if options.profile:
        heads = [f"{mode}: {part}" for mode in ("training", "evaluation") for part in (*PARTS, "the rest")]
        print(f"| batch {options.batch}, {where}, width {options.width} | {' | '.join(heads)} |\n|{'---|' * (1 + len(heads))}")
        for conv, depth in networks:  # of one batch
            print_profile(Network(options, conv, depth, options.batch))
        return
    if options.memory:
        for batch in batches:
            print(f"\n| batch {batch}, {where}, width {options.width} | | training, images/s | ratio | peak memory, MB | ratio |\n"
                  "|---|---|---|---|---|---|", flush=True)
            for conv, depth in networks:
                print_memory(Network(options, conv, depth, batch))
        return
    if options.peer_only:
        variants = options.variants.split(",")
        for batch in batches:
            heads = [f"{mode}, {variant}" for mode in ("training", "evaluation") for variant in variants]
            print(f"\n| batch {batch}, {where}, width {options.width} | {' | '.join(heads)} |\n"
                  f"|{'---|' * (1 + len(heads))}")
            for conv, depth in networks:
                print_peers(Network(options, conv, depth, batch))
        return
    print("| logits of 1024 pictures | largest | apart as timed | as certified |\n|---|---|---|---|")
    for conv, depth in networks:
        network = Network(options, conv, depth, 0)
        try:
            found = network.outputs()
        except subprocess.CalledProcessError as error:  # a Python without safetensors, say
            print(f"| {network.name} | not compared: {reason(error)} | | |", flush=True)
            continue
        print(f"| {network.name} | {found['largest']:.2f} | {found['timed']:.1e} | {found['certified']:.1e} |", flush=True)
    for batch in batches:
        print(f"\n| batch {batch}, {where}, width {options.width} | | training, images/s | ratio | share | "
              "evaluation, images/s | ratio | share | peak memory, MB | ratio |\n|---|---|---|---|---|---|---|---|---|---|")
        for conv, depth in networks:
            print_network(Network(options, conv, depth, batch))


if __name__ == "__main__":
    main()
