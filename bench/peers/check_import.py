"""Checks gsnet's import of every convolution of the public code: random networks made here, their state dicts given to
`gsnet import` and pictures to `gsnet predict`, logits compared.

usage: check_import.py [path of gsnet, default build/release/gsnet]
"""

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


def check(program, folder, conv, groups, paired, activation, blocks):
    net = LipConvNet(conv=conv, activation=activation, block_size=blocks, init_channels=8, groups=groups, paired=paired,
                     num_classes=10)
    net.train()
    with torch.no_grad():
        net(torch.randn(4, 3, 32, 32))  # moves the vectors of the power iteration
        net.eval()
        images = torch.randn(8, 3, 32, 32)
        expected = net(images)
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, folder / "state.safetensors",
              {"conv_layer": conv, "groups": str(groups), "paired": str(paired), "activation": activation})
    save_file({"input": images}, folder / "x.safetensors")
    for arguments in (("import", folder / "state.safetensors", "--out", folder / "model.safetensors"),
                      ("predict", folder / "model.safetensors", "--input", folder / "x.safetensors", "--output",
                       folder / "y.safetensors")):
        subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)
    return (load_file(folder / "y.safetensors")["logits"] - expected).abs().max().item()


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "build/release/gsnet"
    torch.manual_seed(0)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for network in NETWORKS:
            difference = check(program, Path(folder), *network)
            good = difference <= 1e-4  # false for NaN too
            failed += not good
            print(f"{network[0]} {network[1]}: max difference {difference:.3g}{'' if good else '  FAILED'}")
    if failed:
        sys.exit(f"{failed} of {len(NETWORKS)} failed")


if __name__ == "__main__":
    main()
