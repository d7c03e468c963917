"""The soft-argmax against loops over cells, its mirror, and the gradient of its loss."""

import math

import numpy as np
import pytest
import torch

from pose.build import model_of
from pose.build_training import loss_of
from pose.codecs import build_codec
from pose.config import load_config
from pose.skeleton import COCO_17

CODEC = build_codec("integral", (96, 128), 2.0, 4)
WIDTH, HEIGHT = 24, 32
CELL = np.array([95 / 23, 127 / 31])
PAIRS = torch.tensor([0, 2, 1])


def encode(points):
    return CODEC.encode(points, torch.ones(points.shape[:2]).bool())


def random_points(people, seed=0):
    points = np.random.default_rng(seed).uniform(0, [95, 127], (people, 3, 2))
    return torch.from_numpy(points)


def test_decode_equals_the_slow_wording():
    maps = 4 * np.random.default_rng(0).normal(size=(2, 3, HEIGHT, WIDTH))
    points, scores = CODEC.decode(torch.from_numpy(maps))
    for i, k in np.ndindex(2, 3):
        weights = np.exp(maps[i, k]) / np.exp(maps[i, k]).sum()
        expected, score = np.zeros(2), 0.0
        for y, x in np.ndindex(HEIGHT, WIDTH):
            expected += weights[y, x] * np.array([x, y])
        for y, x in np.ndindex(HEIGHT, WIDTH):
            distance = (x - expected[0]) ** 2 + (y - expected[1]) ** 2
            score += weights[y, x] * math.exp(-distance / 8)
        assert points[i, k].numpy() == pytest.approx(expected * CELL, abs=1e-9)
        assert float(scores[i, k]) == pytest.approx(score, abs=1e-9)


def test_the_first_and_the_last_cell_are_the_first_and_the_last_pixel():
    corners = torch.tensor([[[0.0, 0.0], [95.0, 127.0]]])
    maps, weights = encode(corners)
    assert weights.tolist() == [[1, 1]]
    assert (CODEC.decode(maps)[0] - corners).abs().max() < 1e-4
    shares = maps[0, 0, 0, 0].exp(), maps[0, 1, -1, -1].exp()
    assert [float(share) for share in shares] == pytest.approx([1, 1], abs=1e-5)


def test_a_target_is_shared_between_the_four_cells_about_the_point():
    point = torch.from_numpy(np.array([[[5.25, 7.5]]]) * CELL)
    shares = encode(point)[0][0, 0].exp().numpy()
    assert shares[7:9, 5:7] == pytest.approx(np.array([[0.375, 0.125], [0.375, 0.125]]))
    assert shares.sum() == pytest.approx(1)


def test_up_to_half_a_cell_outside_a_point_is_drawn_to_the_border_beyond_it_is_unlabelled():
    x = torch.tensor([-2.1, -2.0, 97.0, 97.1])
    maps, weights = encode(torch.stack([x, torch.full_like(x, 60.0)], dim=-1)[None])
    assert weights[0].tolist() == [0, 1, 1, 0]
    points = CODEC.decode(maps)[0][0, 1:3]
    assert points.flatten().tolist() == pytest.approx([0, 60, 95, 60], abs=1e-3)


def test_the_score_tells_certain_from_spread_out_and_from_torn_in_two():
    certain, spread = torch.full((HEIGHT, WIDTH), -100.0), torch.zeros(HEIGHT, WIDTH)
    torn = certain.clone()
    certain[10, 10] = torn[16, 2] = torn[16, 22] = 0
    scores = CODEC.decode(torch.stack([certain, spread, torn])[None])[1][0]
    assert scores[0] == 1
    assert scores[1] < 0.05
    assert scores[2] < 1e-5


def test_the_probabilities_of_a_mirrored_crop_lie_over_the_crops_own():
    points = random_points(20, seed=1)
    mirrored = (points * torch.tensor([-1.0, 1.0]) + torch.tensor([95.0, 0.0]))[:, PAIRS]
    own, back = encode(points)[0], CODEC.unflip(encode(mirrored)[0], PAIRS)
    assert (own.exp() - back.exp()).abs().max() < 1e-9
    average = CODEC.decode((own + back) / 2)[0]
    assert (average - points).abs().max() < 1e-6


def test_the_loss_is_the_distance_in_pixels_and_its_gradient_reaches_the_head():
    cfg = load_config("synthetic/quickstart", ["codec.name=integral", "codec.sigma=2"])
    model, codec = model_of(cfg, COCO_17)
    points = torch.rand(4, 17, 2) * torch.tensor([95.0, 127.0])
    labelled = torch.rand(4, 17) < 0.7
    targets, weights = codec.encode(points, labelled)
    maps = model(torch.randint(0, 256, (4, 3, 128, 96), dtype=torch.uint8))
    loss = loss_of(cfg, codec)(maps, targets, weights)
    gaps = (codec.decode(maps)[0] - points).abs().sum(-1)
    assert loss.item() == pytest.approx(gaps[labelled].sum().item() / (4 * 17), rel=1e-4)
    loss.backward()
    gradient = model.get_parameter("final_layer.weight").grad
    assert gradient is not None and gradient.flatten(1).abs().sum(1).gt(0).any()
