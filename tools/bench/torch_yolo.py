"""YOLOv3-tiny in PyTorch, as Darknet's yolov3-tiny.cfg has it: network, targets and losses.

Redmon, Farhadi: YOLOv3: An Incremental Improvement, 2018. Objects go to the anchor whose shape fits best, on the cell of
their centre; other predictions are background, unless they overlap an object by more than 0.7. Losses are those whose
gradients Darknet computes, as models/yolo/anchor_head.h has them.
"""

import torch
import torchvision
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

# Width and height in pixels, finest map first, three for each.
ANCHORS = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
STRIDES = (16, 32)
IGNORE_THRESHOLD = 0.7


def conv(inputs, outputs, kernel):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1, inplace=True),
    )


class Body(nn.Module):
    """[N, 3, H, W] -> maps of strides 16 and 32, of 256 and 1024 channels."""

    def __init__(self):
        super().__init__()
        layers = [conv(3, 16, 3)]
        for channels in (32, 64, 128, 256):
            layers += [nn.MaxPool2d(2), conv(channels // 2, channels, 3)]
        self.fine = nn.Sequential(*layers)
        # The second pool takes every place, and reaches over the right and lower border.
        self.coarse = nn.Sequential(
            nn.MaxPool2d(2), conv(256, 512, 3),
            nn.ConstantPad2d((0, 1, 0, 1), float("-inf")), nn.MaxPool2d(2, stride=1), conv(512, 1024, 3))

    def forward(self, images):
        fine = self.fine(images)
        return fine, self.coarse(fine)


class YoloV3Tiny(nn.Module):
    """Called as torchvision's detectors are: a list of images, a list of {"boxes": corners, "labels": 1 to classes}."""

    def __init__(self, classes, height, width):
        super().__init__()
        self.pixels = height * width
        self.width = 5 + classes  # of a prediction: centre, size, objectness, classes
        self.backbone = Body()
        self.narrow = conv(1024, 256, 1)
        self.coarse = nn.Sequential(conv(256, 512, 3), nn.Conv2d(512, 3 * self.width, 1))
        self.up = nn.Sequential(conv(256, 128, 1), nn.Upsample(scale_factor=2, mode="nearest"))
        self.fine = nn.Sequential(conv(128 + 256, 256, 3), nn.Conv2d(256, 3 * self.width, 1))

        anchors = torch.tensor(ANCHORS, dtype=torch.float32)
        cells, strides, of_cells = [], [], []
        first = []  # of a map's predictions
        for k, stride in enumerate(STRIDES):
            extent = height // stride, width // stride
            first.append(sum(len(part) for part in cells))
            rows, columns = torch.meshgrid(torch.arange(extent[0]), torch.arange(extent[1]), indexing="ij")
            cells.append(torch.stack([columns, rows], 2).reshape(-1, 1, 2).expand(-1, 3, 2).reshape(-1, 2))
            strides.append(torch.full((len(cells[-1]), 1), stride))
            of_cells.append(anchors[3 * k : 3 * k + 3].repeat(extent[0] * extent[1], 1))
        # Of each prediction.
        self.register_buffer("cells", torch.cat(cells).float())
        self.register_buffer("strides", torch.cat(strides).float())
        self.register_buffer("sizes", torch.cat(of_cells))
        # Of each anchor.
        self.register_buffer("anchors", anchors)
        self.register_buffer("anchor_strides", torch.tensor(STRIDES).repeat_interleave(3))
        self.register_buffer("anchor_first", torch.tensor(first).repeat_interleave(3))
        self.register_buffer("anchor_columns", torch.tensor([width // stride for stride in STRIDES]).repeat_interleave(3))

    def predict(self, images):
        """[N, R, 5 + C] by map (finest first), row, column and anchor."""
        fine, coarse = self.backbone(images)
        narrow = self.narrow(coarse)
        outputs = self.fine(torch.cat([self.up(narrow), fine], 1)), self.coarse(narrow)
        return torch.cat([x.permute(0, 2, 3, 1).reshape(len(images), -1, self.width) for x in outputs], 1)

    def decode(self, outputs):
        """Corners in pixels."""
        centre = (outputs[..., :2].sigmoid() + self.cells) * self.strides
        half = 0.5 * outputs[..., 2:4].exp() * self.sizes
        return torch.cat([centre - half, centre + half], -1)

    def assign(self, boxes):
        """Of each object its anchor and its prediction."""
        size = boxes[:, None, 2:] - boxes[:, None, :2]
        shared = torch.minimum(size, self.anchors).prod(2)
        anchor = (shared / (size.prod(2) + self.anchors.prod(1) - shared)).argmax(1)
        stride = self.anchor_strides[anchor]
        cell = ((boxes[:, :2] + boxes[:, 2:]) / 2 / stride[:, None]).long()
        place = cell[:, 1] * self.anchor_columns[anchor] + cell[:, 0]
        return anchor, self.anchor_first[anchor] + 3 * place + anchor % 3

    def forward(self, images, targets):
        outputs = self.predict(torch.stack(images))
        count = len(images)
        with torch.no_grad():
            decoded = self.decode(outputs)
            overlaps = [torchvision.ops.box_iou(own, target["boxes"]).amax(1) for own, target in zip(decoded, targets)]
            trained = (torch.stack(overlaps) <= IGNORE_THRESHOLD).float()
            anchors, places = (torch.cat(parts) for parts in zip(*(self.assign(t["boxes"]) for t in targets)))
            image = torch.repeat_interleave(torch.tensor([len(t["boxes"]) for t in targets]))
            boxes = torch.cat([target["boxes"] for target in targets])
            labels = torch.cat([target["labels"] for target in targets]) - 1
            trained[image, places] = 1
            is_object = torch.zeros_like(trained)
            is_object[image, places] = 1
            size = boxes[:, 2:] - boxes[:, :2]
            centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / self.strides[places] - self.cells[places]
            growth = (size / self.anchors[anchors]).log()
            weight = 2 - size.prod(1) / self.pixels
            classes = nn.functional.one_hot(labels, self.width - 5).float()
        found = outputs[image, places]
        box = cross_entropy(found[:, :2], centre, reduction="none") + 0.5 * (found[:, 2:4] - growth) ** 2
        return {
            "box": (weight * box.sum(1)).sum() / count,
            "objectness": cross_entropy(outputs[..., 4], is_object, weight=trained, reduction="sum") / count,
            "classification": cross_entropy(found[:, 5:], classes, reduction="sum") / count,
        }
