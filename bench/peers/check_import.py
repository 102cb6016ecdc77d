"""Checks gsnet's import of every convolution of the public code: random networks made here, their state dicts given to
`gsnet import` and pictures to `gsnet predict`, logits compared.

usage: check_import.py [path of gsnet, default build/release/gsnet]
       check_import.py GSNET --conv gs4 --depth 5 --width 32     that network on 1024 pictures, as JSON: the largest logit,
                                                                 and how far off are those as gsnet times and certifies
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from lipconvnet import LipConvNet

NETWORKS = (  # conv, groups, paired, activation, blocks a level
    ("soc", 1, False, "minmax", 1),
    ("permuted_soc", 4, True, "minmax_permuted", 1),
    ("permuted_soc", 2, False, "minmax", 2),
    ("gs_soc_accelerated", (4, 1), True, "minmax_permuted", 1),
    ("gs_soc_accelerated", (4, 4), True, "minmax_permuted", 2),
    ("gs_soc", (4, 2), True, "minmax_permuted", 1),
    ("lpr_soc", (4, 4), False, "minmax", 1),
)


def run(program, *arguments):
    subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)


def imported(program, folder, network, width, count):
    """Imports a random network into `folder`; its logits of as many pictures, which are there too."""
    conv, groups, paired, activation, blocks = network
    net = LipConvNet(conv=conv, activation=activation, block_size=blocks, init_channels=width, groups=groups, paired=paired,
                     num_classes=10)
    net.train()
    with torch.no_grad():
        net(torch.randn(4, 3, 32, 32))  # moves the vectors of the power iteration
        net.eval()
        images = torch.randn(count, 3, 32, 32)
        expected = torch.cat([net(part) for part in images.split(64)])
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, folder / "state.safetensors",
              {"conv_layer": conv, "groups": str(groups), "paired": str(paired), "activation": activation})
    save_file({"input": images}, folder / "x.safetensors")
    run(program, "import", folder / "state.safetensors", "--out", folder / "model.safetensors")
    return expected


def apart(program, folder, expected, *options):
    """The largest difference of logits."""
    run(program, "predict", folder / "model.safetensors", "--input", folder / "x.safetensors", "--output",
        folder / "y.safetensors", *options)
    return (load_file(folder / "y.safetensors")["logits"] - expected).abs().max().item()


def check_all(program, folder):
    failed = 0
    for network in NETWORKS:
        difference = apart(program, folder, imported(program, folder, network, 8, 8))
        good = difference <= 1e-4  # false for NaN too
        failed += not good
        print(f"{network[0]} {network[1]}: max difference {difference:.3g}{'' if good else '  FAILED'}")
    if failed:
        sys.exit(f"{failed} of {len(NETWORKS)} failed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gsnet", nargs="?", default="build/release/gsnet")
    parser.add_argument("--conv", choices=("soc", "gs4", "gs41", "gs44"))
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--backend", default="cpu", help="gsnet's")
    options = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.conv is None:
            return check_all(options.gsnet, folder)
        from time_peer import CONVS
        conv, groups, activation = CONVS[options.conv]
        machine = ("--backend", options.backend)
        expected = imported(options.gsnet, folder, (conv, groups, True, activation, options.depth // 5), options.width, 1024)
        print(json.dumps({"largest": expected.abs().max().item(), "timed": apart(options.gsnet, folder, expected, "--fast", *machine),
                          "certified": apart(options.gsnet, folder, expected, *machine)}))


if __name__ == "__main__":
    main()
