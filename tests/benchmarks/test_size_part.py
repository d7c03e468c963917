"""Costs by size: each size has its row, and the plot shows them."""

from functools import partial

import cv2
import pytest
import torch

from pose.benchmarks import size
from pose.benchmarks.measure import by_size
from pose.benchmarks.plot import draw_sizes
from pose.benchmarks.settings import Settings
from pose.config import load_config

SMALL = ["model.name=hrnet_small", "model.input_size=[64,64]"]


def test_costs_are_those_of_a_unit_and_ratios_to_the_smallest_size(work_for):
    sizes = {n: partial(work_for, 0.01 * n) for n in (1, 2)} | {8: partial(work_for, 0.02)}
    rows = by_size("sleep", "nap", sizes, what="naps a call", rounds=3)
    assert [(row.way, row.size) for row in rows] == [
        ("1 naps a call", 1),
        ("2 naps a call", 2),
        ("8 naps a call", 8),
    ]
    assert [row.seconds.median for row in rows] == pytest.approx([0.01, 0.01, 0.0025])
    assert [row.ratio.median for row in rows] == pytest.approx([1, 1, 4])


def test_every_stage_grows(tmp_path, monkeypatch):
    short = {"BATCHES": (1, 8), "PEOPLE": (1, 3), "IMAGES": (20, 40), "WORKERS": (0,)}
    for name, value in (short | {"ROUNDS": 1}).items():
        monkeypatch.setattr(size, name, value)
    monkeypatch.setattr("pose.benchmarks.drawn.IMAGES", 2)
    monkeypatch.chdir(tmp_path)
    cfg = load_config("coco/hrnet_w32_256x192", SMALL)
    rows = size.measure(Settings(cfg, torch.device("cpu"), tmp_path))
    assert [row.size for row in rows] == [1, 8, 1, 3, 20, 40, 20, 40, 0]
    assert len({row.work for row in rows}) == 5
    draw_sizes(rows, tmp_path / "sizes.png")
    picture = cv2.imread(str(tmp_path / "sizes.png"))
    assert picture.shape == (960, 1200, 3)
    assert (picture[700:, 700:] == 255).all(), "five fields, and nothing where a sixth would be"
