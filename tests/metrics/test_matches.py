"""Matching on arrays against pycocotools: the same ten figures to the last bit, also of images
drawn anew and of hostile input."""

import math

import numpy as np
import pytest

from pose.metrics.coco_files import ground_truth_from
from pose.metrics.coco_score import FIGURES, as_columns, entries_of, score_results
from pose.metrics.matches import (
    ALL,
    LARGE,
    MEDIUM,
    average_precision,
    found_of,
    labelled_of,
    match,
    pairs_of,
    precision_recall,
    ten_figures,
)
from pose.metrics.oks import oks
from pose.records import read_json
from pose.skeleton import COCO_17
from tests.metrics.conftest import make_dataset, make_results
from tests.metrics.test_coco_scorers import bare_stats, hostile


def columns(dataset, results):
    truth = ground_truth_from(dataset, "gt")
    labelled = labelled_of(truth)
    found = found_of(as_columns(entries_of(results, truth), truth), truth)
    return found, labelled, pairs_of(found, labelled, truth.sigmas)


def by_area(dataset, results):
    found, labelled, pairs = columns(dataset, results)
    return [match(found, labelled, pairs, areas=areas) for areas in (ALL, MEDIUM, LARGE)]


def figures(dataset, results, counts=None):
    return list(ten_figures(by_area(dataset, results), counts).values())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_hostile_sets_equal_bare_pycocotools():
    some = 0
    for seed in range(60):
        dataset, results = hostile(seed)
        if not dataset["annotations"]:
            continue
        expected = bare_stats(dataset, results, dataset["categories"][0]["sigmas"])
        np.testing.assert_array_equal(figures(dataset, results), expected, err_msg=f"seed {seed}")
        some += sum(0 < v < 1 for v in expected)
    assert some > 100, "the sets are hostile, not hopeless"


@pytest.mark.parametrize("seed", range(4))
def test_made_sets_equal_bare_pycocotools(seed):
    dataset = make_dataset(num_images=20, seed=seed)
    results = make_results(dataset, seed=seed)
    expected = bare_stats(dataset, results, COCO_17.sigmas)
    np.testing.assert_array_equal(figures(dataset, results), expected)


def test_more_than_twenty_predictions_of_an_image():
    dataset = make_dataset(num_images=2)
    results = [r for seed in range(15) for r in make_results(dataset, seed)]
    expected = bare_stats(dataset, results, COCO_17.sigmas)
    np.testing.assert_array_equal(figures(dataset, results), expected)


def test_nobody_found_and_nobody_to_find():
    dataset = make_dataset()
    assert figures(dataset, []) == [0.0] * 10
    for annotation in dataset["annotations"]:
        annotation["iscrowd"] = 1
    assert all(math.isnan(v) for v in figures(dataset, make_results(dataset)))


def test_pairs_are_those_of_one_image_with_the_projects_oks():
    found, labelled, pairs = columns(make_dataset(), make_results(make_dataset()))
    people = [np.flatnonzero(labelled.images == image).tolist() for image in found.images]
    assert [(d, g) for d, mine in enumerate(people) for g in mine] == list(
        zip(pairs.predictions.tolist(), pairs.people.tolist(), strict=True)
    )
    similarity = oks(
        found.keypoints[pairs.predictions],
        labelled.keypoints[pairs.people],
        labelled.areas[pairs.people],
        np.array(COCO_17.sigmas),
        labelled.visibility[pairs.people],
    )
    labelled_ones = ~np.isnan(similarity)
    np.testing.assert_allclose(pairs.oks[labelled_ones], similarity[labelled_ones], rtol=1e-12)


def test_images_drawn_anew_need_no_second_matching():
    """An image that stands in the sample twice counts as two equal ones would."""
    dataset, results = make_dataset(num_images=8), make_results(make_dataset(num_images=8))
    counts = np.random.default_rng(0).multinomial(8, [1 / 8] * 8)
    drawn, found = {**dataset, "images": [], "annotations": []}, []
    for number, count in enumerate(counts):
        for copy in range(count):
            new_id, old_id = 1000 * number + copy, 100 + number
            drawn["images"].append({"id": new_id, "file_name": "x"})
            for source, target in (
                (dataset["annotations"], drawn["annotations"]),
                (results, found),
            ):
                target += [{**e, "image_id": new_id} for e in source if e["image_id"] == old_id]
    expected = bare_stats(drawn, found, COCO_17.sigmas)
    np.testing.assert_allclose(figures(dataset, results, counts), expected, rtol=0, atol=1e-12)


def test_the_curve_falls_and_its_mean_is_ap():
    every, *_ = by_area(make_dataset(), make_results(make_dataset()))
    precision, recall = precision_recall(every)
    assert (np.diff(precision, axis=1) <= 0).all()
    assert (np.diff(recall) <= 0).all()
    assert average_precision(every) == precision.mean() > 0


def test_real_labels_of_val2017(test_data):
    path = test_data / "coco" / "annotations" / "person_keypoints_val2017.json"
    dataset = read_json(path)
    results = make_results(dataset, error=0.03)
    expected = list(score_results(results, ground_truth_from(dataset, "gt")).values())
    assert len(expected) == len(FIGURES)
    np.testing.assert_array_equal(figures(dataset, results), expected)
