#!/usr/bin/env python3
"""Adapters against PEFT: what it writes, gsnet merges to the same weights; what gsnet writes, it merges to the same.

usage: peft_parity.py GSNET. Exit code 77 when torch, peft or safetensors is missing. Networks and numbers are random.
"""
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy as np
    import peft
    import torch
    from peft import BOFTConfig, LoraConfig, OFTConfig, PeftModel, get_peft_model
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file
    from torch import nn
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
GSNET = sys.argv[1]
TOLERANCE = 1e-5
FAILED = []


class Small(nn.Module):
    """Strides and padding, a pointwise convolution, a linear head; grouped and dilated layers on demand."""

    def __init__(self, groups=1, dilation=1):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.block = nn.Sequential(nn.Conv2d(8, 12, 1, bias=False), nn.Conv2d(12, 8, 3, padding=1, groups=groups, dilation=dilation))
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        x = self.norm(self.block(torch.relu(self.stem(x))))
        return self.fc(x.mean((2, 3)))


def network(groups=1, dilation=1):
    conv = lambda name, channels, kernel, **more: {"name": name, "type": "conv2d", "attributes": {"channels": channels, "kernel": kernel, **more}}
    return {"input": [3, 16, 16], "nodes": [
        conv("stem", 8, 3, stride=2, padding=1),
        {"name": "act", "type": "relu"},
        conv("block.0", 12, 1, bias=False),
        conv("block.1", 8, 3, padding=1, groups=groups, dilation=dilation),
        {"name": "norm", "type": "batch_norm"},
        {"name": "pool", "type": "pool", "attributes": {"global": True}},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "attributes": {"features": 3}}]}


def gsnet(*arguments, fails=False):
    done = subprocess.run([GSNET, *map(str, arguments)], capture_output=True, text=True)
    if (done.returncode != 0) != fails:
        raise RuntimeError(f"gsnet {' '.join(map(str, arguments[:2]))}: {done.returncode} {done.stderr.strip()}")
    return done.stdout + done.stderr


def made_base(folder, **settings):
    """A torch network of random weights, and the same as a model file."""
    torch.manual_seed(1)
    base = Small(**settings).eval()
    with torch.no_grad():
        base.norm.running_mean.normal_()
        base.norm.weight.uniform_(0.5, 1.5)
    save_file({k: v.numpy() for k, v in base.state_dict().items()}, folder / "state.safetensors")
    (folder / "network.json").write_text(json.dumps(network(**settings)))
    gsnet("import", folder / "state.safetensors", "--network", folder / "network.json", "--mean", "0", "--stddev", "1", "--out", folder / "base")
    return base.state_dict()


def fresh(state, **settings):
    model = Small(**settings).eval()
    model.load_state_dict(state)
    return model


def compare(name, ours, theirs):
    """Model files against state dicts; returns the largest difference."""
    worst, where = 0.0, ""
    for key, value in theirs.items():
        if key.endswith("num_batches_tracked"):
            continue
        off = float(np.abs(ours[key] - value.detach().numpy()).max()) if key in ours else math.inf
        if not off <= worst:
            worst, where = off, key
    ok = worst <= TOLERANCE
    if not ok:
        FAILED.append(name)
    print(f"{'ok ' if ok else 'BAD'} {name:<58} {worst:.1e} {where}")


