"""torchvision's detectors as they are compared: which model, which images and objects, and how weights are scaled.

Where a model samples at random, the sample is made large enough to take all there is. Detections are not cut off at a
number either: torchvision counts boxes that have no area once they are clipped to the image, which ours leave out.
"""

import dataclasses
import re
from typing import Callable

import torch
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import misc

CLASSES = 3  # without a background
EVERYTHING = 1 << 16


@dataclasses.dataclass
class Case:
    name: str
    build: Callable[[], nn.Module]
    height: int
    width: int
    # Of each image: (x1, y1, x2, y2, label from 0). The values have fractions, so that no two overlaps are equal. One
    # image has none.
    objects: list
    # Which of counter_random's pictures the images are. A window of a max-pool that holds two units closer than rounding
    # makes implementations differ: pictures of which ResNet's first one has such are left out.
    pictures: list
    first_label: int  # torchvision's number of our label 0
    heads: str  # modules whose outputs are compared: a regular expression
    # Final layers, by a regular expression, and the standard deviation that their outputs are scaled to.
    deviations: list
    # Weights of layers, by a regular expression, and a factor.
    factors: list = dataclasses.field(default_factory=list)
    # How far from zero biases keep what goes into a relu, in standard deviations over places and images, and over how
    # many there have to be.
    kept_from_zero: float = 5.0
    least_places: int = 2
    # Where norms take their statistics of the batch they alone decide where that is: plus or minus this. Norms' scales
    # are a fifth of it then.
    norm_bias: float = 0.0


def _ssd300_vgg16():
    model = detection.ssd300_vgg16(
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES + 1,
        topk_candidates=200,
        detections_per_img=EVERYTHING,
    )
    # The means of VGG16's training are whole numbers, of which torchvision has five digits.
    model.transform.image_mean = [123 / 255, 117 / 255, 104 / 255]
    return model


def _ssdlite320():
    return detection.ssdlite320_mobilenet_v3_large(
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES + 1,
        topk_candidates=200,
        detections_per_img=EVERYTHING,
    )


def _resnet50_fpn(**options):
    return resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=misc.FrozenBatchNorm2d, trainable_layers=5, **options
    )


def _faster_rcnn(height, width):
    # What fasterrcnn_resnet50_fpn(weights=...) builds: with weights its norms are frozen, without they are not.
    return detection.FasterRCNN(
        _resnet50_fpn(),
        CLASSES + 1,
        min_size=min(height, width),
        max_size=max(height, width),
        rpn_batch_size_per_image=EVERYTHING,
        rpn_pre_nms_top_n_train=300,
        rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_train=150,
        rpn_post_nms_top_n_test=100,
        box_batch_size_per_image=EVERYTHING,
    )


def _retinanet(height, width):
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    backbone = _resnet50_fpn(returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256))
    return detection.RetinaNet(
        backbone,
        CLASSES,
        min_size=min(height, width),
        max_size=max(height, width),
        topk_candidates=200,
        detections_per_img=EVERYTHING,
    )


