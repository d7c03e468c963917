"""The study of labels: both ways label as many people, and its figures are plain arithmetic."""

import json

import numpy as np
import pytest
import torch

from pose.benchmarks import labels
from pose.benchmarks.labels import Plan, markdown, needed_for, pool_of, summary_of, until
from pose.benchmarks.settings import Settings
from pose.commands.main import main
from pose.config import load_config
from pose.structures import rows_of

TINY = Plan(
    pool=12, held_out=2, people=(4, 7), seeds=(0, 1), start_steps=1, steps=1, input_size=(64, 64)
)


def settings_in(folder):
    return Settings(load_config("coco/hrnet_w32_256x192"), torch.device("cpu"), folder)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return pool_of(settings_in(tmp_path_factory.mktemp("labels")), TINY)


def test_labels_come_by_whole_images_until_there_are_enough(pool):
    start = until(pool, np.zeros(0, np.int64), pool.names, 4)
    more = until(pool, start, pool.names, 9)
    assert more[: len(start)].tolist() == start.tolist()
    for rows, target in ((start, 4), (more, 9)):
        assert len(set(rows.tolist())) == len(rows) >= target
        images = set(pool.people.image_index[rows].tolist())
        whole = [i for i, image in enumerate(pool.people.image_index) if image in images]
        assert sorted(rows.tolist()) == whole
        last = int((pool.people.image_index == pool.people.image_index[rows[-1]]).sum())
        assert len(rows) - last < target
    everybody = until(pool, start, pool.names, 10**6)
    assert sorted(everybody.tolist()) == list(range(len(pool.people)))


def test_people_stand_as_often_as_they_are_named(pool):
    people = rows_of(pool.people, np.array([2, 0, 2]))
    assert len(people) == 3
    for i, place in enumerate((2, 0, 2)):
        assert people[i].image == pool.people[place].image
        np.testing.assert_array_equal(people[i].keypoints, pool.people[place].keypoints)


def run(way, number, seed, people, ap):
    return {"way": way, "round": number, "seed": seed, "people": people, "images": 1, "AP": ap}


def test_labels_needed_are_read_off_the_line_of_means():
    runs = [run(way, 0, seed, 100, 0.1) for way in labels.WAYS for seed in (0, 1)]
    runs += [run("random", 1, seed, 200, ap) for seed, ap in ((0, 0.2), (1, 0.4))]
    runs += [run("suggest", 1, seed, 200, 0.5) for seed in (0, 1)]
    content = summary_of(runs)
    means = content["means"]["random"]
    assert [row["AP"] for row in means] == pytest.approx([0.1, 0.3])
    assert means[1]["deviation"] == pytest.approx(np.std([0.2, 0.4], ddof=1))
    last = content["needed"][-1]
    assert last == pytest.approx({"AP": 0.3, "random": 200, "suggest": 150})
    assert np.isnan(needed_for(0.35, means)) and needed_for(0.2, means) == pytest.approx(150)
    assert "| 200 | suggest | 0.5000 |" in markdown({"plan": {}, "runs": runs, **content})
    assert summary_of([])["needed"] == []


@pytest.mark.slow
def test_the_whole_study_runs_and_writes_its_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(labels.Plan, "__init__", lambda self: self.__dict__.update(vars(TINY)))
    assert main(["benchmark", "labels", "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        *("labels.json", "labels.md", "labels.png")
    ]
    content = json.loads((tmp_path / "out/labels.json").read_text())
    told = [(r["seed"], r["way"], r["round"]) for r in content["runs"]]
    assert told == [(s, way, n) for s in (0, 1) for way in labels.WAYS for n in (0, 1)]
    for seed in (0, 1):
        start = [r["people"] for r in content["runs"] if (r["seed"], r["round"]) == (seed, 0)]
        assert len(set(start)) == 1
    assert "people, suggest" in capsys.readouterr().out
