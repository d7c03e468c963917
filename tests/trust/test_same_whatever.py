"""Interruptions, workers, processes: none of them changes a rate, a sample or a result."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from pose.build import evaluation_loader, loader_of, model_of
from pose.build_data import load_people
from pose.build_training import training_dataset
from pose.commands.train import train_in
from pose.data.dataset import EvaluationOrder, TrainingOrder
from pose.engine import trainer
from pose.engine.distributed import Ranks
from pose.engine.evaluation import network_decoder, predict_people
from pose.engine.skipping import StepGuard
from pose.models.weights import save_weights
from pose.published import described
from tests.trust.runs import CPU as ON_CPU
from tests.trust.runs import WORDS, config_of, draw, start
from tests.trust.test_kills import both_end, free_port

CPU = Ranks(torch.device("cpu"))
SCHEDULES = (
    ("steps", "train.lr_steps=[1,2]"),
    ("cosine",),
    ("linear",),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("drawn") / "set", train=9, val=7)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda words: words[0])
def test_rates_of_a_run_interrupted_at_every_epoch_are_those_of_a_straight_one(
    data, tmp_path, monkeypatch, schedule
):
    """And in the middle of every epoch."""
    name, *words = schedule
    cfg = config_of(data, "data.val_annotations=''", f"train.schedule={name}", *words)
    rates = []

    def noted(self, index):
        # The schedule alone is at stake: no step need be taken.
        rates.append(self.run.optimizer.param_groups[0]["lr"])
        return torch.zeros(())

    monkeypatch.setattr(StepGuard, "step", noted)
    monkeypatch.setattr(
        trainer, "add_gradients", lambda run, network, batch: torch.ones((), requires_grad=True)
    )
    train_in(cfg, tmp_path / "straight", CPU, resume=False)
    straight = rates.copy()
    rates.clear()
    steps = len(straight) // 3
    assert len(straight) == 3 * steps > 3 and len(set(straight)) > 3
    for number in range(len(straight) + 1):
        with monkeypatch.context() as patch:
            patch.setattr(
                trainer,
                "stops_here",
                lambda run: run.step % steps in (0, 1) and run.step < 3 * steps,
            )
            try:
                train_in(cfg, tmp_path / "run", CPU, resume=number > 0)
                break
            except KeyboardInterrupt:
                continue
    assert number == 5, "stopped twice in each epoch but at the very end"
    assert rates == straight


def samples(cfg, people, codec, workers, world_size):
    """(epoch, person) -> bytes of the sample, over two epochs and all processes; and who came in
    which batch."""
    found, batches = {}, {}
    for rank in range(world_size):
        order = TrainingOrder(len(people), cfg.train.batch_size, cfg.seed, rank, world_size)
        loader = loader_of(training_dataset(cfg, people, codec), order, workers, CPU.device)
        for order.epoch in range(2):
            for number, batch in enumerate(loader):
                batch = batch.to(CPU.device)
                batches.setdefault((order.epoch, number), []).extend(batch.index.tolist())
                for row, index in enumerate(batch.index.tolist()):
                    parts = (batch.images, batch.keypoints, batch.labelled, batch.matrices)
                    content = b"".join(part[row].numpy().tobytes() for part in parts)
                    assert found.setdefault((order.epoch, index), content) == content
    return found, batches


@pytest.mark.parametrize(
    ("workers", "world_size"),
    [
        (0, 2),
        (0, 4),
        (1, 1),
        (4, 2),
        *(pytest.param(w, r, marks=pytest.mark.slow) for w, r in ((1, 2), (1, 4), (4, 1), (4, 4))),
    ],
)
def test_samples_are_the_same_for_any_number_of_workers_and_processes(data, workers, world_size):
    cfg = config_of(data)
    people = load_people(cfg, "train")
    assert len(people) % 4, "the last batch is uneven"
    _, codec = model_of(cfg, people.skeleton)
    alone = samples(cfg, people, codec, 0, 1)
    assert alone == samples(cfg, people, codec, workers, world_size)
    assert len(alone[1]) == 2 * (len(people) // 4)


class Together:
    """Processes that work one after the other: what each has found is added up."""

    def __init__(self, world_size):
        self.world_size = world_size
        self.rows = 0.0

    def of(self, rank):
        ranks = Ranks(torch.device("cpu"), rank, self.world_size)

        def add(values):
            self.rows = self.rows + values
            return self.rows

        object.__setattr__(ranks, "sum", add)
        return ranks


@pytest.mark.parametrize("world_size", [2, 3, 5])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_evaluation_gives_the_same_bytes_on_any_number_of_processes(
    data, world_size, batch_size
):
    """Odd sets, uneven last batches, processes without any work; a -0, which no sum keeps."""
    cfg = config_of(data, f"test.batch_size={batch_size}")
    people = load_people(cfg, "val")
    assert len(people) % 2 or len(people) % 4
    model, codec = model_of(cfg, people.skeleton)
    decode = network_decoder(model, codec, CPU.device, None)

    def zeros_too(batch):
        keypoints, scores = decode(batch)
        scores[0, 0] = -0.0
        return keypoints, scores

    def found(ranks):
        return predict_people(
            zeros_too, evaluation_loader(cfg, people, codec, ranks), people, ranks
        )

    alone, together = found(CPU), Together(world_size)
    for rank in range(world_size):
        merged = found(together.of(rank))
    assert alone.keypoints.tobytes() == merged.keypoints.tobytes()
    assert alone.scores.tobytes() == merged.scores.tobytes()


@given(some.lists(some.integers(0, 9), max_size=60), some.integers(1, 9), some.integers(1, 7))
def test_every_person_is_evaluated_once(image_index, batch_size, world_size):
    """No process pads, so there is no duplicate to drop."""
    orders = [
        EvaluationOrder(np.array(image_index, int), batch_size, rank, world_size)
        for rank in range(world_size)
    ]
    seen = [index for order in orders for batch in order for _, index in batch]
    assert sorted(seen) == list(range(len(image_index)))
    sizes = [len(batch) for order in orders for batch in order]
    assert all(size == batch_size for size in sizes[:-1])


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="started by a fork server")
@pytest.mark.parametrize("world_size", [2, 3])
def test_results_of_several_real_processes_are_the_same_file(data, tmp_path, world_size):
    cfg = config_of(data)
    people = load_people(cfg, "val")
    model, _ = model_of(cfg, people.skeleton)
    weights = tmp_path / "w.safetensors"
    save_weights(weights, model.state_dict(), described(cfg, people.skeleton))
    for size in (1, world_size):
        world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": str(size)}
        arguments = [
            *("evaluate", "synthetic/quickstart", f"data.root={data}", *WORDS, "--boxes", "gt"),
            *("--weights", str(weights), "--out", str(tmp_path / str(size)), *ON_CPU),
        ]
        processes = [
            start(arguments, tmp_path / f"{size}.log", **world, RANK=str(rank), LOCAL_RANK="0")
            for rank in range(size)
        ]
        assert both_end(processes) == [0] * size, (tmp_path / f"{size}.log").read_text()
    one, several = ((tmp_path / str(n) / "results.json").read_bytes() for n in (1, world_size))
    assert one == several
