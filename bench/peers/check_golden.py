"""Checks lipconvnet.py against golden files: whole networks and single series.

usage: check_golden.py [folder]   (default: $GSNET_SHARED/golden, else ../shared/golden beside
the project)
"""

import ast
import os
import sys
from pathlib import Path

import torch
from safetensors import safe_open

from lipconvnet import LipConvNet, exp_series


def default_folder():
    shared = os.environ.get("GSNET_SHARED")
    if not shared:
        shared = Path(__file__).resolve().parents[2] / ".." / "shared"
    return Path(shared) / "golden"


def load(path):
    with safe_open(path, framework="pt") as f:
        return {name: f.get_tensor(name) for name in f.keys()}, f.metadata()


def check_network(path):
    tensors, meta = load(path)
    images, expected = tensors.pop("input"), tensors.pop("logits")
    net = LipConvNet(conv=meta["conv_layer"], activation=meta["activation"],
                     block_size=int(meta["block_size"]), init_channels=int(meta["init_channels"]),
                     groups=ast.literal_eval(meta["groups"]), paired=meta["paired"] == "True",
                     num_classes=int(meta["num_classes"]))
    net.load_state_dict(tensors)  # strict: every name on both sides
    net.eval()
    with torch.no_grad():
        return (net(images) - expected).abs().max().item()


def check_series(path):
    tensors, meta = load(path)
    x = tensors["x"].requires_grad_()
    kernel = tensors["kernel"].requires_grad_()
    y = exp_series(x, kernel.flatten(0, 1), kernel.shape[0], int(meta["terms"]))
    y.backward(tensors["dy"])
    pairs = ((y, "y"), (x.grad, "dx"), (kernel.grad, "dkernel"))
    return max((got - tensors[name]).abs().max().item() for got, name in pairs)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default_folder()
    torch.manual_seed(0)
    count = failed = 0
    for pattern, check, limit in (("official_net_*.safetensors", check_network, 1e-4),
                                  ("conv_exp_*.safetensors", check_series, 1e-10)):
        for path in sorted(folder.glob(pattern)):
            difference = check(path)
            good = difference <= limit  # false for NaN too
            print(f"{path.name}: max difference {difference:.3g} (limit {limit:g})"
                  f"{'' if good else '  FAILED'}")
            count, failed = count + 1, failed + (not good)
    if count == 0:
        sys.exit(f"no golden files in {folder}")
    if failed:
        sys.exit(f"{failed} of {count} failed")


if __name__ == "__main__":
    main()