CASES = [
    Case(
        name="ssd300_vgg16",
        build=_ssd300_vgg16,
        height=300,
        width=300,
        objects=[
            [
                (12.3, 20.6, 40.2, 61.9, 0),
                (80.1, 33.7, 201.4, 180.3, 1),
                (5.5, 100.9, 290.8, 270.2, 2),
                (150.7, 140.1, 210.6, 222.3, 2),
            ],
            [],
        ],
        pictures=[0, 1],
        first_label=1,
        heads=r"head\..*module_list\.\d",
        deviations=[(r"head\.classification_head\.module_list\.\d", 1.5), (r"head\.regression_head\..*", 0.5)],
        factors=[(r"backbone\.features\.0\.weight", 1 / 64)],
        kept_from_zero=4.0,
        # On its last maps of a few places a deviation says little, and there are few units.
        least_places=256,
    ),
    Case(
        name="ssdlite320_mobilenet_v3_large",
        build=_ssdlite320,
        height=320,
        width=320,
        # The coarsest map has one place, so a norm there has only the images.
        objects=[
            [(12.3, 20.6, 40.2, 61.9, 0), (80.1, 33.7, 201.4, 180.3, 1), (5.5, 100.9, 290.8, 270.2, 2)],
            [(150.7, 140.1, 210.6, 222.3, 2)],
            [(20.3, 200.6, 140.2, 301.9, 1), (180.1, 13.7, 301.4, 110.3, 0)],
            [(40.7, 60.1, 110.6, 252.3, 0)],
            [(210.3, 220.6, 300.2, 311.9, 2), (30.1, 43.7, 121.4, 80.3, 1)],
            [(90.7, 80.1, 250.6, 262.3, 1)],
            [],
        ],
        pictures=[0, 1, 2, 3, 4, 5, 6],
        first_label=1,
        heads=r"head\..*module_list\.\d\.1",
        deviations=[
            (r"head\.classification_head\.module_list\.\d\.1", 1.5),
            (r"head\.regression_head\.module_list\.\d\.1", 0.5),
        ],
        # Between the places where relu6, hardswish and hardsigmoid turn, 0, 3 and 6.
        factors=[(r".*\.fc[12]\.weight", 0.3)],
        norm_bias=1.5,
    ),
    Case(
        name="fasterrcnn_resnet50_fpn",
        build=lambda: _faster_rcnn(160, 224),
        height=160,
        width=224,
        objects=[
            [(12.3, 20.6, 60.2, 71.9, 0), (80.1, 33.7, 201.4, 120.3, 1), (5.5, 90.9, 50.8, 150.2, 2)],
            [(100.7, 40.1, 160.6, 122.3, 2)],
            [],
        ],
        pictures=[0, 1, 8],
        first_label=1,
        heads=r"rpn\.head\.(cls_logits|bbox_pred)|roi_heads\.box_predictor\.(cls_score|bbox_pred)",
        deviations=[
            (r"rpn\.head\.cls_logits", 1.0),
            (r"rpn\.head\.bbox_pred", 0.2),
            (r"roi_heads\.box_predictor\.cls_score", 1.0),
            (r"roi_heads\.box_predictor\.bbox_pred", 0.5),
        ],
    ),
    Case(
        name="retinanet_resnet50_fpn",
        build=lambda: _retinanet(160, 224),
        height=160,
        width=224,
        objects=[
            [(12.3, 20.6, 60.2, 71.9, 0), (80.1, 33.7, 201.4, 120.3, 1), (5.5, 90.9, 50.8, 150.2, 2)],
            [(100.7, 40.1, 160.6, 122.3, 2)],
            [],
        ],
        pictures=[0, 1, 8],
        first_label=0,
        heads=r"head\..*(cls_logits|bbox_reg)",
        deviations=[(r"head\.classification_head\.cls_logits", 1.0), (r"head\.regression_head\.bbox_reg", 0.3)],
    ),
]


def offset_and_scale(case, name, tensor):
    """How the values of a tensor are spread: uniformly in offset +- scale, so that activations keep their size."""
    if name.endswith("running_mean"):
        return 0.0, 0.1
    if name.endswith("running_var"):
        return 1.0, 0.5
    if name.endswith("scale_weight"):
        return 20.0, 4.0
    if tensor.dim() == 1:
        if name.endswith("weight") and case.norm_bias > 0:
            return case.norm_bias / 5, case.norm_bias / 30
        if name.endswith("weight"):
            # The last norm of a residual block: what the block adds is less than what goes around it.
            return (0.4, 0.1) if ".bn3." in name else (1.0, 0.25)
        return 0.0, 0.1
    # Three of four units are on.
    scale = (4 / tensor[0].numel()) ** 0.5
    for pattern, factor in case.factors:
        if re.fullmatch(pattern, name):
            scale *= factor
    return 0.0, scale
