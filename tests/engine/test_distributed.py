"""Who goes first among several processes."""

import pytest
import torch

from pose.engine.distributed import Ranks


@pytest.mark.parametrize(
    ("rank", "order"), [(0, ["action", "barrier"]), (1, ["barrier", "action"])]
)
def test_the_others_wait_for_the_first(monkeypatch, rank, order):
    done = []
    monkeypatch.setattr(Ranks, "barrier", lambda self: done.append("barrier"))
    ranks = Ranks(torch.device("cpu"), rank, world_size=2)
    assert ranks.main_first(lambda: done.append("action") or 7) == 7
    assert done == order
