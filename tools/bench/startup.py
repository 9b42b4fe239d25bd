#!/usr/bin/env python3
"""Measures what a user waits before training begins: from starting the process to the first step, without the step.

    bazel build //tools:train
    tools/bench/startup.py --config=ssd.pbtxt

Each round starts a run of one step in a folder of its own. Prints the median over the rounds, the least and the most,
in milliseconds. Opening the data and drawing random initial weights is in it; the first step's own time is not.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def startup_seconds(train, config, more):
    with tempfile.TemporaryDirectory() as out:
        begin = time.monotonic()
        command = [train, f"--config={config}", f"--out={out}", "--steps=1", *more]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        first = next((time.monotonic() for line in process.stdout if line.startswith("step ")), None)
        process.stdout.read()
        if process.wait() != 0 or first is None:
            sys.exit(f"{' '.join(map(str, command))} failed")
        events = [json.loads(line) for line in open(pathlib.Path(out) / "metrics.jsonl")]
        start = next(event for event in events if event["event"] == "start")
        step = next(event for event in events if event["event"] == "step")
        return first - begin - start["global_batch_size"] / step["images_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", default=ROOT / "bazel-bin/tools/train")
    parser.add_argument("--config", default="ssd.pbtxt")
    parser.add_argument("--rounds", type=int, default=9)
    args, more = parser.parse_known_args()
    seconds = [startup_seconds(args.train, args.config, more) for _ in range(args.rounds)]
    print(
        f"startup {1e3 * statistics.median(seconds):.0f} ms "
        f"({1e3 * min(seconds):.0f} to {1e3 * max(seconds):.0f}, {args.rounds} rounds)"
    )


if __name__ == "__main__":
    main()
