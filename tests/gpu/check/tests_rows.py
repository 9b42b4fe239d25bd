"""The device tests: all cases that run on a GPU, and again under compute-sanitizer."""

import json
import re

from rows import Failed, Skipped, row

# Row: the folders of its sources.
GROUPS = {
    "device": ("tests/core/device", "tests/core/tensor", "tests/core/autograd", "tests/core/nn", "tests/core/train",
               "tests/core/testing", "tests/gpu"),
    "ops": ("tests/core/ops",),
    "models": ("tests/models",),
    "parallel": ("tests/parallel",),
    "input": ("tests/data", "tests/core/image"),
}
# Slowness of a kernel test under each tool, to choose as many as fit into the row's time.
SLOWER = {"memcheck": 15, "racecheck": 40, "initcheck": 15}


class Case:
    def __init__(self, suite, entry):
        self.suite = suite
        self.name = f"{suite}.{entry['name']}"
        self.file = entry.get("file", "")
        parameter = entry.get("value_param", "")
        # tests/core/testing/devices.h: the device is the parameter, or a part of it that only the name may tell.
        self.on_gpu = ("cuda" in parameter.lower() or
                       re.search(r"Cuda|NcclItself|OnGpu|EveryDevice|OnAnyBackbone|OfAnySize|/cuda_", self.name) is not None)
        # How many threads the CPU's device has makes no difference to a GPU.
        if re.search(r"/cuda_[2-9]_", self.name):
            self.on_gpu = False
        # It runs convolutions or products, whose kernels are those of CUDA's libraries.
        self.of_libraries = (
            re.search(r"/(conv|layer_precision|layers|ssd\w*|retinanet|faster_rcnn|yolo|anchor_free|backbones|darknet|mobilenet|"
                      r"resnet|fpn|pan|padded_images)_test", self.file) is not None or
            re.search(r"[Ll]inear|ConvBatchNormBlock", self.name) is not None)

    def of(self, group):
        return any(folder + "/" in self.file for folder in GROUPS[group])


def all_cases(check):
    if "cases" not in check.shared:
        everywhere = [folder for folders in GROUPS.values() for folder in folders]
        listing = check.out / "cases.json"
        check.must_run("list", [check.program("device_tests"), "--gtest_list_tests", f"--gtest_output=json:{listing}"])
        suites = json.loads(listing.read_text())["testsuites"]
        check.shared["cases"] = [Case(s["name"], entry) for s in suites for entry in s["testsuite"]
                                 if not entry["name"].startswith("DISABLED_")]
        lost = {c.file for c in check.shared["cases"] if not any(f + "/" in c.file for f in everywhere)}
        if lost:
            raise Failed(f"no row runs the cases of {', '.join(sorted(lost))}")
    return check.shared["cases"]


def gpu_cases(check, *groups):
    """In a rehearsal those that would run on a GPU do on the CPU, so that the rest of the row has something to do."""
    cases = [c for c in all_cases(check) if any(c.of(group) for group in groups)]
    return [c for c in cases if c.on_gpu or (check.rehearse and "TestWithParam" not in c.name)]


def parse(output):
    """{name: (result, seconds)}, and the case that had begun when the output ended, if any."""
    done, running = {}, None
    for line in output.splitlines():
        begun = re.match(r"\[ RUN      \] (\S+)", line)
        if begun:
            running = begun.group(1)
            continue
        ended = re.match(r"\[ *(OK|FAILED|SKIPPED) *\] ([^\s,]+).*\((\d+) ms\)$", line)
        if ended:
            done[ended.group(2)] = (ended.group(1), int(ended.group(3)) / 1000)
            running = None
    return done, running


def excerpt(output, name):
    """What a case printed, its first lines."""
    lines = output.splitlines()
    start = next((i for i, text in enumerate(lines) if text.startswith(f"[ RUN      ] {name}")), None)
    if start is None:
        return ""
    text = []
    for entry in lines[start + 1:]:
        if entry.startswith("[  "):
            break
        text.append(entry)
    return "\n".join(text[:5])


