"""What every codec is given, the cells that follow from it, and where a mirror leaves them."""

from dataclasses import dataclass

import torch

from pose.geometry import Size


@dataclass(frozen=True)
class Cells:
    """The fields of every codec; what a codec does stands in its own class."""

    input_size: Size
    sigma: float
    """Of a target's Gaussian: in cells, simcc in bins."""
    stride: int = 4
    """Pixels a cell."""

    @property
    def heatmap_size(self) -> Size:
        """Of the network's last maps, in cells; simcc makes its vectors from those."""
        return self.input_size[0] // self.stride, self.input_size[1] // self.stride

    def channels(self, num_keypoints: int) -> int:
        """One map a keypoint."""
        return num_keypoints


def mirrored(maps: torch.Tensor, flip_index: torch.Tensor) -> torch.Tensor:
    """Columns reversed, pairs swapped: on the `udp` grid nothing is left to shift."""
    return maps.flip(-1).index_select(1, flip_index)


def mirrored_and_shifted(maps: torch.Tensor, flip_index: torch.Tensor) -> torch.Tensor:
    """Columns reversed, pairs swapped, then one column to the right.

    On the published grid a reversed map lands 0.75 cells to the left; the published shift by a
    whole column (column 0 stays as it is) leaves 0.25.
    """
    maps = mirrored(maps, flip_index)
    return torch.cat([maps[..., :1], maps[..., :-1]], dim=-1)


def as_they_are(maps: torch.Tensor) -> torch.Tensor:
    """Heatmaps are what there is to see."""
    return maps
