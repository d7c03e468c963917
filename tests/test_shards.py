"""However inputs are ordered, cut and interrupted, the rows of each are there exactly once."""

import json
import os
import pickle
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pose import shards
from pose.build_predictor import calibration_path
from pose.config import resolve
from pose.files import sha256_of
from pose.images import read_image
from pose.metrics.calibration import Calibration, Curve
from pose.shards import (
    COLUMNS,
    DONE,
    MAX_DEATHS,
    RUN,
    Settings,
    find_rows,
    finish_run,
    open_run,
    write_shard,
)
from pose.video import read_frames
from tests.stand_in import (
    CORNERS,
    FRAMES,
    PICTURES,
    assert_rows_of,
    make_inputs,
    mark,
    seen,
    stand_in,
)

pandas = pytest.importorskip("pandas")
parquet = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "notes").mkdir()
    shards._predictor.cache_clear()
    return Settings("plain", str(tmp_path / "notes"), make=stand_in)


def test_rows_are_those_of_a_plain_loop(inputs, settings):
    rows = list(find_rows(settings, inputs))
    assert_rows_of(rows, inputs)
    people = Counter((row["path"], row["frame"]) for row in rows if row["person"] is not None)
    assert set(people.values()) == {1, 2, 3}, "the stand-in has pictures of every kind"
    assert any(row["person"] is None and row["error"] is None for row in rows)


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_rows_are_the_same_whatever_the_batch(inputs, settings, size):
    batches = [inputs[i : i + size] for i in range(0, len(inputs), size)]
    assert_rows_of([row for batch in batches for row in find_rows(settings, batch)], inputs)


CALIBRATION = Calibration(Curve(3.0, 1.0), Curve(2.0, 1.0))


def calibrated_stand_in(weights, **options):
    predictor = stand_in(weights, **options)
    predictor.runtime = replace(predictor.runtime, calibration=CALIBRATION)
    return predictor


def test_calibrated_scores_stand_in_a_column_of_their_own(inputs, settings):
    plain = list(find_rows(settings, inputs))
    assert all(row["expected_oks"] is None for row in plain)
    found = list(find_rows(replace(settings, make=calibrated_stand_in), inputs))
    assert [row["keypoints"] for row in found] != [row["keypoints"] for row in plain]
    for row, own in zip(found, plain, strict=True):
        if own["score"] is None:
            assert row["expected_oks"] is None
        else:
            assert row["expected_oks"] == row["score"] == CALIBRATION.people(own["score"])


def test_a_calibration_is_part_of_what_a_run_is_known_by(inputs, settings, tmp_path):
    weights = tmp_path / "w.pth"
    weights.write_text("a network")
    chosen = Settings(str(weights), settings.detector, make=stand_in)

    def begin(name):
        run = open_run(inputs, tmp_path / name, chosen, shard_size=4)
        taken = resolve({}, "test", run.settings.keys).predict.calibration
        return run, json.loads((run.folder / RUN).read_text())["calibration"], taken

    plain, known, taken = begin("a")
    assert known is None and taken == "none"
    write_shard(plain.settings, plain.folder, plain.shards[0])
    kept = calibration_path(weights)
    curves = {name: {"slope": 5.0, "offset": -1.0} for name in ("keypoints", "people")}
    kept.write_text(json.dumps({"weights": None, "curves": curves}))
    run, known, taken = begin("b")
    assert known == sha256_of(kept) and taken == str(kept)
    assert not names_of(run) & names_of(plain)
    with pytest.raises(ValueError, match=r"of a run with calibration None, this one has '"):
        begin("a")
    chosen = replace(chosen, keys=("predict.calibration=none",))
    assert begin("c")[1:] == (None, "none")
    chosen = replace(chosen, keys=(f"predict.calibration={weights}",))
    with pytest.raises(ValueError, match=r"w\.pth: "):
        begin("d")


def test_the_work_pickles(inputs, settings, tmp_path):
    work = pickle.loads(pickle.dumps(partial(find_rows, settings)))
    assert_rows_of(work(inputs), inputs)
    run = open_run(inputs, tmp_path / "out", settings, shard_size=100)
    write, shard = pickle.loads(pickle.dumps((partial(write_shard, settings), run.shards[0])))
    write(run.folder, shard)
    assert_rows_of(parquet.read_table(run.folder).to_pylist(), inputs)


def test_what_cannot_be_read_is_a_row(settings, tmp_path):
    (tmp_path / "text.mp4").write_text("no clip")
    (tmp_path / "empty.png").touch()
    bad = [str(tmp_path / name) for name in ("text.mp4", "empty.png", "gone.mp4", "a\0b.jpg")]
    rows = list(find_rows(settings, [*bad, str(tmp_path)]))
    assert [row["path"] for row in rows] == [*bad, str(tmp_path)]
    assert all(row["error"] and "\n" not in row["error"] for row in rows)
    assert all(row["person"] is None and row["time"] is None for row in rows)
    assert "gone.mp4: no such" in rows[2]["error"]


