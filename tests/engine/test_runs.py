"""Runs: gone on with to the last bit, refused where they would be overwritten, the same from two
processes."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pose.build import model_of
from pose.build_data import load_boxes, load_people
from pose.build_training import figures_during_training, run_of
from pose.commands.main import main
from pose.commands.train import train_in
from pose.config import load_config
from pose.data.synthetic import write_synthetic
from pose.engine import trainer
from pose.engine.checkpoints import load_checkpoint
from pose.engine.distributed import Ranks
from pose.engine.evaluation import perfect_predictions
from pose.engine.optim import learning_rate
from tests.patience import HANG_SECONDS

CPU = Ranks(torch.device("cpu"))
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "set"
    write_synthetic(folder, {"train": 8, "val": 4}, seed=1, num_processes=1)
    return folder


@pytest.fixture
def config(data):
    return load_config(
        "synthetic/quickstart",
        [
            f"data.root={data}",
            "data.workers=0",
            "model.input_size=[64, 64]",
            "train.epochs=3",
            "train.batch_size=4",
            "train.warmup_steps=2",
            "train.evaluate_every=2",
            "train.sheet_every=0",
            "test.batch_size=3",
        ],
    )


def weights_of(folder):
    content = load_checkpoint(folder / "latest.pt")
    return {**content["model"], **{f"trained.{k}": v for k, v in content["trained"].items()}}


@pytest.mark.parametrize("stops", [(1,), (4, 5)])
def test_an_interrupted_run_ends_with_the_same_bits(config, tmp_path, monkeypatch, stops):
    train_in(config, tmp_path / "straight", CPU, resume=False)
    folder = tmp_path / "interrupted"
    for i, stop in enumerate(stops):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(trainer, "stops_here", lambda run, stop=stop: run.step == stop)
            train_in(config, folder, CPU, resume=i > 0)
        assert load_checkpoint(folder / "latest.pt")["step"] == stop
    train_in(config, folder, CPU, resume=True)
    straight, resumed = weights_of(tmp_path / "straight"), weights_of(folder)
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    losses = [
        [json.loads(line)["loss"] for line in (f / "metrics.jsonl").read_text().splitlines()]
        for f in (tmp_path / "straight", folder)
    ]
    assert losses[0] == losses[1]


def test_the_share_of_time_that_waits_for_data_is_told(monkeypatch):
    """Batches that take four times as long as the steps."""
    clock = [0.0]

    def slowly():
        for batch in range(3):
            clock[0] += 4
            yield batch

    monkeypatch.setattr(trainer.time, "perf_counter", lambda: clock[0])
    run = SimpleNamespace(loader=slowly(), waited=0.0)
    for _ in trainer.timed(run):
        clock[0] += 1
    assert (run.waited, clock[0]) == (12, 15)
    entry = {"epoch": 1, "loss": 0.1, "lr": 1e-3, "seconds": 15.0, "waiting": 0.8, "metrics": None}
    assert trainer.describe(entry, 3).endswith("15 s, 80% of it waiting for data")


def test_a_folder_that_holds_a_run_is_never_overwritten(config, tmp_path):
    config.train.epochs = 1
    train_in(config, tmp_path, CPU, resume=False)
    with pytest.raises(ValueError, match="already holds a run; add --resume"):
        train_in(config, tmp_path, CPU, resume=False)
    config.train.lr = 0.5
    with pytest.raises(ValueError, match=r"another config: train\.lr was 0\.008, is 0\.5"):
        train_in(config, tmp_path, CPU, resume=True)
    with pytest.raises(ValueError, match="holds no run to go on with"):
        train_in(config, tmp_path / "new", CPU, resume=True)


def test_evaluations_of_a_run_read_the_annotations_once(config, monkeypatch):
    """And a warning about them comes once, not after every epoch."""
    people = load_people(config, "train")
    model, codec = model_of(config, people.skeleton)
    evaluate = figures_during_training(config, people.skeleton, codec, CPU)
    first = evaluate(model)
    monkeypatch.setattr("pose.metrics.coco.read_json", None)
    assert evaluate(model) == pytest.approx(first, nan_ok=True)


def test_evaluate_writes_what_score_reads(config, data, tmp_path, capsys):
    config.train.epochs = 1
    train_in(config, tmp_path / "run", CPU, resume=False)
    arguments = [
        *("evaluate", str(tmp_path / "run/config.yaml"), "--device", "cpu"),
        *("--weights", str(tmp_path / "run/best.safetensors"), "--out", str(tmp_path / "out")),
        *("--boxes", str(data / "person_detection_results/detections_val.json")),
    ]
    assert main(arguments) == 0
    receipt = json.loads((tmp_path / "out/receipt.json").read_text())
    assert receipt["boxes"]["source"] == "detections" and len(receipt["weights"]["sha256"]) == 64
    truth = data / "annotations/person_keypoints_val.json"
    scored = tmp_path / "scored.json"
    score = ["score", str(tmp_path / "out/results.json"), "--annotations", str(truth)]
    assert main([*score, "--json", str(scored)]) == 0
    assert json.loads(scored.read_text()) == receipt["figures"]
    capsys.readouterr()
    assert main([*arguments, "--overwrite", "model.input_size=[96, 128]"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("pose: error:") and "model.input_size is [96, 128]" in message


def train_command(data, out, *words):
    """`pose train` as a process of its own, with two loader workers."""
    command = [
        *(sys.executable, "-m", "pose", "train", "synthetic/quickstart", f"data.root={data}"),
        *("data.workers=2", "train.batch_size=4", "train.sheet_every=0", *words),
        *("--device", "cpu", "--out", str(out)),
    ]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_whose_process_group_is_stopped_saves_first(data, tmp_path, number):
    """A terminal's Ctrl-C and a job's end reach the loader's workers too."""
    process = train_command(data, tmp_path, "data.val_annotations=''", "train.epochs=100000")
    lines = iter(process.stderr.readline, "")
    assert any(line.startswith("epoch 1/") for line in lines)
    os.killpg(process.pid, number)
    rest = "".join(lines)
    assert process.wait(HANG_SECONDS) == 130 and "Traceback" not in rest
    assert load_checkpoint(tmp_path / "latest.pt")["step"] >= 2