def run_cases(check, label, names, environment=None, prefix=()):
    """Runs cases in one process; goes on with the rest in another if one takes the process down.

    Returns {name: (result, seconds)} and the output.
    """
    results, outputs = {}, []
    remaining = list(names)
    for attempt in range(4):
        flags = check.out / f"{label}.{attempt}.flags"
        flags.write_text("--gtest_filter=" + ":".join(remaining) + "\n")
        outcome = check.run(f"{label}.{attempt}", list(prefix) + [check.program("device_tests"),
                                                                  f"--gtest_flagfile={flags}"], environment=environment)
        outputs.append(outcome.output)
        done, running = parse(outcome.output)
        results.update(done)
        if outcome.timed_out:
            where = running or "the start"
            raise Failed(f"not done after {outcome.seconds:.0f} s, at {where}; {len(results)} of {len(names)} cases ran")
        if running:
            results[running] = ("CRASHED", 0)
        elif outcome.code not in (0, 1) or not done:
            raise Failed(f"exit code {outcome.code}\n" + "\n".join(outcome.output.splitlines()[-6:]))
        remaining = [name for name in remaining if name not in results]
        if not remaining or not running:
            break
    return results, "\n".join(outputs)


def judge(check, label, names, results, output):
    """The detail of a row of cases, or Failed."""
    bad = [name for name, (result, _) in results.items() if result in ("FAILED", "CRASHED")]
    skipped = [name for name, (result, _) in results.items() if result == "SKIPPED"]
    unseen = [name for name in names if name not in results]
    check.numbers.update(cases=len(names), failed=bad, skipped=skipped, unseen=unseen,
                         seconds={name: seconds for name, (_, seconds) in results.items()})
    check.shared.setdefault("seconds", {}).update(check.numbers["seconds"])
    if not bad and not unseen:
        if len(skipped) == len(names):
            raise Failed(f"all {len(names)} cases skipped themselves")
        return f"{len(names) - len(skipped)} cases" + (f", {len(skipped)} skipped themselves" if skipped else "")
    # A kernel that faults takes the context with it, and all cases after it fail: which fail alone?
    alone = []
    for name in bad[:8]:
        if check.seconds_left() > 5:
            outcome = check.run(f"{label}.alone", [check.program("device_tests"), f"--gtest_filter={name}"], seconds=20)
            if outcome.code != 0:
                alone.append(name)
    check.numbers["failed_alone"] = alone
    worst = (alone or bad or unseen)[0]
    raise Failed(f"{len(bad)} of {len(names)} cases failed ({', '.join((alone or bad)[:4])}"
                 f"{', ...' if len(alone or bad) > 4 else ''}); {len(unseen)} never ran\n{excerpt(output, worst)}")


def run_group(check, label, *groups, **kwargs):
    names = [case.name for case in gpu_cases(check, *groups)]
    if not names:
        raise Failed("the test binary lists no case that runs on a GPU")
    results, output = run_cases(check, label, names, **kwargs)
    return judge(check, label, names, results, output)


@row("pack", "the packed programs start, and kernels give on this CPU what they gave where they were built", 60, needs=(),
     instead="the same cases")
def pack(check):
    names = [c.name for c in all_cases(check) if not c.on_gpu and
             any(folder in c.file for folder in ("tests/core/ops/", "tests/core/tensor/", "tests/core/device/"))]
    results, output = run_cases(check, "pack", names)
    for tool in ("train", "eval"):
        if "Ends with 0 when done" not in check.run(tool, [check.program(tool), "--help"]).output:
            raise Failed(f"{tool} --help says nothing")
    return judge(check, "pack", names, results, output) + " on the CPU"


@row("device", "memory, copies, streams, events and captures on CUDA", 60,
     instead="the logic against a fake asynchronous device; the CUDA device on a stand-in for CUDA's runtime")
def device(check):
    return run_group(check, "device", "device")


@row("ops", "every op and its gradient on CUDA against the definition, odd shapes, poisoned outputs", 90,
     instead="the same cases on the CPU; the calls of cuDNN and cuBLASLt compile and link")
def ops(check):
    return run_group(check, "ops", "ops")


@row("models", "boxes, matching, mining, suppression and detectors on CUDA", 60, instead="the same cases on the CPU")
def models(check):
    return run_group(check, "models", "models")