def disturb(model, size):
    """Random numbers in all of an adapter's tensors, and in whatever else is trained."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "magnitude" in name or "boft_s" in name:
                p.mul_(1 + 0.2 * torch.randn_like(p))
            elif any(part in name for part in ("lora_", "oft_R", "boft_R")) or "modules_to_save" in name or (p.requires_grad and name.endswith("bias")):
                p.add_(size * torch.randn_like(p))


def theirs_to_ours(name, state, folder, config, size=0.2, settings=None, dtype=None):
    model = get_peft_model(fresh(state, **(settings or {})), config)
    torch.manual_seed(3)
    disturb(model, size)
    if dtype:
        for n, p in model.named_parameters():
            if "lora_" in n:
                p.data = p.data.to(dtype)
    model.save_pretrained(folder / "adapter")
    gsnet("merge", folder / "base", folder / "adapter", "--out", folder / "merged", "--backend", "reference")
    moved = float(max((v - state[k]).abs().max() for k, v in model.merge_and_unload().state_dict().items() if k in state))
    compare(f"PEFT's {name}", load_file(folder / "merged"), model.base_model.model.state_dict())
    if moved < 1e-3:
        FAILED.append(f"{name}: it changes nothing")
    gsnet("adapter", "import", folder / "base", folder / "adapter", "--out", folder / "ours")
    gsnet("merge", folder / "base", folder / "ours", "--out", folder / "again")
    again, first = load_file(folder / "again"), load_file(folder / "merged")
    if max(np.abs(again[k] - first[k]).max() for k in first) > TOLERANCE:
        FAILED.append(f"{name}: the imported file merges to something else")


def adapter_file(path, state, settings, layers, seed=5, size=0.3):
    """An adapter of ours with random numbers: lib/io/adapter_file.h."""
    random, tensors = np.random.default_rng(seed), {}
    kind = settings["kind"]
    for layer in layers:
        w = state[f"{layer}.weight"].numpy()
        outputs, inputs, taps = w.shape[0], w.shape[1], int(np.prod(w.shape[2:]))
        put = lambda name, x: tensors.__setitem__(f"adapter.{layer}.{name}", x.astype(np.float32))
        if kind in ("lora", "dora"):
            r = settings["rank"]
            put("lora_A", size * random.normal(size=(r, *w.shape[1:])))
            put("lora_B", size * random.normal(size=(outputs, r, *([1, 1] if taps > 1 or w.ndim == 4 else []))))
            if kind == "dora":
                put("lora_magnitude_vector", 1 + random.random(outputs))
            continue
        n = inputs * (taps if settings["form"] == "kernel" else 1)
        fitting = lambda n: next(b for b in range(min(n, settings["block"]), 1, -1) if n % b == 0)
        for i in range(1 if kind == "oft" else settings["factors"]):
            b = fitting(n)
            put(f"in.{i}", size * random.normal(size=(1 if settings.get("share") else n // b, b * (b - 1) // 2)))
            if kind == "double_gsoft":
                b = fitting(outputs)
                put(f"out.{i}", size * random.normal(size=(outputs // b, b * (b - 1) // 2)))
        if settings["scale"]:
            put("scale", 1 + 0.2 * random.normal(size=outputs))
    config = {"adapters": [{"settings": settings, "layers": layers}], "base": "", "provenance": {}}
    save_file(tensors, path, metadata={"gsnet.adapter": "1", "gsnet.adapter.config": json.dumps(config)})


def ours_to_theirs(name, state, folder, settings, layers, convert=()):
    adapter_file(folder / "own", state, settings, layers)
    gsnet("merge", folder / "base", folder / "own", "--out", folder / "merged", "--backend", "reference")
    gsnet("adapter", "export", folder / "base", folder / "own", "--peft", folder / "exported", "--backend", "reference", *convert)
    model = PeftModel.from_pretrained(fresh(state), str(folder / "exported"))
    targeted = sorted({n.rsplit(".", 1)[0].removeprefix("base_model.model.") for n, m in model.named_modules() if n.endswith((".lora_A", ".oft_R", ".boft_R"))})
    if targeted != sorted(layers):
        FAILED.append(f"{name}: PEFT adapts {targeted}")
    compare(f"our {name}", load_file(folder / "merged"), model.merge_and_unload().state_dict())


ALL = ["stem", "block.0", "block.1", "fc"]


def read_theirs(state, folder):
    lora = lambda **more: LoraConfig(**{"r": 2, "lora_alpha": 3, "target_modules": ALL, **more})
    oft = lambda **more: OFTConfig(**{"oft_block_size": 4, "target_modules": ALL, "use_cayley_neumann": False, **more})
    boft = lambda **more: BOFTConfig(**{"boft_block_size": 4, "target_modules": ["block.0", "block.1", "fc"], **more})
    cases = {
        "LoRA": lora(),
        "LoRA, more rows than outputs": lora(r=5),
        "LoRA, patterns": lora(rank_pattern={"^stem": 3, "block.*1": 4}, alpha_pattern={"0": 7, "fc": 1.5}),
        "rsLoRA": lora(use_rslora=True, r=3, rank_pattern={"fc": 2}),
        "LoRA of biases": lora(lora_bias=True, target_modules=["stem", "block.1", "fc"]),
        "LoRA and biases": lora(bias="lora_only"),
        "LoRA and all biases": lora(bias="all"),
        "LoRA and whole layers": lora(target_modules=["stem", "block.1"], modules_to_save=["fc", "norm"]),
        "DoRA": lora(use_dora=True),
        "OFT": oft(),
        "OFT by number of blocks": oft(r=2, oft_block_size=0, target_modules=["block.0", "block.1", "fc"]),
        "OFT, a block that does not divide": oft(oft_block_size=5),
        "OFT, shared": oft(block_share=True),
        "COFT": oft(coft=True, eps=0.3),
        "COFT, shared, Cayley-Neumann": oft(coft=True, eps=0.2, block_share=True, use_cayley_neumann=True),
        "BOFT": boft(),
        "BOFT of two factors": boft(boft_n_butterfly_factor=2, target_modules=["block.0", "fc"]),
    }
    for terms in range(1, 9):
        cases[f"OFT, Cayley-Neumann of {terms} terms"] = oft(use_cayley_neumann=True, num_cayley_neumann_terms=terms)
    for name, config in cases.items():
        still = name.endswith(" 1 terms")
        try:
            theirs_to_ours(name, state, folder, config)
        except Exception as error:  # one case must not hide the others
            FAILED.append(f"{name}: {error}")
        if still:  # one term is the identity
            FAILED[:] = [one for one in FAILED if one != f"{name}: it changes nothing"]


def write_ours(state, folder):
    turn = lambda kind, **more: {"kind": kind, "form": "channel", "map": "cayley", "block": 4, "scale": False, **({} if kind == "oft" else {"factors": 2}), **more}
    oft = ("--as", "oft")
    cases = [
        ("LoRA", {"kind": "lora", "rank": 3, "alpha": 5.0}, ["stem", "block.0", "fc"], ()),
        ("LoRA, rank-stabilised", {"kind": "lora", "rank": 2, "alpha": 5.0, "rank_stabilised": True}, ALL, ()),
        ("DoRA", {"kind": "dora", "rank": 2, "alpha": 2.0}, ALL, ()),
        ("OFT of channels", turn("oft", block=4), ["block.0", "fc"], ()),
        ("OFT of channels, 3 x 3", turn("oft", block=4), ["block.1"], ()),
        ("OFT of kernels", turn("oft", form="kernel"), ["block.0", "block.1", "fc"], ()),
        ("OFT of kernels, other blocks", turn("oft", form="kernel", block=3), ["stem", "block.1"], ()),
        ("OFT, shared", turn("oft", form="kernel", share=True), ["block.0", "fc"], ()),
        ("COFT", turn("oft", form="kernel", constraint=0.3), ["block.0", "fc"], ()),
        ("OFT by the exponential", turn("oft", form="kernel", map="exp"), ["block.0", "fc"], ()),
        ("OFT by a polynomial", turn("oft", form="kernel", map="neumann", terms=6), ["block.0", "fc"], ()),
        ("OFT with a scale", turn("oft", form="kernel", scale=True), ["block.0", "fc"], ()),
        ("BOFT of one factor", turn("boft", form="kernel", factors=1, scale=True), ["block.0", "block.1", "fc"], ()),
        ("GSOFT as OFT", turn("gsoft"), ["block.0", "fc"], oft),
        ("GSOFT as OFT, 3 x 3 too", turn("gsoft", block=3), ALL, oft),
        ("GSOFT with a scale as OFT", turn("gsoft", scale=True, map="exp"), ["block.0", "fc"], oft),
        ("BOFT of two factors as OFT", turn("boft", block=2), ["block.0", "fc"], oft),
        ("Double GSOFT as LoRA", turn("double_gsoft", scale=True), ["block.0", "block.1"], ("--as", "lora:64")),
        ("GSOFT as LoRA", turn("gsoft"), ["block.0", "fc"], ("--as", "lora:64")),
        ("DoRA as LoRA", {"kind": "dora", "rank": 2, "alpha": 2.0}, ALL, ("--as", "lora:64")),
    ]
    for name, settings, layers, convert in cases:
        try:
            ours_to_theirs(name, state, folder, settings, layers, convert)
        except Exception as error:
            FAILED.append(f"{name}: {error}")


def butterflies(state, folder):
    """BOFT of several factors by PEFT's own code, its CUDA kernel (blocks to a diagonal) in the place of which is torch's."""
    from peft.tuners.boft import layer

    class BlockDiagonal:
        @staticmethod
        def apply(factors):
            return torch.stack([torch.block_diag(*blocks) for blocks in factors])

    kept = layer.get_fbd_cuda
    layer.get_fbd_cuda, layer.FastBlockDiag = lambda: True, BlockDiagonal
    try:
        for factors, block, layers in ((2, 4, ["block.0", "fc"]), (3, 2, ["block.0", "fc"]), (2, 2, ["block.0", "block.1", "fc"])):
            config = BOFTConfig(boft_block_size=block, boft_n_butterfly_factor=factors, target_modules=layers)
            theirs_to_ours(f"BOFT of {factors} factors by blocks of {block}", state, folder, config)
            settings = {"kind": "boft", "form": "kernel", "map": "cayley", "block": block, "factors": factors, "scale": True}
            ours_to_theirs(f"BOFT of {factors} factors by blocks of {block}", state, folder, settings, layers)
        settings = {"kind": "boft", "form": "channel", "map": "exp", "block": 2, "factors": 2, "scale": False}
        ours_to_theirs("BOFT of 2 factors on channels, 3 x 3", state, folder, settings, ["block.1"])
    finally:
        layer.get_fbd_cuda = kept


def where_peft_differs(state, folder):
    """What docs/adapters.md says of PEFT, shown; nothing of this is gsnet's."""
    x = torch.randn(1, 3, 16, 16)
    model = get_peft_model(fresh(state), OFTConfig(oft_block_size=9, target_modules=["block.1"])).eval()
    off = float((model(x) - fresh(state)(x)).abs().max())
    print(f"note: PEFT's fresh OFT on a 3 x 3 convolution moves the output by {off:.1e} unmerged, {float((model.merge_and_unload()(x) - fresh(state)(x)).abs().max()):.1e} merged")
    model = get_peft_model(fresh(state), BOFTConfig(boft_block_size=2, boft_n_butterfly_factor=2, target_modules=["fc"]))
    factors = next(p for n, p in model.named_parameters() if "boft_R" in n).shape[0]
    print(f"note: PEFT's BOFT of 2 factors has {factors} on this machine, its config says {model.peft_config['default'].boft_n_butterfly_factor}")

    dilated = made_base(folder, dilation=2)
    theirs_to_ours("LoRA on a dilated convolution (merged)", dilated, folder, LoraConfig(r=2, target_modules=["block.1"]), settings={"dilation": 2})
    grouped = made_base(folder, groups=2)
    model = get_peft_model(fresh(grouped, groups=2), LoraConfig(r=2, target_modules=["block.1"]))
    model.save_pretrained(folder / "grouped")
    try:
        model.merge_and_unload()
        print("note: PEFT merges LoRA on grouped convolutions now")
    except NotImplementedError:
        print("note: PEFT cannot merge a LoRA on a grouped convolution")
    if "2 groups" not in gsnet("merge", folder / "base", folder / "grouped", "--out", folder / "merged", fails=True):
        FAILED.append("a LoRA on a grouped convolution is not refused by name")


def main():
    print(f"PEFT {peft.__version__}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        state = made_base(folder)
        read_theirs(state, folder)
        write_ours(state, folder)
        where_peft_differs(state, folder)
        butterflies(made_base(folder), folder)
    for failure in FAILED:
        print(f"FAILED {failure}")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
