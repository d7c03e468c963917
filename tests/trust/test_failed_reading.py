"""What may go wrong where pictures are read: a process that dies, no shared memory, a bad file."""

import ctypes
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from pose.build_data import load_people
from pose.build_training import run_of
from pose.commands.main import main
from pose.data.coco import load_coco
from pose.engine.distributed import Ranks
from pose.images import ImageFolder
from tests.trust.disks import fill
from tests.trust.runs import arguments_of, config_of, draw, ended, start

CPU = Ranks(torch.device("cpu"))
WORDS = ("data.val_annotations=''",)
NEW_MOUNTS = 0x00020000
"""CLONE_NEWNS of Linux: mounts of one's own."""
needs_fork_server = pytest.mark.skipif(os.name == "nt", reason="started by a fork server")


@pytest.fixture
def data(tmp_path):
    return draw(tmp_path / "set")


def ending(data, tmp_path, before, *words):
    """The exit status of a run, its last line, and all that it said."""
    log = tmp_path / "run.log"
    process = start(arguments_of(data, tmp_path / "run", *WORDS, *words), log, before)
    status, said = ended(process), log.read_text()
    return status, said.splitlines()[-1], said


def read_and(deed):
    """From now on a picture that a loader's process reads brings about `deed`."""
    read = ImageFolder.read

    def doing(self, name):
        if torch.utils.data.get_worker_info() is not None:
            deed()
        return read(self, name)

    ImageFolder.read = doing


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@needs_fork_server
def test_a_dying_process_is_one_line(data, tmp_path):
    status, last, said = ending(data, tmp_path, partial(read_and, killed), "data.workers=2")
    assert status == 2 and "Traceback" not in said
    assert last.startswith("pose: error: a process that reads data has died (pid ")
    assert last.endswith("mostly memory is short: lower data.workers")


def little_shared_memory():
    """1 MB in place of /dev/shm, for this process and its children alone; a picture fills it."""
    if ctypes.CDLL(None).unshare(NEW_MOUNTS):
        sys.exit(77)
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/dev/shm"],
    ):
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
            sys.exit(77)
    read_and(partial(fill, Path("/dev/shm")))


@needs_fork_server
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts are Linux's")
def test_exhausted_shared_memory_is_one_line(data, tmp_path):
    status, last, said = ending(data, tmp_path, little_shared_memory, "data.workers=1")
    if status == 77:
        pytest.skip("no right to mount a small /dev/shm")
    assert status == 2 and "Traceback" not in said
    assert last.startswith("pose: error: no shared memory left for the processes that read data")
    assert "--shm-size" in last and "data.workers" in last


def cut(data, number=0):
    """Breaks a picture of the training set; its path and how many people it shows."""
    people = load_coco(data / "annotations/person_keypoints_train.json")
    path = data / "images/train" / str(people.images[number])
    path.write_bytes(path.read_bytes()[:-200])
    return path, int((people.image_index == number).sum())


@needs_fork_server
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["cut", "missing"])
def test_an_unreadable_image_is_one_line(data, tmp_path, workers, kind):
    path, _ = cut(data)
    if kind == "missing":
        path.unlink()
    # The sheet of the beginning meets it in this process, the loader where that looks another way.
    status, last, said = ending(data, tmp_path, None, f"data.workers={workers}")
    assert status == 2 and "Traceback" not in said
    assert last.startswith(f"pose: error: {path}: ")


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_people_are_counted_and_said(data, tmp_path, capsys, workers):
    path, number = cut(data)
    out = tmp_path / "run"
    words = (*WORDS, "data.unreadable=skip", f"data.workers={workers}")
    assert main(arguments_of(data, out, *words)) == 0
    said = capsys.readouterr().err
    assert f"warning: {path}: truncated" in said and "its people are left out" in said
    entries = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [entry["left_out"] for entry in entries] == [number] * 3
    assert f"; {number} people left out" in said
    assert all(entry["loss"] > 0 for entry in entries)


@pytest.mark.parametrize("warped_by", ["loader", "device"])
def test_nobody_elses_sample_changes(data, tmp_path, warped_by):
    def batches():
        cfg = config_of(data, *WORDS, "data.unreadable=skip", f"data.warped_by={warped_by}")
        run = run_of(cfg, load_people(cfg, "train"), CPU, tmp_path)
        return [batch.to(CPU.device) for batch in run.loader], run.people

    whole, people = batches()
    _, number = cut(data, 1)
    partly, _ = batches()
    lost = 0
    for before, after in zip(whole, partly, strict=True):
        assert torch.equal(before.index, after.index)
        for row, person in enumerate(before.index.tolist()):
            if people.image_index[person] == 1:
                lost += 1
                assert not after.images[row].any() and not after.labelled[row].any()
            else:
                assert torch.equal(before.images[row], after.images[row])
                assert torch.equal(before.labelled[row], after.labelled[row])
                assert torch.equal(before.keypoints[row], after.keypoints[row])
    assert lost == number


def test_the_figures_of_an_evaluation_leave_nobody_out(data, tmp_path, capsys):
    people = load_coco(data / "annotations/person_keypoints_val.json")
    path = data / "images/val" / str(people.images[0])
    path.write_bytes(b"")
    words = ("data.unreadable=skip", "data.val_boxes=gt", "train.epochs=1")
    assert main(arguments_of(data, tmp_path / "run", *words)) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"pose: error: {path}: ")
