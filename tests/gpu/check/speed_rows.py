"""Speed and memory: against torchvision on the same GPU, against the GPU's own rate, and of the host."""

import json
import math
import random
import statistics
import sys

from rows import Failed, Skipped, row as any_row
from training_rows import BFLOAT16, Run, config


def row(*args, **kwargs):
    """All of these have the GPU for themselves."""
    return any_row(*args, **kwargs, alone=True)


def last_json(output):
    """The program's line, wherever what it logs ended up."""
    return json.loads([text for text in output.splitlines() if text.startswith("{")][-1])


def step_bench(check, name, model="vgg16", classes=90, batch=32, precision="bf16", steps=20, warmup=6):
    """Training steps of ours on random images that lie on the device: the JSON of tools/bench:step."""
    if check.rehearse:
        batch, precision, steps, warmup = 1, "fp32", 1, 1
    command = [check.program("step"), f"--model={model}", f"--classes={classes}", f"--batch={batch}", "--json",
               f"--device={check.device}", f"--precision={precision}", f"--steps={steps}", f"--warmup={warmup}"]
    output = check.must_run(name, command)
    result = last_json(output)
    check.numbers[name] = result
    if not check.rehearse:
        if not result["recorded"]:
            raise Failed(f"{name}: no step was recorded as a CUDA graph")
        if not math.isfinite(result["loss"]) or not result["applied"]:
            raise Failed(f"{name}: the loss is {result['loss']}, or an update was not applied")
    return result


def peer(check, model, classes, batch, seconds, side):
    """PyTorch's ways, those that worked; what did not is in the numbers."""
    command = [sys.executable, "-B", check.pack / "check" / "torch_peer.py", f"--model={model}", f"--classes={classes}",
               f"--batch={batch}", f"--seconds={seconds}"]
    if side:
        command.append(f"--side={side}")
    if check.rehearse:
        command += ["--device=cpu", "--warmup=1", "--steps=1", "--ways=eager", "--seconds=0.1"]
    # Not with the programs' libraries: PyTorch brings its own.
    process = check.start(f"torch_{model}_{batch}", command, {"LD_LIBRARY_PATH": check.machine.inherited_library_path})
    outcome = check.wait(process, check.seconds_left() - 20)
    results = [json.loads(text) for text in outcome.output.splitlines() if text.startswith("{")]
    check.numbers["torch"] = results
    good = [r for r in results if "images_per_second" in r]
    if not good:
        raise Failed("no way of PyTorch ran:\n" + "\n".join(outcome.output.splitlines()[-5:]))
    return good


def throughput(check, ours, theirs, batch, seconds, classes=90, side=None):
    # Ours before and after, so that a GPU that warms up or is shared favours nobody.
    label = theirs.split("_")[0]
    before = step_bench(check, f"{label}_{batch}_before", model=ours, classes=classes, batch=batch)
    ways = peer(check, theirs, classes, 1 if check.rehearse else batch, seconds, side)
    after = step_bench(check, f"{label}_{batch}_after", model=ours, classes=classes, batch=batch)
    best = max(ways, key=lambda r: r["images_per_second"])
    rates = [before["images_per_second"], after["images_per_second"]]
    rate = statistics.mean(rates)
    ratio = rate / best["images_per_second"]
    check.numbers["ratio"] = ratio
    check.shared[f"throughput {theirs} {batch}"] = {"ours": after, "rate": rate, "torch": best}
    detail = (f"{rate:.0f} images/s ({min(rates):.0f} to {max(rates):.0f}), torchvision {best['images_per_second']:.0f} "
              f"({best['way']}, PyTorch {best['torch']}, {len(ways)} ways): {ratio:.2f} times")
    if ratio < 1.3 and not check.rehearse:
        raise Failed(f"{detail}; promised are 1.3")
    return detail


@row("throughput_128", "SSD300-VGG16 training, batch 128: at least 1.3 times torchvision's best", 130, needs=("gpu", "torch"),
     instead="against torchvision on the CPU, on request")
def throughput_128(check):
    return throughput(check, "vgg16", "ssd300_vgg16", 128, 4)


@row("throughput_32", "SSD300-VGG16 training, batch 32: at least 1.3 times torchvision's best", 90, needs=("gpu", "torch"),
     instead="against torchvision on the CPU, on request")
def throughput_32(check):
    return throughput(check, "vgg16", "ssd300_vgg16", 32, 3)


