"""hotcoco and pycocotools say the same of the same input, to the last bit, hostile input included:
what bare pycocotools says of the data as it stands."""

import contextlib
import io
import json
import logging
import math
import sys
import types
import warnings

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from pose.metrics.coco_files import Results, checked_results, ground_truth_from
from pose.metrics.coco_score import FIGURES, coco_stats, score_results
from pose.metrics.coco_scorers import SCORERS, installed_scorer
from pose.skeleton import COCO_17

try:
    import hotcoco
except ImportError:
    hotcoco = None

needs_hotcoco = pytest.mark.skipif(hotcoco is None, reason="hotcoco is not installed")
BOTH = [pytest.param(name, marks=needs_hotcoco if name == "hotcoco" else ()) for name in SCORERS]

AREAS = (0.0, 1.0, 1023.9999, 1024.0, 1024.00001, 5000.0, 9216.0, 9216.0001, 1e10, 1e10 + 5)
"""Beside and upon the bounds of M and L."""


def hostile(seed):
    """Few values, so that coordinates, areas, similarities and scores meet each other and every
    bound; 1 to 29 keypoints of any sigmas; crowds, people without labels or given twice."""
    rng = np.random.default_rng(seed)
    k, grid, num_images = rng.integers(1, 30), int(rng.choice([2, 4, 30])), rng.integers(1, 6)
    sigmas = rng.choice([[0.05, 0.1, 0.5, 1.0][rng.integers(4)], rng.uniform(0.01, 0.2)], size=k)
    annotations = []
    for image_id in np.repeat(np.arange(num_images) - 2, rng.integers(0, 5, num_images)):
        visibility = rng.choice([0, 1, 2], size=k) * (rng.random() < 0.7)
        points = rng.integers(0, grid, (k, 2)) * int(rng.choice([1, 10, 32]))
        annotation = {
            "image_id": int(image_id),
            "category_id": -4,
            "keypoints": np.column_stack([points, visibility]).ravel().tolist(),
            "area": float(rng.choice(AREAS)),
            "bbox": rng.integers(0, 50, 4).tolist(),
            "iscrowd": int(rng.choice([0, 0, 0, 1, 2])),
        }
        if rng.random() < 0.3:
            annotation["num_keypoints"] = int(rng.choice([-1, 0, 1, 2**40]))
        annotations += [annotation] * int(rng.choice([1, 1, 1, 2]))
    results = []
    for annotation in [a for a in annotations for _ in range(rng.integers(0, 8))]:
        points = np.array(annotation["keypoints"], float).reshape(-1, 3)
        points[:, :2] += rng.integers(-1, 2, (k, 2)) * int(rng.choice([0, 1, 5, 10]))
        points *= rng.choice([1, 1e150], p=[0.95, 0.05])
        image_id = rng.choice([annotation["image_id"], rng.integers(num_images) - 2], p=[0.9, 0.1])
        score = float(rng.choice([0, -0.0, 0.5, 0.5, 1, -3, 1e300, rng.random()]))
        one = {"image_id": int(image_id), "category_id": -4, "score": score}
        results.append({**one, "keypoints": points.ravel().tolist()})
    rng.shuffle(results)
    category = {"id": -4, "name": "p", "keypoints": [f"k{i}" for i in range(k)]}
    return {
        "images": [{"id": i - 2} for i in range(num_images)],
        "categories": [{**category, "sigmas": sigmas.tolist()}],
        "annotations": annotations,
    }, results


def bare_stats(dataset, results, sigmas, image_ids=None):
    """pycocotools' numbers of the data as it stands but for annotation ids and what the files may
    leave out; no result at all is an empty data set, since it cannot load one."""
    from pycocotools.coco import COCO

    def coco_of(annotations):
        coco = COCO()
        coco.dataset = {**json.loads(json.dumps(dataset)), "annotations": annotations}
        coco.createIndex()
        return coco

    labels = []
    for number, annotation in enumerate(dataset["annotations"], start=1):
        visible = sum(v > 0 for v in annotation["keypoints"][2::3])
        labels.append({"num_keypoints": visible, **annotation, "id": number})
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of coordinates of 1e150
        truth = coco_of(labels)
        found = truth.loadRes(json.loads(json.dumps(results))) if results else coco_of([])
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        if image_ids is not None:
            evaluation.params.imgIds = sorted(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(v) if v >= 0 else math.nan for v in evaluation.stats]


def same(stats, expected):
    return np.array_equal(stats, expected, equal_nan=True)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("scorer", BOTH)
def test_hostile_sets_equal_bare_pycocotools(scorer):
    seen = set()
    for seed in range(60):
        dataset, results = hostile(seed)
        if not dataset["annotations"]:
            continue
        truth = ground_truth_from(dataset, "truth")
        entries = checked_results(results, truth, "results")
        some = sorted(truth.image_ids)[::2] if seed % 3 == 0 else None
        expected = bare_stats(dataset, results, truth.sigmas, some)
        stats = coco_stats(entries, truth, some, scorer)
        assert same(stats, expected), f"seed {seed}: {stats} instead of {expected}"
        seen.update(np.round(expected, 6).tolist())
    assert len(seen) > 50


