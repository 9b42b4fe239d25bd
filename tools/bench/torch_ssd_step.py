#!/usr/bin/env python3
"""Times training steps of torchvision's ssd300_vgg16 on random images, as step does for Trireme.

Needs PyTorch: pip install torch torchvision. Prints one JSON object.
"""

import argparse
import json
import statistics
import time

import torch
import torchvision


def random_targets(batch, classes, objects, generator):
    targets = []
    for _ in range(batch):
        size = 20 + 130 * torch.rand(objects, 2, generator=generator)
        corner = torch.rand(objects, 2, generator=generator) * (300 - size)
        labels = torch.randint(1, classes + 1, (objects,), generator=generator)
        targets.append({"boxes": torch.cat([corner, corner + size], 1), "labels": labels})
    return targets


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--classes", type=int, default=90, help="without the background")
    parser.add_argument("--objects", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--channels-last", action="store_true")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(1)
    model = torchvision.models.detection.ssd300_vgg16(
        weights=None, weights_backbone=None, num_classes=args.classes + 1, trainable_backbone_layers=5)
    model.train()
    images = torch.rand(args.batch, 3, 300, 300, generator=generator)
    if args.channels_last:
        model = model.to(memory_format=torch.channels_last)
        # The model stacks the images into a batch of its own, so the batch is laid out where it enters the backbone.
        model.backbone.register_forward_pre_hook(
            lambda _, inputs: (inputs[0].contiguous(memory_format=torch.channels_last),))
    images = list(images)
    targets = random_targets(args.batch, args.classes, args.objects, generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)

    seconds, processor = [], []
    for step in range(args.warmup + args.steps):
        begin, processor_begin = time.perf_counter(), time.process_time()
        loss = sum(model(images, targets).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step >= args.warmup:
            seconds.append(time.perf_counter() - begin)
            processor.append(time.process_time() - processor_begin)
    print(json.dumps({
        "framework": "torch " + torch.__version__,
        "channels_last": args.channels_last,
        "threads": args.threads,
        "batch": args.batch,
        "seconds": seconds,
        "median": statistics.median(seconds),
        "min": min(seconds),
        "processor": statistics.median(processor),
        "loss": loss.item(),
    }))


if __name__ == "__main__":
    main()
