"""The exchange between HRNet's branches: each output map is made of all the input maps.

A list of maps holds the finest first; branch b is at stride `4 * 2**b`. What the papers vary is
said by `ExchangeRules`: V2 upsamples bilinearly, the ablations leave exchanges out, multiply
instead of adding, or go down without learnt strides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pose.models.trunk import batch_norm, conv, relu

FUSIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"sum": torch.add, "product": torch.mul}

CHOICES = {
    "exchange": ("everywhere", "across", "end"),
    "fusion": tuple(FUSIONS),
    "downsampling": ("strided", "bilinear"),
    "upsampling": ("nearest", "bilinear"),
}
"""What each of the rules may be, the published one of V1 first."""


@dataclass(frozen=True)
class ExchangeRules:
    """Where branches exchange and how; the defaults are those of the published V1.

    exchange: after every module (`everywhere`), only after the last of each stage (`across`),
    only once, at the end (`end`): eight, three and one exchanges (Sun et al., CVPR 2019).
    fusion: maps are added or multiplied. downsampling: a chain of 3x3 of stride 2, or bilinear
    halvings and one 1x1. upsampling: nearest or bilinear; align_corners goes with the latter.
    """

    exchange: str = "everywhere"
    fusion: str = "sum"
    downsampling: str = "strided"
    upsampling: str = "nearest"
    align_corners: bool = False

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; expected one of {', '.join(choices)}"
                )


PUBLISHED = ExchangeRules()
V2 = ExchangeRules(upsampling="bilinear")


class ExchangeRow(nn.ModuleList):
    """Makes one branch of all: their sum, each brought to its size and width, then one ReLU."""

    def __init__(self, layers: Sequence[nn.Module], target: int, rules: ExchangeRules) -> None:
        super().__init__(layers)
        self.target = target
        self.rules = rules

    def forward(self, maps: list[Tensor]) -> Tensor:
        moved = [layer(x) for layer, x in zip(self, maps, strict=True)]
        if self.rules.upsampling == "bilinear":
            like, align_corners = maps[self.target], self.rules.align_corners
            moved = [bilinear(x, like, align_corners=align_corners) for x in moved]
        return F.relu(reduce(FUSIONS[self.rules.fusion], moved), inplace=True)


class Exchange(nn.ModuleList):
    """Row i makes branch i; the branches that nobody reads have no row."""

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [row(maps) for row in self]


def bilinear(x: Tensor, like: Tensor, *, align_corners: bool = False) -> Tensor:
    """(B,C,h,w) at the height and width of `like`, whatever they are: (B,C,H,W)."""
    size = like.shape[-2:]
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def down(inputs: int, outputs: int, *, stride: int = 2, activate: bool = True) -> nn.Sequential:
    """A 3x3 convolution, batch norm and, unless it ends in a sum, ReLU."""
    layers = [conv(inputs, outputs, 3, stride), batch_norm(outputs)]
    return nn.Sequential(*layers, *([relu()] if activate else []))


def exchange_layer(
    widths: list[int], source: int, target: int, rules: ExchangeRules = PUBLISHED
) -> nn.Module:
    """What brings the maps of branch `source` to the width of branch `target`, and to its size.

    Up: 1x1, batch norm, nearest upsampling; the bilinear one goes to the size of the target's own
    map, which only the row knows. Down: a chain of 3x3 of stride 2, ReLU but after the last,
    which alone changes the width.
    """
    inputs, outputs, steps = widths[source], widths[target], target - source
    if steps == 0:
        return nn.Identity()
    if steps < 0:
        layers: list[nn.Module] = [conv(inputs, outputs, 1), batch_norm(outputs)]
        if rules.upsampling == "nearest":
            layers.append(nn.Upsample(scale_factor=2**-steps, mode="nearest"))
        return nn.Sequential(*layers)
    if rules.downsampling == "bilinear":
        return bilinear_down(inputs, outputs, steps)
    chain = [down(inputs, inputs) for _ in range(steps - 1)]
    return nn.Sequential(*chain, down(inputs, outputs, activate=False))


def bilinear_down(inputs: int, outputs: int, steps: int) -> nn.Sequential:
    """`steps` halvings, each the mean of four neighbours, then 1x1 and batch norm.

    The mirror image of the way up. The paper says "bilinear downsampling" and no more of it.
    """
    halvings = [nn.Upsample(scale_factor=0.5, mode="bilinear") for _ in range(steps)]
    return nn.Sequential(*halvings, conv(inputs, outputs, 1), batch_norm(outputs))


def exchange(widths: list[int], targets: Sequence[int], rules: ExchangeRules) -> nn.Module:
    """An exchange between branches of these widths that makes the branches `targets`.

    Without targets nothing is exchanged: the maps pass as they are.
    """
    if not targets:
        return nn.Identity()
    rows = Exchange()
    for target in targets:
        layers = [exchange_layer(widths, source, target, rules) for source in range(len(widths))]
        rows.add_module(str(target), ExchangeRow(layers, target, rules))
    return rows
