"""What is exported: one graph from pixels to maps or to keypoints, with everything between inside.

The normalisation is in it, the batch norms are folded into the convolutions before them. With
decoding it also holds the flip test, both looks in one batch, and gives what `predict_keypoints`
does.
"""

import copy
from collections import OrderedDict

import torch
from torch import Tensor, nn

from pose.codecs import Codec
from pose.inference.network_file import MAPS, POINTS
from pose.inference.predict import decode_looks, looks_at
from pose.models.folding import fold_batch_norms
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
        looks = looks_at(images) if self.flip_index is not None else images
        maps = self.layers(((looks - self.mean) / self.std).to(self.dtype)).float()
        if self.codec is None:
            return (maps,)
        return maps, *decode_looks(maps, self.codec, self.flip_index)
