#!/usr/bin/env python3
"""Checks the include arrows: core <- backend <- autograd <- layers <- adapters <- {io, certify, train <- faces} <- apps.

data sees only core; train also sees data/dataset.h; a machine never sees another; vendor headers stay in their folders.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PRIVATE = {"lib/io/json_text.h", "apps/recipe_section.h"}  # headers that are not installed may bring a template library
ABOVE = {
    "core": set(),
    "backend": {"core"},
    "autograd": {"core", "backend"},
    "layers": {"core", "backend", "autograd"},
    "adapters": {"core", "backend", "autograd", "layers"},
    "io": {"core", "backend", "autograd", "layers", "adapters"},
    "certify": {"core", "backend", "autograd", "layers"},
    "train": {"core", "backend", "autograd", "layers", "adapters"},
    "faces": {"core", "backend", "autograd", "layers", "train"},
    "data": {"core"},
    "apps": {"core", "backend", "autograd", "layers", "adapters", "io", "certify", "train", "faces", "data"},
}
VENDOR = {  # header pattern: where it may be included
    r"oneapi/|dnnl": ["lib/backend/cpu/"],
    r"cuda|cudnn|cublas": ["lib/backend/cuda/"],
    r"opencv2/": ["data/opencv/"],
    r"boost/": ["apps/"],
    r"Eigen/": ["lib/"],
    r"nlohmann/": ["lib/io/", "lib/certify/", "apps/"],
    r"onnx/|google/": ["lib/io/onnx"],
    r"toml\+\+": ["apps/"],
}


def room(path):
    """(folder, machine) of a source file or an included header, relative to lib/ or the root."""
    parts = path.split("/")
    machine = parts[1] if parts[0] == "backend" and len(parts) > 2 else None
    return parts[0], machine


def check(path):
    relative = path.relative_to(ROOT).as_posix()
    own, machine = room(relative.removeprefix("lib/"))
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        quoted = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if quoted:
            target, other = room(quoted.group(1))
            if target == own:
                wrong = other and other != machine and other not in ("host",) and relative != "lib/backend/select.cpp"
                wrong = wrong or (other == "host" and machine is None)
            else:
                wrong = target not in ABOVE.get(own, set()) and not (own == "train" and quoted.group(1) == "data/dataset.h")
                wrong = wrong or (other is not None)
            if wrong:
                yield f"{relative}:{number}: {own} may not include {quoted.group(1)}"
        angled = re.match(r"\s*#\s*include\s*<([^>]+)>", line)
        if angled:
            for pattern, places in VENDOR.items():
                if re.match(pattern, angled.group(1)) and not any(relative.startswith(place) for place in places):
                    yield f"{relative}:{number}: <{angled.group(1)}> belongs to {', '.join(places)}"
            if relative.endswith(".h") and relative not in PRIVATE and re.match(r"Eigen/|fmt/|nlohmann/", angled.group(1)):
                yield f"{relative}:{number}: <{angled.group(1)}> in a header"


def main():
    files = [p for folder in ("lib", "data", "apps") for p in sorted((ROOT / folder).rglob("*")) if p.suffix in (".h", ".cpp", ".cu", ".cuh")]
    problems = [problem for path in files for problem in check(path)]
    print("\n".join(problems) if problems else f"include arrows: {len(files)} files in order")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
