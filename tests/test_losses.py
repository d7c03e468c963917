"""Losses against loops over people and keypoints."""

import functools

import numpy as np
import pytest
import torch

from pose.codecs import CODECS
from pose.losses import LOSSES, heatmap_mse, heatmap_ohkm, point_l1, vector_kl
from pose.schema_network import LOSSES_OF


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


def test_kl_is_the_sum_over_both_vectors():
    maps, targets, weights = (v.flatten(2) if v.ndim == 4 else v for v in example())
    total = 0.0
    for i, k in np.ndindex(3, 12):
        for part in (slice(0, 20), slice(20, 48)):
            q, p = (np.exp(v[i, k, part].double().numpy()) for v in (maps, targets))
            q, p = q / q.sum(), p / p.sum()
            total += float(weights[i, k]) * (p * np.log(p / q)).sum() / 36
    assert vector_kl(maps, targets, weights, columns=20).item() == pytest.approx(total, rel=1e-4)


def test_kl_of_the_targets_themselves_is_zero_and_of_anything_else_above():
    maps, targets, weights = (v.flatten(2) if v.ndim == 4 else v for v in example())
    assert abs(vector_kl(targets + 7, targets, weights, columns=20).item()) < 1e-6
    assert vector_kl(maps, targets, weights, columns=20).item() > 0.01
    far = -((torch.arange(48.0) - 300) ** 2).expand(3, 12, 48)
    assert torch.isfinite(vector_kl(maps, far, weights, columns=20))


def test_l1_is_the_distance_of_the_points():
    maps, targets, weights = example()

    def points(maps):
        return 100 * maps[..., 0, :2]

    total = 0.0
    for i, k in np.ndindex(3, 12):
        dx, dy = (points(maps) - points(targets))[i, k].tolist()
        total += float(weights[i, k]) * (abs(dx) + abs(dy)) / 36
    assert point_l1(maps, targets, weights, points=points).item() == pytest.approx(total, rel=1e-5)


def test_every_codecs_losses_exist_and_every_loss_has_a_codec():
    named = [name for names in LOSSES_OF.values() for name in names]
    assert set(named) == set(LOSSES)
    assert set(LOSSES_OF) == set(CODECS)


LOSSES_WITH_ALL = {
    "mse": heatmap_mse,
    "kl": functools.partial(vector_kl, columns=20),
    "l1": functools.partial(point_l1, points=lambda maps: maps[..., :2]),
}


@pytest.mark.parametrize("name", LOSSES_WITH_ALL)
def test_an_unlabelled_keypoint_has_no_gradient(name):
    maps, targets, weights = example()
    if name != "mse":
        maps, targets = maps.flatten(2), targets.flatten(2)
    maps.requires_grad_()
    LOSSES_WITH_ALL[name](maps, targets, weights).backward()
    assert not maps.grad[weights == 0].any() and maps.grad[weights == 1].any()