@row("parallel", "communicators and strategies between workers on one GPU", 60, instead="the same cases on the CPU")
def parallel(check):
    return run_group(check, "parallel", "parallel")


@row("input", "copies beside the step, augmentation on the GPU; nvJPEG's pixels against the CPU's, where libnvjpeg.so.13 is",
     40, instead="the same cases on the CPU; the loader around nvJPEG with a decoder that stands in for it")
def input_(check):
    return run_group(check, "input", "input")


@row("ptx", "the kernels compiled anew from the PTX that newer GPUs will use", 60,
     instead="nothing")
def ptx(check):
    # CUDA's libraries have machine code only.
    names = [c.name for c in gpu_cases(check, "ops", "models") if not c.of_libraries]
    results, output = run_cases(check, "ptx", names, environment={"CUDA_FORCE_PTX_JIT": "1"})
    return judge(check, "ptx", names, results, output)


def sanitize(check, tool):
    """As many of the kernel tests as fit, at least one of each suite first, the short ones before the long ones."""
    known = check.shared.get("seconds", {})
    groups = {}
    # What is found in CUDA's libraries is not ours, and loading them under the tool takes longer than there is time.
    cases = [c for c in gpu_cases(check, "ops", "models", "device", "input") if not c.of_libraries]
    for case in sorted(cases, key=lambda c: known.get(c.name, 0.05)):
        groups.setdefault(case.suite, []).append(case.name)
    if not groups:
        raise Failed("the test binary lists no case that runs on a GPU")
    budget = 0.6 * check.seconds_left() / SLOWER[tool]
    names, total = [], sum(map(len, groups.values()))
    for depth in range(max(map(len, groups.values()))):
        for cases in groups.values():
            if depth < len(cases):
                seconds = known.get(cases[depth], 0.05) + 0.02
                if budget >= seconds or depth == 0:
                    names.append(cases[depth])
                    budget -= seconds
    flags = check.out / f"{tool}.flags"
    flags.write_text("--gtest_filter=" + ":".join(names) + "\n")
    outcome = check.run(tool, [check.machine.sanitizer, "--tool", tool, "--error-exitcode", "99", "--print-limit", "20",
                               check.program("device_tests"), f"--gtest_flagfile={flags}"])
    done, _ = parse(outcome.output)
    check.numbers.update(cases=names, of=total, ran=len(done))
    reports = [text for text in outcome.output.splitlines() if text.startswith("=========")]
    faults = [text for text in reports if not re.search(r"COMPUTE-SANITIZER|ERROR SUMMARY: 0 errors|0 hazards", text)]
    if outcome.code == 99 or "ERROR SUMMARY: 0 errors" not in outcome.output and "0 hazards" not in outcome.output and \
            not outcome.timed_out:
        raise Failed(f"{tool} reports:\n" + "\n".join(faults[:7] or outcome.output.splitlines()[-7:]))
    if outcome.timed_out:
        if faults:
            raise Failed(f"{tool} reports:\n" + "\n".join(faults[:7]))
        raise Skipped(f"time was up after {outcome.seconds:.0f} s; nothing found in the {len(done)} of {len(names)} cases "
                      "that ended")
    if len(done) < len(names):
        raise Failed(f"{len(done)} of {len(names)} cases ran\n" + "\n".join(outcome.output.splitlines()[-6:]))
    return f"clean on {len(names)} of {total} cases, at least one of each suite"


@row("memcheck", "compute-sanitizer memcheck on the kernel tests", 45, needs=("gpu", "sanitizer"),
     instead="the same bodies under AddressSanitizer, on request")
def memcheck(check):
    return sanitize(check, "memcheck")


@row("racecheck", "compute-sanitizer racecheck on the kernel tests", 45, needs=("gpu", "sanitizer"),
     instead="the same bodies under ThreadSanitizer, on request")
def racecheck(check):
    return sanitize(check, "racecheck")


@row("initcheck", "compute-sanitizer initcheck on the kernel tests", 45, needs=("gpu", "sanitizer"),
     instead="outputs are poisoned before each op")
def initcheck(check):
    return sanitize(check, "initcheck")
