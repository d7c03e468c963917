"""DARK against a slow wording of its arithmetic with OpenCV's blur, and its mirror's offset."""

import math

import numpy as np
import pytest
import torch

from pose.codecs import build_codec
from pose.codecs.blur import blur
from tests.codecs.maps import noisy_maps, slow_blur

SETTINGS = [((192, 256), 2.0, 11), ((288, 384), 3.0, 17)]


@pytest.fixture(params=SETTINGS, ids=lambda p: f"sigma {p[1]:g}")
def codec(request):
    size, sigma, kernel = request.param
    codec = build_codec("dark", size, sigma, 4)
    assert codec.blur_kernel == kernel
    return codec


def slow_decode(heatmap, kernel):
    """DARK's arithmetic point by point, in cells."""
    height, width = heatmap.shape
    y, x = (int(v) for v in np.unravel_index(heatmap.argmax(), heatmap.shape))
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return x, y
    f = np.log(np.maximum(slow_blur(heatmap, kernel), 1e-10))
    dx = (f[y, x + 1] - f[y, x - 1]) / 2
    dy = (f[y + 1, x] - f[y - 1, x]) / 2
    dxx = (f[y, x + 2] - 2 * f[y, x] + f[y, x - 2]) / 4
    dyy = (f[y + 2, x] - 2 * f[y, x] + f[y - 2, x]) / 4
    dxy = (f[y + 1, x + 1] - f[y - 1, x + 1] - f[y + 1, x - 1] + f[y - 1, x - 1]) / 4
    hessian = np.array([[dxx, dxy], [dxy, dyy]])
    if np.linalg.det(hessian) == 0:
        return x, y
    step = -np.linalg.inv(hessian) @ [dx, dy]
    return x + step[0], y + step[1]


def test_encode_is_a_gaussian_at_the_exact_place(codec):
    width, height = codec.heatmap_size
    points = np.random.default_rng(4).uniform(0, 190, (12, 2)).astype(np.float32)
    maps, weights = codec.encode(torch.from_numpy(points)[None], torch.ones(1, 12).bool())
    assert weights.all()
    for i, (x, y) in enumerate(points / 4):
        for column, row in np.random.default_rng(i).integers(0, [width, height], (40, 2)):
            distance = (column - x) ** 2 + (row - y) ** 2
            expected = math.exp(-distance / (2 * codec.sigma**2))
            assert float(maps[0, i, row, column]) == pytest.approx(expected, abs=1e-6)


def test_blur_is_opencvs(codec):
    maps = noisy_maps(codec, 6)
    ours = blur(torch.from_numpy(maps)[None], codec.blur_kernel)[0].numpy()
    for heatmap, blurred in zip(maps, ours, strict=True):
        assert np.abs(blurred - slow_blur(heatmap, codec.blur_kernel)).max() < 1e-9
        assert blurred.max() == pytest.approx(heatmap.max(), abs=1e-12)


def test_decode_equals_the_slow_wording(codec):
    maps = noisy_maps(codec, 50)
    points, scores = codec.decode(torch.from_numpy(maps)[None])
    slow = np.array([slow_decode(heatmap, codec.blur_kernel) for heatmap in maps])
    assert np.abs(points[0].numpy() / 4 - slow).max() < 1e-6
    assert np.array_equal(scores[0].numpy(), maps.max(axis=(1, 2))), "scores are not blurred"
    whole = (slow == np.round(slow)).all(axis=1)
    assert 0 < whole.sum() < 25, "some at the border, most inside"


def test_single_precision_is_enough(codec):
    maps = torch.from_numpy(noisy_maps(codec, 40, seed=5))[None]
    gap = codec.decode(maps.float())[0] - codec.decode(maps)[0]
    assert gap.abs().max() < 0.02  # pixels


def test_how_far_it_errs_towards_the_border(codec):
    """Largest error of a coordinate in px by the distance to the nearest outermost cell."""
    outermost = torch.tensor([side - 4 for side in codec.input_size])
    points = torch.rand(60, 17, 2, generator=torch.Generator().manual_seed(6)) * outermost
    decoded, _ = codec.decode(codec.encode(points, torch.ones(60, 17).bool())[0])
    errors = (decoded - points).abs().amax(dim=-1)
    sigmas = torch.minimum(points, outermost - points).amin(dim=-1) / (4 * codec.sigma)
    assert errors[sigmas >= 2.5].max() < 0.01
    assert errors[sigmas >= 2].max() < (0.05 if codec.sigma == 2 else 0.06)
    assert 0.05 < errors[(sigmas >= 1) & (sigmas < 2)].max() < 2
    assert 1 < errors[sigmas < 1].max() < 4.3


def test_a_mirrored_map_lies_a_quarter_cell_to_the_right(codec):
    """x -> W_in-1-x, reversed and shifted by one column: cell x/4 + 1/4, where x + 1 is encoded.
    Column 0 is not written by the shift."""
    width = codec.input_size[0]
    generator = torch.Generator().manual_seed(7)
    points = torch.rand(5, 3, 2, generator=generator) * torch.tensor(codec.input_size)
    labelled = torch.ones(5, 3).bool()
    flip_index = torch.tensor([0, 2, 1])
    mirrored = (points * torch.tensor([-1.0, 1.0]) + torch.tensor([width - 1.0, 0]))[:, flip_index]
    unflipped = codec.unflip(codec.encode(mirrored, labelled)[0], flip_index)
    expected = codec.encode(points + torch.tensor([1.0, 0.0]), labelled)[0]
    assert (unflipped - expected)[..., 1:].abs().max() < 1e-5


def test_the_flip_average_lies_an_eighth_of_a_cell_to_the_right(codec):
    points = torch.tensor([[[90.0, 100.0]]])
    labelled = torch.ones(1, 1).bool()
    maps, _ = codec.encode(points, labelled)
    mirrored, _ = codec.encode(torch.tensor([[[codec.input_size[0] - 91.0, 100.0]]]), labelled)
    decoded, _ = codec.decode((maps + codec.unflip(mirrored, torch.tensor([0]))) / 2)
    assert decoded[0, 0].tolist() == pytest.approx([90.5, 100], abs=0.01)
