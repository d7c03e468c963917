"""Figures of images drawn anew against the slow way: the COCO file written anew for each sample and
given to pycocotools."""

from dataclasses import replace

import numpy as np
import pytest

from pose.metrics.bootstrap import drawn_images, interval, outcomes_of, sampled_figures
from pose.metrics.coco_files import ground_truth_from
from pose.metrics.coco_score import FIGURES, as_columns, entries_of, score_results
from pose.metrics.matches import ALL, LARGE, MEDIUM, found_of, labelled_of, match, pairs_of
from pose.records import read_json
from pose.skeleton import COCO_17
from tests.metrics.conftest import make_dataset, make_results
from tests.metrics.test_coco_scorers import bare_stats, hostile


def outcomes(dataset, results):
    truth = ground_truth_from(dataset, "gt")
    labelled = labelled_of(truth)
    found = found_of(as_columns(entries_of(results, truth), truth), truth)
    pairs = pairs_of(found, labelled, truth.sigmas)
    by_area = [match(found, labelled, pairs, areas=areas) for areas in (ALL, MEDIUM, LARGE)]
    return outcomes_of(by_area, sorted(truth.image_ids))


def drawn_anew(dataset, results, counts):
    """The files in which each image stands as often as counts (I,) say."""
    drawn, found = {**dataset, "images": [], "annotations": []}, []
    ids = sorted(image["id"] for image in dataset["images"])
    for number, (old_id, count) in enumerate(zip(ids, counts, strict=True)):
        for copy in range(count):
            new_id = 1000 * number + copy + 1
            drawn["images"].append({"id": new_id, "file_name": "x"})
            of_image = [a for a in dataset["annotations"] if a["image_id"] == old_id]
            first = len(drawn["annotations"]) + 1
            drawn["annotations"] += [
                {**a, "image_id": new_id, "id": first + i} for i, a in enumerate(of_image)
            ]
            found += [{**r, "image_id": new_id} for r in results if r["image_id"] == old_id]
    return drawn, found


@pytest.mark.parametrize("seed", range(3))
def test_samples_equal_the_slow_bootstrap(seed):
    """Scores tie across images and inside them, a third of the predictions are wrong."""
    dataset = make_dataset(num_images=14, seed=seed)
    results = make_results(dataset, seed=seed)
    counts = drawn_images(14, samples=12, seed=seed)
    samples = sampled_figures(outcomes(dataset, results), counts)
    assert samples.shape == (len(FIGURES), 12)
    for sample, figures in zip(counts.T, samples.T, strict=True):
        expected = bare_stats(*drawn_anew(dataset, results, sample), COCO_17.sigmas)
        np.testing.assert_allclose(figures, expected, rtol=0, atol=1e-9)


def test_copies_of_an_image_take_equal_scores_in_turn():
    """One right and one wrong prediction with one score: twice the image is right, wrong, right,
    wrong, and not both right ones first."""
    dataset = make_dataset(num_images=4, seed=5)
    results = make_results(dataset, seed=5)
    for result in results:
        result["score"] = 0.5
    counts = np.array([[1, 3], [0, 0], [1, 2], [1, 0]])
    samples = sampled_figures(outcomes(dataset, results), counts)
    for sample, figures in zip(counts.T, samples.T, strict=True):
        expected = bare_stats(*drawn_anew(dataset, results, sample), COCO_17.sigmas)
        np.testing.assert_allclose(figures, expected, rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_image_once_is_pycocotools():
    for seed in range(30):
        dataset, results = hostile(seed)
        if not dataset["annotations"]:
            continue
        expected = bare_stats(dataset, results, dataset["categories"][0]["sigmas"])
        figures = sampled_figures(outcomes(dataset, results))[:, 0]
        np.testing.assert_allclose(figures, expected, rtol=0, atol=1e-12, err_msg=f"{seed}")


def test_real_labels_of_val2017(test_data):
    dataset = read_json(test_data / "coco" / "annotations" / "person_keypoints_val2017.json")
    results = make_results(dataset, error=0.03)
    expected = list(score_results(results, ground_truth_from(dataset, "gt")).values())
    figures = sampled_figures(outcomes(dataset, results))[:, 0]
    np.testing.assert_allclose(figures, expected, rtol=0, atol=1e-12)


def test_nobody_found_and_nobody_to_find():
    dataset = make_dataset(num_images=40)
    counts = drawn_images(40, samples=3)
    assert (sampled_figures(outcomes(dataset, []), counts) == 0).all()
    for annotation in dataset["annotations"]:
        annotation["iscrowd"] = 1
    samples = sampled_figures(outcomes(dataset, make_results(dataset)), counts)
    assert np.isnan(samples).all()
    assert np.isnan(interval(np.full(len(FIGURES), np.nan), samples)).all()


def test_samples_are_as_large_as_the_set_and_repeatable():
    counts = drawn_images(30, samples=5, seed=1)
    assert counts.shape == (30, 5) and (counts.sum(axis=0) == 30).all()
    np.testing.assert_array_equal(counts, drawn_images(30, samples=5, seed=1))
    assert (counts != drawn_images(30, samples=5, seed=2)).any()


def test_an_interval_mirrors_its_samples_in_the_value():
    samples = np.stack([np.arange(1001.0), np.full(1001, np.nan)])
    low, high = interval(np.array([400.0, np.nan]), samples, share=0.9)
    assert (low[0], high[0]) == (-150, 750) and np.isnan([low[1], high[1]]).all()


def chosen_images(every, images):
    """The outcomes of some images, as if there were no others."""
    kept = np.isin(every.images, images)
    return replace(
        every,
        image_ids=every.image_ids[images],
        people=every.people[:, images],
        images=np.searchsorted(images, every.images[kept]).astype(np.int32),
        scores=every.scores[kept],
        right=every.right[..., kept],
        wrong=every.wrong[..., kept],
    )


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of 90 % intervals from 60 images each, about 90 % hold the figure of the 2000 images from
    which those are drawn."""
    dataset = make_dataset(num_images=2000, seed=3)
    results = make_results(dataset, error=0.04)
    rng = np.random.default_rng(1)
    for number, result in enumerate(results):
        result["score"] = float(0.6 * rng.random() + (0.4 if number % 2 == 0 else 0.0))
    every = outcomes(dataset, results)
    truth = sampled_figures(every)[:, 0]
    held, trials = np.zeros(len(FIGURES)), 60
    for trial in range(trials):
        few = chosen_images(every, np.sort(rng.choice(2000, size=60, replace=False)))
        samples = sampled_figures(few, drawn_images(60, samples=100, seed=trial))
        low, high = interval(sampled_figures(few)[:, 0], samples, share=0.9)
        held += (low <= truth) & (truth <= high)
    shares = dict(zip(FIGURES, held / trials, strict=True))
    assert all(0.7 <= shares[name] <= 1 for name in FIGURES), shares
    assert 0.8 <= np.mean([shares[n] for n in FIGURES if n != "AR .5"]) <= 0.97, shares
