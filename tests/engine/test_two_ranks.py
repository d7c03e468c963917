"""A step on two ranks is the step of one process that accumulates the same two half-batches."""

import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.multiprocessing as multiprocessing

from pose.build import model_of
from pose.build_data import load_people
from pose.build_training import placed, run_of, training_dataset
from pose.config import load_config
from pose.data.dataset import TrainingOrder
from pose.data.synthetic import write_synthetic
from pose.engine.distributed import Ranks, join_ranks
from pose.engine.trainer import Run, distribute, losses_so_far, settle, train_epoch
from pose.skeleton import COCO_17

BATCH = 8
RATE = 10.0


def config_of(folder: Path):
    return load_config(
        "synthetic/quickstart",
        [
            f"data.root={folder}",
            "data.workers=0",
            "model.input_size=[64, 64]",
            f"train.batch_size={BATCH}",
            "train.warmup_steps=0",
            "train.ema_decay=0",
        ],
    )


def exact_steps(run: Run) -> None:
    """Double precision, and gradient descent in place of Adam, whose first step is a sign.

    In float32 the first layers' gradients differ by 0.3 % with the number of threads alone.
    """
    run.model.double()
    run.optimizer = torch.optim.SGD(run.model.parameters(), lr=RATE, fused=True)
    run.rate = lambda step: RATE


def one_step(rank: int, port: int, folder: Path) -> None:
    """What each of the two processes does; the first leaves its weights."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    with join_ranks(torch.device("cpu")) as ranks:
        cfg = config_of(folder)
        run = run_of(cfg, load_people(cfg, "train"), ranks, folder)
        exact_steps(run)
        run.stop_requested = True  # on every rank: leave after the first step
        train_epoch(run, distribute(run))
        assert run.step == 1
        if ranks.is_main:
            torch.save(run.model.state_dict(), folder / "two.pt")


@pytest.fixture
def folder(tmp_path):
    write_synthetic(tmp_path / "set", {"train": 8}, seed=2, num_processes=1)
    return tmp_path / "set"


def test_batch_norms_are_shared_on_cuda_alone(folder):
    cfg = load_config("synthetic/quickstart", ["train.sync_batch_norm=true"])
    model, _ = model_of(cfg, COCO_17)
    assert placed(cfg, model, Ranks(torch.device("cpu"))) is model, "one process shares with nobody"
    with pytest.raises(ValueError, match=r"train\.sync_batch_norm: torch has it for CUDA alone"):
        placed(cfg, model, Ranks(torch.device("cpu"), 0, 2))


def test_two_ranks_make_the_step_of_one(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(one_step, args=(port, folder), nprocs=2)
    two = torch.load(folder / "two.pt", weights_only=True)

    cfg = config_of(folder)
    people = load_people(cfg, "train")
    run = run_of(cfg, people, Ranks(torch.device("cpu")), folder)
    dataset = training_dataset(cfg, people, run.codec)
    run.model.train()
    exact_steps(run)
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    for rank in range(2):
        half = next(iter(TrainingOrder(len(people), BATCH, cfg.seed, rank, 2)))
        batch = dataset.__getitems__(half)
        assert len(batch.index) == BATCH // 2
        targets, weights = run.codec.encode(batch.keypoints, batch.labelled)
        (run.loss(run.model(batch.images), targets, weights) / 2).backward()
    run.optimizer.step()
    for name, parameter in run.model.named_parameters():
        torch.testing.assert_close(two[name], parameter.detach(), atol=1e-6, rtol=0, msg=name)
    again = run_of(cfg, people, Ranks(torch.device("cpu")), folder)
    exact_steps(again)
    again.parts, again.stop_requested = 2, True
    train_epoch(again, again.model)
    for name, parameter in again.model.named_parameters():
        torch.testing.assert_close(two[name], parameter.detach(), atol=1e-6, rtol=0, msg=name)
    moved = max((p.detach() - before[n]).abs().max() for n, p in run.model.named_parameters())
    assert moved > 1e-3  # a step that a lost half-batch would change a thousandfold


def test_the_loss_of_an_epoch_is_the_same_to_the_last_bit_wherever_a_run_was_interrupted():
    """Two processes that go on both begin with their mean; losses from 1e-4 to 1."""
    losses = 10 ** (-4 * torch.rand(2, 300, generator=torch.Generator().manual_seed(0)))

    def loss_of(interrupted_at: list[int]) -> float:
        ranks = Ranks(torch.device("cpu"), 0, 2)
        run = SimpleNamespace(loss_sum=0.0, left_out=0.0, ranks=ranks)
        ends = [*interrupted_at, 300]
        for begin, end in zip([0, *ends], ends, strict=False):
            totals = [losses_so_far(run) for _ in range(2)]
            for total, own in zip(totals, losses[:, begin:end], strict=True):
                for loss in own:
                    total += loss
            others = torch.stack([totals[1], torch.zeros(())])
            run.ranks = SimpleNamespace(world_size=2, sum=others.add)
            settle(run, SimpleNamespace(look=lambda: None), totals[0])
            run.ranks = ranks
        return run.loss_sum

    straight = loss_of([])
    assert straight == losses.double().sum().item() / 2
    assert {loss_of([step]) for step in range(10, 300, 40)} == {straight}
    assert loss_of([3, 50, 51, 299]) == straight
