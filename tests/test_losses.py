"""Losses against loops over people and keypoints."""

import torch

from pose.losses import heatmap_mse, heatmap_ohkm


def example():
    generator = torch.Generator().manual_seed(0)
    maps, targets = (torch.rand(3, 12, 8, 6, generator=generator) for _ in range(2))
    return maps, targets, (torch.rand(3, 12, generator=generator) > 0.3).float()


def test_mse_is_the_published_mean():
    maps, targets, weights = example()
    total = 0.0
    for k in range(12):
        w = weights[:, k, None, None]
        total += 0.5 * ((w * maps[:, k] - w * targets[:, k]) ** 2).mean().item() / 12
    assert abs(heatmap_mse(maps, targets, weights).item() - total) < 1e-6


def test_ohkm_keeps_each_persons_eight_worst():
    maps, targets, weights = example()
    total = 0.0
    for i in range(3):
        errors = [
            0.5 * (weights[i, k] ** 2 * (maps[i, k] - targets[i, k]) ** 2).mean().item()
            for k in range(12)
        ]
        total += sum(sorted(errors)[-8:]) / 8 / 3
    assert abs(heatmap_ohkm(maps, targets, weights).item() - total) < 1e-6


def test_an_unlabelled_keypoint_has_no_gradient():
    maps, targets, weights = example()
    maps.requires_grad_()
    heatmap_mse(maps, targets, weights).backward()
    assert not maps.grad[weights == 0].any() and maps.grad[weights == 1].any()
