"""The published targets and decoding, against slow wordings of them, and the published numbers."""

import math

import numpy as np
import pytest
import torch

from pose.codecs.gaussian import GaussianCodec

CODEC = GaussianCodec(input_size=(192, 256), sigma=2.0)
WIDTH, HEIGHT = 48, 64


def encode_one(x, y, codec=CODEC):
    maps, weights = codec.encode(torch.tensor([[[x, y]]]), torch.ones(1, 1, dtype=torch.bool))
    return maps[0, 0].numpy(), float(weights[0, 0])


def slow_encode(x, y, sigma, width, height, stride=4):
    """The published targets in loops: centre, patch, cut at the border, weight."""
    mu_x, mu_y, radius = int(x / stride + 0.5), int(y / stride + 0.5), 3 * int(sigma)
    target = np.zeros((height, width))
    if mu_x - radius >= width or mu_y - radius >= height:
        return target, 0.0
    if mu_x + radius + 1 < 0 or mu_y + radius + 1 < 0:
        return target, 0.0
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if 0 <= mu_x + dx < width and 0 <= mu_y + dy < height:
                value = math.exp(-(dx * dx + dy * dy) / (2 * sigma**2))
                target[mu_y + dy, mu_x + dx] = value
    return target, 1.0


def slow_decode(heatmap):
    """The published decoding in loops, in cells."""
    height, width = heatmap.shape
    best, x, y = -math.inf, 0, 0
    for row in range(height):
        for column in range(width):
            if heatmap[row, column] > best:
                best, x, y = heatmap[row, column], column, row
    if best <= 0:
        return 0.0, 0.0, best
    if not (1 < x < width - 1 and 1 < y < height - 1):
        return float(x), float(y), best
    right = np.sign(heatmap[y, x + 1] - heatmap[y, x - 1])
    down = np.sign(heatmap[y + 1, x] - heatmap[y - 1, x])
    return x + 0.25 * right, y + 0.25 * down, best


@pytest.mark.parametrize(("sigma", "patch_sum"), [(2.0, 25.0813), (3.0, 56.3830)])
def test_published_patch_sums(sigma, patch_sum):
    codec = GaussianCodec(input_size=(288, 384), sigma=sigma)
    target, weight = encode_one(101.3, 200.9, codec)
    assert target.sum(dtype=np.float64) == pytest.approx(patch_sum, abs=5e-5)
    assert (target.max(), weight) == (1, 1)
    assert np.count_nonzero(target) == (6 * sigma + 1) ** 2


@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_encode_equals_the_slow_wording(sigma):
    codec = GaussianCodec(input_size=(192, 256), sigma=sigma)
    rng = np.random.default_rng(0)
    points = rng.uniform((-60, -60), (250, 320), (150, 2)).astype(np.float32)
    # Around the points where a window begins to touch the map, and where truncation turns.
    edges = np.array([-50.1, -50, -46, -42, -38, -34, -30, -26, -2.1, -2, 1.9, 2, 189.9, 190, 214])
    points[: len(edges), 0] = edges
    points[len(edges) : 2 * len(edges), 1] = edges + np.repeat([0, 64], [12, 3])
    maps, weights = codec.encode(torch.from_numpy(points)[None], torch.ones(1, 150).bool())
    for i, (x, y) in enumerate(points):
        target, weight = slow_encode(float(x), float(y), sigma, WIDTH, HEIGHT)
        assert float(weights[0, i]) == weight, (x, y)
        assert np.abs(maps[0, i].numpy() - target).max() < 1e-6, (x, y)
    assert 0 < weights.mean() < 1


def decode(maps):
    points, scores = CODEC.decode(torch.from_numpy(maps)[None])
    return points[0].numpy(), scores[0].numpy()


@pytest.mark.parametrize("levels", [3, 40, 0], ids=["many ties", "some ties", "no ties"])
def test_decode_equals_the_slow_wording(levels):
    rng = np.random.default_rng(levels)
    maps = rng.normal(size=(25, HEIGHT, WIDTH)).astype(np.float32)
    if levels:
        maps = rng.integers(-1, levels, maps.shape).astype(np.float32)
    maps[:3] -= 100
    points, scores = decode(maps)
    for i, heatmap in enumerate(maps):
        x, y, best = slow_decode(heatmap)
        assert points[i].tolist() == [4 * x, 4 * y]
        assert scores[i] == best


@pytest.mark.parametrize("y", [0, 1, 2, HEIGHT - 2, HEIGHT - 1])
@pytest.mark.parametrize("x", [0, 1, 2, WIDTH - 2, WIDTH - 1])
def test_the_quarter_needs_both_axes_inside(x, y):
    heatmap = np.linspace(0, 0.1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.float32)
    heatmap[y, x] = 1
    points, _ = decode(heatmap[None])
    inside = 1 < x < WIDTH - 1 and 1 < y < HEIGHT - 1
    assert points[0].tolist() == [4 * x + inside, 4 * y + inside]


def test_the_first_maximum_in_rows_wins():
    heatmap = np.zeros((1, HEIGHT, WIDTH), np.float32)
    heatmap[0, 30, 10] = heatmap[0, 20, 40] = heatmap[0, 20, 20] = 1
    assert decode(heatmap)[0][0].tolist() == [80, 80]


