"""Makes the goldens of YOLO's losses, which loss_test.cc beside this file compares with.

    python3 -m pip install torch torchvision safetensors
    python3 tests/golden/make_loss_goldens.py

complete_iou: torchvision's complete_box_iou_loss of pairs of boxes, with its gradient.

anchor_free: the losses of the head without anchors, with the gradient of every prediction. No library has this head as
ours is put together, so it is written down here from the papers, object by object, and differentiated by torch: boxes
from the cells' centres (Ge, Liu, Wang, Li, Sun: YOLOX, 2021, section 2.1), the assignment of TOOD (Feng, Zhong, Gao,
Scott, Huang 2021, section 3.2, equations 5 and 6), complete IoU weighted by the score that a prediction is to have.

Numbers are drawn in float32, which the golden holds, and computed with in float64.
"""

import pathlib

import numpy as np
import torch
import torchvision

import golden_file

FOLDER = pathlib.Path(__file__).resolve().parent / "data"


def random_boxes(random, count, side, least, most):
    size = random.uniform(least, most, (count, 2))
    corner = random.uniform(0, side - size)
    return np.concatenate([corner, corner + size], 1).astype(np.float32)


def write(name, arrays):
    path = FOLDER / f"{name}.safetensors"
    golden_file.write(path, arrays, {})
    print(f"{name}: {path.stat().st_size} bytes")


def complete_iou():
    random = np.random.default_rng(1)
    targets = random_boxes(random, 120, 60, 3, 50)
    # Half of them near their targets, half anywhere, some apart.
    near = targets + random.normal(0, 3, targets.shape).astype(np.float32)
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    boxes = np.where(np.arange(120)[:, None] % 2 == 0, near, random_boxes(random, 120, 60, 3, 50))
    predicted = torch.from_numpy(boxes).double().requires_grad_()
    losses = torchvision.ops.complete_box_iou_loss(predicted, torch.from_numpy(targets).double(), eps=0)
    losses.sum().backward()
    write("complete_iou", {"boxes": boxes, "targets": targets, "losses": losses.detach(), "gradient": predicted.grad})


STRIDES, SIDE, CLASSES = (8, 16, 32), 64, 3
TOP_K, ALPHA, BETA = 6, 0.5, 6.0


def cells_of_maps():
    """Column, row and stride of every prediction."""
    return np.array([(column, row, stride) for stride in STRIDES for row in range(SIDE // stride)
                     for column in range(SIDE // stride)], dtype=np.float64)


def iou(a, b):
    return torchvision.ops.box_iou(a[None], b[None])[0, 0]


def assign(boxes, scores, cells, objects, labels):
    """Of each prediction its object, or -1, and the score in the object's class that it is to have."""
    count = len(objects)
    overlaps = torchvision.ops.box_iou(objects, boxes)
    alignment = torch.zeros_like(overlaps)
    wanted = torch.zeros_like(overlaps, dtype=torch.bool)
    for k in range(count):
        x1, y1, x2, y2 = objects[k].tolist()
        for r, (column, row, stride) in enumerate(cells):
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            inside = x1 < x < x2 and y1 < y < y2
            home = (x1 + x2) / 2 // stride == column and (y1 + y2) / 2 // stride == row
            if inside or home:
                alignment[k, r] = scores[r, labels[k]] ** ALPHA * overlaps[k, r] ** BETA
        best = alignment[k].argsort(descending=True)[:TOP_K]
        wanted[k, best] = alignment[k, best] > 0
    owner = torch.full((len(cells),), -1)
    for r in range(len(cells)):
        rivals = [k for k in range(count) if wanted[k, r]]
        if rivals:
            owner[r] = max(rivals, key=lambda k: overlaps[k, r].item())
    become = torch.zeros(len(cells), dtype=torch.float64)
    for k in range(count):
        own = owner == k
        if own.any():
            become[own] = alignment[k, own] / alignment[k, own].max() * overlaps[k, own].max()
    return owner, become


def anchor_free():
    random = np.random.default_rng(2)
    cells = cells_of_maps()
    predictions = np.concatenate([random.normal(0, 0.6, (3, len(cells), 4)),
                                  random.normal(-1, 1.5, (3, len(cells), CLASSES))], 2).astype(np.float32)
    # Crowded, alone, and none.
    objects = [random_boxes(random, 7, SIDE, 8, 40), random_boxes(random, 1, SIDE, 20, 30), np.zeros((0, 4), np.float32)]
    labels = [random.integers(0, CLASSES, len(boxes)) for boxes in objects]

    outputs = torch.from_numpy(predictions).double().requires_grad_()
    place = torch.from_numpy(cells)
    centre = (place[:, :2] + 0.5 + outputs[..., :2]) * place[:, 2:]
    half = 0.5 * outputs[..., 2:4].exp() * place[:, 2:]
    boxes = torch.cat([centre - half, centre + half], 2)
    logits = outputs[..., 4:]
    owners, targets, box_loss, positives = [], [], 0, 0
    for n in range(3):
        truth = torch.from_numpy(objects[n]).double()
        owner, become = assign(boxes[n].detach(), logits[n].detach().sigmoid(), cells, truth, labels[n])
        target = torch.zeros(len(cells), CLASSES, dtype=torch.float64)
        found = owner >= 0
        target[found, torch.from_numpy(labels[n])[owner[found]]] = become[found]
        losses = torchvision.ops.complete_box_iou_loss(boxes[n, found], truth[owner[found]], eps=0)
        box_loss = box_loss + (become[found] * losses).sum()
        positives += int(found.sum())
        owners.append(owner)
        targets.append(target)
    box_loss = box_loss / positives
    target = torch.stack(targets)
    classification = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum") / positives
    (box_loss + classification).backward()
    arrays = {
        "predictions": predictions, "cells": cells, "settings": [SIDE, CLASSES, TOP_K, ALPHA, BETA],
        "owners": torch.stack(owners), "classes": target, "box": [box_loss.item()],
        "classification": [classification.item()], "gradient": outputs.grad,
    }
    for n in range(3):
        arrays[f"objects/{n}"] = np.concatenate([objects[n], labels[n][:, None]], 1)
    rivals = sum(len(o) for o in objects) * TOP_K - positives
    print(f"anchor_free: {positives} predictions with an object, {rivals} fewer than could be")
    write("anchor_free", arrays)


if __name__ == "__main__":
    complete_iou()
    anchor_free()
