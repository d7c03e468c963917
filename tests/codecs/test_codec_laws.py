"""The laws of keypoints <-> heatmaps, for every codec, and the arithmetic of each against loops."""

import math

import cv2
import numpy as np
import pytest
import torch

from pose.codecs import CODECS, build_codec
from pose.codecs.gaussian import find_peaks

SIZE = (192, 256)
STRIDE = 4
FLIP = torch.tensor([1, 0, 2])


def codec_of(name, sigma=2.0):
    return build_codec(name, SIZE, sigma, STRIDE)


def points(seed=0, batch=64, margin=16.0):
    rng = np.random.default_rng(seed)
    low, high = np.array([margin, margin]), np.array(SIZE) - STRIDE - margin  # of the last cell
    return torch.from_numpy(rng.uniform(low, high, (batch, 3, 2)).astype(np.float32))


def labelled(keypoints):
    return torch.ones(keypoints.shape[:2], dtype=torch.bool)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("gaussian", STRIDE / math.sqrt(2)), ("dark", 0.05)]
)
def test_decode_inverts_encode(name, tolerance):
    codec, keypoints = codec_of(name), points()
    targets, weights = codec.encode(keypoints, labelled(keypoints))
    decoded, scores = codec.decode(targets)
    assert (decoded - keypoints).norm(dim=-1).max() <= tolerance
    assert (weights == 1).all() and (scores > 0.9).all()


@pytest.mark.parametrize("name", CODECS)
def test_a_batch_is_its_members_and_a_permutation_permutes(name):
    codec, keypoints = codec_of(name), points(1, 8)
    targets, _ = codec.encode(keypoints, labelled(keypoints))
    decoded, scores = codec.decode(targets)
    for i in range(8):
        one, score = codec.decode(targets[i : i + 1])
        torch.testing.assert_close(one[0], decoded[i], atol=1e-5, rtol=0)
        torch.testing.assert_close(score[0], scores[i], atol=1e-5, rtol=0)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(codec.decode(targets[order])[0], decoded[order], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "offset"), [("gaussian", 0.0), ("dark", 1.0)])
def test_unflip_aligns_mirrored_maps(name, offset):
    """On the published grid the shift by one column leaves a quarter cell: one input pixel.

    The gaussian codec rounds it away for points on whole pixels.
    """
    codec = codec_of(name)
    keypoints = points(2).round()
    mirrored = keypoints.clone()
    mirrored[..., 0] = SIZE[0] - 1 - keypoints[..., 0]
    maps, _ = codec.encode(mirrored[:, FLIP], labelled(keypoints))
    moved = keypoints + torch.tensor([offset, 0.0])
    expected, _ = codec.encode(moved, labelled(keypoints))
    # column 0 is not shifted, so column 1 repeats it
    torch.testing.assert_close(
        codec.unflip(maps, FLIP)[..., 1:], expected[..., 1:], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", CODECS)
def test_unlabelled_and_unreachable_keypoints_give_nothing(name):
    codec = codec_of(name)
    keypoints = torch.tensor([[[50.0, 60.0], [-200.0, 60.0], [50.0, 900.0]]])
    targets, weights = codec.encode(keypoints, torch.tensor([[False, True, True]]))
    assert not targets.any() and not weights.any()


@pytest.mark.parametrize("name", CODECS)
def test_no_people_is_an_input(name):
    codec = codec_of(name)
    targets, _ = codec.encode(torch.zeros(0, 3, 2), torch.zeros(0, 3, dtype=torch.bool))
    assert targets.shape == (0, 3, 64, 48)


@pytest.mark.parametrize(("sigma", "total"), [(2.0, 25.0813), (3.0, 56.3830)])
def test_the_published_patch_sums(sigma, total):
    keypoints = torch.tensor([[[96.0, 128.0]]])
    targets, _ = codec_of("gaussian", sigma).encode(keypoints, labelled(keypoints))
    assert targets.sum().item() == pytest.approx(total, abs=5e-5)
    assert targets.max() == 1


def slow_gaussian_target(point, sigma, width, height):
    """CONVENTION: a patch of 3 sigma about trunc(x / stride + 0.5), cut at the border."""
    mu = [math.trunc(v / STRIDE + 0.5) for v in point]
    target = np.zeros((height, width))
    reach = 3 * sigma
    if mu[0] - reach >= width or mu[1] - reach >= height or min(mu) + reach + 1 < 0:
        return target
    for y in range(height):
        for x in range(width):
            dx, dy = x - mu[0], y - mu[1]
            if abs(dx) <= reach and abs(dy) <= reach:
                target[y, x] = math.exp(-(dx**2 + dy**2) / (2 * sigma**2))
    return target


def test_gaussian_targets_equal_the_loop():
    keypoints = torch.tensor(
        [[[0.0, 0.0], [-3.9, 17.0], [191.0, 255.0], [-27.0, 100.0], [-1.9, 2.1]]]
    )
    targets, _ = codec_of("gaussian").encode(keypoints, labelled(keypoints))
    for target, point in zip(targets[0].numpy(), keypoints[0].tolist(), strict=True):
        np.testing.assert_allclose(target, slow_gaussian_target(point, 2.0, 48, 64), atol=1e-6)


def slow_quarter_decode(heatmap):
    height, width = heatmap.shape
    place = int(heatmap.argmax())
    y, x = divmod(place, width)
    if heatmap.max() <= 0:
        return 0.0, 0.0
    dx = dy = 0.0
    if 1 < x < width - 1 and 1 < y < height - 1:
        dx = 0.25 * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1])
        dy = 0.25 * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x])
    return STRIDE * (x + dx), STRIDE * (y + dy)


