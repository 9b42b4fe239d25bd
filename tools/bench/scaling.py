#!/usr/bin/env python3
"""Measures what a second worker is worth: two workers of one thread each against one of one thread, on one config.

    bazel build //tools:train
    tools/bench/scaling.py --rounds=5 --steps=6

Both share the same global batch. Rounds alternate, and each ratio is of two runs that follow one another. Prints
images/s, the speed-up, the share of a step in which a worker does nothing but wait for the other, bytes sent against
the least an all-reduce sends, and the processor time of a step (all threads): where others use the machine, twice the
ratio of processor times says what the speed-up would be if no worker ever waited.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid):
    # After the command's name, which may hold spaces: state is the first, utime and stime the 12th and 13th.
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def events_of(path):
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def run(args, workers, strategy, more):
    """One run of train; a dictionary of what its steps after the warm-up come to."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        command = [args.train, f"--config={args.config}", f"--out={out}", f"--workers={workers}",
                   f"--steps={args.warmup + args.steps}", "--set", f"strategy={{[strategy/{strategy}] {{}}}}",
                   "--set", f"global_batch_size={args.batch}", *more]
        with open(pathlib.Path(folder) / "log", "w+") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            processor = {}  # by steps done
            while process.poll() is None:
                steps = sum(event["event"] == "step" for event in events_of(out / "metrics.jsonl"))
                if steps not in processor:
                    processor[steps] = processor_seconds(process.pid)
                time.sleep(0.01)
            if process.returncode != 0:
                log.seek(0)
                sys.exit(f"{' '.join(map(str, command))} failed:\n{log.read()}")
        events = events_of(out / "metrics.jsonl")
    start = next(event for event in events if event["event"] == "start")
    steps = [event for event in events if event["event"] == "step"][args.warmup:]
    seconds = [start["global_batch_size"] / step["images_per_second"] for step in steps]
    last = args.warmup + args.steps
    return {
        "seconds": statistics.median(seconds),
        "exposed": statistics.median(step["peer_wait"] for step in steps),
        "data": statistics.median(step["data_wait"] for step in steps),
        # The first of them tells of a step of the warm-up.
        "bytes": statistics.mean(step["bytes_sent"] for step in steps),
        "bound": 2 * (workers - 1) / workers * 4 * start["parameters"],
        "processor": (processor[last] - processor[args.warmup]) / args.steps if last in processor else float("nan"),
    }


def spread(values, form):
    return f"{form(statistics.median(values))} ({form(min(values))} to {form(max(values))})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", default=ROOT / "bazel-bin/tools/train")
    parser.add_argument("--config", default=ROOT / "tools/bench/scaling.pbtxt")
    parser.add_argument("--strategy", default="ring_all_reduce")
    parser.add_argument("--batch", type=int, default=8, help="images in a step of all workers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print each run, too, as JSON")
    args, more = parser.parse_known_args()
    more += ["--set", "threads_per_worker=1", "--set", "log.every_steps=1"]
    ones, twos = [], []
    for number in range(args.rounds):
        pair = [lambda: ones.append(run(args, 1, "single", more)),
                lambda: twos.append(run(args, 2, args.strategy, more))]
        for one in pair if number % 2 == 0 else reversed(pair):
            one()
        if args.json:
            print(json.dumps({"one": ones[-1], "two": twos[-1]}), flush=True)
    rounds = list(zip(ones, twos))
    print(f"one worker    {spread([args.batch / one['seconds'] for one in ones], '{:.2f}'.format)} images/s, "
          f"{spread([one['processor'] for one in ones], '{:.2f}'.format)} s of processor time a step")
    print(f"two workers   {spread([args.batch / two['seconds'] for two in twos], '{:.2f}'.format)} images/s, "
          f"{spread([two['processor'] for two in twos], '{:.2f}'.format)} s of processor time a step")
    print(f"speed-up      {spread([one['seconds'] / two['seconds'] for one, two in rounds], '{:.2f}'.format)}")
    print("  without waits "
          f"{spread([2 * one['processor'] / two['processor'] for one, two in rounds], '{:.2f}'.format)}")
    print(f"exposed       {spread([two['exposed'] for two in twos], '{:.1%}'.format)} of a step")
    print(f"data          {spread([two['data'] for two in twos], '{:.1%}'.format)} of a step")
    print(f"bytes         {spread([two['bytes'] / two['bound'] for two in twos], '{:.4f}'.format)} of 2(n-1)/n")


if __name__ == "__main__":
    main()
