#!/usr/bin/env python3
"""Compares training steps in Trireme with those in PyTorch, and in Darknet on CPU, on this machine, in turns.

    bazel build //tools/bench:step
    tools/bench/compare_step.py --python=PYTHON_WITH_TORCH [--models=faster_rcnn_r50_fpn,yolov3_tiny] [--peers=torch]

The models are those of step_models.py. PyTorch runs with each memory layout and each setting of its allocator; the
fastest of them counts. Darknet is that of Debian's packages (apt-get install darknet gcc); it has one thread, so it is
left out with --threads above 1. Every round runs all contestants once, so that what else the machine does meets all
alike. A ratio is the peer's time over Trireme's: above 1 Trireme is faster. Prints a line a run, then for each model
the ratios: median over the rounds, and the least and the most. On a machine that others use too, --clock=processor
compares the processor time of the process instead.
"""

import argparse
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

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

DARKNET_CFGS = pathlib.Path("/usr/share/darknet/cfg")
DARKNET_LIBRARY = "/usr/lib/darknet"


def run(name, command, environment):
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{name} failed: {' '.join(map(str, command))}\n{done.stderr}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    if not math.isfinite(result["loss"]):
        sys.exit(f"{name}: the loss is {result['loss']}, so its steps are no measure")
    print(f"{name:32} {result['median']:8.3f} s a step, {result['processor']:.3f} s of processor", flush=True)
    return result


def torch_contestants(model, sizes, environment, args):
    for layout in args.layouts.split(","):
        for allocator in args.allocators.split(","):
            command = [args.python, HERE / "torch_step.py", f"--model={model}"] + sizes + LAYOUTS[layout]
            yield f"torch {layout} {allocator}", (command, {**environment, **ALLOCATORS[allocator]})


def darknet_contestants(model, batch, environment, args, folder):
    """Compiled, with its cfg file, in `folder`."""
    spec = MODELS[model]
    if not spec.darknet or args.threads != 1:
        return
    if not (DARKNET_CFGS / spec.darknet).exists():
        sys.exit(f"{DARKNET_CFGS / spec.darknet} is not there: apt-get install darknet gcc, or --peers=torch")
    program, cfg = folder / "darknet_step", folder / spec.darknet
    link = [f"-L{DARKNET_LIBRARY}", "-ldarknet", "-lm", f"-Wl,-rpath,{DARKNET_LIBRARY}"]
    source = ["-O2", f"-I{DARKNET_LIBRARY}/include", HERE / "darknet_step.c"]
    subprocess.run(["gcc", *source, "-o", program, *link], check=True)
    text = (DARKNET_CFGS / spec.darknet).read_text()
    for field, value in (("batch", batch), ("subdivisions", 1), ("width", spec.size), ("height", spec.size)):
        text = re.sub(rf"(?m)^{field} *=.*", f"{field}={value}", text)
    cfg.write_text(text)
    yield "darknet", ([program, cfg, str(spec.objects), str(args.warmup), str(args.steps)], environment)


def contestants_of(model, args, folder):
    """(command, environment) by name: "trireme", and those of each peer, whose names begin with the peer's."""
    spec = MODELS[model]
    batch = args.batch or spec.batch
    sizes = [f"--{name}={getattr(args, name)}" for name in ("threads", "warmup", "steps")] + [f"--batch={batch}"]
    threads = {"OMP_NUM_THREADS": str(args.threads)}
    ours = [args.trireme, "--device=cpu", "--json", f"--model={spec.trireme}", f"--classes={spec.classes}",
            f"--objects={spec.objects}", f"--learning_rate={spec.learning_rate}"]
    contestants = {"trireme": (ours + sizes, threads)}
    peers = args.peers.split(",")
    if "torch" in peers:
        contestants.update(torch_contestants(model, sizes, threads, args))
    if "darknet" in peers:
        contestants.update(darknet_contestants(model, batch, threads, args, folder))
    return contestants


def ratios_to(peer, results, clock):
    """Of the peer's fastest contestant, round by round."""
    medians = {name: statistics.median(run[clock] for run in runs) for name, runs in results.items()}
    best = min((name for name in results if name.split()[0] == peer), key=medians.get)
    ratios = [theirs[clock] / ours[clock] for theirs, ours in zip(results[best], results["trireme"])]
    return {
        "best": best,
        "version": results[best][0]["framework"],
        "ratio": statistics.median(ratios),
        "ratio_least": min(ratios),
        "ratio_most": max(ratios),
    }


def compare(model, args):
    with tempfile.TemporaryDirectory() as folder:
        contestants = contestants_of(model, args, pathlib.Path(folder))
        results = {name: [] for name in contestants}
        for number in range(args.rounds):
            print(f"{model}, round {number + 1} of {args.rounds}")
            for name, (command, environment) in contestants.items():
                results[name].append(run(name, command, environment))

    for value in ("trained_values", "batch"):
        found = {name: runs[0][value] for name, runs in results.items()}
        if len(set(found.values())) > 1:
            sys.exit(f"{model}: {value} differ, so the steps are not the same: {found}")
    clock = {"wall": "median", "processor": "processor"}[args.clock]
    summary = {
        "model": model,
        "clock": args.clock,
        "medians": {name: statistics.median(run[clock] for run in runs) for name, runs in results.items()},
        "ratios": {peer: ratios_to(peer, results, clock) for peer in dict.fromkeys(n.split()[0] for n in results)
                   if peer != "trireme"},
    }
    print(json.dumps(summary, indent=2), flush=True)
    return {"summary": summary, "runs": results}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trireme", default=HERE.parent.parent / "bazel-bin/tools/bench/step")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with torch and torchvision")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--peers", default="torch,darknet", help="Darknet has some of the models only")
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
