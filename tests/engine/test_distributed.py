"""Several processes: who goes first, and where sums are taken."""

import os
import threading
import time

import pytest
import torch
import torch.distributed as dist

from pose.engine.distributed import Ranks, join_ranks
from tests.patience import HANG_SECONDS

CPU = torch.device("cpu")


def test_one_that_is_alone_waits_for_nobody():
    assert Ranks(CPU).main_first(lambda: 7) == 7


def test_the_others_wait_for_the_first_however_long_it_takes():
    """By the store alone: there is no process group here, whose collectives would time out."""
    store, done = dist.HashStore(), []
    first, second = (Ranks(CPU, rank, 2, store) for rank in range(2))

    def turn(ranks, name):
        assert ranks.main_first(lambda: done.append((ranks.rank, name)) or name) == name

    def others():
        turn(second, "people")
        turn(second, "cache")

    thread = threading.Thread(target=others, daemon=True)
    thread.start()
    time.sleep(0.3)
    assert done == []
    turn(first, "people")
    deadline = time.monotonic() + HANG_SECONDS
    while len(done) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    assert done == [(0, "people"), (1, "people")], "each turn has its own end"
    turn(first, "cache")
    thread.join(HANG_SECONDS)
    assert done[2:] == [(0, "cache"), (1, "cache")]


def test_what_lies_on_the_cpu_is_summed_there(monkeypatch):
    """So no step waits for the device to hear whether somebody was asked to stop."""
    seen = []

    def double(tensor):
        seen.append(tensor.device.type)
        tensor.mul_(2)

    monkeypatch.setattr(dist, "all_reduce", double)
    flag = torch.tensor(1.0)
    total = Ranks(torch.device("meta"), 0, 2).sum(flag)
    assert (total.item(), flag.item(), seen) == (2, 1, ["cpu"])


@pytest.mark.parametrize(("kind", "backend"), [("cuda", "cpu:gloo,cuda:nccl"), ("cpu", "gloo")])
def test_what_the_processes_join_with(monkeypatch, kind, backend):
    """Each device by its own way; the store is that of the group, and the attempt's alone."""
    store, joined = dist.HashStore(), []
    monkeypatch.setattr(os, "environ", {"WORLD_SIZE": "2", "LOCAL_RANK": "1"})
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(dist, "rendezvous", lambda url: iter([(store, 1, 2)]))
    monkeypatch.setattr(dist, "init_process_group", lambda *words, **keys: joined.append(words))
    monkeypatch.setattr(dist, "barrier", lambda: None)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    with join_ranks(torch.device(kind)) as ranks:
        assert (ranks.device.type, ranks.rank, ranks.world_size) == (kind, 1, 2)
        assert ranks.device.index == (1 if kind == "cuda" else None)
        store.set("attempt 0/the first is done with 0", "")
        assert ranks.main_first(lambda: 7) == 7
    assert joined == [(backend,)]
