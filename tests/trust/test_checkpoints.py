"""What a run falls back on: the checkpoint before a damaged one, the best that was ever kept."""

import math
import os
import shutil
from pathlib import Path

import pytest
import torch

from pose.build_data import load_people
from pose.build_training import run_of
from pose.commands.main import main
from pose.commands.train import train_in
from pose.engine import checkpoints, trainer
from pose.engine.checkpoints import BEST, LATEST, PREVIOUS, load_checkpoint
from pose.engine.distributed import Ranks
from pose.files import sha256_of
from tests.trust.runs import arguments_of, config_of, draw

CPU = Ranks(torch.device("cpu"))
NO_EVALUATION = "data.val_annotations=''"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("drawn") / "set")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A run of three epochs."""
    out = tmp_path_factory.mktemp("runs") / "run"
    train_in(config_of(data, NO_EVALUATION), out, CPU, resume=False)
    return out


@pytest.fixture
def out(finished, tmp_path):
    """A copy to damage."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def resume(data, out, capsys):
    """`pose train --resume`: its status and its last line."""

    def run():
        status = main(arguments_of(data, out, NO_EVALUATION))
        return status, capsys.readouterr().err.splitlines()[-1]

    return run


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_checkpoint_holds_all_that_a_run_is(finished):
    content = load_checkpoint(finished / LATEST)
    assert content.keys() >= {"model", "trained", "optimizer", "rng", "step", "epoch", "best"}
    assert content.keys() >= {"loss_sum", "skipped", "left_out", "history", "config", "versions"}
    assert (content["step"], content["epoch"]) == (9, 3)
    assert load_checkpoint(finished / PREVIOUS)["step"] == 6


def test_a_damaged_latest_is_named_and_the_one_before_it_offered(out, finished, resume):
    damage(out / LATEST)
    before = {path.name: sha256_of(path) for path in out.iterdir() if path.is_file()}
    status, line = resume()
    assert status == 2 and line == (
        f"pose: error: {out / LATEST}: damaged: it does not fit the SHA-256 that it carries; "
        f"{PREVIOUS} beside it is whole, of step 6: to go on from there put it in its place"
    )
    assert before == {path.name: sha256_of(path) for path in out.iterdir() if path.is_file()}
    os.replace(out / PREVIOUS, out / LATEST)
    status, line = resume()
    assert status == 0
    ends = [load_checkpoint(folder / LATEST)["model"] for folder in (finished, out)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_where_both_are_damaged_the_best_is_offered(out, resume):
    damage(out / LATEST)
    damage(out / PREVIOUS)
    assert f"{BEST} beside it is whole, of step 9" in resume()[1]
    damage(out / BEST)
    assert resume()[1].endswith("; no older checkpoint beside it is whole")


def test_a_damaged_best_is_said_and_the_run_goes_on(out, resume, caplog):
    damage(out / BEST)
    shutil.copy(out / PREVIOUS, out / LATEST)
    assert resume()[0] == 0
    assert [r for r in caplog.records if str(out / BEST) in r.getMessage()]
    assert load_checkpoint(out / BEST)["step"] == 9


def test_the_best_never_gets_worse_and_nan_never_wins(data, tmp_path):
    run = run_of(config_of(data), load_people(config_of(data), "train"), CPU, tmp_path)
    kept = []

    def after(step, figure):
        run.step = step
        keep = lambda model: kept.append(step)  # noqa: E731
        trainer.keep(run, {"AP": figure}, keep, decided_by_figures=True)
        return load_checkpoint(tmp_path / BEST)["step"] if kept else 0

    figures = [math.nan, 0.2, math.nan, 0.1, 0.2, math.inf * 0, 0.3, 0.25]
    assert [after(n, f) for n, f in enumerate(figures, 1)] == [0, 2, 2, 2, 2, 2, 7, 7]
    assert kept == [2, 7] and run.best == 0.3


def test_a_best_that_was_kept_before_a_kill_is_not_lost(data, tmp_path):
    """The epoch is done again; on a GPU its figure may come out a little lower."""
    cfg = config_of(data)
    run = run_of(cfg, load_people(cfg, "train"), CPU, tmp_path)
    trainer.keep(run, {"AP": 0.5}, lambda model: None, decided_by_figures=True)
    run.best = 0.6
    checkpoints.save(run, BEST)  # and killed before the latest
    again = run_of(cfg, load_people(cfg, "train"), CPU, tmp_path)
    checkpoints.restore(again, checkpoints.load_newest(tmp_path))
    assert again.best == 0.6
    kept = []
    trainer.keep(again, {"AP": 0.59}, lambda model: kept.append(1), decided_by_figures=True)
    assert not kept and load_checkpoint(tmp_path / BEST)["best"] == 0.6


def test_the_former_latest_stays_until_the_new_one_is_proven(tmp_path, monkeypatch):
    content = {"model": {}, "optimizer": {}, "step": 1}
    checkpoints.save_checkpoint(tmp_path / LATEST, content)

    def unproven(path):
        raise ValueError(f"{path}: damaged")

    with monkeypatch.context() as patch, pytest.raises(ValueError, match="damaged"):
        patch.setattr(checkpoints, "check_zip", unproven)
        checkpoints.save_checkpoint(tmp_path / LATEST, {**content, "step": 2})
    assert load_checkpoint(tmp_path / LATEST)["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [LATEST]
    checkpoints.save_checkpoint(tmp_path / LATEST, {**content, "step": 2})
    assert load_checkpoint(tmp_path / LATEST)["step"] == 2
    assert load_checkpoint(tmp_path / PREVIOUS)["step"] == 1


def test_a_key_that_a_run_of_before_did_not_have_is_at_its_default(out, resume, data):
    content = load_checkpoint(out / LATEST)
    del content["config"]["train"]["parts"]
    checkpoints.save_checkpoint(out / LATEST, content)
    assert resume()[0] == 0


def test_within_an_epoch_it_is_saved_by_the_clock(data, tmp_path, monkeypatch):
    saved = []

    def noted(run, name):
        saved.append((run.step, name))
        run.saved_at = clock[0]

    clock = [0.0]
    monkeypatch.setattr(trainer, "save", noted)
    monkeypatch.setattr(trainer, "SAVE_STEPS", 1)
    cfg = config_of(data, NO_EVALUATION, "train.batch_size=1", "train.save_minutes=1")
    run = run_of(cfg, load_people(cfg, "train"), CPU, tmp_path)
    run.saved_at = 0.0
    for step, seconds in enumerate((30, 61, 90, 120, 122, 183, 183, 183, 183, 183, 183, 999), 1):
        clock[0] = float(seconds)
        monkeypatch.setattr(trainer.time, "monotonic", lambda: clock[0])
        run.step = step
        if trainer.save_due(run):
            trainer.save(run, LATEST)
    assert saved == [(2, LATEST), (5, LATEST), (6, LATEST)], "and not at the epoch's end"
