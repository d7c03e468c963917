"""The part that times scoring: what it draws, what it measures, and that all ways agree."""

import pytest
import torch

from pose.benchmarks import score
from pose.benchmarks.measure import PUBLISHED
from pose.benchmarks.settings import Settings
from pose.build_data import load_people
from pose.config import load_config
from pose.metrics.coco_files import ground_truth_from
from pose.metrics.coco_scorers import installed_scorer
from pose.records import write_json

CONFIG = "coco/hrnet_w32_256x192"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name, value in {"IMAGES": 40, "PEOPLE": 90, "DETECTIONS": 900, "ROUNDS": 1}.items():
        monkeypatch.setattr(score, name, value)
    # A folder of the tests' own, with the default's meaning: nothing was named.
    monkeypatch.chdir(tmp_path)
    return Settings(load_config(CONFIG), torch.device("cpu"), tmp_path)


def test_all_ways_give_the_same_figures(settings, monkeypatch, tmp_path):
    def here(settings, way):
        evaluator = score.evaluator_with_predictions(settings.cfg, load_people(settings.cfg, "val"))
        return score.ways_of(settings.cfg, evaluator, tmp_path)[way](), f"memory of {way}"

    monkeypatch.setattr(score, "in_own_process", here)
    rows = score.measure(settings)
    fastest = installed_scorer()
    expected = [PUBLISHED, "pycocotools", fastest, f"{fastest}, and the result file written"]
    assert [row.way for row in rows] == list(dict.fromkeys(expected))
    assert {row.work for row in rows} == {"OKS-NMS and scoring of 900 detections against 90 people"}
    for row in rows:
        assert row.agreement == f"figures within 0, memory of {row.way}"
        assert row.seconds.median > 0


def test_drawn_labels_are_val2017s_in_number_and_kind(settings):
    drawn = score.with_labels(settings)
    people = load_people(drawn.cfg, "val")
    assert len(people) == 90
    truth = ground_truth_from(score.drawn_labels(score.IMAGES, score.PEOPLE), "drawn")
    assert len(truth.image_ids) == 40
    assert all(a["num_keypoints"] for a in truth.annotations)
    evaluator = score.evaluator_with_predictions(drawn.cfg, people)
    assert len(evaluator.people) == 900
    figures = evaluator.compute()
    assert 0.1 < figures["AP"] < 0.9 and figures["AP (M)"] > 0 and figures["AP (L)"] > 0
    assert 0.3 < len(evaluator.found()) / 900 < 0.9


def test_own_labels_are_taken_and_other_formats_refused(settings, tmp_path):
    labels = score.drawn_labels(score.IMAGES, score.PEOPLE)
    labels["annotations"] = labels["annotations"][:30]
    write_json(tmp_path / "own.json", labels)
    named = [f"data.root={tmp_path}", "data.val_annotations=own.json"]
    cfg = score.with_labels(Settings(load_config(CONFIG, named), settings.device, tmp_path)).cfg
    assert len(load_people(cfg, "val")) == 30
    assert len(score.evaluator_with_predictions(cfg, load_people(cfg, "val")).people) == 300
    other = Settings(load_config(CONFIG, [*named, "data.format=aic"]), settings.device, tmp_path)
    with pytest.raises(ValueError, match=r"data\.format is aic: scoring is measured on coco's"):
        score.with_labels(other)


def test_labels_of_nobody_are_named(settings, tmp_path):
    labels = score.drawn_labels(score.IMAGES, score.PEOPLE)
    for annotation in labels["annotations"]:
        annotation.update(keypoints=[0] * 51, num_keypoints=0)
    write_json(tmp_path / "own.json", labels)
    named = [f"data.root={tmp_path}", "data.val_annotations=own.json"]
    settings = Settings(load_config(CONFIG, named), settings.device, tmp_path)
    with pytest.raises(ValueError, match=r"own\.json: labels nobody"):
        score.measure(settings)


@pytest.mark.slow
def test_peak_memory_is_that_of_a_process_of_its_own(settings):
    settings = score.with_labels(settings)
    figures, memory = score.in_own_process(settings, "pycocotools")
    assert 0.1 < figures[0] < 0.9
    assert 50 < float(memory.removeprefix("at most ").removesuffix(" MB")) < 1500


def test_a_figure_that_one_way_lacks_is_a_difference():
    nan = float("nan")
    assert score.apart([0.5, nan], [0.5, nan]) == "figures within 0"
    assert score.apart([0.5, nan], [0.25, nan]) == "figures within 0.25"
    assert score.apart([0.5, nan], [0.5, 0.0]) == "figures within 1"
