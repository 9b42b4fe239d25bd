#!/usr/bin/env python3
"""Compares training steps in Trireme and in PyTorch, on this machine, in turns.

    bazel build //tools/bench:step
    tools/bench/compare_step.py --python=PYTHON_WITH_TORCH [--models=faster_rcnn_r50_fpn,retinanet_r50_fpn]

The models are those of step_models.py. PyTorch runs with each memory layout and each setting of its allocator; the
fastest of them counts. Every round runs all contestants once, so that what else the machine does meets all alike. The
ratio is PyTorch's time over Trireme's: above 1 Trireme is faster. Prints a line a run, then for each model the ratio:
median over the rounds, and the least and the most. On a machine that others use too, --clock=processor compares the
processor time of the process instead.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

from step_models import MODELS

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
    if not math.isfinite(result["loss"]):
        sys.exit(f"{name}: the loss is {result['loss']}, so its steps are no measure")
    print(f"{name:32} {result['median']:8.3f} s a step, {result['processor']:.3f} s of processor", flush=True)
    return result


def contestants_of(model, args):
    spec = MODELS[model]
    sizes = [f"--{name}={getattr(args, name)}" for name in ("threads", "warmup", "steps")]
    sizes.append(f"--batch={args.batch or spec.batch}")
    threads = {"OMP_NUM_THREADS": str(args.threads)}
    ours = [args.trireme, "--device=cpu", "--json", f"--model={spec.trireme}", f"--classes={spec.classes}",
            f"--objects={spec.objects}", f"--learning_rate={spec.learning_rate}"]
    contestants = {"trireme": (ours + sizes, threads)}
    for layout in args.layouts.split(","):
        for allocator in args.allocators.split(","):
            command = [args.python, HERE / "torch_step.py", f"--model={model}"] + sizes + LAYOUTS[layout]
            contestants[f"torch {layout} {allocator}"] = (command, {**threads, **ALLOCATORS[allocator]})
    return contestants


def compare(model, args):
    contestants = contestants_of(model, args)
    results = {name: [] for name in contestants}
    for number in range(args.rounds):
        print(f"{model}, round {number + 1} of {args.rounds}")
        for name, (command, environment) in contestants.items():
            results[name].append(run(name, command, environment))

    trained = {name: runs[0]["trained_values"] for name, runs in results.items()}
    if len(set(trained.values())) > 1:
        sys.exit(f"{model}: the two train different numbers of values: {trained}")
    clock = {"wall": "median", "processor": "processor"}[args.clock]
    medians = {name: statistics.median(r[clock] for r in runs) for name, runs in results.items()}
    best = min((name for name in medians if name != "trireme"), key=medians.get)
    ratios = [torch[clock] / ours[clock] for torch, ours in zip(results[best], results["trireme"])]
    summary = {
        "model": model,
        "clock": args.clock,
        "best_torch": best,
        "version": results[best][0]["framework"],
        "medians": medians,
        "ratio": statistics.median(ratios),
        "ratio_least": min(ratios),
        "ratio_most": max(ratios),
    }
    print(json.dumps(summary, indent=2), flush=True)
    return {"summary": summary, "runs": results}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trireme", default=HERE.parent.parent / "bazel-bin/tools/bench/step")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with torch and torchvision")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, help="left out: each model's own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    parser.add_argument("--layouts", default=",".join(LAYOUTS))
    parser.add_argument("--allocators", default=",".join(ALLOCATORS))
    parser.add_argument("--out", help="a JSON file for every number")
    args = parser.parse_args()

    compared = [compare(model, args) for model in args.models.split(",")]
    if args.out:
        pathlib.Path(args.out).write_text(json.dumps(compared, indent=2) + "\n")


if __name__ == "__main__":
    main()
