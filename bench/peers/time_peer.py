"""Times lipconvnet.py on the CPU, or on a GPU: images a second in training or evaluation, and memory.

A training step is forward, cross-entropy, backward, SGD (momentum 0.9, weight decay 5e-4).
Each batch size runs in a process of its own, so that peak memory is its own. Start it with
run.sh, which preloads the allocator that suits PyTorch best.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

from lipconvnet import SOC, LipConvNet

CONVS = {  # name: convolution, groups, activation
    "soc": ("soc", 1, "minmax"),
    "gs4": ("permuted_soc", 4, "minmax_permuted"),
    "gs41": ("gs_soc_accelerated", (4, 1), "minmax_permuted"),
    "gs44": ("gs_soc_accelerated", (4, 4), "minmax_permuted"),
}


def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--depth", type=int, default=5, help="layers: 5, 10, 15, ... (default 5)")
    p.add_argument("--conv", choices=CONVS, default="gs4")
    p.add_argument("--width", type=int, default=32)
    p.add_argument("--classes", type=int, default=100)
    p.add_argument("--batch", type=int, nargs="+", default=[128])
    p.add_argument("--mode", choices=["train", "eval"], default="train")
    p.add_argument("--variant", choices=["eager", "compiled", "channels_last", "bf16"], default="eager")
    p.add_argument("--device", default="cpu", help="cpu or cuda; single precision is single precision, no TF32")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--seconds", type=float, default=10, help="length of a window of steps")
    p.add_argument("--repeats", type=int, default=3, help="windows; the best median counts")
    p.add_argument("--json", action="store_true", help="one JSON object a line")
    args = p.parse_args()
    if args.depth < 5 or args.depth % 5:
        p.error("--depth has to be a multiple of 5")
    return args


def allocator():
    with open("/proc/self/maps") as f:
        found = re.search(r"/lib((?:tcmalloc|jemalloc|mimalloc)[^/\s]*)", f.read())
    return found.group(1) if found else "default"


def matmul_rate(size=2048, seconds=1.5):
    """Best GF/s of f32 matrix products: what this machine gives at this moment."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.matmul(a, b)
        best = max(best, 2 * size**3 / (time.perf_counter() - start) / 1e9)
    return best


def make_step(args, batch):
    conv, groups, activation = CONVS[args.conv]
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    net = LipConvNet(conv, activation, args.depth // 5, args.width, groups,
                     paired=True, num_classes=args.classes).to(args.device)
    images = torch.randn(batch, 3, 32, 32, device=args.device)
    labels = torch.randint(args.classes, (batch,), device=args.device)
    net.train(args.mode == "train")
    call = net
    if args.variant == "channels_last":
        images = images.contiguous(memory_format=torch.channels_last)
    for module in net.modules():
        if isinstance(module, SOC):
            module.channels_last = args.variant == "channels_last"
            module.steady = args.variant == "compiled"
    if args.variant == "compiled":
        call = torch.compile(net)

    def forward():
        with torch.autocast(args.device, torch.bfloat16, enabled=args.variant == "bf16"):
            return call(images)

    if args.mode == "eval":
        return torch.no_grad()(forward)

    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

    def step():
        loss = F.cross_entropy(forward().float(), labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()

    return step


def wait(args):
    if args.device != "cpu":
        torch.cuda.synchronize()


def window(args, step, seconds):
    """Seconds of each step, and how much of the wanted processors this process got."""
    times, cpu, start = [], time.process_time(), time.perf_counter()
    while len(times) < 5 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        step()
        wait(args)
        times.append(time.perf_counter() - begin)
    share = (time.process_time() - cpu) / (time.perf_counter() - start) / torch.get_num_threads()
    return times, share


def measure(args, batch):
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    begin = time.perf_counter()
    step = make_step(args, batch)
    for _ in range(3):
        step()
    wait(args)
    warm_up = time.perf_counter() - begin
    medians, shares, steps, rate, rss = [], [], 0, 0.0, 0
    for _ in range(args.repeats):
        times, share = window(args, step, args.seconds)
        medians.append(batch / statistics.median(times))
        shares.append(share)
        steps += len(times)
        if not rss:  # before matmul_rate adds its own
            rss = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * 1e-6)
        rate = max(rate, matmul_rate())
    return {
        "conv": args.conv, "depth": args.depth, "width": args.width, "batch": batch,
        "mode": args.mode, "variant": args.variant,
        "activation": CONVS[args.conv][2],
        "threads": args.threads,
        "images_per_s": round(max(medians), 1),
        "medians": [round(m, 1) for m in medians],
        "cpu_share": [round(s, 2) for s in shares],
        "steps": steps, "warm_up_s": round(warm_up, 1), "peak_rss_mb": rss,
        "matmul_gflops": round(rate, 1), "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if args.device != "cpu" else "cpu",
        "peak_device_mb": round(torch.cuda.max_memory_allocated() * 1e-6) if args.device != "cpu" else 0,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(), "allocator": allocator(),
    }


def main():
    args = arguments()
    if len(args.batch) > 1:
        for batch in args.batch:
            subprocess.run([sys.executable, *sys.argv, "--batch", str(batch)], check=True)
        return
    result = measure(args, args.batch[0])
    if args.json:
        print(json.dumps(result), flush=True)
        return
    print("{conv} depth {depth} width {width} batch {batch} {mode} {variant}: {images_per_s} images/s"
          " (medians {medians}, processor share {cpu_share}), peak RSS {peak_rss_mb} MB,"
          " matmul {matmul_gflops} GF/s, {threads} threads, torch {torch} {cpu_capability},"
          " allocator {allocator}".format(**result), flush=True)


if __name__ == "__main__":
    main()
