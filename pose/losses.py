"""Losses between a network's maps (B, K, ...) and their targets, weighted by keypoint (B, K).

Of heatmaps the published arithmetic: half the mean square. In every loss an unlabelled keypoint
adds 0 but stays in the divisor.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F

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


def vector_kl(
    maps: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, *, columns: int
) -> torch.Tensor:
    """Mean over people and keypoints of the KL divergence from target to prediction in nats, that
    over x and that over y added; a scalar.

    Maps and targets are logits (B, K, columns + rows), at temperature 1. Source: Li et al. (SimCC,
    ECCV 2022); the released code and MMPose take the mean over bins in place of the sum.
    """
    divergence = torch.zeros_like(weights)
    for part in (slice(None, columns), slice(columns, None)):
        found, wanted = (m[..., part].float().log_softmax(dim=-1) for m in (maps, targets))
        divergence = divergence + F.kl_div(found, wanted, reduction="none", log_target=True).sum(
            dim=-1
        )
    return (divergence * weights).mean()


def point_l1(
    maps: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    *,
    points: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Mean over people and keypoints of |dx| + |dy| in input pixels; a scalar.

    `points` reads keypoints (B, K, 2) out of maps, with a gradient. Source: Sun et al. (Integral
    Human Pose Regression, ECCV 2018).
    """
    distance = (points(maps.float()) - points(targets)).abs().sum(dim=-1)
    return (distance * weights).mean()


def _half_square_errors(
    maps: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    difference = (maps.float() - targets) * weights[..., None, None]
    return 0.5 * difference.square().mean(dim=(-2, -1))


LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "mse": heatmap_mse,
    "ohkm": heatmap_ohkm,
    "kl": vector_kl,
    "l1": point_l1,
}
"""(maps, targets, weights) -> a scalar; what a loss must know beside them it takes by name."""
