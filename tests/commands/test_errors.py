"""Mistakes that show only while a command works, and what they leave: a folder to try again in.

Those that are found before anything is written are in `test_mistakes`.
"""

import shutil

import pytest

from pose.commands.main import main
from tests.commands.quick import QUICK, untrained


def train(data, out, *overrides):
    given = [f"data.root={data}", *QUICK, "train.sheet_every=0", *overrides]
    return ["train", "synthetic/quickstart", *given, "--device", "cpu", "--out", out]


def evaluate(data, weights, out, *overrides):
    given = [f"data.root={data}", *QUICK, *overrides, "--weights", weights, "--boxes", "gt"]
    return ["evaluate", "synthetic/quickstart", *given, "--device", "cpu", "--out", out]


def truncate(folder):
    """Cuts every image of a folder off in the middle of its picture."""
    for image in folder.iterdir():
        image.write_bytes(image.read_bytes()[:2000])


def assert_ready_for_another_try(folder):
    """No weights or checkpoint that could be taken for a run's, no temporary file."""
    files = [path.name for path in folder.rglob("*") if path.is_file()]
    assert not [n for n in files if n.startswith(".") or n.endswith((".pt", ".safetensors"))]
    assert "metrics.jsonl" not in files


def test_a_misspelt_key_of_a_file_brings_the_near_one(mistake, tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("train: {epoch: 3}\n")
    line = mistake("train", config, "--out", tmp_path / "out")
    assert line.startswith(f"{config}: unknown key train.epoch; did you mean 'epochs'?")
    assert not (tmp_path / "out").exists()


def test_a_run_stopped_by_a_truncated_image_may_be_started_again(mistake, drawn, data, tmp_path):
    truncate(data / "images/train")
    line = mistake(*train(data, tmp_path / "out"))
    assert line.startswith(str(data / "images/train")) and "truncated JPEG; fetch" in line
    assert_ready_for_another_try(tmp_path / "out")
    shutil.copytree(drawn / "images/train", data / "images/train", dirs_exist_ok=True)
    assert main([str(argument) for argument in train(data, tmp_path / "out")]) == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_training_image_met_in_a_step(mistake, data, tmp_path, monkeypatch, workers):
    """The sheet of crops looks at a few people only: a long run meets the others later."""
    import pose.engine.sheets as sheets

    whole = sheets.training_sheet

    def sheet_then_damage(dataset, codec):
        picture = whole(dataset, codec)
        truncate(data / "images/train")
        return picture

    monkeypatch.setattr(sheets, "training_sheet", sheet_then_damage)
    line = mistake(*train(data, tmp_path / "out", f"data.workers={workers}"))
    assert line.startswith(str(data / "images/train")) and line.endswith("fetch the file again")
    assert_ready_for_another_try(tmp_path / "out")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_validation_image(mistake, data, tmp_path, workers):
    weights = untrained(tmp_path / "small.safetensors", *QUICK)
    truncate(data / "images/val")
    line = mistake(*evaluate(data, weights, tmp_path / "out", f"data.workers={workers}"))
    assert line.startswith(str(data / "images/val")) and "truncated JPEG" in line
    assert not (tmp_path / "out").exists()


def test_an_evaluation_without_weights(mistake, data, tmp_path):
    missing = tmp_path / "gone.safetensors"
    assert mistake(*evaluate(data, missing, tmp_path / "out")) == f"{missing}: no such weights file"
    assert not (tmp_path / "out").exists()


def test_an_evaluation_of_a_weights_file_that_is_none(mistake, data, tmp_path):
    file = tmp_path / "page.pt"
    file.write_text("<html>not found</html>")
    line = mistake(*evaluate(data, file, tmp_path / "out"))
    assert line.startswith(f"{file}: not a torch or .safetensors file")
    assert not (tmp_path / "out").exists()
