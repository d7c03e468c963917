"""The HRNet V1 trunk: branches at strides 4, 8, 16 and 32, side by side, exchanging all the while.

Sun et al., "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019.
Tensor names are those of the published files. Between the steps runs a list of maps, the finest
first; branch b has `channels * 2**b` of them at stride `4 * 2**b`. The last exchange makes the
stride-4 map only: that is what V1 reads.
"""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pose.models.trunk import Trunk, batch_norm, conv, initialise, initialise_by_fan_out, relu

STRIDE = 4  # of the finest branch


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input passes: (B,C,H,W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(channels, channels, 3), batch_norm(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3), batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + x, inplace=True)


class Bottleneck(nn.Module):
    """1x1 down to `width`, 3x3, 1x1 up to `4 * width`: (B,inputs,H,W) to (B,4*width,H,W).

    Where the numbers of channels differ a 1x1 convolution carries the input across.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1, self.bn1 = conv(inputs, width, 1), batch_norm(width)
        self.conv2, self.bn2 = conv(width, width, 3), batch_norm(width)
        self.conv3, self.bn3 = conv(width, outputs, 1), batch_norm(outputs)
        self.downsample = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(conv(inputs, outputs, 1), batch_norm(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)


class Transition(nn.ModuleList):
    """From n branches to n + 1: one layer to a branch, the new one fed by the coarsest so far."""

    def forward(self, maps: Tensor | list[Tensor]) -> list[Tensor]:
        if isinstance(maps, Tensor):  # stage 1 has a single branch
            maps = [maps]
        return [layer(maps[min(i, len(maps) - 1)]) for i, layer in enumerate(self)]


class ExchangeRow(nn.ModuleList):
    """Makes one branch of all: their sum, each brought to its size and width, then one ReLU."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        total = reduce(torch.add, (layer(x) for layer, x in zip(self, maps, strict=True)))
        return F.relu(total, inplace=True)


class Exchange(nn.ModuleList):
    """Row i makes branch i."""

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [row(maps) for row in self]


class ExchangeModule(nn.Module):
    """Residual blocks on each branch by itself, then an exchange between them all."""

    def __init__(self, widths: list[int], blocks: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in widths
        )
        self.fuse_layers = exchange(widths, outputs)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return self.fuse_layers([branch(x) for branch, x in zip(self.branches, maps, strict=True)])


class Finest(nn.Module):
    """Reads the stride-4 map from a list of maps."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        return maps[0]


def down(inputs: int, outputs: int, *, stride: int = 2, activate: bool = True) -> nn.Sequential:
    """A 3x3 convolution, batch norm and, unless it ends in a sum, ReLU."""
    layers = [conv(inputs, outputs, 3, stride), batch_norm(outputs)]
    return nn.Sequential(*layers, *([relu()] if activate else []))


def exchange_layer(widths: list[int], source: int, target: int) -> nn.Module:
    """What brings the maps of branch `source` to the size and width of branch `target`.

    Up: 1x1, batch norm, nearest upsampling. Down: a chain of 3x3 of stride 2, ReLU but after the
    last, which alone changes the width.
    """
    inputs, outputs, steps = widths[source], widths[target], target - source
    if steps == 0:
        return nn.Identity()
    if steps < 0:
        upsample = nn.Upsample(scale_factor=2**-steps, mode="nearest")
        return nn.Sequential(conv(inputs, outputs, 1), batch_norm(outputs), upsample)
    chain = [down(inputs, inputs) for _ in range(steps - 1)]
    return nn.Sequential(*chain, down(inputs, outputs, activate=False))


def exchange(widths: list[int], outputs: int) -> Exchange:
    """An exchange between branches of these widths that makes the first `outputs` of them."""
    sources = range(len(widths))
    return Exchange(
        ExchangeRow(exchange_layer(widths, source, target) for source in sources)
        for target in range(outputs)
    )


def transition(before: list[int], after: list[int]) -> Transition:
    """Layers from branches of widths `before` to those of `after`, one more than before.

    Only the branch of stage 1 is passed on with another width, by a convolution of stride 1.
    """
    kept = [
        nn.Identity() if old == new else down(old, new, stride=1)
        for old, new in zip(before, after, strict=False)
    ]
    # The published names give a new branch a chain of (here always one) steps: `{i}.0.0`.
    return Transition([*kept, nn.Sequential(down(before[-1], after[-1]))])


def hrnet(
    channels: int,
    *,
    stem_width: int = 64,
    stage1_width: int = 64,
    stage1_blocks: int = 4,
    modules: tuple[int, int, int] = (1, 4, 3),
    blocks: int = 4,
) -> Trunk:
    """A trunk whose finest branch has `channels` maps: (B,3,H,W) to (B,channels,H/4,W/4).

    Stage 1 is `stage1_blocks` bottlenecks of `stage1_width`; stages 2, 3, 4 are so many `modules`
    of `blocks` basic blocks a branch, each with an exchange. H and W are multiples of 32.
    """
    bottlenecks = [Bottleneck(stem_width, stage1_width)]
    bottlenecks += [Bottleneck(4 * stage1_width, stage1_width) for _ in range(stage1_blocks - 1)]
    steps: dict[str, nn.Module] = {
        "conv1": conv(3, stem_width, 3, stride=2),
        "bn1": batch_norm(stem_width),
        "relu1": relu(),
        "conv2": conv(stem_width, stem_width, 3, stride=2),
        "bn2": batch_norm(stem_width),
        "relu2": relu(),
        "layer1": nn.Sequential(*bottlenecks),
    }
    before = [4 * stage1_width]
    for stage, num_modules in zip((2, 3, 4), modules, strict=True):
        widths = [channels * 2**branch for branch in range(stage)]
        outputs = [stage] * num_modules
        if stage == 4:
            outputs[-1] = 1
        steps[f"transition{stage - 1}"] = transition(before, widths)
        steps[f"stage{stage}"] = nn.Sequential(
            *(ExchangeModule(widths, blocks, num_outputs) for num_outputs in outputs)
        )
        before = widths
    steps["finest"] = Finest()
    trunk = Trunk(steps, channels=channels, stride=STRIDE)
    initialise(trunk)
    return trunk


def hrnet_w18() -> Trunk:
    return hrnet(18)


def hrnet_w32() -> Trunk:
    return hrnet(32)


def hrnet_w48() -> Trunk:
    return hrnet(48)


def hrnet_small() -> Trunk:
    """One for CPUs and tests: a 19th of W32's parameters, to be trained from nothing.

    As shallow as can be, one block a branch, and rather wide for it: at equal time on two cores
    that learnt better than the published W18-small-v1's shape. Stem and stage 1 are narrow, for
    there, at the largest maps, much of the time goes.
    """
    trunk = hrnet(24, stem_width=32, stage1_width=16, stage1_blocks=1, modules=(1, 1, 1), blocks=1)
    initialise_by_fan_out(trunk)
    return trunk
