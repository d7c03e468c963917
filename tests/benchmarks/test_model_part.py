"""The part that times networks: its rows, and what is said of how far they agree."""

import functools

import torch

from pose.benchmarks import measure, model
from pose.benchmarks.settings import Settings
from pose.config import load_config


def test_the_part_gives_its_rows(tmp_path, monkeypatch):
    class Compiled(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.forward = network.forward

    monkeypatch.setattr(model, "EXPORTS", {})
    monkeypatch.setattr(model, "BATCHES", (2, 1))
    monkeypatch.setattr(model, "can_compile", lambda device: True)
    monkeypatch.setattr(model, "Compiled", Compiled)
    quick = functools.partial(measure.side_by_side, rounds=1, least_seconds=0)
    monkeypatch.setattr(model, "side_by_side", quick)
    keys = ["model.name=hrnet_small", "model.input_size=[64,64]"]
    cfg = load_config("coco/hrnet_w32_256x192", keys)
    with torch.no_grad():
        rows = model.measure(Settings(cfg, torch.device("cpu"), tmp_path))
    assert {row.work for row in rows} == {
        f"hrnet_small 64x64, batches of {batch}" for batch in (2, 1)
    }
    ways = list(dict.fromkeys(row.way for row in rows))
    assert ways[:2] == ["published", "torch fp32"]
    assert ways[-1].endswith("test.compile=compile")
    for row in rows:
        if row.way == "torch fp32":
            assert float(row.agreement.removeprefix("maps within ")) < 1e-4
        elif row.way == "published":
            assert not row.agreement and row.ratio.median == 1
