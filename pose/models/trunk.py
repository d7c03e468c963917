"""What every trunk is: named steps run one after the other, and the width and stride they end at.

Networks here are `nn.Sequential`s of named steps because the names of the children are then
exactly the names of the published tensors, and a model is its trunk's steps followed by its head's.
"""

from collections import OrderedDict

import torch
from torch import nn

BATCH_NORM_MOMENTUM = 0.1
INITIAL_STD = 0.001


class Trunk(nn.Sequential):
    """Normalised RGB float (B,3,H,W) to features (B,channels,H/stride,W/stride).

    Or to a list of features of which the first, finest ones are those.
    """

    def __init__(self, steps: dict[str, nn.Module], *, channels: int, stride: int) -> None:
        super().__init__(OrderedDict(steps))
        self.channels = channels
        self.stride = stride


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size (over its stride), without bias: batch norm follows."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=BATCH_NORM_MOMENTUM)


def relu() -> nn.ReLU:
    """In place: neither a convolution's nor a batch norm's gradient needs what it overwrites."""
    return nn.ReLU(inplace=True)


@torch.no_grad()
def initialise(network: nn.Module) -> None:
    """The published start: convolutions N(0, 0.001), biases 0, batch norms 1 and 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=INITIAL_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


@torch.no_grad()
def initialise_by_fan_out(network: nn.Module) -> None:
    """A start for training from nothing: convolutions N(0, sqrt(2 / fan-out)).

    Source: He et al. (Delving Deep into Rectifiers, ICCV 2015). The published start is meant to be
    followed by ImageNet weights and learns more slowly without them.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