@pytest.mark.slow
def test_a_run_ends_with_its_last_epoch(data, tmp_path):
    """The loader's workers leave when the run does."""
    process = train_command(data, tmp_path, "train.epochs=1")
    process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0


@pytest.mark.slow
def test_two_processes_evaluate_as_one(config, data, tmp_path):
    config.train.epochs = 1
    train_in(config, tmp_path / "run", CPU, resume=False)
    arguments = [
        *("pose", "evaluate", str(tmp_path / "run/config.yaml"), "--device", "cpu"),
        *("--weights", str(tmp_path / "run/best.safetensors"), "--boxes", "gt", "--out"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    for out, launcher in (("one", []), ("two", torchrun)):
        command = [sys.executable, "-m", *launcher, *arguments, str(tmp_path / out)]
        subprocess.run(command, check=True, env=environment, cwd=tmp_path, timeout=HANG_SECONDS)
    one, two = (json.loads((tmp_path / out / "results.json").read_text()) for out in ("one", "two"))
    assert one == two


def test_the_ceiling_is_high_with_true_boxes_and_zero_without(config):
    labelled = load_people(config, "val")
    _, codec = model_of(config, labelled.skeleton)
    found = perfect_predictions(codec, load_boxes(config, "gt"), labelled)
    seen = (labelled.visibility > 0) & (found.scores > 0.5)
    distance = np.linalg.norm(found.keypoints - labelled.keypoints, axis=-1)
    assert np.median(distance[seen]) < 2.0


def test_nan_never_wins(config, tmp_path):
    run = run_of(config, load_people(config, "train"), CPU, tmp_path)
    kept = []
    for figure in (0.2, math.nan, 0.1):
        trainer.keep(run, {"AP": figure}, lambda model: kept.append(1), decided_by_figures=True)
    assert run.best == 0.2 and len(kept) == 1


def test_the_rate_depends_on_the_step_alone():
    rule = {"lr": 1.0, "steps_per_epoch": 10, "epochs": 4, "lr_steps": (2, 3), "warmup_steps": 5}
    steps = [learning_rate(s, schedule="steps", **rule) for s in range(40)]
    assert steps[0] == pytest.approx(0.2) and steps[4] == 1.0
    assert steps[19] == 1.0 and steps[20] == pytest.approx(0.1) and steps[30] == pytest.approx(0.01)
    cosine = [learning_rate(s, schedule="cosine", **rule) for s in range(40)]
    assert cosine[20] == pytest.approx(0.5) and 0 < cosine[39] < 0.01
    linear = [learning_rate(s, schedule="linear", **rule) for s in range(40)]
    assert linear[10] == pytest.approx(0.75) and linear[39] == pytest.approx(1 / 40)
