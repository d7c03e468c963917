"""Losses between heatmaps (B, K, h, w) and their targets, weighted by keypoint (B, K).

The published arithmetic: half the mean square; an unlabelled keypoint adds 0 but stays in the
divisor.
"""

from collections.abc import Callable

import torch

HARD_KEYPOINTS = 8
"""How many of a person's keypoints the online hard keypoint mining keeps."""


def heatmap_mse(maps: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean over keypoints of half the mean square error over batch and pixels; a scalar."""
    return _half_square_errors(maps, targets, weights).mean()


def heatmap_ohkm(maps: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The same over each person's 8 worst keypoints; a scalar.

    Source: Chen et al. (Cascaded Pyramid Network for Multi-Person Pose Estimation, CVPR 2018).
    """
    errors = _half_square_errors(maps, targets, weights)
    return errors.topk(min(HARD_KEYPOINTS, errors.shape[1]), dim=1).values.mean()


def _half_square_errors(
    maps: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    difference = (maps.float() - targets) * weights[..., None, None]
    return 0.5 * difference.square().mean(dim=(-2, -1))


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mse": heatmap_mse,
    "ohkm": heatmap_ohkm,
}
