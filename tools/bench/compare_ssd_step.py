#!/usr/bin/env python3
"""Compares a training step of SSD300-VGG16 in Trireme and in PyTorch, on this machine, in turns.

    bazel build //tools/bench:step
    tools/bench/compare_ssd_step.py --python=PYTHON_WITH_TORCH

PyTorch runs with each memory layout and each setting of its allocator; the fastest of them counts. Every round runs
all contestants once, so that what else the machine does meets all alike. The ratio is PyTorch's time over Trireme's:
above 1 Trireme is faster. Prints a line a run, then the ratio: median over the rounds, and the least and the most.
On a machine that others use too, --clock=processor compares the processor time of the process instead.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent

LAYOUTS = {"nchw": [], "channels_last": ["--channels-last"]}

# glibc returns each large tensor to the system and takes fresh pages for the next; the second setting keeps them,
# and asks for huge ones.
ALLOCATORS = {
    "default": {},
    "kept_huge_pages": {
        "MALLOC_TRIM_THRESHOLD_": "100000000000",
        "MALLOC_MMAP_MAX_": "0",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    },
}


def run(name, command, environment):
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{name} failed: {' '.join(map(str, command))}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"{name:32} {result['median']:8.3f} s a step, {result['processor']:.3f} s of processor", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trireme", default=HERE.parent.parent / "bazel-bin/tools/bench/step")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with torch and torchvision")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    parser.add_argument("--layouts", default=",".join(LAYOUTS))
    parser.add_argument("--allocators", default=",".join(ALLOCATORS))
    parser.add_argument("--out", help="a JSON file for every number")
    args = parser.parse_args()

    sizes = [f"--{name}={getattr(args, name)}" for name in ("threads", "batch", "warmup", "steps")]
    threads = {"OMP_NUM_THREADS": str(args.threads)}
    contestants = {"trireme": ([args.trireme, "--device=cpu", "--json"] + sizes, threads)}
    for layout in args.layouts.split(","):
        for allocator in args.allocators.split(","):
            command = [args.python, HERE / "torch_ssd_step.py"] + sizes + LAYOUTS[layout]
            contestants[f"torch {layout} {allocator}"] = (command, {**threads, **ALLOCATORS[allocator]})

    results = {name: [] for name in contestants}
    for number in range(args.rounds):
        print(f"round {number + 1} of {args.rounds}")
        for name, (command, environment) in contestants.items():
            results[name].append(run(name, command, environment))

    clock = {"wall": "median", "processor": "processor"}[args.clock]
    medians = {name: statistics.median(r[clock] for r in runs) for name, runs in results.items()}
    best = min((name for name in medians if name != "trireme"), key=medians.get)
    ratios = [torch[clock] / ours[clock] for torch, ours in zip(results[best], results["trireme"])]
    summary = {
        "best_torch": best,
        "version": results[best][0]["framework"],
        "medians": medians,
        "ratio": statistics.median(ratios),
        "ratio_least": min(ratios),
        "ratio_most": max(ratios),
    }
    print(json.dumps(summary, indent=2))
    if args.out:
        pathlib.Path(args.out).write_text(json.dumps({"summary": summary, "runs": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
