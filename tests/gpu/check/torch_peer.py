"""Times training steps of a detector of torchvision in each of PyTorch's ways, the fastest of which is the peer.

A process of its own. Prints a JSON line for each way as it ends, so that a limit on its time loses little. Images and
targets are random and already on the device: what is timed is forward, backward and an update by SGD with momentum.
"""

import argparse
import contextlib
import json
import statistics
import time

import torch
import torchvision
from torchvision.models import detection

# Name: (channels last, autocast to bfloat16, torch.compile). The likely fastest first: time may not allow them all.
WAYS = {
    "autocast_channels_last": (True, True, False),
    "compile_autocast_channels_last": (True, True, True),
    "autocast": (False, True, False),
    "channels_last": (True, False, False),
    "eager": (False, False, False),
}


def ssd300_vgg16(classes, side):
    assert side == 300, "ssd300_vgg16 takes images of 300 pixels"
    return detection.ssd300_vgg16(weights=None, weights_backbone=None, num_classes=classes + 1,
                                  trainable_backbone_layers=5)


def fasterrcnn_resnet50_fpn(classes, side):
    return detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=classes + 1,
                                             trainable_backbone_layers=5, min_size=side, max_size=side)


def retinanet_resnet50_fpn(classes, side):
    return detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=classes + 1,
                                            trainable_backbone_layers=5, min_size=side, max_size=side)


# Name: (how it is made, side of its images, parts that torch.compile may take: the rest, lists of targets and
# data-dependent matching, breaks graphs).
MODELS = {
    "ssd300_vgg16": (ssd300_vgg16, 300, ("backbone", "head")),
    "fasterrcnn_resnet50_fpn": (fasterrcnn_resnet50_fpn, 800, ("backbone", "rpn.head", "roi_heads.box_head")),
    "retinanet_resnet50_fpn": (retinanet_resnet50_fpn, 800, ("backbone",)),
}


def random_targets(batch, classes, objects, side, device):
    """Boxes as wide as ours: 6 to 50 % of the image."""
    generator = torch.Generator().manual_seed(1)
    targets = []
    for _ in range(batch):
        size = side * (0.06 + 0.44 * torch.rand(objects, 2, generator=generator))
        corner = torch.rand(objects, 2, generator=generator) * (side - size)
        labels = torch.randint(1, classes + 1, (objects,), generator=generator)
        targets.append({"boxes": torch.cat([corner, corner + size], 1).to(device), "labels": labels.to(device)})
    return targets


def forward_macs(model, side, device):
    """Multiply-adds of the convolutions of one image, counted while it runs."""
    total = 0

    def count(module, _, output):
        nonlocal total
        kernel = module.kernel_size[0] * module.kernel_size[1]
        total += output.shape[1] * output.shape[2] * output.shape[3] * kernel * module.in_channels // module.groups

    handles = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    training = model.training
    model.eval()
    with torch.no_grad():
        model([torch.rand(3, side, side, device=device)])
    model.train(training)
    for handle in handles:
        handle.remove()
    return total


class Ender:
    """Marks a point that can be waited for."""

    def __init__(self, device):
        self.cuda = device == "cuda"

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()


def time_way(name, args):
    channels_last, autocast, compiled = WAYS[name]
    torch.manual_seed(1)
    make, side, parts_to_compile = MODELS[args.model]
    side = args.side or side
    model = make(args.classes, side).to(args.device).train()
    macs = forward_macs(model, side, args.device)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        # The model stacks the images into a batch of its own, so the batch is laid out where it enters the backbone.
        model.backbone.register_forward_pre_hook(
            lambda _, inputs: (inputs[0].contiguous(memory_format=torch.channels_last),))
    if compiled:
        for path in parts_to_compile:
            parent, _, part = path.rpartition(".")
            owner = model.get_submodule(parent)
            setattr(owner, part, torch.compile(getattr(owner, part)))
    images = list(torch.rand(args.batch, 3, side, side, device=args.device))
    targets = random_targets(args.batch, args.classes, args.objects, side, args.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
    precision = (lambda: torch.autocast(args.device, torch.bfloat16)) if autocast else contextlib.nullcontext
    ender = Ender(args.device)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with precision():
            loss = sum(model(images, targets).values())
        loss.backward()
        optimizer.step()
        return loss

    began = time.perf_counter()
    for _ in range(args.warmup):
        loss = step()
    ender.wait()
    setup = time.perf_counter() - began
    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    rates = []
    end = time.perf_counter() + args.seconds
    while len(rates) < 3 or (time.perf_counter() < end and len(rates) < 20):
        began = time.perf_counter()
        for _ in range(args.steps):
            loss = step()
        ender.wait()
        rates.append(args.batch * args.steps / (time.perf_counter() - began))
    return {
        "way": name,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "model": args.model,
        "batch": args.batch,
        "images_per_second": statistics.median(rates),
        "least": min(rates),
        "most": max(rates),
        "warmup_seconds": setup,
        "forward_macs_per_image": macs,
        "peak_allocated": torch.cuda.max_memory_allocated() if args.device == "cuda" else None,
        "peak_reserved": torch.cuda.max_memory_reserved() if args.device == "cuda" else None,
        "loss": loss.item(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", choices=MODELS, default="ssd300_vgg16")
    parser.add_argument("--side", type=int, help="of the images, where it is not the model's usual one")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--classes", type=int, default=90, help="without the background")
    parser.add_argument("--objects", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="between two readings of the clock")
    parser.add_argument("--seconds", type=float, default=4, help="for each way")
    parser.add_argument("--ways", default=",".join(WAYS))
    args = parser.parse_args()

    # Its best: TensorFloat-32 and cuDNN's own search for the fastest algorithm.
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    for name in args.ways.split(","):
        try:
            result = time_way(name, args)
        except Exception as fault:  # out of memory, or a compiler that is not there: the other ways go on
            result = {"way": name, "batch": args.batch, "fault": f"{type(fault).__name__}: {fault}"[:300]}
        print(json.dumps(result), flush=True)
        if args.device == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
