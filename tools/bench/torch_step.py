#!/usr/bin/env python3
"""Times training steps of a model of step_models.py in PyTorch on random images, as step does for Trireme.

With torchrun's variables it is a worker of DistributedDataParallel over Gloo, and --batch is what each worker takes.
Needs PyTorch: pip install torch torchvision. Prints one JSON object.
"""

import argparse
import json
import os
import statistics
import time

import torch

from step_models import MODELS


def random_targets(batch, classes, spec, generator):
    """Boxes of 0.06 to 0.5 of the image's side, as ours have."""
    targets = []
    for _ in range(batch):
        extent = spec.size * (0.06 + 0.44 * torch.rand(spec.objects, 2, generator=generator))
        corner = torch.rand(spec.objects, 2, generator=generator) * (spec.size - extent)
        labels = spec.first_label + torch.randint(classes, (spec.objects,), generator=generator)
        targets.append({"boxes": torch.cat([corner, corner + extent], 1), "labels": labels})
    return targets


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="ssd300_vgg16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, help="left out: the model's own")
    parser.add_argument("--classes", type=int, help="left out: the model's own")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--channels-last", action="store_true")
    args = parser.parse_args()

    spec = MODELS[args.model]
    batch, classes = args.batch or spec.batch, args.classes or spec.classes
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(1)
    model = spec.torch(classes)
    model.train()
    images = torch.rand(batch, 3, spec.size, spec.size, generator=generator)
    if args.channels_last:
        model = model.to(memory_format=torch.channels_last)
        # The model stacks the images into a batch of its own, so the batch is laid out where it enters the backbone.
        model.backbone.register_forward_pre_hook(
            lambda _, inputs: (inputs[0].contiguous(memory_format=torch.channels_last),))
    images = list(images)
    targets = random_targets(batch, classes, spec, generator)
    trained = [p for p in model.parameters() if p.requires_grad]
    if "WORLD_SIZE" in os.environ:
        torch.distributed.init_process_group("gloo")
        model = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    optimizer = torch.optim.SGD(trained, lr=spec.learning_rate, momentum=0.9, weight_decay=5e-4)

    seconds, processor = [], []
    for step in range(args.warmup + args.steps):
        begin, processor_begin = time.perf_counter(), time.process_time()
        losses = model(images, targets)
        loss = sum(losses.values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step >= args.warmup:
            seconds.append(time.perf_counter() - begin)
            processor.append(time.process_time() - processor_begin)
    print(json.dumps({
        "framework": "torch " + torch.__version__,
        "model": args.model,
        "channels_last": args.channels_last,
        "threads": args.threads,
        "batch": batch,
        "trained_values": sum(p.numel() for p in trained),
        "seconds": seconds,
        "median": statistics.median(seconds),
        "min": min(seconds),
        "processor": statistics.median(processor),
        "loss": loss.item(),
        "losses": {name: value.item() for name, value in losses.items()},
    }))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
