"""The HRNet trunk: branches at strides 4, 8, 16 and 32, side by side, exchanging all the while.

Sun et al., "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019.
Tensor names are those of the published files. Between the steps runs a list of maps, the finest
first; branch b has `channels * 2**b` of them at stride `4 * 2**b`. V1 reads the stride-4 map, and
its last exchange makes no other; the heads of `representations` read all four.
"""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from pose.models.blocks import BasicBlock, Bottleneck
from pose.models.exchange import PUBLISHED, ExchangeRules, down, exchange
from pose.models.trunk import Trunk, batch_norm, conv, initialise, initialise_by_fan_out, relu

STRIDE = 4  # of the finest branch
NUM_BRANCHES = 4


class Transition(nn.ModuleList):
    """From n branches to n + 1: one layer to a branch, the new one fed by the coarsest so far."""

    def forward(self, maps: Tensor | list[Tensor]) -> list[Tensor]:
        if isinstance(maps, Tensor):  # stage 1 has a single branch
            maps = [maps]
        return [layer(maps[min(i, len(maps) - 1)]) for i, layer in enumerate(self)]


class ExchangeModule(nn.Module):
    """Residual blocks on each branch by itself, then an exchange that makes the `targets`."""

    def __init__(
        self, widths: list[int], blocks: int, targets: Sequence[int], rules: ExchangeRules
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in widths
        )
        self.fuse_layers = exchange(widths, targets, rules)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return self.fuse_layers([branch(x) for branch, x in zip(self.branches, maps, strict=True)])


class OneBranch(nn.Module):
    """Takes the map of the branch that is read out of the list that holds nothing else."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        (only,) = maps
        return only


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


def exchanged(stage: int, *, last: bool, branch: int | None, rules: ExchangeRules) -> Sequence[int]:
    """The branches that a module of `stage`, its `last` or another, makes by exchange; or none."""
    if last and stage == NUM_BRANCHES:
        return range(NUM_BRANCHES) if branch is None else [branch]
    if rules.exchange == "everywhere" or (last and rules.exchange == "across"):
        return range(stage)
    return ()


def hrnet(
    channels: int,
    *,
    stem_width: int = 64,
    stage1_width: int = 64,
    stage1_blocks: int = 4,
    modules: tuple[int, int, int] = (1, 4, 3),
    blocks: int = 4,
    branch: int | None = 0,
    rules: ExchangeRules = PUBLISHED,
) -> Trunk:
    """A trunk whose finest branch has `channels` maps: (B,3,H,W) to (B,channels,H/4,W/4).

    Stage 1 is `stage1_blocks` bottlenecks of `stage1_width`; stages 2, 3, 4 are so many `modules`
    of `blocks` basic blocks a branch, each with an exchange. H and W are multiples of 32. Another
    `branch` b gives (B,channels*2**b,H/4/2**b,W/4/2**b); None gives the list of all four.
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
    for stage, num_modules in zip((2, 3, NUM_BRANCHES), modules, strict=True):
        widths = [channels * 2**b for b in range(stage)]
        targets = [
            exchanged(stage, last=module == num_modules - 1, branch=branch, rules=rules)
            for module in range(num_modules)
        ]
        steps[f"transition{stage - 1}"] = transition(before, widths)
        steps[f"stage{stage}"] = nn.Sequential(
            *(ExchangeModule(widths, blocks, made, rules) for made in targets)
        )
        before = widths
    if branch is not None:
        steps["one_branch"] = OneBranch()
    scale = 2 ** (branch or 0)
    trunk = Trunk(steps, channels=channels * scale, stride=STRIDE * scale)
    initialise(trunk)
    return trunk


def hrnet_w18(**options) -> Trunk:
    """`options` here and below are `branch` and `rules` of `hrnet`."""
    return hrnet(18, **options)


def hrnet_w32(**options) -> Trunk:
    return hrnet(32, **options)


def hrnet_w48(**options) -> Trunk:
    return hrnet(48, **options)


def hrnet_w18_small_v1(**options) -> Trunk:
    """Published as a classifier; narrower than its name, the finest branch has 16 maps."""
    return hrnet(16, stage1_width=32, stage1_blocks=1, modules=(1, 1, 1), blocks=2, **options)


def hrnet_w18_small_v2(**options) -> Trunk:
    """Published as a classifier."""
    return hrnet(18, stage1_blocks=2, modules=(1, 3, 2), blocks=2, **options)


def hrnet_small(modules: tuple[int, int, int] = (1, 1, 1), blocks: int = 1, **options) -> Trunk:
    """One for CPUs and tests: a 19th of W32's parameters, to be trained from nothing.

    As shallow as can be, one block a branch, and rather wide for it: at equal time on two cores
    that learnt better than the published W18-small-v1's shape. Stem and stage 1 are narrow, for
    there, at the largest maps, much of the time goes.
    """
    trunk = hrnet(
        24,
        stem_width=32,
        stage1_width=16,
        stage1_blocks=1,
        modules=modules,
        blocks=blocks,
        **options,
    )
    initialise_by_fan_out(trunk)
    return trunk


def hrnet_small_deep(**options) -> Trunk:
    """The same with twice the depth, for training of hours: what `hrnet_small` grows into."""
    return hrnet_small(modules=(1, 2, 1), blocks=2, **options)


TRUNKS: dict[int | str, Callable[..., Trunk]] = {
    **{width: partial(hrnet, width) for width in (18, 30, 32, 40, 44, 48, 64)},
    "w18_small_v1": hrnet_w18_small_v1,
    "w18_small_v2": hrnet_w18_small_v2,
}
"""The published trunks by the width of their finest branch, the small ones by name."""
