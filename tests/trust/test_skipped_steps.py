"""A loss or gradients that are not finite: the step leaves nothing behind, is counted and said."""

import copy
import json
import math
import os

import numpy as np
import pytest
import torch

from pose import build_training
from pose.build_data import load_people
from pose.build_training import run_of
from pose.commands.train import train_in
from pose.engine import skipping
from pose.engine.checkpoints import LATEST, load_checkpoint
from pose.engine.distributed import Ranks
from pose.engine.optim import build_optimizer
from pose.engine.skipping import StepGuard
from pose.engine.trainer import train_epoch
from tests.trust.runs import arguments_of, config_of, draw, start
from tests.trust.test_kills import both_end, free_port

CPU = Ranks(torch.device("cpu"))
WORDS = ("data.val_annotations=''",)


def nothing_finite(loss, maps):
    return loss * math.nan


def infinite_loss(loss, maps):
    """Its gradients are finite."""
    return loss + math.inf


def infinite_gradient(loss, maps):
    """Of a loss that is finite."""
    maps.register_hook(lambda gradient: gradient * math.inf)
    return loss


FAULTS = {f.__name__: f for f in (nothing_finite, infinite_loss, infinite_gradient)}


def faulty_at(steps, fault, loss):
    """The loss with `fault` in the steps of those numbers, counted from 1."""
    calls = []

    def faulty(maps, targets, weights):
        calls.append(1)
        value = loss(maps, targets, weights)
        return fault(value, maps) if len(calls) in steps else value

    return faulty


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("drawn") / "set")


def state_of(run):
    """What a step changes, as bytes."""
    tensors = {**run.model.state_dict()}
    for number, values in run.optimizer.state_dict()["state"].items():
        tensors |= {f"{number}.{name}": value for name, value in values.items()}
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("parts", [1, 2])
def test_a_skipped_step_leaves_nothing_behind(data, tmp_path, fault, parts):
    cfg = config_of(data, *WORDS, "train.clip_norm=1", f"train.parts={parts}")
    run = run_of(cfg, load_people(cfg, "train"), CPU, tmp_path)
    run.stop_requested = True  # leave after each step
    train_epoch(run, run.model)
    before, loss = state_of(run), run.loss
    run.loss = faulty_at({1}, fault, loss)
    train_epoch(run, run.model)
    after = state_of(run)
    assert [name for name in before if before[name] != after[name]] == []
    assert (run.step, run.skipped) == (2, 1) and math.isfinite(run.loss_sum)
    run.loss = loss
    train_epoch(run, run.model)
    after = state_of(run)
    assert [name for name in before if before[name] == after[name]] in ([], ["mean", "std"])
    assert run.skipped_in_a_row == 0
    assert all(torch.isfinite(tensor).all() for tensor in run.model.state_dict().values())
    assert all(torch.isfinite(tensor).all() for tensor in run.average.state_dict().values())


class Heedless(torch.optim.AdamW):
    """Takes the step whatever `found_inf` says, as torch's fused one does on MPS."""

    def step(self, closure=None):
        self.__dict__.pop("found_inf", None)
        return super().step(closure)


def test_an_optimiser_that_does_not_heed_is_not_asked(data, tmp_path, monkeypatch):
    monkeypatch.setattr(skipping, "HEEDLESS", ("cpu",), raising=False)
    cfg = config_of(data, *WORDS)
    run = run_of(cfg, load_people(cfg, "train"), CPU, tmp_path)
    run.optimizer = Heedless(run.model.parameters(), fused=True)
    run.stop_requested = True  # leave after each step
    train_epoch(run, run.model)
    before, run.loss = state_of(run), faulty_at({1}, nothing_finite, run.loss)
    train_epoch(run, run.model)
    assert (run.step, run.skipped) == (2, 1) and state_of(run) == before
    train_epoch(run, run.model)
    assert (run.step, run.skipped) == (3, 1) and state_of(run) != before


