#!/usr/bin/env python3
"""Times a training step of ResNet-20 under PEFT's adapters, on random pictures: one JSON line an adapter.

    bench/peers/time_peft.py [--batch 64] [--threads 2] [--rounds 5] lora:r=2 oft:oft_block_size=8 boft:boft_block_size=8

A setting is one of PEFT's configuration; layers it refuses are said. Needs peft and torch.
"""
import argparse
import json
import time
import warnings

import peft
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.stride, self.more = stride, (outputs - inputs) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        short = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        return F.relu(y + short)


class ResNet20(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [16] * 4 + [32] * 3 + [64] * 3
        self.blocks = nn.Sequential(*(Block(a, b, 2 if b > a else 1) for a, b in zip(widths, widths[1:])))
        self.linear = nn.Linear(64, classes)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        return self.linear(x.mean((2, 3)))


CONFIGS = {"lora": peft.LoraConfig, "dora": peft.LoraConfig, "oft": peft.OFTConfig, "boft": peft.BOFTConfig}


def value(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False}.get(text, text)


def contestant(text):
    torch.manual_seed(0)
    net = ResNet20()
    kind, _, settings = text.partition(":")
    if kind != "full":
        options = dict(part.split("=") for part in settings.split(",") if part)
        options = {key: value(one) for key, one in options.items()}
        if kind == "dora":
            options["use_dora"] = True
        targets = [name for name, module in net.named_modules()
                   if isinstance(module, (nn.Conv2d, nn.Linear)) and name != "conv1"]
        net = peft.get_peft_model(net, CONFIGS[kind](target_modules=targets, **options))
    net.train()
    for module in net.modules():  # frozen statistics, as a fine-tuning has them
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    trained = [p for p in net.parameters() if p.requires_grad]
    return net, torch.optim.AdamW(trained, lr=1e-4), sum(p.numel() for p in trained)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapters", nargs="+")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    images, labels = torch.randn(options.batch, 3, 32, 32), torch.randint(10, (options.batch,))
    entered = {}
    for text in options.adapters:
        try:
            entered[text] = contestant(text)
        except Exception as problem:  # what PEFT refuses is part of the result
            print(json.dumps({"adapter": text, "error": f"{type(problem).__name__}: {problem}"}), flush=True)
    least = dict.fromkeys(entered, float("inf"))
    for turn in range(options.rounds + 2):
        for text in list(entered):
            net, optimiser, _ = entered[text]
            begin = time.perf_counter()
            try:
                F.cross_entropy(net(images), labels).backward()
            except Exception as problem:
                print(json.dumps({"adapter": text, "error": f"{type(problem).__name__}: {problem}"}), flush=True)
                del entered[text], least[text]
                continue
            optimiser.step()
            optimiser.zero_grad()
            if turn >= 2:
                least[text] = min(least[text], time.perf_counter() - begin)
    for text, seconds in least.items():
        print(json.dumps({"adapter": text, "trained": entered[text][2], "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
