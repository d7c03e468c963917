"""The whole network: uint8 RGB in, maps out, normalised by itself.

A `PoseModel` is the steps of its trunk followed by those of its head, so the names of its tensors
are the bare published ones (`conv1.weight`, ..., `final_layer.bias`). The normalisation is part
of the model and of nothing else: data, demo and export cannot disagree about it.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pose.models.exchange import PUBLISHED, V2, ExchangeRules
from pose.models.heads import DECONV_UPSCALING, deconv_head, final_layer_head
from pose.models.hrnet import hrnet_small, hrnet_small_deep, hrnet_w18, hrnet_w32, hrnet_w48
from pose.models.representations import v2_head
from pose.models.resnet import resnet50, resnet101, resnet152
from pose.models.trunk import Trunk

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Per channel, RGB, of values in [0, 1]: the statistics of a network unless told otherwise."""

COARSEST_STRIDE = 32
"""Of every network here: a side that is no multiple of it would not survive down and up again."""


class PoseModel(nn.Sequential):
    """uint8 RGB (B,3,H,W) to float32 maps (B,channels,H/stride,W/stride).

    H and W are multiples of 32; `size` of the maps is thus the input's over `stride`. The networks
    of `variants` ask for other multiples, and that for detectors gives a list of maps.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        trunk: Trunk,
        head: nn.Sequential,
        *,
        stride: int,
        multiple: int = COARSEST_STRIDE,
    ) -> None:
        super().__init__(OrderedDict([*trunk.named_children(), *head.named_children()]))
        self.stride = stride
        self.multiple = multiple
        # Not persistent: published files hold no statistics, ours have them in their config.
        self.register_buffer("mean", levels(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", levels(IMAGENET_STD), persistent=False)

    def forward(self, images: Tensor) -> Any:
        check_images(images, self.multiple)
        # In place: on a CPU fresh memory costs more than the arithmetic.
        inputs = images.to(self.mean.dtype).sub_(self.mean).div_(self.std)
        outputs = super().forward(inputs)
        return [x.float() for x in outputs] if isinstance(outputs, list) else outputs.float()


def levels(values: Sequence[float]) -> Tensor:
    """(3, 1, 1) levels of 0 to 255 from one value in [0, 1] a channel."""
    return 255 * torch.tensor(values).view(3, 1, 1)


def check_images(images: Tensor, multiple: int) -> None:
    """ValueError where `images` are not uint8 (B,3,H,W) whose sides are such multiples."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            "the model takes uint8 RGB images (B, 3, H, W) and normalises them itself; "
            f"got {images.dtype} {tuple(images.shape)}"
        )
    height, width = images.shape[2:]
    if height % multiple or width % multiple:
        raise ValueError(
            f"the sides of the input must be multiples of {multiple}; "
            f"got {width}x{height} (width x height)"
        )


def v1_model(build_trunk: Callable[..., Trunk], channels: int, **options) -> PoseModel:
    """V1; `options` are `branch` and `rules` of `hrnet`."""
    trunk = build_trunk(**options)
    return PoseModel(trunk, final_layer_head(trunk.channels, channels), stride=trunk.stride)


def simplebaseline(trunk: Trunk, channels: int) -> PoseModel:
    head = deconv_head(trunk.channels, channels)
    return PoseModel(trunk, head, stride=trunk.stride // DECONV_UPSCALING)


def hrnetv2_model(trunk: Trunk, channels: int) -> PoseModel:
    """V2, from a trunk of all four branches; the head has the names of the landmark files."""
    head = v2_head(trunk.channels, channels, name="head")
    return PoseModel(trunk, head, stride=trunk.stride)


HRNETS: dict[str, Callable[..., Trunk]] = {
    "hrnet_small": hrnet_small,
    "hrnet_small_deep": hrnet_small_deep,
    "hrnet_w18": hrnet_w18,
    "hrnet_w32": hrnet_w32,
    "hrnet_w48": hrnet_w48,
}
"""The trunks of V1, which alone take `branch` and `rules`."""

MODELS: dict[str, Callable[..., PoseModel]] = {
    **{name: partial(v1_model, trunk) for name, trunk in HRNETS.items()},
    "hrnetv2_w32": lambda channels: hrnetv2_model(hrnet_w32(branch=None, rules=V2), channels),
    "hrnetv2_w48": lambda channels: hrnetv2_model(hrnet_w48(branch=None, rules=V2), channels),
    "simplebaseline_r50": lambda channels: simplebaseline(resnet50(), channels),
    "simplebaseline_r101": lambda channels: simplebaseline(resnet101(), channels),
    "simplebaseline_r152": lambda channels: simplebaseline(resnet152(), channels),
}


def build_model(
    name: str,
    channels: int,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    *,
    branch: int = 0,
    rules: ExchangeRules = PUBLISHED,
) -> PoseModel:
    """The named network with `channels` maps and fresh weights, its input normalised by `mean` and
    `std`, RGB in [0, 1]; ValueError for an unknown name.

    `branch` 1 or 2 puts the head of an HRNet V1 on a coarser branch, `rules` are those of its
    exchanges; ValueError for another network that is to have either.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; known are {', '.join(MODELS)}")
    ablated = (branch, rules) != (0, PUBLISHED)
    if ablated and name not in HRNETS:
        raise ValueError(
            f"{name}: another branch or exchange is for {', '.join(HRNETS)} alone; leave "
            "branch, exchange, fusion and downsampling at their defaults"
        )
    model = MODELS[name](channels, **({"branch": branch, "rules": rules} if ablated else {}))
    model.mean, model.std = levels(mean), levels(std)
    return model


def count_parameters(model: nn.Module) -> int:
    """The number of learnt values (a batch norm's running statistics are not)."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def count_gflops(model: nn.Module, size: tuple[int, int]) -> float:
    """The "GFLOPs" of one image of `size` (w, h), counted as in the published tables.

    The sum over convolutions of weight elements times *output* pixels, and over linear layers,
    by 2**30: a multiply-add counts once, a transposed convolution of stride 2 four times its work.
    """
    counts: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module.weight, Tensor)
        positions = 1 if isinstance(module, nn.Linear) else output.shape[-1] * output.shape[-2]
        counts.append(module.weight.numel() * positions)

    network = copy.deepcopy(model).to("meta").eval()  # shapes alone, nothing is computed
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.register_forward_hook(count)
    network(torch.zeros(1, 3, size[1], size[0], dtype=torch.uint8, device="meta"))
    return sum(counts) / 2**30
