"""Heads: from the features of a trunk to the maps that a codec decodes.

A head is, like a trunk, a `Sequential` of named steps; the names are those of the published files.
"""

from collections import OrderedDict

import torch
from torch import nn

from pose.models.trunk import batch_norm, initialise, relu

DECONV_WIDTH = 256
NUM_DECONVS = 3
DECONV_UPSCALING = 2**NUM_DECONVS

FINAL_LAYER = "final_layer"
"""The step that makes the maps, in every network but those of the four representations."""

VECTOR_STD = 0.01
"""Of the fresh weights of SimCC's linear layers, as in MMPose."""


def final_layer_head(inputs: int, channels: int) -> nn.Sequential:
    """HRNet V1's head, one 1x1 convolution: (B,inputs,H,W) to (B,channels,H,W)."""
    head = nn.Sequential(OrderedDict({FINAL_LAYER: nn.Conv2d(inputs, channels, kernel_size=1)}))
    initialise(head)
    return head


def deconv_head(inputs: int, channels: int) -> nn.Sequential:
    """SimpleBaseline's head: (B,inputs,H,W) to (B,channels,8H,8W).

    Three times a transposed 4x4 convolution to 256 of stride 2, batch norm and ReLU; then the 1x1.
    """
    layers: list[nn.Module] = []
    for width in [inputs, *[DECONV_WIDTH] * (NUM_DECONVS - 1)]:
        layers.append(nn.ConvTranspose2d(width, DECONV_WIDTH, 4, stride=2, padding=1, bias=False))
        layers += [batch_norm(DECONV_WIDTH), relu()]
    deconv_layers = nn.Sequential(*layers)
    initialise(deconv_layers)
    head = final_layer_head(DECONV_WIDTH, channels)
    return nn.Sequential(OrderedDict(deconv_layers=deconv_layers, **dict(head.named_children())))


def add_vectors(model: nn.Sequential, features: int, bins: tuple[int, int]) -> None:
    """Appends SimCC's two linear layers: of maps (B,K,h,w) with h w = `features` the model then
    makes (B,K,X+Y), X and Y being `bins`. All keypoints share the layers.

    Source: Li et al. (SimCC, ECCV 2022); the names are those of the released code and MMPose.
    """
    model.add_module("mlp_head_x", ColumnVector(features, bins[0]))
    model.add_module("mlp_head_y", RowVector(features, bins[1]))
    for layer in (model.get_submodule("mlp_head_x"), model.get_submodule("mlp_head_y")):
        assert isinstance(layer, nn.Linear)
        nn.init.normal_(layer.weight, std=VECTOR_STD)
        nn.init.zeros_(layer.bias)


class ColumnVector(nn.Linear):
    """Maps (B,K,h,w) to themselves, flat, and their vectors over columns (B,K,X)."""

    def forward(  # type: ignore[override]
        self, maps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        flat = maps.flatten(2)
        return flat, super().forward(flat)


class RowVector(nn.Linear):
    """What `ColumnVector` gives to vectors over columns and then rows (B,K,X+Y)."""

    def forward(  # type: ignore[override]
        self, parts: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        flat, x = parts
        return torch.cat([x, super().forward(flat)], dim=-1)
