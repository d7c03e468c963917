"""The heads that read all four branches of an HRNet: V2, V2p and the classification head.

Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", TPAMI 2020.
Each takes the list of maps, the finest first, of widths C, 2C, 4C and 8C at strides 4 to 32.
Tensor names are those of the published repositories.
"""

from collections import OrderedDict
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pose.models.blocks import Bottleneck
from pose.models.exchange import bilinear
from pose.models.hrnet import NUM_BRANCHES
from pose.models.trunk import batch_norm, initialise, relu

CONCATENATED = sum(2**branch for branch in range(NUM_BRANCHES))  # 15, in widths of the finest
PYRAMID_WIDTH = 256
PYRAMID_LEVELS = 5
INCREASED = tuple(32 * 2**branch for branch in range(NUM_BRANCHES))  # a quarter of the outputs
CLASSIFIED = 2048


class Concatenation(nn.Module):
    """All maps at the size of the finest, bilinearly, one after the other: to (B,15C,H/4,W/4)."""

    def __init__(self, *, align_corners: bool = False) -> None:
        super().__init__()
        self.align_corners = align_corners

    def forward(self, maps: list[Tensor]) -> Tensor:
        return torch.cat(
            [bilinear(x, maps[0], align_corners=self.align_corners) for x in maps], dim=1
        )


class BranchByBranch(nn.ModuleList):
    """Layer i on map i: a list of maps to a list of maps."""

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [layer(x) for layer, x in zip(self, maps, strict=True)]


class Downward(nn.ModuleList):
    """From the finest map down, each brought to the size of the next and added: to the coarsest."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        total = maps[0]
        for layer, x in zip(self, maps[1:], strict=True):
            total = x + layer(total)
        return total


class Pyramid(nn.ModuleList):
    """Layer i on (B,C,H,W) averaged over squares of side 2**i: the list of (B,C,H/2**i,W/2**i)."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [layer(F.avg_pool2d(x, 2**i)) for i, layer in enumerate(self)]


class PlaneMean(nn.Module):
    """(B,C,H,W) to (B,C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def named(steps: dict[str, nn.Module]) -> nn.Sequential:
    """The steps with the published start."""
    head = nn.Sequential(OrderedDict(steps))
    initialise(head)
    return head


def v2_head(
    width: int, channels: int, *, name: str = "last_layer", align_corners: bool = False
) -> nn.Sequential:
    """V2's head, from maps of C = `width` to (B,channels,H/4,W/4): all resolutions, two 1x1.

    `name` is `last_layer` in the segmentation files, `head` in those for landmarks.
    """
    inputs = CONCATENATED * width
    layers = [nn.Conv2d(inputs, inputs, 1), batch_norm(inputs), relu()]
    mixing = nn.Sequential(*layers, nn.Conv2d(inputs, channels, 1))
    return named({"concatenation": Concatenation(align_corners=align_corners), name: mixing})


def v2p_neck(width: int) -> nn.Sequential:
    """V2p, from maps of C = `width` to five of 256 at strides 4, 8, 16, 32 and 64."""
    reduction = nn.Conv2d(CONCATENATED * width, PYRAMID_WIDTH, 1)
    levels = (nn.Conv2d(PYRAMID_WIDTH, PYRAMID_WIDTH, 3, padding=1) for _ in range(PYRAMID_LEVELS))
    return named(
        {
            "concatenation": Concatenation(),
            "reduction_conv": nn.Sequential(reduction),
            "fpn_conv": Pyramid(levels),
        }
    )


def classification_head(width: int, classes: int) -> nn.Sequential:
    """From maps of C = `width` to (B,classes) logits.

    Bottlenecks widen the maps to 128, 256, 512 and 1024, which are added from the finest down;
    then a 1x1 to 2048, the mean over the plane and a linear layer.
    """
    outputs = [4 * increased for increased in INCREASED]
    return named(
        {
            "incre_modules": BranchByBranch(
                nn.Sequential(Bottleneck(width * 2**branch, increased))
                for branch, increased in enumerate(INCREASED)
            ),
            "downsamp_modules": Downward(
                biased(fine, coarse, 3, stride=2) for fine, coarse in pairwise(outputs)
            ),
            "final_layer": biased(outputs[-1], CLASSIFIED, 1),
            "plane_mean": PlaneMean(),
            "classifier": nn.Linear(CLASSIFIED, classes),
        }
    )


def biased(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps its bias beside the batch norm, as these files do, and ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
    return nn.Sequential(layer, batch_norm(outputs), relu())