def test_gaussian_decoding_equals_the_loop():
    maps = torch.rand(20, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    maps[0, 0] = -1.0
    maps[1, 0] = 0.5  # flat: the first cell wins
    maps[2, 0, 63, 47] = maps[3, 0, 1, 1] = maps[4, 0, 2, 46] = 2.0
    maps[5, 0] = 0.0
    maps[5, 0, 10, 10] = maps[5, 0, 10, 20] = 1.0  # equal maxima, equal neighbours
    decoded, _ = codec_of("gaussian").decode(maps)
    for i in range(20):
        for k in range(3):
            expected = slow_quarter_decode(maps[i, k].numpy())
            assert decoded[i, k].tolist() == pytest.approx(expected, abs=1e-6)


def slow_dark_decode(heatmap, kernel):
    height, width = heatmap.shape
    y, x = divmod(int(heatmap.argmax()), width)
    border = kernel // 2
    padded = np.pad(heatmap.astype(np.float64), border)
    blurred = cv2.GaussianBlur(padded, (kernel, kernel), 0)[border:-border, border:-border]
    f = np.log(np.maximum(blurred * heatmap.max() / blurred.max(), 1e-10))
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return STRIDE * x, STRIDE * y
    gradient = np.array([f[y, x + 1] - f[y, x - 1], f[y + 1, x] - f[y - 1, x]]) / 2
    dxx = (f[y, x + 2] - 2 * f[y, x] + f[y, x - 2]) / 4
    dyy = (f[y + 2, x] - 2 * f[y, x] + f[y - 2, x]) / 4
    dxy = (f[y + 1, x + 1] - f[y - 1, x + 1] - f[y + 1, x - 1] + f[y - 1, x - 1]) / 4
    step = -np.linalg.solve(np.array([[dxx, dxy], [dxy, dyy]]), gradient)
    return STRIDE * (x + step[0]), STRIDE * (y + step[1])


@pytest.mark.parametrize(("sigma", "kernel"), [(2.0, 11), (3.0, 17)])
def test_dark_decoding_equals_the_loop(sigma, kernel):
    codec = codec_of("dark", sigma)
    assert codec.blur_kernel == kernel
    keypoints = points(3, 6, margin=4.0)
    maps, _ = codec.encode(keypoints, labelled(keypoints))
    maps = maps + 0.02 * torch.rand(maps.shape, generator=torch.Generator().manual_seed(1))
    decoded, scores = codec.decode(maps)
    for i in range(6):
        for k in range(3):
            expected = slow_dark_decode(maps[i, k].numpy(), kernel)
            assert decoded[i, k].tolist() == pytest.approx(expected, abs=2e-2)
    torch.testing.assert_close(scores, maps.amax(dim=(-2, -1)))


def test_the_first_of_equal_maxima_wins():
    maps = torch.zeros(1, 1, 4, 5)
    maps[0, 0, 1, 3] = maps[0, 0, 2, 0] = 1.0
    assert find_peaks(maps)[0].tolist() == [[[3.0, 1.0]]]


def test_an_unknown_codec_is_named():
    with pytest.raises(ValueError, match=r"unknown codec 'gausian' .known: gaussian, dark"):
        build_codec("gausian", SIZE, 2.0, STRIDE)
