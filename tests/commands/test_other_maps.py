"""Codecs whose maps are no heatmaps through all commands that a network meets in its life."""

import json

import numpy as np
import pytest

from pose.build import load_network
from pose.commands.main import main
from pose.commands.quickstart import ceiling
from pose.config import load_config
from pose.images import read_image


@pytest.mark.parametrize(("codec", "sigma"), [("simcc", 4), ("integral", 1)])
def test_trained_looked_at_evaluated_and_used(drawn, tmp_path, codec, sigma):
    keys = [f"data.root={drawn}", "data.workers=0", "model.input_size=[64, 64]"]
    keys += [f"codec.name={codec}", f"codec.sigma={sigma}", "data.val_boxes=gt"]
    assert ceiling(load_config("synthetic/quickstart", keys), "gt")["AP"] > 0.95

    run = tmp_path / "run"
    line = ["train", "synthetic/quickstart", "--out", str(run), "--device", "cpu", *keys]
    assert main([*line, "train.batch_size=4", "train.epochs=1", "train.sheet_every=1"]) == 0
    sheets = sorted((run / "sheets").iterdir())
    assert len(sheets) == 2, "of the targets and of the first epoch"
    assert all(read_image(sheet).std() > 10 for sheet in sheets)

    weights = run / "best.safetensors"
    assert type(load_network(weights).codec).__name__.lower().startswith(codec)
    line = ["evaluate", "synthetic/quickstart", "--weights", str(weights), "--boxes", "gt"]
    assert main([*line, "--out", str(tmp_path / "evaluation"), "--device", "cpu", *keys]) == 0

    image = next((drawn / "images/val").iterdir())
    line = ["predict", str(image), "--weights", str(weights), "--boxes", "5,5,100,120"]
    assert main([*line, "--out", str(tmp_path / "poses"), "--device", "cpu"]) == 0
    found = json.loads((tmp_path / "poses" / "poses.json").read_text())
    points = np.array(found[0]["keypoints"]).reshape(-1, 3)
    assert ((points[:, 2] >= 0) & (points[:, 2] <= 1)).all()
