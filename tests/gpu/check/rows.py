"""What a row of the table is, and what it runs with."""

import lzma
import os
import pathlib
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import Callable, Tuple

PASSED, FAILED, SKIPPED, REHEARSED = "passed", "failed", "skipped", "rehearsed"


class Failed(Exception):
    """What was seen is not what was promised."""


class Skipped(Exception):
    """The machine lacks something that the row needs; the message says what."""


@dataclass
class Row:
    name: str
    title: str
    function: Callable
    limit: float  # seconds
    needs: Tuple[str, ...]
    instead: str  # what CI covers of it on a machine without a GPU, for docs/gpu_status.md
    alone: bool  # it measures time or memory, and nothing else may use the GPU meanwhile


ROWS = []


def row(name, title, limit, needs=("gpu",), instead="nothing", alone=False):
    """Registers a check. It returns the detail to print and raises Failed or Skipped; rows run in the order of main.py.

    `needs`: gpu, torch (PyTorch with CUDA, torchvision), sanitizer.
    """
    def register(function):
        ROWS.append(Row(name, title, function, limit, needs, instead, alone))
        return function
    return register


@dataclass
class Result:
    row: Row
    status: str
    seconds: float = 0
    detail: str = ""
    numbers: dict = field(default_factory=dict)


@dataclass
class Outcome:
    code: int  # -N for signal N
    output: str
    seconds: float
    timed_out: bool


def first_lines(text, count=6):
    """The lines that tell most: from the first that speaks of a failure, else the last ones."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if any(word in line for word in ("Failure", "rror:", "Check failed", "Traceback", "FAILED", "terminate")):
            return "\n".join(lines[number:number + count])
    return "\n".join(lines[-count:])


class Check:
    """Handed to each row: where things are, and processes that can't outlive their row."""

    def __init__(self, pack, out, machine, rehearse):
        self.pack, self.out, self.machine, self.rehearse = pathlib.Path(pack), pathlib.Path(out), machine, rehearse
        self.device = "cpu" if rehearse else "cuda"
        self.deadline = time.monotonic()  # of the row that runs
        self.numbers = {}
        self.shared = {}  # what one row found and another needs
        self.background = []  # what one row starts for a later one
        self.started = []  # by the row that runs
        self.unpacked = set()

    def program(self, name):
        """Its path. What travels compressed is unpacked when it is first asked for."""
        path, compressed, unpacked = self.pack / "bin" / name, self.pack / "bin" / f"{name}.xz", self.out / "bin" / name
        if compressed.exists() and name not in self.unpacked:
            unpacked.parent.mkdir(parents=True, exist_ok=True)
            with lzma.open(compressed) as source, open(unpacked, "wb") as out:
                shutil.copyfileobj(source, out)
            unpacked.chmod(0o755)
            self.unpacked.add(name)
        if name in self.unpacked:
            return str(unpacked)
        if not path.exists():
            raise Failed(f"the pack has no bin/{name}")
        return str(path)

    def seconds_left(self):
        return self.deadline - time.monotonic()

    def start(self, name, command, environment=None, nice=0):
        """A process in a group of its own; its output goes to NAME.log."""
        log = self.out / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        if nice:
            command = ["nice", f"-n{nice}"] + list(command)
        with open(log, "wb") as file:
            process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=subprocess.STDOUT, start_new_session=True, cwd=self.out,
                                       env={**self.machine.environment, **(environment or {})})
        process.log, process.began = log, time.monotonic()
        self.started.append(process)
        return process

    def wait(self, process, seconds=None):
        """Until it ends, or the row's time is up."""
        limit = max(0.1, self.seconds_left() if seconds is None else min(seconds, self.seconds_left()))
        timed_out = False
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            timed_out = True
            self.kill(process)
        output = process.log.read_text(errors="replace")
        return Outcome(process.returncode, output, time.monotonic() - process.began, timed_out)

    @staticmethod
    def kill(process):
        if process.poll() is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    def run(self, name, command, seconds=None, environment=None):
        return self.wait(self.start(name, command, environment), seconds)

    def must_run(self, name, command, seconds=None, environment=None):
        """The output of a program that has to succeed."""
        return self.must_succeed(name, self.run(name, command, seconds, environment))

    def end_row(self):
        """What a row leaves running when it fails would take the GPU from those that follow."""
        for process in self.started:
            if process not in self.background:
                self.kill(process)
        self.started = []

    @staticmethod
    def must_succeed(name, outcome):
        if outcome.timed_out:
            raise Failed(f"{name}: not done after {outcome.seconds:.0f} s\n{first_lines(outcome.output)}")
        if outcome.code != 0:
            how = f"signal {-outcome.code}" if outcome.code < 0 else f"exit code {outcome.code}"
            raise Failed(f"{name}: {how}\n{first_lines(outcome.output)}")
        return outcome.output
