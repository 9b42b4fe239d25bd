"""Checks that tools/bench/torch_yolo.py is Darknet's YOLOv3-tiny: against the golden that Darknet made.

    python3 tests/golden/check_torch_yolo.py

Prints how far losses and gradients are off, and ends with 1 if that is more than rounding.
"""

import pathlib
import sys

import safetensors
import torch

import counter_random
import golden_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tools/bench"))
MOST_APART = 1e-5


def layers(model):
    """Of each convolution, in the cfg's order: itself and its norm, or None."""
    modules = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.BatchNorm2d))]
    following = modules[1:] + [None]
    return [(m, n if isinstance(n, torch.nn.BatchNorm2d) else None)
            for m, n in zip(modules, following) if isinstance(m, torch.nn.Conv2d)]


def main():
    from torch_yolo import YoloV3Tiny

    torch.set_default_dtype(torch.float64)
    with safetensors.safe_open(HERE / "data/yolov3_tiny_train.safetensors", "np") as file:
        golden = {name: file.get_tensor(name) for name in file.keys()}
        order = file.metadata()["darknet_order"].split()
    count, height, width = (int(value) for value in golden["images"])
    model = YoloV3Tiny(3, height, width)

    values = iter(order)
    trained = {}  # by our names
    with torch.no_grad():
        for conv, norm in layers(model):
            tensors = [conv.bias] if norm is None else [norm.bias, norm.weight, norm.running_mean, norm.running_var]
            for tensor in tensors + [conv.weight]:
                name = next(values)
                offset, scale, *shape = golden[f"weights/{name}"]
                value = golden.get(f"values/{name}")
                if value is None:
                    value = counter_random.weights(name, tuple(int(extent) for extent in shape), offset, scale)
                tensor.copy_(torch.from_numpy(value))
                if norm is None or tensor is conv.weight:
                    trained[name] = tensor
            if norm is not None:  # that golden's norms do nothing
                norm.eval()
                norm.eps = 0.0
    images = torch.from_numpy(counter_random.images(count, height, width)).permute(0, 3, 1, 2) / 255.0
    objects = [torch.from_numpy(golden[f"objects/{n}"]).double() for n in range(count)]
    losses = model(list(images), [{"boxes": rows[:, :4], "labels": rows[:, 4].long() + 1} for rows in objects])
    sum(losses.values()).backward()

    apart = {}
    for name, loss in losses.items():
        reference = float(golden[f"loss/{name}"][0])
        apart[name] = abs(loss.item() - reference) / reference
    apart["gradient"] = max(
        golden_file.difference(golden[f"gradient/{name}"], golden_file.digest(f"gradient/{name}", tensor.grad))
        for name, tensor in trained.items())
    print(", ".join(f"{name} off by {value:.1e}" for name, value in apart.items()))
    if not all(value < MOST_APART for value in apart.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
