"""What the world does wrong: each has to end in one sentence and an exit code, never in a core dump."""

import re

from rows import Failed, Skipped, row

UGLY = re.compile(r"Check failed|terminate called|\*\*\* SIG|[Cc]ore dumped|Segmentation|stack trace|what\(\)")


def expect_sentence(check, name, outcome, *patterns):
    """One line from the tool, that holds all patterns; exit code 1 or 2. Returns the line."""
    check.numbers.update(exit_code=outcome.code, output=outcome.output[-4000:])
    if outcome.timed_out:
        raise Failed(f"{name}: no end after {outcome.seconds:.0f} s\n{outcome.output[-600:]}")
    if outcome.code == 0:
        raise Failed(f"{name}: exit code 0, where a fault was to be reported")
    if outcome.code not in (1, 2) or UGLY.search(outcome.output):
        raise Failed(f"{name}: exit code {outcome.code}\n{outcome.output[-600:]}")
    sentences = [text for text in outcome.output.splitlines() if text.startswith("train: ")]
    if len(sentences) != 1:
        raise Failed(f"{name}: {len(sentences)} sentences, not one\n{outcome.output[-600:]}")
    for pattern in patterns:
        if not re.search(pattern, sentences[0], re.IGNORECASE):
            raise Failed(f"{name}: the sentence lacks /{pattern}/\n{sentences[0]}")
    return sentences[0]


def train(check, name, environment=None, *settings):
    command = [check.program("train"), f"--config={check.pack}/configs/check/ssd_small.pbtxt", "--device=cuda",
               "--steps=3", f"--out={check.out}/runs/{name}"]
    for setting in settings:
        command += ["--set", setting]
    return check.run(name, command, environment=environment)


@row("no_device", "no GPU (CUDA_VISIBLE_DEVICES is empty) is one sentence", 20,
     instead="tests/core/device: a machine without a driver")
def no_device(check):
    if check.rehearse:
        raise Skipped("needs a driver")
    outcome = train(check, "no_device", {"CUDA_VISIBLE_DEVICES": ""})
    return expect_sentence(check, "no device", outcome, r"no CUDA device|CUDA_VISIBLE_DEVICES", r"--device=cpu")


@row("old_driver", "a driver that is too old (a stand-in that serves CUDA 12.0) is one sentence", 20, needs=(),
     instead="the same")
def old_driver(check):
    folder = check.pack / "bin" / "old_driver"
    if not (folder / "libcuda.so.1").exists():
        raise Failed("the pack has no bin/old_driver/libcuda.so.1")
    path = f"{folder}:{check.machine.environment['LD_LIBRARY_PATH']}"
    outcome = train(check, "old_driver", {"LD_LIBRARY_PATH": path})
    return expect_sentence(check, "old driver", outcome, r"12\.0", r"update the driver")


@row("wrong_architecture", "a GPU that the build has no code for (PTX forbidden, machine code ignored) is one sentence", 30,
     instead="the sentence, by error code")
def wrong_architecture(check):
    if check.rehearse:
        raise Skipped("needs a driver")
    outcome = train(check, "wrong_architecture", {"CUDA_FORCE_PTX_JIT": "1", "CUDA_DISABLE_PTX_JIT": "1"})
    return expect_sentence(check, "wrong architecture", outcome, r"compute capability", r"CUDA_FORCE_PTX_JIT=1",
                           r"CUDA_DISABLE_PTX_JIT=1")


@row("out_of_memory", "a batch that does not fit is one sentence, with the largest consumers and a batch that would fit",
     60, instead="the same sentence from the CPU's pool and the fake device")
def out_of_memory(check):
    if check.rehearse:
        config, settings = "ssd_small", ["memory_limit_mb=60", "global_batch_size=64"]
    else:
        # The first layers alone take 23 MB an image each, 300 x 300 x 64 x 4 bytes. A limit rather than a batch that no
        # GPU has memory for: such a map has more elements than cuDNN's engines may count.
        config, settings = "ssd300_vgg16", ["memory_limit_mb=20000", "global_batch_size=256",
                                            "train_data.num_images=256", "loader.threads=8"]
    command = [check.program("train"), f"--config={check.pack}/configs/check/{config}.pbtxt",
               f"--device={check.device}", "--steps=2", f"--out={check.out}/runs/out_of_memory"]
    for setting in settings:
        command += ["--set", setting]
    outcome = check.run("out_of_memory", command)
    return expect_sentence(check, "out of memory", outcome, r"out of memory", r"activations (take )?\d+ MiB",
                           r"\d+ of the \d+ images a worker would fit")


@row("vanished_device", "a GPU that is gone in the middle of a run (a preloaded library fails CUDA's calls) is one "
     "sentence, and --resume goes on", 60,
     instead="each call of a run fails in its turn, on the fake device and with a stand-in for CUDA's runtime")
def vanished_device(check):
    if check.rehearse:
        raise Skipped("needs a driver")
    library = check.pack / "bin" / "vanishing_device" / "libvanishing_device.so"
    if not library.exists():
        raise Failed("the pack has no bin/vanishing_device/libvanishing_device.so")
    command = [check.program("train"), f"--config={check.pack}/configs/check/ssd_small.pbtxt",
               f"--device={check.device}", "--steps=12", f"--out={check.out}/runs/vanished_device",
               "--set", "checkpoint.every_steps=3"]
    outcome = check.run("vanished_device", command, environment={"LD_PRELOAD": str(library)})
    sentence = expect_sentence(check, "vanished device", outcome, r"failed or is gone", r"--resume")
    if outcome.code != 1:
        raise Failed(f"exit code {outcome.code}, not 1: {sentence}")
    resumed = check.run("vanished_device_resumed", command + ["--resume"])
    if resumed.code != 0:
        raise Failed(f"--resume ends with exit code {resumed.code}\n{resumed.output[-600:]}")
    return sentence
