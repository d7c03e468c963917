"""Networks in files that other libraries run become what the rest of the package runs.

What takes floats is a file of others, whose images are normalised here.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from pose.codecs import Codec
from pose.geometry import PixelGrid, Size
from pose.inference.network_file import POINTS, NetworkFile, maps_of
from pose.inference.predict import Runtime, predict_keypoints
from pose.skeleton import Skeleton


def network_in(
    file: NetworkFile, mean: Sequence[float], std: Sequence[float]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Crops (B, 3, H, W) uint8 -> maps float32, as `predict_keypoints` takes a model.

    mean and std, RGB in [0, 1], are for a file that takes floats.
    """
    statistics = [255 * np.array(v, np.float32).reshape(3, 1, 1) for v in (mean, std)]

    def network(images: torch.Tensor) -> torch.Tensor:
        pictures = images.contiguous().numpy()
        if file.dtype != np.uint8:
            pictures = ((pictures - statistics[0]) / statistics[1]).astype(file.dtype)
        maps = maps_of(file.run(pictures))
        assert maps is not None  # looked at when the file was opened
        return torch.from_numpy(np.asarray(maps, np.float32))

    return network


def maps_runtime(
    file: NetworkFile,
    codec: Codec,
    skeleton: Skeleton,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    flip: bool,
) -> Runtime:
    """A file that gives maps; flip test and decoding happen here."""
    network = network_in(file, mean, std)
    flip_index = torch.from_numpy(skeleton.flip_index) if flip else None

    def find(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return predict_keypoints(network, codec, images, flip_index)

    return Runtime(find, codec.input_size, codec.pixel_grid, skeleton, file.name)


def points_runtime(
    file: NetworkFile, input_size: Size, pixel_grid: PixelGrid, skeleton: Skeleton
) -> Runtime:
    """A file of ours in which flip test and decoding are inside."""

    def find(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = file.run(images.contiguous().numpy())
        keypoints, scores = (torch.from_numpy(found[name]) for name in POINTS)
        return keypoints, scores

    return Runtime(find, input_size, pixel_grid, skeleton, file.name)
