"""UDP against a slow wording of its arithmetic, point by point, and its grid."""

import math

import numpy as np
import pytest
import torch

from pose.codecs import build_codec
from pose.codecs.gaussian import GaussianCodec
from pose.codecs.udp import UdpCodec
from tests.codecs.maps import noisy_maps, slow_blur


@pytest.fixture(params=[((192, 256), 2.0), ((288, 384), 3.0)], ids=lambda p: f"sigma {p[1]:g}")
def codec(request):
    size, sigma = request.param
    return build_codec("udp", size, sigma, 4)


def slow_decode(heatmap, kernel):
    """In cells."""
    y, x = (int(v) for v in np.unravel_index(heatmap.argmax(), heatmap.shape))
    log = np.log(np.clip(slow_blur(heatmap, kernel), 1e-3, 50))
    f = np.pad(log, 1, mode="edge")
    x, y = x + 1, y + 1
    middle = f[y, x]
    gradient = np.array([f[y, x + 1] - f[y, x - 1], f[y + 1, x] - f[y - 1, x]]) / 2
    dxx = f[y, x + 1] - 2 * middle + f[y, x - 1]
    dyy = f[y + 1, x] - 2 * middle + f[y - 1, x]
    beside = f[y, x + 1] + f[y, x - 1] + f[y + 1, x] + f[y - 1, x]
    dxy = (f[y + 1, x + 1] + f[y - 1, x - 1] + 2 * middle - beside) / 2
    hessian = np.array([[dxx, dxy], [dxy, dyy]]) + 1.2e-7 * np.eye(2)
    return np.array([x - 1, y - 1]) - np.linalg.inv(hessian) @ gradient


def intervals(codec):
    """Input pixels from cell to cell."""
    return (np.array(codec.input_size) - 1) / (np.array(codec.heatmap_size) - 1)


def test_encode_is_a_gaussian_at_the_exact_place_within_the_window_of_the_nearest_cell(codec):
    width, height = codec.heatmap_size
    points = np.random.default_rng(4).uniform(0, 190, (12, 2)).astype(np.float32)
    maps, weights = codec.encode(torch.from_numpy(points)[None], torch.ones(1, 12).bool())
    assert weights.all()
    reach = 3 * codec.sigma
    for heatmap, (x, y) in zip(maps[0].numpy(), points / intervals(codec), strict=True):
        nearest_x, nearest_y = math.floor(x + 0.5), math.floor(y + 0.5)
        for row, column in np.ndindex(height, width):
            distance = (column - x) ** 2 + (row - y) ** 2
            inside = abs(column - nearest_x) <= reach and abs(row - nearest_y) <= reach
            expected = math.exp(-distance / (2 * codec.sigma**2)) if inside else 0.0
            assert heatmap[row, column] == pytest.approx(expected, abs=2e-6)


def test_weights_are_those_of_the_nearest_cell(codec):
    points = torch.tensor([[-30.0, 50], [-24.0, 50], [50, -25.0], [400, 50], [215, 50]])[None]
    _, weights = codec.encode(points, torch.ones(1, 5).bool())
    published = GaussianCodec(input_size=codec.input_size, sigma=codec.sigma)
    in_cells = points / torch.from_numpy(intervals(codec)).float()
    _, expected = published.encode(in_cells * published.stride, torch.ones(1, 5).bool())
    assert torch.equal(weights, expected) and 0 < weights.sum() < 5


@pytest.mark.parametrize("kernel", [None, 11])
def test_decode_equals_the_slow_wording(codec, kernel):
    if kernel:
        codec = UdpCodec(codec.input_size, codec.sigma, blur_kernel=kernel)
    maps = noisy_maps(codec, 60)
    points, scores = codec.decode(torch.from_numpy(maps)[None])
    for heatmap, point, score in zip(maps, points[0].numpy(), scores[0], strict=True):
        expected = slow_decode(heatmap, codec.blur_kernel) * intervals(codec)
        assert point == pytest.approx(expected, abs=1e-6)
        assert float(score) == heatmap.max()


def test_the_first_and_the_last_cell_are_the_first_and_the_last_pixel(codec):
    width, height = codec.input_size
    points = torch.tensor([[[0.0, 0.0], [width - 1.0, height - 1.0]]])
    maps, _ = codec.encode(points, torch.ones(1, 2).bool())
    assert maps[0, 0, 0, 0] == 1
    assert float(maps[0, 1, -1, -1]) == pytest.approx(1)
