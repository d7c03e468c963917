"""What a CPU computes from a few cells is what the whole maps would give."""

import numpy as np
import pytest
import torch

from pose.codecs import peaks
from pose.codecs.blur import blur


def maps_of(kind: str) -> torch.Tensor:
    """(4, 5, 24, 18) float32 with peaks anywhere, at the borders and in the corners too."""
    torch.manual_seed(0)
    noise = torch.rand(4, 5, 24, 18)
    if kind == "noise":
        return noise
    if kind == "faint":  # below what logarithms are cut at
        return noise * 1e-4
    if kind == "negative":
        return noise - 0.9
    if kind == "empty":
        return torch.zeros_like(noise)
    x, y = torch.arange(18.0), torch.arange(24.0)[:, None]
    places = [(0, 0), (17, 23), (0, 12), (9, 0), (8.3, 11.6)] * 4
    bumps = [torch.exp(-((x - a) ** 2 + (y - b) ** 2) / 8) for a, b in places]
    return torch.stack(bumps).view_as(noise) * (0.05 if kind == "low bumps" else 0.9)


KINDS = ("noise", "faint", "negative", "empty", "bumps", "low bumps")


@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_differences_of_logarithms_are_those_of_whole_maps(kind, radius):
    maps, low, high = maps_of(kind), 1e-3, 50.0
    cells, _ = peaks.find_peaks(maps)
    found = peaks.log_neighbourhood(maps, cells, radius, kernel=7, low=low, high=high)
    whole = blur(maps.double(), 7).clamp(low, high).log()
    expected = peaks.neighbourhood(whole, cells, radius)
    middle = (..., slice(radius, radius + 1), slice(radius, radius + 1))
    difference = (found - found[middle]) - (expected - expected[middle])
    assert difference.abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_peaks_are_the_first_of_the_highest_cells(kind, monkeypatch):
    maps = maps_of(kind)
    maps[0, 0, 3, 4] = maps[0, 0, 7, 1] = 2.0
    eager = peaks.find_peaks(maps)
    monkeypatch.setattr(peaks, "eager_on_cpu", lambda maps: False)
    for found, expected in zip(eager, peaks.find_peaks(maps), strict=True):
        assert torch.equal(found, expected)
    assert eager[0][0, 0].tolist() == [4, 3]


def test_a_map_beyond_the_upper_cut_is_cut():
    maps = 1000 * maps_of("bumps")
    cells, _ = peaks.find_peaks(maps)
    found = peaks.log_neighbourhood(maps, cells, 1, kernel=7, low=1e-3, high=50.0)
    assert found.max() == pytest.approx(np.log(50))


def test_half_the_bits_give_the_same_peaks():
    maps = maps_of("bumps").bfloat16()
    cells, scores = peaks.find_peaks(maps)
    expected, _ = peaks.find_peaks(maps.float())
    assert torch.equal(cells.float(), expected)
    assert scores.dtype == torch.bfloat16