def test_equal_neighbours_give_no_offset():
    target, _ = encode_one(100.0, 120.0)
    assert decode(target[None])[0][0].tolist() == [100, 120]


def shifted_peak(maps):
    """Centre of mass along x, in cells: where a blob lies, below the resolution of argmax."""
    profile = maps.sum(axis=0)
    return (profile * np.arange(len(profile))).sum() / profile.sum()


def test_a_reversed_map_lies_three_quarters_of_a_cell_to_the_left():
    """x -> W_in-1-x, reversed: cell W-1 - (W_in-1-x)/4 = x/4 - 3/4; shifted by one: + 1/4."""
    x = np.arange(60.0, 64.0)
    reversed_places = [WIDTH - 1 - (191 - v) / 4 for v in x]
    assert np.array_equal(np.array(reversed_places) - x / 4, [-0.75] * 4)
    # Averaged over the four places in a cell, where rounding to whole cells cancels:
    gaps = []
    for v in x:
        mirrored, _ = encode_one(191 - v, 100.0)
        maps = torch.from_numpy(mirrored)[None, None]
        unflipped = CODEC.unflip(maps, torch.tensor([0]))[0, 0].numpy()
        reversed_map = mirrored[:, ::-1]
        assert shifted_peak(unflipped) == pytest.approx(shifted_peak(reversed_map) + 1, abs=1e-4)
        gaps.append(shifted_peak(unflipped) - v / 4)
    # Rounding to the nearest cell, halves up, itself adds (0 - 1/4 + 1/2 + 1/4) / 4 = 1/8, so both
    # directions agree on whole pixels and the target's own bias equals that of the mirror.
    assert np.mean(gaps) == pytest.approx(0.125, abs=1e-4)


def test_unflipped_mirror_equals_the_targets_on_whole_pixels():
    """Cell floor(t + 1/2) with t = x/4 against ceil(t - 1/4) of the unflipped mirror: equal unless
    t's fraction lies in (1/4, 1/2), which no whole pixel's does. Column 0 is not written by the
    shift, so it is left out."""
    flip_index = torch.tensor([0, 2, 1])
    x = torch.arange(0, 192)
    rng = np.random.default_rng(3)
    y = torch.from_numpy(rng.integers(0, 256, (192, 3)))
    points = torch.stack([x[:, None].expand(192, 3), y], dim=-1).float()
    points[:, 1:, 0] = points[:, 1:, 0].roll(50, dims=0)
    labelled = torch.ones(192, 3).bool()
    mirrored = (points * torch.tensor([-1.0, 1.0]) + torch.tensor([191.0, 0.0]))[:, flip_index]
    unflipped = CODEC.unflip(CODEC.encode(mirrored, labelled)[0], flip_index)
    assert torch.equal(unflipped[..., 1:], CODEC.encode(points, labelled)[0][..., 1:])


@pytest.mark.parametrize(("x", "gap"), [(60.9, 0), (61.5, 1), (62.0, 0), (63.7, 0)])
def test_between_pixels_the_mirror_may_round_to_the_next_cell(x, gap):
    mirrored = torch.from_numpy(encode_one(191 - x, 100.0)[0])[None, None]
    unflipped = CODEC.unflip(mirrored, torch.tensor([0]))[0, 0].numpy()
    own, _ = encode_one(x, 100.0)
    assert unflipped[25].argmax() - own[25].argmax() == gap


def test_column_zero_stays_as_it_is():
    maps = torch.rand(2, 1, HEIGHT, WIDTH)
    unflipped = CODEC.unflip(maps, torch.tensor([0]))
    assert torch.equal(unflipped[..., 0], maps[..., -1])
    assert torch.equal(unflipped[..., 1:], maps.flip(-1)[..., :-1])


def test_the_gate_of_each_axis_is_mmposes():
    """x where 1 < px < W-1 and py > 0, y alike; both together in the published decoding."""
    width, height = 24, 32
    rng = np.random.default_rng(0)
    heatmaps = rng.random((300, height, width)).astype(np.float32) / 2
    for heatmap in heatmaps:  # peaks crowd the borders
        x, y = (int(v) for v in rng.choice([0, 1, 2, 9, -3, -2, -1], 2))
        heatmap[y, x] = 1
    for gate in ("both", "each"):
        codec = GaussianCodec(input_size=(96, 128), sigma=2.0, offset_gate=gate)
        points, _ = codec.decode(torch.from_numpy(heatmaps)[None])
        for heatmap, point in zip(heatmaps, points[0].numpy() / 4, strict=True):
            y, x = (int(v) for v in np.unravel_index(heatmap.argmax(), heatmap.shape))
            free_x, free_y = 1 < x < width - 1, 1 < y < height - 1
            moves_x, moves_y = (free_x and free_y,) * 2
            if gate == "each":
                moves_x, moves_y = free_x and y > 0, free_y and x > 0
            if moves_x:
                slope_x = np.sign(heatmap[y, x + 1] - heatmap[y, x - 1])
            if moves_y:
                slope_y = np.sign(heatmap[y + 1, x] - heatmap[y - 1, x])
            expected = (
                x + 0.25 * slope_x if moves_x else x,
                y + 0.25 * slope_y if moves_y else y,
            )
            assert tuple(point) == expected
