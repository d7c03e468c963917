"""A trained network in the form that runs fastest: batch norms folded, channels last, fewer bits.

What it gives in float32 differs from the network's own maps by rounding alone, as two versions of
torch do: figures are taken with it too.
"""

import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from pose.models.heads import FINAL_LAYER
from pose.models.pose_model import PoseModel

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

Network = TypeVar("Network", bound=nn.Module)


class InPrecision(nn.Sequential):
    """A layer and what casts its input to `dtype` before."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__(layer.to(dtype))
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.dtype))


def for_inference(model: PoseModel, dtype: torch.dtype = torch.float32) -> PoseModel:
    """A copy of `model` in evaluation mode, without batch norms, that computes in `dtype`.

    Normalisation and what comes from the last convolution on stay float32: a map of bfloat16 has
    steps of 1/256 of its height, too coarse to read the place of a peak from.
    """
    model = fold_batch_norms(copy.deepcopy(model).eval())
    names = [name for name, _ in model.named_children()]
    last = names.index(FINAL_LAYER) if FINAL_LAYER in names else len(names)
    for name in names[:last]:
        model.get_submodule(name).to(dtype)
    setattr(model, names[0], InPrecision(model.get_submodule(names[0]), dtype))
    if last < len(names):
        setattr(model, FINAL_LAYER, InPrecision(model.get_submodule(FINAL_LAYER), torch.float32))
    return model.to(memory_format=torch.channels_last).requires_grad_(False)


def fold_batch_norms(network: Network) -> Network:
    """The same network in evaluation mode, each batch norm that follows a convolution made part of
    it; rounded to fewer bits after that, the weights lose less.

    In every network here a batch norm stands right behind its convolution.
    """
    for parent in list(network.modules()):
        for (name, conv), (next_name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and isinstance(
                norm, nn.BatchNorm2d
            ):
                transposed = isinstance(conv, nn.ConvTranspose2d)
                setattr(parent, name, nn.utils.fuse_conv_bn_eval(conv, norm, transposed))
                setattr(parent, next_name, nn.Identity())
    return network
