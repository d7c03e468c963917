"""On a local Ray: what a plain loop gives, whoever is killed or interrupted on the way."""

import os
import secrets
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from pose.images import read_image
from pose.scale import run_on_ray, worker_resources
from pose.shards import Settings, finish_run, open_run, write_shard
from tests.stand_in import assert_rows_of, make_inputs, mark, seen, stand_in

parquet = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def opened(inputs, tmp_path):
    """Opens the run in which `what` happens at an input."""
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "driver").write_text(str(os.getpid()))

    def open_one(what="plain", at=7):
        keys = (mark(read_image(inputs[at])),)
        settings = Settings(what, str(notes), keys=keys, make=stand_in)
        return open_run(inputs, tmp_path / "out", settings, shard_size=2)

    return open_one


@pytest.fixture(autouse=True, scope="module")
def secret():
    """What Ray shuts its clusters with; it would put one into the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


def assert_whole(run, inputs):
    total = finish_run(run)
    assert total.shards == len(run.shards) and total.inputs == len(inputs)
    assert_rows_of(parquet.read_table(run.folder).to_pylist(), inputs)


def processes_of_ray():
    """Those that this process started and that are still there."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, rest = stat.read_text().rpartition(")")[::2]
            if rest.split()[1] == str(os.getpid()) and ("ray" in name or "gcs" in name):
                found.append(name)
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent")
def test_an_interrupt_leaves_what_is_done_and_no_process(inputs, opened, tmp_path):
    """Before the tests that share a Ray: this one starts its own, twice."""
    ray = pytest.importorskip("ray")
    assert not ray.is_initialized()
    run = opened("interrupts", at=9)
    with pytest.raises(KeyboardInterrupt):
        list(run_on_ray(run, workers=1))
    assert not ray.is_initialized()
    assert processes_of_ray() == []
    left = run.unfinished()
    assert 0 < len(left) < len(run.shards)
    done = {path: path.stat().st_mtime_ns for path in run.folder.glob("part-*")}
    before = Counter(seen(tmp_path / "notes"))
    again = opened("interrupts", at=9)
    accounts = list(run_on_ray(again, workers=1))
    assert len(accounts) == len(left), "only the rest is done"
    new = Counter(seen(tmp_path / "notes")) - before
    assert sum(new.values()) == sum(account.pictures for account in accounts)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert_whole(again, inputs)
    assert not list(run.folder.glob(".*")), "what the killed worker began is gone"


@pytest.fixture(scope="module")
def ray():
    """A Ray that the tests below share."""
    ray = pytest.importorskip("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
    yield ray
    ray.shutdown()
    assert processes_of_ray() == []


@pytest.mark.slow
def test_a_run_is_a_plain_loop(ray, inputs, opened):
    run = opened("waits", at=0)  # the first worker, for the second to look at something
    accounts = list(run_on_ray(run, workers=2))
    assert len(accounts) == len(run.shards) == 9
    assert sum(account.inputs for account in accounts) == len(inputs)
    assert len(list((run.folder.parent / "notes").glob("*.seen"))) == 2
    assert_whole(run, inputs)
    assert list(run_on_ray(run)) == [], "nothing is left to do"
    assert ray.is_initialized(), "it was there before"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="workers are killed by a signal")
def test_a_killed_worker_loses_and_doubles_nothing(ray, inputs, opened):
    run = opened("dies once")
    list(run_on_ray(run, workers=2))
    assert (run.folder.parent / "notes" / "happened").exists()
    assert_whole(run, inputs)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="workers are killed by a signal")
def test_what_kills_every_worker_ends_the_run(ray, inputs, opened):
    run = opened("dies", at=5)
    with pytest.raises(ValueError, match=r"3 workers died on it; there is too little memory, or"):
        list(run_on_ray(run, workers=2))
    assert 0 < len(run.unfinished()) < len(run.shards), "what is done stays"


@pytest.mark.slow
def test_errors_of_workers_are_one_line(ray, opened, tmp_path):
    with pytest.raises(ValueError, match=r"missing.pth: no such file$"):
        list(run_on_ray(opened("missing")))
    assert not list((tmp_path / "out").glob("part-*"))


@pytest.mark.slow
def test_a_device_that_the_cluster_lacks(ray, inputs, tmp_path):
    settings = Settings("plain", str(tmp_path), device="cuda", make=stand_in)
    with pytest.raises(ValueError, match="device cuda: the cluster has 0 GPUs"):
        list(run_on_ray(open_run(inputs, tmp_path / "out", settings)))


@pytest.mark.parametrize(
    ("device", "cluster", "expected"),
    [
        ("auto", {"CPU": 16.0}, (16, 0)),
        ("auto", {"CPU": 16.0, "GPU": 4.0}, (4, 1)),
        ("cpu", {"CPU": 16.0, "GPU": 4.0}, (16, 0)),
        ("cuda", {"CPU": 16.0, "GPU": 4.0}, (4, 1)),
        ("auto", {}, (1, 0)),
    ],
)
def test_workers_are_as_many_as_the_cluster_holds(device, cluster, expected):
    assert worker_resources(device, cluster) == expected


@pytest.mark.parametrize(
    ("device", "gpus", "says"), [("cuda", 0, "has 0 GPUs.*say cpu"), ("cuda:1", 2, "say cuda$")]
)
def test_one_of_several_gpus_cannot_be_chosen(device, gpus, says):
    with pytest.raises(ValueError, match=f"device {device}: the cluster {says}|.*{says}"):
        worker_resources(device, {"CPU": 4, "GPU": gpus})


def test_a_missing_ray_is_named(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ValueError, match=r'ray is not installed.*pip install "ray\[data\]"'):
        next(run_on_ray(opened()))


def test_without_ray_nothing_is_lost(inputs, opened):
    """What other engines do: the same calls, in whatever order."""
    run = opened()
    for shard in run.unfinished()[::-1]:
        write_shard(run.settings, run.folder, shard)
    assert_whole(run, inputs)
