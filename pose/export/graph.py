"""What is exported: one graph from pixels to maps or to keypoints, with everything between inside.

The normalisation is in it, the batch norms are folded into the convolutions before them. With
decoding it also holds the flip test, both looks in one batch, and gives what `predict_keypoints`
does.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

from pose.codecs import Codec
from pose.inference.predict import predict_keypoints
from pose.inference.runtimes import MAPS, POINTS
from pose.models.pose_model import PoseModel

INPUT = "images"
OUTPUTS = (MAPS, *POINTS)


class Graph(nn.Module):
    """uint8 RGB (B, 3, H, W) to maps (B, C, ...), or with a `codec` also to keypoints (B, K, 2) in
    input pixels and scores (B, K).

    With `flip_index` (K,) the maps are (2B, C, ...), those of the mirrored images last. dtype is
    that of the layers; normalisation and decoding are float32.
    """

    mean: Tensor
    std: Tensor
    flip_index: Tensor | None

    def __init__(
        self,
        model: PoseModel,
        codec: Codec | None = None,
        flip_index: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        layers = nn.Sequential(OrderedDict(model.named_children()))
        self.layers = fold_batch_norms(copy.deepcopy(layers).cpu().eval()).to(dtype)
        self.register_buffer("mean", model.mean.cpu())
        self.register_buffer("std", model.std.cpu())
        self.register_buffer("flip_index", flip_index)
        self.codec = codec
        self.dtype = dtype
        self.eval()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what the graph gives, in order."""
        return (MAPS,) if self.codec is None else OUTPUTS

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        flip_index = self.flip_index
        looks = images if flip_index is None else torch.cat([images, images.flip(-1)])
        maps = self.layers(((looks - self.mean) / self.std).to(self.dtype)).float()
        if self.codec is None:
            return (maps,)
        seen = in_turn([maps] if flip_index is None else maps.tensor_split(2))
        return maps, *predict_keypoints(seen, self.codec, images, flip_index)


def in_turn(looks: Iterable[Tensor]) -> Callable[[Tensor], Tensor]:
    """What stands for a network that has looked already: the maps of each of its looks in turn."""
    maps = iter(looks)
    return lambda _images: next(maps)


def fold_batch_norms(network: nn.Module) -> nn.Module:
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
