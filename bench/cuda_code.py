#!/usr/bin/env python3
"""What nvcc makes of the kernels: registers, bytes of the stack, and their busiest loop's instructions. Needs no GPU.

    bench/cuda_code.py build/cuda-dev/lib/CMakeFiles/gsnet.dir/backend/cuda/series_fused.cu.o [--cuobjdump PROGRAM]

The busiest loop is the innermost one with the most multiply-adds (FFMA: 32 of them, HMMA: on tensor cores). Beside them the
loads of shared memory (LDS, LDSM), those of device memory (LDG) and those that may be either (LD), in instructions of a warp.
"""
import argparse
import re
import subprocess
import sys

INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,5})\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9_.]+)\s*([^;]*);")
KINDS = {"FFMA": r"FFMA", "HMMA": r"HMMA", "LDS": r"LDSM?\b", "LDG": r"LDG\b", "LD": r"LD\b"}


def output(*command):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        sys.exit(f"cuda_code.py: there is no {command[0]} (it comes with the CUDA toolkit; --cuobjdump says where)")
    except subprocess.CalledProcessError as error:
        sys.exit(f"cuda_code.py: {' '.join(command)}: {error.stderr.strip()}")


def functions(program, file):
    """name: instructions as (address, operation, operands)"""
    for part in re.split(r"\n\s*Function : ", output(program, "-sass", file))[1:]:
        yield part.split("\n", 1)[0].strip(), [(int(a, 16), b, c) for a, b, c in INSTRUCTION.findall(part)]


def resources(program, file):
    found = re.findall(r"Function (\S+):\s+REG:(\d+) STACK:(\d+)", output(program, "-res-usage", file))
    return {name: (int(registers), int(stack)) for name, registers, stack in found}


def count(instructions, pattern):
    return sum(bool(re.match(pattern, operation)) for _, operation, _ in instructions)


def busiest_loop(instructions):
    loops = []
    for address, operation, operands in instructions:
        target = re.search(r"0x([0-9a-f]+)", operands)
        if operation.startswith("BRA") and target and int(target.group(1), 16) < address:
            loops.append([i for i in instructions if int(target.group(1), 16) <= i[0] <= address])
    innermost = [a for a in loops if not any(b is not a and a[0][0] <= b[0][0] and b[-1][0] <= a[-1][0] for b in loops)]
    return max(innermost, key=lambda loop: count(loop, "FFMA|HMMA"), default=[])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--cuobjdump", default="cuobjdump")
    options = parser.parse_args()
    used = resources(options.cuobjdump, options.file)
    print(f"| kernel | registers | stack | loop | {' | '.join(KINDS)} |\n|{'---|' * (4 + len(KINDS))}")
    for name, instructions in functions(options.cuobjdump, options.file):
        loop = busiest_loop(instructions)
        if not count(loop, "FFMA|HMMA"):
            continue
        plain = output("c++filt", name).strip()
        kernel = re.search(r"(\w+Work<.*?>) ?>\(", plain.replace("gsnet::cuda::", "").replace("(anonymous namespace)::", ""))
        title = kernel.group(1) if kernel else plain
        cells = [str(count(loop, pattern)) for pattern in KINDS.values()]
        print(f"| {title} | {used[name][0]} | {used[name][1]} | {len(loop)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
