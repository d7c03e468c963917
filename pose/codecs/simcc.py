"""SimCC: each keypoint as two classifications, over the columns and over the rows of the input.

Source: Li et al. (SimCC: a Simple Coordinate Classification Perspective for Human Pose Estimation,
ECCV 2022), with the bins, label smoothing and score of MMPose 1.x; its targets are rounded to a
whole bin, these are not. Bin b shows input pixel b / 2. There is no map: a keypoint's scores for
all columns and then for all rows lie end to end in one vector, as logits.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from pose.codecs.cells import Cells
from pose.codecs.gaussian import in_reach
from pose.geometry import PixelGrid, Size

BINS_PER_PIXEL = 2
"""The published splitting factor."""


@dataclass(frozen=True)
class SimccCodec(Cells):
    """Vectors (B, K, X + Y) of logits with X, Y = twice the input's sides; sigma in bins."""

    pixel_grid: ClassVar[PixelGrid] = "published"
    """As in MMPose."""

    @property
    def bins(self) -> Size:
        """How many there are along x and along y."""
        return self.input_size[0] * BINS_PER_PIXEL, self.input_size[1] * BINS_PER_PIXEL

    @property
    def features(self) -> int:
        """How many values of each of the K feature maps a linear layer reads."""
        return math.prod(self.heatmap_size)

    def encode(
        self, keypoints: torch.Tensor, labelled: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits of a Gaussian at the exact place, -d^2 / (2 sigma^2); 0 where unlabelled.

        Their softmax is the published smoothed label, with a sum of 1 also at the border. The
        weight (B, K) is 0 where the point lies more than 3 sigmas outside.
        """
        center = keypoints * BINS_PER_PIXEL
        weights = (labelled.bool() & in_reach(center, self.bins, self.sigma)).float()
        vectors = []
        for axis, length in enumerate(self.bins):
            bins = torch.arange(length, device=center.device, dtype=center.dtype)
            vectors.append(-((bins - center[..., axis, None]) ** 2) / (2 * self.sigma**2))
        return torch.cat(vectors, dim=-1) * weights[..., None], weights

    def decode(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The most probable bin of each vector, the first of equals.

        The score is the lower of the two probabilities, as in MMPose and the released code, over
        that of a target's peak, so that a perfect vector has 1; at most 1.
        """
        tops = [vector.max(dim=-1) for vector in self._probabilities(maps)]
        points = torch.stack([top.indices for top in tops], dim=-1).to(maps.dtype)
        lower = torch.minimum(tops[0].values, tops[1].values)
        peak = min(1 / (self.sigma * math.sqrt(2 * math.pi)), 1.0)
        return points / BINS_PER_PIXEL, (lower / peak).clamp(max=1)

    def unflip(self, maps: torch.Tensor, flip_index: torch.Tensor) -> torch.Tensor:
        """Columns reversed, pairs swapped, then one bin to the left.

        Pixel x is seen at W - 1 - x, so its bin 2 x lands at 2 x + 1. After the shift nothing is
        left but the last bin (half a pixel outside the mirrored input), which repeats its
        neighbour.
        """
        x, y = maps[:, flip_index].split(self.bins, dim=-1)
        x = x.flip(-1)
        return torch.cat([x[..., 1:], x[..., -1:], y], dim=-1)

    def heat(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, K, Y, X): the product of both probabilities, as high as the score at its peak."""
        x, y = self._probabilities(maps)
        product = y[..., :, None] * x[..., None, :]
        return product / product.amax((-2, -1), True) * self.decode(maps)[1][..., None, None]

    def _probabilities(self, maps: torch.Tensor) -> list[torch.Tensor]:
        return [vector.softmax(dim=-1) for vector in maps.split(self.bins, dim=-1)]