def test_a_clip_that_ends_in_an_error_keeps_its_frames(inputs, settings, monkeypatch):
    def breaks(path):
        yield from read_frames(path)
        raise ValueError(f"{path}: torn")

    monkeypatch.setattr(shards, "read_frames", breaks)
    clip = next(path for path in inputs if path.endswith(".mp4"))
    rows = list(find_rows(settings, [clip]))
    assert {row["frame"] for row in rows[:-1]} == set(range(FRAMES))
    assert (rows[-1]["frame"], rows[-1]["error"]) == (FRAMES, f"{clip}: torn")


def test_shards_do_not_depend_on_the_order_of_inputs(inputs, settings, tmp_path):
    run = open_run(inputs, tmp_path / "a", settings, shard_size=4)
    other = open_run([*inputs[::-1], *inputs[:3]], tmp_path / "b", settings, shard_size=4)
    assert run.shards == other.shards
    assert [path for shard in run.shards for path in shard.paths] == sorted(inputs)
    assert [len(shard.paths) for shard in run.shards] == [4, 4, 4, 4, 1]


@pytest.mark.parametrize(
    ("number", "size"), [(1, 1), (64, 1), (65, 2), (31_937, 500), (10**5, 500)]
)
def test_small_runs_are_cut_small(settings, tmp_path, number, size):
    run = open_run((f"{i}.jpg" for i in range(number)), tmp_path / "out", settings)
    assert max(len(shard.paths) for shard in run.shards) == size


def names_of(run):
    return {shard.name for shard in run.shards}


def test_names_hang_on_inputs_and_settings(inputs, settings, tmp_path):
    weights = tmp_path / "w.pth"
    known = set()
    variants = [
        (inputs, settings, 4),
        (inputs, settings, 5),
        (inputs[1:], settings, 4),
        (inputs, Settings("plain", settings.detector, keys=("test.flip=false",)), 4),
        (inputs, Settings("other", settings.detector), 4),
        (inputs, Settings(str(weights), settings.detector), 4),
        (inputs, Settings(f"rtmdet={weights}", settings.detector), 4),
    ]
    for content in ("one", "two"):
        weights.write_text(content)
        for number, (paths, chosen, size) in enumerate(variants):
            if content == "one" or str(weights) in chosen.weights:
                run = open_run(paths, tmp_path / f"{content}{number}", chosen, shard_size=size)
                assert not known & names_of(run)
                known |= names_of(run)
    device = Settings("plain", settings.detector, device="cuda")
    assert names_of(open_run(inputs, tmp_path / "d", device, shard_size=4)) <= known


def test_files_are_known_by_content_and_travel_by_whole_path(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/w.pth", "b/w.pth"):
        Path(name).parent.mkdir()
        Path(name).write_text("the same")
    one = open_run(inputs, tmp_path / "1", Settings("a/w.pth", "rtmdet=a/w.pth"))
    two = open_run(inputs, tmp_path / "2", Settings("b/w.pth", "rtmdet=b/w.pth"))
    assert one.shards == two.shards
    assert one.settings.weights == str(tmp_path / "a/w.pth")
    assert two.settings.detector == f"rtmdet={tmp_path / 'b/w.pth'}"


def do_all(run):
    return [write_shard(run.settings, run.folder, shard) for shard in run.unfinished()]


def test_a_shard_reads_back_with_pandas(inputs, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_AT_ONCE", 3)  # several row groups
    run = open_run(inputs, tmp_path / "out", settings, shard_size=6)
    do_all(run)
    total = finish_run(run)
    table = pandas.read_parquet(run.folder)
    assert list(table.columns) == list(COLUMNS)
    people = table[table.person.notna()]
    keypoints = np.stack(people.keypoints).reshape(-1, CORNERS.num_keypoints, 3)
    assert keypoints.dtype == np.float32 and len(keypoints) == len(people) == total.people
    assert table.error.notna().sum() == total.errors == 2
    pictures = table[table.error.isna()].drop_duplicates(["path", "frame"])
    assert len(pictures) == total.pictures == PICTURES + FRAMES
    assert total.inputs == len(inputs) and total.shards == 3
    assert json.loads((run.folder / DONE).read_text())["people"] == total.people
    about = json.loads(parquet.read_metadata(run.folder / run.shards[0].name).metadata[b"pose"])
    assert about["keypoints"] == list(CORNERS.keypoints)


def test_a_restart_does_what_is_left(inputs, settings, tmp_path):
    whole = open_run(inputs, tmp_path / "whole", settings, shard_size=4)
    accounts = do_all(whole)
    run = open_run(inputs, tmp_path / "out", settings, shard_size=4)
    for shard in run.unfinished()[1:3]:
        write_shard(settings, run.folder, shard)
    before = {path: path.stat().st_mtime_ns for path in run.folder.glob("part-*")}
    looked = len(seen(settings.detector))
    again = open_run(inputs[::-1], tmp_path / "out", settings, shard_size=4)
    assert again.unfinished() == [run.shards[i] for i in (0, 3, 4)]
    done = do_all(again)
    left = sum(account.pictures for account in done)
    assert len(seen(settings.detector)) - looked == left
    assert finish_run(again) == finish_run(whole)
    assert [write_shard(settings, run.folder, shard) for shard in run.shards] == accounts
    assert {path: path.stat().st_mtime_ns for path in before} == before, "never written again"
    for path in whole.folder.iterdir():
        assert path.read_bytes() == (run.folder / path.name).read_bytes()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"weights": "other"}, "weights 'plain', this one has 'other'"),
        ({"keys": ("a=1",)}, r"keys \[\], this one has \['a=1'\]"),
        ({"size": 7}, "shard_size 4, this one has 7"),
        ({"inputs": 3}, "inputs 17, this one has 3"),
    ],
)
def test_another_run_is_refused(inputs, settings, tmp_path, change, line):
    run = open_run(inputs, tmp_path / "out", settings, shard_size=4)
    write_shard(settings, run.folder, run.shards[0])
    chosen = Settings(
        change.get("weights", "plain"), settings.detector, keys=change.get("keys", ())
    )
    paths = inputs[: change.get("inputs")]
    with pytest.raises(ValueError, match=rf"_run.json: the folder is of a run with {line}; give"):
        open_run(paths, tmp_path / "out", chosen, shard_size=change.get("size", 4))