def detector_throughput(check, ours, theirs):
    """On a CPU a step at the full size would take a minute; the rehearsal's is smaller, and its figure means nothing."""
    side = 128 if check.rehearse else 800
    return throughput(check, ours.replace("image_size: 800", f"image_size: {side}"), theirs, 8, 3, side=side)


@row("throughput_faster_rcnn", "Faster R-CNN R50-FPN training at 800, batch 8: at least 1.3 times torchvision's best", 90,
     needs=("gpu", "torch"), instead="against torchvision on the CPU, on request")
def throughput_faster_rcnn(check):
    ours = ("[model/faster_rcnn] { image_size: 800 roi { maps: 4 } backbone { [backbone/fpn] { extra: POOL "
            "backbone { [backbone/resnet] { depth: 50 maps: [1, 2, 3, 4] } } } } }")
    return detector_throughput(check, ours, "fasterrcnn_resnet50_fpn")


@row("throughput_retinanet", "RetinaNet R50-FPN training at 800, batch 8: at least 1.3 times torchvision's best", 90,
     needs=("gpu", "torch"), instead="against torchvision on the CPU, on request")
def throughput_retinanet(check):
    ours = ("[model/retinanet] { image_size: 800 backbone { [backbone/fpn] { extra: P6_P7 "
            "backbone { [backbone/resnet] { depth: 50 } } } } }")
    return detector_throughput(check, ours, "retinanet_resnet50_fpn")


@row("memory", "peak memory at batch 32 and 128 no higher than torchvision's in its fastest way", 5, needs=("gpu", "torch"),
     instead="nothing")
def memory(check):
    details, over = [], False
    for batch in (32, 128):
        found = check.shared.get(f"throughput ssd300_vgg16 {batch}")
        if found is None:
            raise Skipped("needs the rows throughput_32 and throughput_128")
        if check.rehearse:
            return "nothing to compare on the CPU"
        ours, theirs = found["ours"], found["torch"]
        # Both what the pools took from the system; what was in use at once is in the numbers.
        mine = ours["reserved_mib"]
        peak = theirs["peak_reserved"] / 2**20
        check.numbers[str(batch)] = {"ours_mib": mine, "ours_in_use_mib": ours["peak_mib"], "torch_reserved_mib": peak,
                                     "torch_allocated_mib": theirs["peak_allocated"] / 2**20}
        details.append(f"batch {batch}: {mine:.0f} MiB, torchvision {peak:.0f}")
        over = over or mine > peak
    if over:
        raise Failed("; ".join(details))
    return "; ".join(details)


@row("matrix_rate", "the rate of this GPU's matrix units in bfloat16, measured by PyTorch's products", 40,
     needs=("gpu", "torch"), instead="nothing")
def matrix_rate(check):
    command = [sys.executable, "-B", check.pack / "check" / "torch_matmul.py"]
    if check.rehearse:
        command += ["--device=cpu", "--sizes=128", "--seconds=0.1"]
    process = check.start("matrix_rate", command, {"LD_LIBRARY_PATH": check.machine.inherited_library_path})
    output = check.must_succeed("matrix_rate", check.wait(process))
    result = last_json(output)
    check.numbers.update(result)
    check.shared["matrix rate"] = result["flops"]
    return f"{result['flops'] / 1e12:.0f} TFLOP/s"


@row("matrix_share", "SSD300-VGG16, batch 128, does at least 45 % of that rate", 60, needs=("gpu", "torch"), instead="nothing")
def matrix_share(check):
    flops, found = check.shared.get("matrix rate"), check.shared.get("throughput ssd300_vgg16 128")
    if not flops or not found:
        raise Skipped("needs the rows matrix_rate and throughput_128")
    macs = found["torch"]["forward_macs_per_image"]
    # Forward once, backward twice: by the input and by the weights. Two operations for a multiply-add.
    share = found["rate"] * macs * 2 * 3 / flops
    check.numbers.update(share=share, forward_macs_per_image=macs, flops=flops, images_per_second=found["rate"])
    detail = f"{100 * share:.1f} % of {flops / 1e12:.0f} TFLOP/s, at {2 * 3 * macs / 1e9:.0f} GFLOP an image"
    if share < 0.45 and not check.rehearse:
        raise Failed(f"{detail}; promised are 45 %")
    return detail


@row("resnet50", "SSD300 with ResNet-50, batch 128 in bfloat16: at least 2,000 images/s (on one H200)", 60, instead="nothing")
def resnet50(check):
    result = step_bench(check, "resnet50", model="resnet50", classes=80, batch=128)
    rate = result["images_per_second"]
    detail = f"{rate:.0f} images/s on {check.machine.gpu.name}"
    if rate < 2000 and not check.rehearse:
        raise Failed(f"{detail}; promised are 2,000 on an H200")
    return detail


