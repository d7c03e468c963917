"""Crops -> keypoints: the one way from pictures to points, for training, evaluation and use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import torch
from torch import nn

from pose.codecs import Codec
from pose.codecs.peaks import eager_on_cpu
from pose.geometry import Crop, PixelGrid, Size, to_image
from pose.inference.boxes import Boxes
from pose.metrics.calibration import Calibration
from pose.skeleton import Skeleton
from pose.structures import Poses

BATCH_SIZE = 64
"""People a batch, unless told otherwise."""

CPU_BATCH = 8
"""More people at a time than this make a CPU slower: their maps no longer fit its caches."""

IN_CACHE = 16
"""People whose maps a CPU averages and decodes while they are in its cache."""


def people_at_once(most: int, device: torch.device) -> int:
    """How many of `most` people a network on `device` should see together."""
    return min(most, CPU_BATCH) if device.type == "cpu" else most


@torch.inference_mode()
def predict_keypoints(
    model: Callable[[torch.Tensor], torch.Tensor],
    codec: Codec,
    images: torch.Tensor,
    flip_index: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops (B, 3, H, W) uint8 RGB -> keypoints (B, K, 2) in input pixels, scores (B, K).

    With `flip_index` (K,) the network also sees the crops mirrored (the flip test).
    """
    maps = model(images if flip_index is None else looks_at(images))
    return decode_looks(maps, codec, flip_index)


def looks_at(images: torch.Tensor) -> torch.Tensor:
    """Crops (B, 3, H, W) and behind them the same mirrored: (2B, 3, H, W), one batch."""
    return torch.cat([images, images.flip(-1)])


def decode_looks(
    maps: torch.Tensor, codec: Codec, flip_index: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keypoints (B, K, 2) in input pixels and scores (B, K) of the maps of B crops.

    With `flip_index` (K,) maps are those of `looks_at`, and the codec brings the second half back
    to the first; what is decoded is their mean.
    """
    if flip_index is None:
        return codec.decode(maps)
    halves = maps.tensor_split(2)
    if eager_on_cpu(maps):
        parts = list(zip(*(half.split(IN_CACHE) for half in halves), strict=True))
    else:
        parts = [halves]
    # In place, for memory bounds it: what `unflip` gives is nobody else's.
    found = [codec.decode(codec.unflip(y, flip_index).add_(x).mul_(0.5)) for x, y in parts]
    keypoints, scores = zip(*found, strict=True)
    return torch.cat(keypoints), torch.cat(scores)


@dataclass(frozen=True, eq=False)
class Runtime:
    """A network ready for use, whatever executes it; several threads may share one."""

    find: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
    """Crops (B, 3, H, W) uint8 RGB on the CPU -> keypoints (B, K, 2) in input pixels and scores
    (B, K), both float32 on the CPU."""
    input_size: Size
    pixel_grid: PixelGrid
    skeleton: Skeleton
    name: str
    """What executes it and where, for people: "torch on cuda:0"."""
    calibration: Calibration | None = None
    """What its scores are worth. Everything is decided by its own scores; poses get what these are
    worth when they are handed out (`calibrated`). None: they keep them."""


def torch_runtime(
    model: nn.Module,
    codec: Codec,
    skeleton: Skeleton,
    device: torch.device,
    *,
    flip: bool = True,
    note: str = "",
) -> Runtime:
    """A network of ours on `device`, with the flip test unless `flip` is False; `note` is what its
    name tells of it."""
    network = model.to(device).eval()
    flip_index = torch.from_numpy(skeleton.flip_index).to(device) if flip else None

    def find(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        keypoints, scores = predict_keypoints(network, codec, images.to(device), flip_index)
        return keypoints.cpu(), scores.cpu()

    name = f"torch on {device}{note and f' ({note})'}"
    return Runtime(find, codec.input_size, codec.pixel_grid, skeleton, name)


def find_poses(
    runtime: Runtime,
    images: Sequence[np.ndarray],
    boxes: Sequence[Boxes],
    batch_size: int = BATCH_SIZE,
) -> list[Poses]:
    """The poses in the boxes of each image (H, W, 3) uint8 RGB, in the boxes' order, with the
    network's own scores.

    The people of all the images are batched together. No boxes, no poses.
    """
    owners = [i for i, given in enumerate(boxes) for _ in given.boxes]
    crops = [
        Crop.of_box(box, runtime.input_size, grid=runtime.pixel_grid)
        for given in boxes
        for box in given.boxes
    ]
    keypoints = np.zeros((len(crops), runtime.skeleton.num_keypoints, 2), np.float32)
    scores = np.zeros(keypoints.shape[:2], np.float32)
    for start in range(0, len(crops), batch_size):
        part = slice(start, start + batch_size)
        pictures = np.stack(
            [c.warp(images[i]) for c, i in zip(crops[part], owners[part], strict=True)]
        )
        points, found = runtime.find(torch.from_numpy(pictures).permute(0, 3, 1, 2))
        keypoints[part] = to_image(points.numpy(), np.stack([c.matrix for c in crops[part]]))
        scores[part] = found.numpy()
    ends = list(accumulate((len(given.boxes) for given in boxes), initial=0))
    return [
        Poses(keypoints[a:b], scores[a:b], given.boxes, runtime.skeleton, given.scores)
        for given, a, b in zip(boxes, ends[:-1], ends[1:], strict=True)
    ]


def calibrated(poses: Poses, calibration: Calibration | None) -> Poses:
    """The same poses with probabilities and expected OKS in the place of the network's scores;
    `poses` where there is no calibration."""
    if calibration is None:
        return poses
    scores, expected = calibration(poses.box_scores, poses.scores)
    return replace(poses, scores=scores, expected_oks=expected)


def own_threshold(runtime: Runtime, threshold: float) -> float:
    """The network's own keypoint score that is worth `threshold`, a score as it is handed out."""
    calibration = runtime.calibration
    return threshold if calibration is None else calibration.keypoints.inverse(threshold)
