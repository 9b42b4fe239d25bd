"""What compare_step.py compares: each model as Trireme's config has it, as PyTorch builds it, and as Darknet does.

All sides train the same layers with the same norms, at the same size, with as many proposals. Weights are random; where
norms do not normalise (they are frozen), residual blocks start as the identity on all sides, so that activations, and
with them proposals, have the size that trained weights give them.

A further model is an entry of MODELS. torch and torchvision are imported by what builds: compare_step.py needs neither.
"""

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class StepModel:
    size: int  # of the square images
    batch: int
    trireme: str  # what a config's `model { }` holds
    torch: typing.Callable  # classes without the background -> a module called as torchvision's detectors are
    learning_rate: float = 1e-4
    classes: int = 90
    first_label: int = 1  # of PyTorch's targets
    objects: int = 8  # in each image
    darknet: str = ""  # a cfg file of Debian's package darknet, where it has the same network


def ssd300_vgg16(classes):
    import torchvision
    return torchvision.models.detection.ssd300_vgg16(
        weights=None, weights_backbone=None, num_classes=classes + 1, trainable_backbone_layers=5)


def frozen_resnet50():
    """Norms frozen, blocks that start as the identity. Of it, layer2 and later are trained: torchvision's default."""
    import torch
    import torchvision
    body = torchvision.models.resnet50(weights=None, norm_layer=torchvision.ops.FrozenBatchNorm2d)
    for module in body.modules():
        if isinstance(module, torchvision.models.resnet.Bottleneck):
            torch.nn.init.zeros_(module.bn3.weight)
    return body


def fasterrcnn_resnet50_fpn(classes):
    import torchvision
    backbone = torchvision.models.detection.backbone_utils._resnet_fpn_extractor(frozen_resnet50(), 3)
    return torchvision.models.detection.FasterRCNN(backbone, num_classes=classes + 1, min_size=320, max_size=320)


def retinanet_resnet50_fpn(classes):
    import torchvision
    p6_p7 = torchvision.ops.feature_pyramid_network.LastLevelP6P7(256, 256)
    backbone = torchvision.models.detection.backbone_utils._resnet_fpn_extractor(
        frozen_resnet50(), 3, returned_layers=[2, 3, 4], extra_blocks=p6_p7)
    # It has no background, as Trireme has none: labels count from 0.
    return torchvision.models.detection.RetinaNet(backbone, num_classes=classes, min_size=320, max_size=320)


def ssdlite320_mobilenet_v3_large(classes):
    import torchvision
    # Without pretrained weights it trains all layers, and has the reduced tail.
    return torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=classes + 1)


def yolov3_tiny(classes):
    from torch_yolo import YoloV3Tiny
    return YoloV3Tiny(classes, 416, 416)


# As in ssdlite320_mobilenet_v3_large_coco.pbtxt.
SSDLITE_NORM = "{ epsilon: 0.001 momentum: 0.03 }"
SSDLITE = (
    f"[model/ssd] {{ image_size: 320 separable_head: true head_norm {SSDLITE_NORM} "
    "anchors { scales: [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1] even_centres: true "
    + 6 * "map { aspect_ratios: [2, 3] } " + "} "
    f"backbone {{ [backbone/mobilenet_v3_large] {{ norm {SSDLITE_NORM} map_strides: [16, 32] expanded_maps: true "
    "extra_channels: [512, 256, 256, 128] reduced_tail: true pixels: SYMMETRIC initial_deviation: 0.03 } } }")

RESNET50 = "[backbone/resnet] { depth: 50 %s norm { mode: FROZEN } zero_init_residual: true frozen_stages: 2 }"

MODELS = {
    # Of random weights, pixels of about 1 keep the loss finite.
    "ssd300_vgg16": StepModel(
        size=300, batch=4, torch=ssd300_vgg16,
        trireme="[model/ssd] { backbone { [backbone/vgg16] { pixel_deviation: 58 } } }"),
    "ssdlite320_mobilenet_v3_large": StepModel(
        size=320, batch=8, torch=ssdlite320_mobilenet_v3_large, trireme=SSDLITE),
    "faster_rcnn_r50_fpn": StepModel(
        size=320, batch=2, torch=fasterrcnn_resnet50_fpn,
        trireme="[model/faster_rcnn] { image_size: 320 roi { maps: 4 } backbone { [backbone/fpn] { extra: POOL "
                f"backbone {{ {RESNET50 % 'maps: [1, 2, 3, 4]'} }} }} }} }}"),
    "retinanet_r50_fpn": StepModel(
        size=320, batch=2, torch=retinanet_resnet50_fpn, first_label=0,
        trireme="[model/retinanet] { image_size: 320 backbone { [backbone/fpn] { extra: P6_P7 "
                f"backbone {{ {RESNET50 % ''} }} }} }} }}"),
    # As yolov3_tiny_coco.pbtxt and yolov3-tiny.cfg have it.
    "yolov3_tiny": StepModel(
        size=416, batch=8, classes=80, torch=yolov3_tiny, darknet="yolov3-tiny.cfg",
        trireme="[model/yolo] { image_size: 416 backbone { [backbone/darknet] { network: TINY } } anchors { "
                "map { channels: 128 convs: 0 sizes: [10, 14, 23, 27, 37, 58] } "
                "map { channels: 256 convs: 1 sizes: [81, 82, 135, 169, 344, 319] } } }"),
}
