"""Every detector and every synchronous strategy on CUDA, on the networks of the demo configs and a small SSDLite."""

import math
import statistics

from rows import Failed, row
from training_rows import CAPTURED, EAGER, FLOAT32, Run, compare_curves, config, largest_difference, same_bytes

# The demo configs besides ssd.pbtxt, which has rows of its own, and learning rates at which they learn eight images
# while rounding stays rounding: on a CPU, two workers' curve is within 3e-5 of one's, SSDLite's within 9e-5. Faster
# R-CNN's too, but for steps in which rounding lets two proposals change places: another one is sampled then, and the
# loss differs by up to 1 %.
RATES = {"retinanet": 1e-2, "faster_rcnn": 2e-4, "yolo": 5e-5, "ssdlite": 5e-7}
CONFIGS = {"ssdlite": "check/ssdlite_small.pbtxt"}  # of the others, the demo's

SMALL_STEPS = ["strategy={[strategy/single] {}}", "optimizer={[optimizer/sgd] { momentum: 0.9 }}", "train_data.num_images=8",
               "evaluation.every_steps=0", "evaluation.pictures=0", "eval_data.num_images=8", "checkpoint.every_steps=0"]

# ring_all_reduce has a row of its own.
SYNCHRONOUS = {
    "data_parallel": "[strategy/data_parallel] {}",
    "gather_to_one": "[strategy/data_parallel] { reduction: GATHER_TO_ONE }",
    "hierarchical": "[strategy/hierarchical] {}",
    "sharded_1": "[strategy/sharded] { stage: 1 }",
    "sharded_2": "[strategy/sharded] { stage: 2 }",
    "parameter_server": "[strategy/parameter_server] {}",
}


def detector_run(check, name, detector, settings=(), **options):
    settings = [f"schedule={{[schedule/constant] {{ learning_rate: {RATES[detector]} }}}}",
                f"global_batch_size={2 if check.rehearse else 8}", *settings]
    path = config(check, CONFIGS.get(detector, f"{detector}.pbtxt"))
    return Run(check, name, path, SMALL_STEPS + settings, workers=1, **options)


@row("detectors_captured",
     "RetinaNet, Faster R-CNN, YOLO, SSDLite: a captured step gives the bits of an eager one after 20 steps", 60,
     instead="captured against eager on the fake asynchronous device")
def detectors_captured(check):
    steps = 4 if check.rehearse else 20
    sizes = {}
    for detector in RATES:
        runs = [detector_run(check, f"{detector}_{label}", detector, [setting], steps=steps)
                for label, setting in (("eager", EAGER), ("graph", CAPTURED))]
        sizes[detector] = same_bytes(*(run.wait() for run in runs))
    check.numbers["bytes"] = sizes
    return f"{steps} steps; " + ", ".join(f"{name} {size / 1e6:.1f} MB the same" for name, size in sizes.items())


def median_difference(ours, reference):
    median = statistics.median(abs(x - y) / abs(x) for x, y in zip(reference.losses(), ours.losses()))
    if median > 1e-3:
        raise Failed(f"the median over the steps is {median:.1e}, over 1e-3")
    return f"median {median:.1e}"


@row("detectors50",
     "RetinaNet, Faster R-CNN, YOLO, SSDLite: 50 training steps in float32, CUDA's losses are the CPU's, within 1e-3 "
     "(Faster R-CNN: in most steps, and all within 5 %)", 90,
     instead="two workers against one, on the CPU")
def detectors50(check):
    steps = 3 if check.rehearse else 50
    runs = {detector: (detector_run(check, f"{detector}_cuda", detector, [FLOAT32], steps=steps),
                       detector_run(check, f"{detector}_cpu", detector, [FLOAT32, "threads_per_worker=4"], device="cpu",
                                    steps=steps, nice=5))
            for detector in RATES}
    details, fault = [], False
    for detector, (ours, reference) in runs.items():
        ours.wait()
        reference.wait()
        try:
            if detector == "faster_rcnn":
                detail = compare_curves(check, ours, reference, 5e-2)
                details.append(f"{detector}: {detail}, {median_difference(ours, reference)}")
            else:
                details.append(f"{detector}: {compare_curves(check, ours, reference, 1e-3)}")
        except Failed as failure:  # the other detectors' figures are wanted too
            fault = True
            details.append(f"{detector}: {failure}")
        check.numbers[detector] = {key: check.numbers.pop(key) for key in ("reference", "ours") if key in check.numbers}
    if fault:
        raise Failed("; ".join(details))
    return "; ".join(details)


@row("detectors_bf16", "RetinaNet, Faster R-CNN, YOLO, SSDLite: 40 steps in BF16 follow float32's loss within 5 %", 60,
     instead="the same rounding on the CPU")
def detectors_bf16(check):
    steps, labels = (3, ("FP32",)) if check.rehearse else (40, ("FP32", "BF16"))
    runs = {(detector, label): detector_run(check, f"{detector}_{label}", detector,
                                            [f"precision={label}"], steps=steps)
            for detector in RATES for label in labels}
    ends = {key: statistics.mean(run.wait().losses()[-5:]) for key, run in runs.items()}
    check.numbers["ends"] = {" ".join(key): value for key, value in ends.items()}
    detail = f"mean loss of the last 5 of {steps} steps: " + ", ".join(f"{d} {l} {v:.3f}" for (d, l), v in ends.items())
    for (detector, _), value in ends.items():
        exact = ends[(detector, "FP32")]
        if not math.isfinite(value) or not abs(value - exact) < 0.05 * exact:
            raise Failed(detail)
    return detail


@row("strategies", "two workers on one GPU give the weights of one, with every other synchronous strategy", 90,
     instead="the same on the CPU, for 1 to 4 workers")
def strategies(check):
    path = config(check, "check/ssd_small.pbtxt")
    start = Run(check, "strategies_start", path, ["schedule.learning_rate=1e-3"], steps=3 if check.rehearse else 240)
    first = start.wait().checkpoint() / "model.safetensors"
    settings = [f"initial_weights={first}", "schedule.learning_rate=2e-5"]
    steps = 3 if check.rehearse else 20
    device = "cpu" if check.rehearse else "cuda:0"
    one = Run(check, "strategies_one", path, settings, device=device, steps=steps).wait()
    weights = one.checkpoint() / "model.safetensors"
    moved, _ = largest_difference(first, weights, ".weight")
    found, bad = {}, []
    for name, strategy in SYNCHRONOUS.items():
        try:
            two = Run(check, f"strategies_{name}", path, settings + [f"strategy={{{strategy}}}"], device=device,
                      workers=2, steps=steps).wait()
            found[name], tensor = largest_difference(weights, two.checkpoint() / "model.safetensors")
            if not (found[name] < 1e-5 and found[name] < 0.01 * moved):
                bad.append(f"{name}: {found[name]:.1e} ({tensor}); promised is less than 1e-5")
        except Failed as failure:
            bad.append(f"{name}: {failure}")
    check.numbers.update(moved=moved, largest_relative_difference=found)
    detail = (f"after {steps} steps, which moved weights by up to {moved:.1e}: "
              + ", ".join(f"{name} {value:.1e}" for name, value in found.items()))
    if bad:
        raise Failed("\n".join([detail] + bad))
    return detail