def test_it_is_counted_and_its_images_are_said(data, tmp_path, monkeypatch, caplog):
    cfg = config_of(data, *WORDS)
    whole = build_training.loss_of
    monkeypatch.setattr(
        build_training, "loss_of", lambda *words: faulty_at({2, 6}, nothing_finite, whole(*words))
    )
    caplog.set_level("INFO", logger="pose")
    train_in(cfg, tmp_path / "run", CPU, resume=False)
    people = load_people(cfg, "train")
    order = np.random.default_rng((cfg.seed, 0)).permutation(len(people))[4:8]
    ids = ", ".join(dict.fromkeys(str(people.image_ids[i]) for i in order))
    lines = [record.getMessage() for record in caplog.records]
    said = f"step 2 skipped: its loss or gradients are not finite (image ids {ids})"
    assert said in lines and len([line for line in lines if "skipped:" in line]) == 2
    assert [line for line in lines if line.endswith("; 1 steps skipped")]
    entries = [json.loads(x) for x in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [entry["skipped"] for entry in entries] == [1, 1, 0]
    assert all(0 < entry["loss"] < 1 for entry in entries)


def test_too_many_in_a_row_stop_the_run_with_the_state_before_them(data, tmp_path, monkeypatch):
    """Also where they begin in one epoch and end in another."""
    cfg = config_of(data, *WORDS, "train.max_skipped=4")
    whole, out = build_training.loss_of, tmp_path / "run"
    faulty = lambda *words: faulty_at({1, 3, 4, 5, 6}, infinite_loss, whole(*words))  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(build_training, "loss_of", faulty)
        with pytest.raises(ValueError, match=r"4 steps in a row, up to 6, had a loss") as raised:
            train_in(cfg, out, CPU, resume=False)
    assert str(raised.value).startswith(f"{out}: ") and "\n" not in str(raised.value)
    saved = load_checkpoint(out / LATEST)
    assert saved["step"] == 6 and saved["optimizer"]["state"][0]["step"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in saved["trained"].values())
    train_in(cfg, out, CPU, resume=True)
    assert load_checkpoint(out / LATEST)["step"] == 9


def test_without_faults_the_guard_changes_nothing(data, tmp_path):
    """The bits of steps that are taken as torch alone takes them."""
    cfg = config_of(data, *WORDS, "train.clip_norm=0.01")
    run = run_of(cfg, load_people(cfg, "train"), CPU, tmp_path)
    plain = copy.deepcopy(run.model)
    optimizer = build_optimizer(plain, "adamw", cfg.train.lr, cfg.train.weight_decay)
    run.order.epoch = 0
    batches = list(run.loader)
    plain.train()
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = run.rate(step)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=run.amp):
            maps = plain(batch.images)
        targets, weights = run.codec.encode(batch.keypoints, batch.labelled)
        run.loss(maps, targets, weights).backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), run.clip_norm)
        optimizer.step()
    train_epoch(run, run.model)
    ours, theirs = run.model.state_dict(), plain.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def fault_on_the_second_rank():
    whole = build_training.loss_of
    fault = infinite_loss if os.environ["RANK"] == "1" else lambda x, _: x
    build_training.loss_of = lambda *words: faulty_at({2}, fault, whole(*words))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="started by a fork server")
def test_two_processes_skip_the_step_of_either(data, tmp_path):
    """One that stepped alone would part from the other, and no loss would be the same again."""
    out, world = tmp_path / "run", {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2"}
    world["MASTER_PORT"] = free_port()
    processes = [
        start(
            arguments_of(data, out, *WORDS),
            out.with_suffix(f".{rank}.log"),
            fault_on_the_second_rank,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            **world,
        )
        for rank in range(2)
    ]
    assert both_end(processes) == [0, 0], out.with_suffix(".0.log").read_text()
    entries = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [entry["skipped"] for entry in entries] == [1, 0, 0]
    assert all("step 2 skipped" in out.with_suffix(f".{r}.log").read_text() for r in range(2))
    assert load_checkpoint(out / LATEST)["optimizer"]["state"][0]["step"] == 8


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_nobody_waits_for_the_device_to_skip_a_step(data, tmp_path):
    ranks = Ranks(torch.device("cuda"))
    cfg = config_of(data, *WORDS, "train.max_skipped=50")
    run = run_of(cfg, load_people(cfg, "train"), ranks, tmp_path)
    guard, index = StepGuard(run), torch.arange(4)
    for value in (1.0, math.nan, 1.0):
        for parameter in run.model.parameters():
            parameter.grad = torch.full_like(parameter, value)
        torch.cuda.set_sync_debug_mode("error")
        try:
            guard.step(index)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    guard.look()
    assert run.skipped == 1
