"""The main job from one end to the other, small: people drawn, trained on, evaluated, seen."""

import json

import numpy as np
import pytest
import yaml

from pose.commands import quickstart
from pose.commands.main import main
from pose.config import find_config
from pose.images import read_image
from pose.models.weights import load_with_config
from pose.video import read_frames

NUM_VAL = 6


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The quickstart on a few pictures and for one epoch."""
    config = yaml.safe_load(find_config("synthetic/quickstart").read_text(encoding="utf-8"))
    config["train"].update(epochs=1, batch_size=8, warmup_steps=0, sheet_every=1, amp=False)
    config["data"]["workers"] = 0
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setattr(quickstart, "CONFIG", str(path))
    monkeypatch.setattr(quickstart, "NUM_IMAGES", {"train": 12, "val": NUM_VAL})


@pytest.mark.usefixtures("small")
def test_the_quickstart_makes_all_it_says(tmp_path, capsys):
    out = tmp_path / "quickstart"
    assert main(["quickstart", "--out", str(out), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    trained, ceiling = (
        float(next(line for line in said.splitlines() if line.startswith(row)).split()[-10])
        for row in ("trained just now", "ceiling (perfect heatmaps)")
    )
    assert 0 <= trained < ceiling and ceiling > 0.8
    figures = json.loads((out / "evaluation/receipt.json").read_text())["figures"]
    assert round(figures["AP"], 4) == trained
    assert load_with_config(out / "run/best.safetensors")[1]["model"]["name"] == "hrnet_small"
    for picture in ("poses.jpg", "run/curves.png", "run/sheets/training.jpg"):
        assert np.ptp(read_image(out / picture)) > 50
    assert sum(1 for _ in read_frames(out / "poses.mp4")) > 0
    for written in (out / "poses.jpg", out / "poses.mp4", out / "evaluation/receipt.json"):
        assert str(written) in said

    steps = (out / "run/metrics.jsonl").read_text()
    assert main(["quickstart", "--out", str(out), "--device", "cpu"]) == 0
    assert (out / "run/metrics.jsonl").read_text() == steps