@row("host_time", "the host spends less than 0.2 ms on a captured step", 40,
     instead="nothing")
def host_time(check):
    result = step_bench(check, "host_time", batch=32, steps=50)
    milliseconds = 1000 * result["host"]
    detail = f"{milliseconds:.3f} ms of {1000 * result['median']:.2f} ms a step"
    if milliseconds >= 0.2 and not check.rehearse:
        raise Failed(detail)
    return detail


def write_jpegs(folder, count):
    """A data set in VOC's format: photographs' size, and about their bytes. Needs Pillow or torchvision."""
    try:
        from PIL import Image
    except ImportError:
        raise Skipped("no Pillow to write JPEG files with") from None
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    generator = random.Random(1)
    width, height = 500, 375
    for number in range(count):
        # Blurred noise of three scales compresses like a photograph (60 to 100 KB).
        image = Image.new("RGB", (width, height))
        for scale, weight in ((4, 1.0), (16, 0.5), (100, 0.35)):
            small = Image.frombytes("RGB", (scale, scale * 3 // 4),
                                    bytes(generator.randrange(256) for _ in range(scale * (scale * 3 // 4) * 3)))
            image = Image.blend(image, small.resize((width, height), Image.BICUBIC), weight)
        image.save(folder / "JPEGImages" / f"{number:06}.jpg", quality=90)
        objects = ""
        for _ in range(3):
            left, top = generator.randrange(300), generator.randrange(200)
            objects += (f"<object><name>class{generator.randrange(6)}</name><difficult>0</difficult><bndbox><xmin>{left + 1}"
                        f"</xmin><ymin>{top + 1}</ymin><xmax>{left + 150}</xmax><ymax>{top + 120}</ymax></bndbox></object>")
        (folder / "Annotations" / f"{number:06}.xml").write_text(
            f"<annotation><filename>{number:06}.jpg</filename><size><width>{width}</width><height>{height}</height>"
            f"<depth>3</depth></size>{objects}</annotation>\n")
    (folder / "ImageSets" / "Main" / "train.txt").write_text("".join(f"{n:06}\n" for n in range(count)))


@row("idle", "the GPU idles under 3 % with real JPEG input from memory, SSD300's augmentation, batch 32", 90,
     instead="images/s of decoding and augmenting on the CPU (tools/bench)")
def idle(check):
    batch, steps, skipped = (1, 3, 1) if check.rehearse else (32, 160, 60)
    data = check.out / "jpegs"
    write_jpegs(data, 16 if check.rehearse else 512)
    names = ", ".join(f'"class{i}"' for i in range(6))
    threads = 1 if check.rehearse else max(2, (check.machine.as_json()["cores"] or 4) - 2)
    # The decoded images are not kept: each is decoded anew in each epoch. The files lie in the system's page cache.
    settings = [f"global_batch_size={batch}", f"loader.threads={threads}", "loader.prefetch=6", "loader.cache_mb=0",
                f'train_data={{[dataset/voc] {{ root: "{data}" split: "train" class_names: [{names}] }}}}',
                'transforms=[{[transform/photometric] {}}, {[transform/expand] {}}, {[transform/min_iou_crop] {}}, '
                '{[transform/flip] {}}]', "checkpoint.every_steps=0"]
    if not check.rehearse:
        settings += [BFLOAT16, "convolution_engines=MEASURED"]
    run = Run(check, "idle", config(check, "check/ssd300_vgg16.pbtxt"), settings, steps=steps).wait()
    events = run.events("step")[skipped:]
    seconds = [batch / event["images_per_second"] for event in events]
    real = batch / statistics.mean(seconds)
    synthetic = step_bench(check, "idle_synthetic", classes=6, batch=batch, steps=60)["images_per_second"]
    share = max(0.0, 1 - real / synthetic)
    waits = sum(event["data_wait"] for event in events) / sum(seconds)
    check.numbers.update(real=real, synthetic=synthetic, idle=share, data_wait_share=waits, threads=threads)
    detail = (f"{100 * share:.1f} %: {real:.0f} images/s from JPEG, {synthetic:.0f} from random images; "
              f"{100 * waits:.1f} % of the time the step waited for data; {threads} threads")
    if share >= 0.03 and not check.rehearse:
        raise Failed(detail)
    return detail