def test_a_run_that_did_nothing_yet_may_be_begun_otherwise(inputs, settings, tmp_path):
    out = tmp_path / "out"
    mistyped = open_run(inputs, out, Settings("mistyped", settings.detector), shard_size=4)
    (out / f".01234567.{mistyped.shards[0].name}").write_text("cut off")
    run = open_run(inputs, out, settings, shard_size=4)
    assert json.loads((out / RUN).read_text())["weights"] == "plain"
    assert os.listdir(out) == [RUN] and not names_of(run) & names_of(mistyped)


def test_a_run_over_nothing_is_refused(settings, tmp_path):
    with pytest.raises(ValueError, match="out: nothing to look at; give at least one image"):
        open_run([], tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_folders_of_something_else_are_refused(inputs, settings, tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ValueError, match="holds other files; give a new folder"):
        open_run(inputs, tmp_path, settings)
    (tmp_path / RUN).write_text("[]")
    (tmp_path / "part-000000-0123.parquet").touch()
    with pytest.raises(ValueError, match="is of a run with version None, this one has"):
        open_run(inputs, tmp_path, settings)


def test_an_error_leaves_no_file(inputs, settings, tmp_path):
    keys = (mark(read_image(inputs[6])),)
    broken = Settings("breaks", settings.detector, keys=keys, make=stand_in)
    run = open_run(inputs, tmp_path / "out", broken, shard_size=100)
    with pytest.raises(RuntimeError, match="the network is broken"):
        do_all(run)
    assert os.listdir(run.folder) == [RUN]
    with pytest.raises(ValueError, match="1 shards are not done; run it again"):
        finish_run(run)


def test_a_shard_that_kills_is_given_up_until_the_next_start(inputs, settings, tmp_path):
    run = open_run(inputs, tmp_path / "out", settings, shard_size=4)
    name = run.shards[2].name
    for number in range(MAX_DEATHS):
        (run.folder / f".{number:08x}.{name}").write_text("cut off")
    write_shard(settings, run.folder, run.shards[1])
    with pytest.raises(ValueError, match=rf"{name}: 3 workers died on it; .*08.png ... .*11.png"):
        write_shard(settings, run.folder, run.shards[2])
    again = open_run(inputs, tmp_path / "out", settings, shard_size=4)
    assert len(list(again.folder.iterdir())) == 2, "what died workers left is cleared away"
    do_all(again)
    assert finish_run(again).inputs == len(inputs)


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_damaged_shard_is_seen_at_the_end(inputs, settings, tmp_path, content):
    run = open_run(inputs, tmp_path / "out", settings, shard_size=100)
    path = run.folder / run.shards[0].name
    if content is None:
        pandas.DataFrame({"path": inputs}).to_parquet(path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="no whole shard; remove it and run again"):
        finish_run(run)


def test_a_missing_package_is_named(inputs, settings, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r'pyarrow is not installed.*pip install "ray\[data\]"'):
        open_run(inputs, tmp_path / "out", settings)
