"""The published evaluation against ours: the same crops, the same figures."""

import re

import numpy as np
import pytest
import torch

from pose.benchmarks import data, drawn, pipeline
from pose.benchmarks.settings import Settings
from pose.config import load_config
from pose.geometry import Crop
from pose.references import crops
from pose.structures import Person

SIZE = (192, 256)
PERSON = Person(
    *("a.jpg", 1, np.array([40, 30, 230, 410], np.float32)),
    *(np.zeros((17, 2)), np.zeros(17, np.uint8), 9000.0, 1.0, 1),
)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Two small pictures with three boxes each."""
    monkeypatch.setattr(drawn, "IMAGES", 2)
    monkeypatch.setattr(drawn, "SIZE", (320, 240))
    monkeypatch.setattr(drawn, "BOXES", 3)
    return Settings(load_config("coco/hrnet_w32_256x192"), torch.device("cpu"), tmp_path)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("grid", "apart"), [("published", 2e-3), ("udp", 1e-9)])
def test_the_published_crop_is_ours(tmp_path, grid, apart, mirrored):
    """Within 2e-3 pixels where the released code's points are float32."""
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [640, 0], [0, 480], [640, 480]], float)
    for rotation in (0.0, 30.0):
        center, extent = rng.uniform(150, 450, 2), np.array([240.0, 320.0])
        crop = Crop.around(center, extent, SIZE, rotation=rotation, mirrored=mirrored, grid=grid)
        placed = data.placed_at(PERSON, crop, grid, tmp_path)
        where = placed.center.copy()
        seen = corners.copy()
        if mirrored:  # as the published loader does it: the whole photograph
            where[0], seen[:, 0] = 640 - where[0] - 1, 640 - seen[:, 0] - 1
        matrix = crops.MATRICES[placed.grid](where, placed.width, placed.rotation, SIZE)
        found = seen @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(found, crop.to_input(corners), atol=apart, rtol=0)


@pytest.mark.parametrize("grid", ["published", "udp"])
def test_a_box_has_the_crop_of_its_grid(tmp_path, grid):
    crop = Crop.of_box(PERSON.box, SIZE, grid=grid)
    placed = data.placed_at(PERSON, crop, grid, tmp_path)
    matrix = crops.MATRICES[grid](placed.center, placed.width, placed.rotation, SIZE)
    np.testing.assert_allclose(matrix, crop.matrix, atol=1e-4)


def test_the_part_gives_its_rows_with_one_ap(settings, monkeypatch):
    monkeypatch.setattr(pipeline, "ROUNDS", 1)
    monkeypatch.setattr(pipeline, "can_compile", lambda device: False)
    rows = {row.way: row for row in pipeline.measure(settings)}
    assert list(rows)[:2] == ["published", "fp32"]
    published, ours = (
        float(re.fullmatch(r"AP ([\d.]+)", rows[way].agreement)[1]) for way in ("published", "fp32")
    )
    assert published > 0.01
    assert ours == pytest.approx(published, abs=1e-3)
