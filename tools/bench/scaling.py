#!/usr/bin/env python3
"""Measures what a second worker is worth: two workers of one thread each against one of one thread, on one config.

    bazel build //tools:train
    tools/bench/scaling.py --rounds=5 --steps=6

Both share the same global batch. Rounds alternate, and each ratio is of runs that follow one another. Prints images/s,
the speed-up, the share of a step in which a worker does nothing but wait for the other, and bytes sent against the
least an all-reduce sends. What the machine itself has to give is measured beside it: the speed-up of two trainings at
once that know nothing of each other, whose cores share caches, memory and clock. Where others use the machine, twice
the ratio of processor times (of a step, all threads) says what the speed-up would be if no worker ever waited; and
where its speed varies from minute to minute, the fastest steps of all rounds are what is least disturbed.

With --python=PYTHON_WITH_TORCH the rounds hold a peer: the net of scaling.pbtxt in PyTorch, one process of one thread
against two in DistributedDataParallel over Gloo, on random images that are there already.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from compare_step import ALLOCATORS

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid):
    # After the command's name, which may hold spaces: state is the first, utime and stime the 12th and 13th.
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def events_of(path):
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


class Job:
    """One run of train, and a dictionary of what its steps after the warm-up come to."""

    def __init__(self, args, workers, strategy, batch, more):
        self.args, self.workers = args, workers
        self.folder = tempfile.TemporaryDirectory()
        self.out = pathlib.Path(self.folder.name) / "run"
        self.command = [args.train, f"--config={args.config}", f"--out={self.out}", f"--workers={workers}",
                        f"--steps={args.warmup + args.steps}", "--set", f"strategy={{[strategy/{strategy}] {{}}}}",
                        "--set", f"global_batch_size={batch}", *more]
        self.log = open(pathlib.Path(self.folder.name) / "log", "w+")
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=subprocess.STDOUT)
        self.processor = {}  # by steps done

    def poll(self):
        """Whether it runs still."""
        if self.process.poll() is not None:
            return False
        steps = sum(event["event"] == "step" for event in events_of(self.out / "metrics.jsonl"))
        if steps not in self.processor:
            self.processor[steps] = processor_seconds(self.process.pid)
        return True

    def result(self):
        if self.process.returncode != 0:
            self.log.seek(0)
            sys.exit(f"{' '.join(map(str, self.command))} failed:\n{self.log.read()}")
        warmup, last = self.args.warmup, self.args.warmup + self.args.steps
        events = events_of(self.out / "metrics.jsonl")
        start = next(event for event in events if event["event"] == "start")
        steps = [event for event in events if event["event"] == "step"][warmup:]
        return {
            "rate": statistics.median(step["images_per_second"] for step in steps),
            "fastest": max(step["images_per_second"] for step in steps),
            "exposed": statistics.median(step["peer_wait"] for step in steps),
            "data": statistics.median(step["data_wait"] for step in steps),
            # The first of them tells of a step of the warm-up.
            "bytes": statistics.mean(step["bytes_sent"] for step in steps),
            "bound": 2 * (self.workers - 1) / self.workers * 4 * start["parameters"],
            "processor": (self.processor[last] - self.processor[warmup]) / self.args.steps
                         if last in self.processor else float("nan"),
        }


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class TorchJob:
    """SSD300 in PyTorch, with the layout and the allocator that were its fastest (docs/benchmarks.md)."""

    def __init__(self, args, workers, batch):
        self.batch = batch
        command = [args.python, ROOT / "tools/bench/torch_step.py", "--model=ssd300_vgg16", "--classes=6",
                   "--channels-last", f"--batch={batch // workers}", f"--warmup={args.warmup}", f"--steps={args.steps}"]
        environment = {**os.environ, **ALLOCATORS["kept_huge_pages"], "OMP_NUM_THREADS": "1"}
        if workers > 1:
            environment.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()), WORLD_SIZE=str(workers))
        self.processes = [subprocess.Popen(command, env={**environment, "RANK": str(rank)}, stdout=subprocess.PIPE)
                          for rank in range(workers)]

    def poll(self):
        """Whether it runs still. Where one has failed the others would wait for it."""
        if any(process.poll() not in (None, 0) for process in self.processes):
            for process in self.processes:
                process.kill()
            sys.exit("PyTorch's run failed: see above")
        return any(process.poll() is None for process in self.processes)

    def result(self):
        seconds = json.loads(self.processes[0].communicate()[0])["seconds"]
        return {"rate": self.batch / statistics.median(seconds), "fastest": self.batch / min(seconds)}


def run(*jobs):
    """Those that were started together."""
    while any([job.poll() for job in jobs]):
        time.sleep(0.01)
    return [job.result() for job in jobs]


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
    parser.add_argument("--python", help="one that has torch and torchvision: the peer takes part")
    parser.add_argument("--json", action="store_true", help="print each run, too, as JSON")
    args, more = parser.parse_known_args()
    more += ["--set", "threads_per_worker=1", "--set", "log.every_steps=1"]
    ones, twos, apart, torch_ones, torch_twos = [], [], [], [], []
    for number in range(args.rounds):
        turns = [lambda: ones.extend(run(Job(args, 1, "single", args.batch, more))),
                 lambda: twos.extend(run(Job(args, 2, args.strategy, args.batch, more))),
                 lambda: apart.append(run(*(Job(args, 1, "single", args.batch // 2, more) for _ in range(2))))]
        if args.python:
            turns += [lambda: torch_ones.extend(run(TorchJob(args, 1, args.batch))),
                      lambda: torch_twos.extend(run(TorchJob(args, 2, args.batch)))]
        for turn in turns if number % 2 == 0 else reversed(turns):
            turn()
        if args.json:
            print(json.dumps({"one": ones[-1], "two": twos[-1], "apart": apart[-1],
                              "torch": [runs[-1] for runs in (torch_ones, torch_twos) if runs]}), flush=True)
    rounds = list(zip(ones, twos, [sum(job["rate"] for job in jobs) for jobs in apart]))

    def fastest(runs):
        return max(run["fastest"] for run in runs)

    print(f"one worker    {spread([one['rate'] for one in ones], '{:.2f}'.format)} images/s, "
          f"{spread([one['processor'] for one in ones], '{:.2f}'.format)} s of processor time a step")
    print(f"two workers   {spread([two['rate'] for two in twos], '{:.2f}'.format)} images/s, "
          f"{spread([two['processor'] for two in twos], '{:.2f}'.format)} s of processor time a step")
    print(f"speed-up      {spread([two['rate'] / one['rate'] for one, two, _ in rounds], '{:.2f}'.format)}")
    print("  without waits "
          f"{spread([2 * one['processor'] / two['processor'] for one, two, _ in rounds], '{:.2f}'.format)}")
    print(f"  of two that never talk {spread([rate / one['rate'] for one, _, rate in rounds], '{:.2f}'.format)}; "
          f"two workers do {spread([two['rate'] / rate for _, two, rate in rounds], '{:.2f}'.format)} of their images/s")
    print(f"  of the fastest steps {fastest(twos) / fastest(ones):.2f}; of two that never talk "
          f"{sum(map(fastest, zip(*apart))) / fastest(ones):.2f}")
    print(f"exposed       {spread([two['exposed'] for two in twos], '{:.1%}'.format)} of a step")
    print(f"data          {spread([two['data'] for two in twos], '{:.1%}'.format)} of a step")
    print(f"bytes         {spread([two['bytes'] / two['bound'] for two in twos], '{:.4f}'.format)} of 2(n-1)/n")
    if args.python:
        speed_ups = [two["rate"] / one["rate"] for one, two in zip(torch_ones, torch_twos)]
        print(f"PyTorch       {spread([one['rate'] for one in torch_ones], '{:.2f}'.format)} images/s, "
              f"two workers {spread([two['rate'] for two in torch_twos], '{:.2f}'.format)}: "
              f"speed-up {spread(speed_ups, '{:.2f}'.format)}, "
              f"of the fastest steps {fastest(torch_twos) / fastest(torch_ones):.2f}")


if __name__ == "__main__":
    main()
