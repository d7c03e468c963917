"""Runs that are killed, stopped, or lose a process go on to the bits of one that was left alone."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from pose.engine.checkpoints import LATEST, PREVIOUS, load_checkpoint, newest
from tests.patience import HANG_SECONDS
from tests.trust.runs import (
    WORDS,
    arguments_of,
    begun,
    draw,
    end_of,
    ended,
    finish,
    number_begun,
    same_end,
    start,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and process groups are POSIX's")
ROOT = Path(__file__).resolve().parents[2]

RANKS = ("data.val_annotations=''", "train.epochs=6")
"""Of the runs on two processes: no evaluation, more steps."""


def counts(few, more, all_of_them):
    return pytest.mark.parametrize(
        "count",
        [
            few,
            pytest.param(more, marks=pytest.mark.slow),
            pytest.param(all_of_them, marks=pytest.mark.soak),
        ],
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("drawn") / "set")


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    """A run that nobody touched, and the seconds that its steps and saves took."""
    out = tmp_path_factory.mktemp("runs") / "straight"
    log = out.with_suffix(".log")
    process = start(arguments_of(data, out), log)
    begun(process, log)
    since = time.monotonic()
    assert ended(process) == 0, log.read_text()
    return out, time.monotonic() - since


def struck(data, out, number, seconds):
    """The exit status of a run that is sent the signal so many seconds after it began its steps, or
    before that where they are negative."""
    log = out.with_suffix(".log")
    before = number_begun(log)
    process = start(arguments_of(data, out), log)
    if seconds >= 0:
        begun(process, log, before)
    process.join(abs(seconds))
    if process.is_alive():
        os.kill(process.pid, number)
    return ended(process)


@counts(2, 10, 50)
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_runs_struck_at_random_moments_end_with_the_same_bits(
    data, straight, tmp_path, number, count
):
    """Some before the first step. A run that gets to its end before all the blows have fallen is
    looked at, and another begins."""
    whole, seconds = straight
    rng, left, finished, out = random.Random(count), count, 0, tmp_path / "run-0"
    while left:
        status = struck(data, out, number, rng.uniform(-0.1, 0.6) * seconds)
        if status == 0:
            same_end(out, whole)
            finished += 1
            out = tmp_path / f"run-{finished}"
        else:
            # A signal before the run has begun to listen ends the process, as it does any other.
            assert status in (-number, 130), out.with_suffix(".log").read_text()
            left -= 1
    finish(data, out)
    same_end(out, whole)


def kill_at_file_operation(number):
    """Before the first step: the process kills itself at the `number`th file flushed or renamed."""
    done = [0]

    def counted(operation, *arguments):
        done[0] += 1
        if done[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return operation(*arguments)

    os.fsync = partial(counted, os.fsync)
    os.replace = partial(counted, os.replace)


@counts(3, 12, 60)
def test_runs_killed_in_mid_save_end_with_the_same_bits(data, straight, tmp_path, count):
    """Between any two operations that make a file last: 60 is more than there are in a run."""
    places = random.Random(count).sample(range(1, 61), count)
    killed = 0
    for place in places:
        out = tmp_path / f"run-{place}"
        before = partial(kill_at_file_operation, place)
        process = start(arguments_of(data, out), out.with_suffix(".log"), before)
        status = ended(process)
        assert status in (0, -signal.SIGKILL), out.with_suffix(".log").read_text()
        killed += status != 0
        finish(data, out)
        same_end(out, straight[0])
    assert killed


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def two_ranks(data, out):
    """The two processes of a run that goes on, or begins."""
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
    return [
        start(
            arguments_of(data, out, *RANKS),
            out.with_suffix(f".{rank}.log"),
            **world,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
        )
        for rank in range(2)
    ]


def both_end(processes):
    return [ended(process) for process in processes]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("count", [2, pytest.param(10, marks=pytest.mark.soak)])
def test_of_two_processes_one_is_struck(data, tmp_path, number, count):
    whole, out = tmp_path / "straight", tmp_path / "run"
    began = time.monotonic()
    assert both_end(two_ranks(data, whole)) == [0, 0]
    seconds = time.monotonic() - began
    rng = random.Random(count)
    for _ in range(count):
        processes = two_ranks(data, out)
        chosen = rng.randrange(2)
        time.sleep(rng.uniform(0.0, seconds))
        finished = not processes[chosen].is_alive()
        os.kill(processes[chosen].pid, number) if not finished else None
        struck_at = time.monotonic()
        statuses = both_end(processes)
        assert time.monotonic() - struck_at < 60
        said = out.with_suffix(f".{1 - chosen}.log").read_text()
        assert "Traceback" not in said, said
        if not finished and number == signal.SIGKILL:
            assert statuses[chosen] == -number and statuses[1 - chosen] == 2, said
            assert "another process of this run has ended" in said
    assert both_end(two_ranks(data, out)) == [0, 0]
    same_end(out, whole)


def children(pid):
    """Of a process, by Linux's /proc."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(folder.name))
        except (OSError, IndexError, ValueError):
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes by /proc")
def test_torchrun_starts_a_run_again_that_lost_a_process(data, tmp_path):
    """The very command goes on by itself, and nobody is left behind."""
    whole, out = tmp_path / "straight", tmp_path / "run"
    assert both_end(two_ranks(data, whole)) == [0, 0]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        *("--max-restarts=2", "-m", "pose", "train", "synthetic/quickstart", f"data.root={data}"),
        *(*WORDS, *RANKS, "data.workers=1", "--out", str(out), "--device", "cpu"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    log = tmp_path / "torchrun.log"
    with log.open("w") as file:
        torchrun = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=file)
    try:
        while newest(out) is None and torchrun.poll() is None:
            time.sleep(0.05)
        ranks = children(torchrun.pid)
        family = [*ranks, *(pid for rank in ranks for pid in children(rank))]
        assert len(ranks) == 2 and len(family) == 4, "each has a process that reads"
        os.kill(ranks[1], signal.SIGKILL)
        assert torchrun.wait(HANG_SECONDS) == 0, log.read_text()
    finally:
        torchrun.kill()
    ours, theirs = (end_of(folder)[LATEST] for folder in (out, whole))
    assert all(ours[name] == theirs[name] for name in ("step", "model", "trained", "optimizer"))
    assert "going on after step" in log.read_text()
    assert log.read_text().count("pose: error: another process of this run has ended") <= 1
    deadline = time.monotonic() + 30
    while left := [pid for pid in family if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_a_run_whose_latest_checkpoint_was_not_renamed_yet_goes_on(data, straight, tmp_path):
    """A power cut between the two renames of a save."""
    out = tmp_path / "run"
    shutil.copytree(straight[0], out)
    (out / LATEST).unlink()
    before = load_checkpoint(out / PREVIOUS)["step"]
    finish(data, out)
    same_end(out, straight[0])
    assert f"going on after step {before}, epoch 2" in out.with_suffix(".log").read_text()
