"""Heads: from the features of a trunk to the maps that a codec decodes.

A head is, like a trunk, a `Sequential` of named steps; the names are those of the published files.
"""

from collections import OrderedDict

from torch import nn

from pose.models.trunk import batch_norm, initialise, relu

DECONV_WIDTH = 256
NUM_DECONVS = 3
DECONV_UPSCALING = 2**NUM_DECONVS


def final_layer_head(inputs: int, channels: int) -> nn.Sequential:
    """HRNet V1's head, one 1x1 convolution: (B,inputs,H,W) to (B,channels,H,W)."""
    head = nn.Sequential(OrderedDict(final_layer=nn.Conv2d(inputs, channels, kernel_size=1)))
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