@pytest.mark.parametrize("scorer", BOTH)
@pytest.mark.parametrize("seed", range(6))
def test_made_sets_equal_bare_pycocotools(coco, seed, scorer):
    """People as they are, with more detections than the 20 that count."""
    dataset = coco.make_dataset(seed=seed, num_images=30)
    results = coco.make_results(dataset, seed=seed + 50, error=0.02 * (1 + seed % 4))
    if seed % 2:
        results = [{**r, "score": r["score"] / n} for n in range(1, 13) for r in results]
    expected = coco.bare(dataset, results, COCO_17.sigmas).stats
    truth = ground_truth_from(dataset, "truth")
    assert list(score_results(results, truth, scorer).values()) == expected.tolist()
    assert 0 < expected[0] < 1


@pytest.mark.parametrize("scorer", BOTH)
def test_nothing_found_and_nothing_to_find(dataset, results, scorer):
    truth = ground_truth_from(dataset, "truth")
    assert coco_stats([], truth, scorer=scorer) == [0.0] * len(FIGURES)
    entries = checked_results(results, truth, "results")
    for images in ([], [999_999]):
        assert np.isnan(coco_stats(entries, truth, images, scorer)).all()
    for annotation in dataset["annotations"]:
        annotation["iscrowd"] = 1
    truth = ground_truth_from(dataset, "truth")
    assert np.isnan(coco_stats(entries, truth, scorer=scorer)).all()


@pytest.mark.parametrize("scorer", BOTH)
def test_ids_of_any_size_and_sign_do_not_matter(dataset, results, scorer):
    expected = score_results(results, ground_truth_from(dataset, "truth"), scorer)
    for shift in (-200, -(2**62), 2**62):
        moved = json.loads(json.dumps(dataset))
        for image in moved["images"]:
            image["id"] += shift
        for annotation in moved["annotations"]:
            annotation["image_id"] += shift
        entries = [{**r, "image_id": r["image_id"] + shift} for r in results]
        assert score_results(entries, ground_truth_from(moved, "truth"), scorer) == expected


@pytest.mark.parametrize("scorer", BOTH)
def test_nothing_is_printed_or_warned_of(dataset, results, scorer, capfd, recwarn):
    dataset["categories"][0].update(keypoints=[f"k{i}" for i in range(17)], sigmas=[0.06] * 17)
    score_results(results, ground_truth_from(dataset, "truth"), scorer)
    assert not any(capfd.readouterr())
    assert not recwarn.list


@pytest.mark.parametrize("scorer", BOTH)
def test_labels_stay_as_they_are(dataset, results, scorer):
    truth = ground_truth_from(dataset, "truth")
    keys = [set(annotation) for annotation in truth.annotations]
    first = score_results(results, truth, scorer)
    assert [set(annotation) for annotation in truth.annotations] == keys
    assert score_results(results, truth, scorer) == first


@needs_hotcoco
def test_hotcoco_scores_where_it_is_installed():
    assert installed_scorer() == "hotcoco"


def test_pycocotools_scores_where_hotcoco_is_not(monkeypatch, dataset, results):
    monkeypatch.setitem(sys.modules, "hotcoco", None)
    assert installed_scorer() == "pycocotools"
    assert score_results(results, ground_truth_from(dataset, "truth"))["AP"] > 0


@pytest.mark.parametrize(
    "version, chosen",
    [
        ("0.9.1", "pycocotools"),
        ("1.2.9", "pycocotools"),
        ("1.3.0", "hotcoco"),
        ("1.10rc1", "hotcoco"),
        ("2.0", "hotcoco"),
    ],
)
def test_an_older_hotcoco_is_passed_over(monkeypatch, version, chosen):
    monkeypatch.setitem(sys.modules, "hotcoco", types.SimpleNamespace(__version__=version))
    assert installed_scorer() == chosen


def columns(entries, category_id=1):
    return Results(
        category_id=category_id,
        image_ids=np.array([e["image_id"] for e in entries], np.int64),
        keypoints=np.array([e["keypoints"] for e in entries]),
        scores=np.array([e["score"] for e in entries]),
    )


def test_columns_are_entries(dataset, results, save, caplog):
    truth = ground_truth_from(dataset, "truth")
    found = columns(results)
    assert len(found) == len(results)
    assert list(found) == results
    assert json.loads(json.dumps(list(found))) == results
    assert score_results(found, truth) == score_results(results, truth)
    with caplog.at_level(logging.WARNING):
        score_results(columns(results + results[:3]), truth)
    assert "3 entries repeat another" in caplog.text


def test_a_column_with_an_unknown_image_is_named(dataset, results):
    truth = ground_truth_from(dataset, "truth")
    results[4]["image_id"] = 7
    with pytest.raises(ValueError, match="entry 4: image_id 7 is not among the images of truth"):
        score_results(columns(results), truth)
