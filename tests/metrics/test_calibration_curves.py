"""Curves, what they are fitted on, and the figures that say how right they are."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose.metrics.calibration import (
    BINS,
    FITS,
    FOLDS,
    Calibration,
    Curve,
    Evidence,
    cross_fitted,
    evidence_of,
    fit_logistic,
    fold_of,
    measures,
    read_calibration,
    reliability,
)
from pose.metrics.coco_files import ground_truth_from
from pose.metrics.coco_score import as_columns, entries_of
from pose.metrics.matches import found_of, labelled_of, pairs_of
from pose.structures import person_scores
from tests.metrics.conftest import make_dataset


def drawn(curve, number=40_000, seed=0):
    """Scores of which as many are right as the curve says."""
    rng = np.random.default_rng(seed)
    scores = rng.random(number)
    return scores, (rng.random(number) < curve(scores)) * 1.0


@pytest.mark.parametrize("curve", [Curve(5.0, -1.0), Curve(12.0, -7.0), Curve(0.5, 0.2)])
def test_the_curve_that_made_the_outcomes_is_found(curve):
    found = fit_logistic(*drawn(curve))
    grid = np.linspace(0, 1, 11)
    np.testing.assert_allclose(found(grid), curve(grid), atol=0.02)


def test_outcomes_between_wrong_and_right_are_fitted_too():
    curve, scores = Curve(4.0, -2.0), np.linspace(0, 1, 500)
    found = fit_logistic(scores, curve(scores))
    np.testing.assert_allclose([found.slope, found.offset], [4, -2], atol=0.01)


def test_the_fit_is_the_likeliest_of_a_grid():
    scores, outcomes = drawn(Curve(3.0, -1.0), number=300)
    found = fit_logistic(scores, outcomes)

    def loss(curve):
        return measures(curve(scores), outcomes)["log loss"]

    others = [Curve(a, b) for a in np.arange(0, 8, 0.1) for b in np.arange(-4, 4, 0.1)]
    assert loss(found) <= min(map(loss, others)) + 1e-5


@pytest.mark.parametrize("name", FITS)
def test_every_curve_rises_and_stays_a_share(name):
    apply = FITS[name](*drawn(Curve(6.0, -3.0), number=2000))
    values = apply(np.linspace(0, 1, 101))
    assert (np.diff(values) >= -1e-12).all() and values.min() >= 0 and values.max() <= 1
    assert values[90] - values[10] > 0.5


def test_scores_that_fall_give_no_slope():
    scores, outcomes = drawn(Curve(5.0, -2.0), number=2000)
    assert fit_logistic(1 - scores, outcomes).slope == 0


def test_scores_that_part_right_from_wrong_leave_the_curve_finite():
    curve = fit_logistic(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite([curve.slope, curve.offset]).all() and curve.slope > 0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_the_calibration_error_is_that_of_a_slow_loop(pairs):
    values, outcomes = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]) * 1.0
    total = 0.0
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        mine = [(v, y) for v, y in pairs if low <= v < high or (number == BINS - 1 and v == 1)]
        # A value within rounding of a bound may stand on either side of it.
        if any(abs(v * BINS - round(v * BINS)) < 1e-9 and 0 < v < 1 for v, _ in pairs):
            return
        if mine:
            total += abs(sum(v for v, _ in mine) - sum(y for _, y in mine)) / len(pairs)
    assert measures(values, outcomes)["ECE"] == pytest.approx(total, abs=1e-12)
    assert sum(row["number"] for row in reliability(values, outcomes)) == len(pairs)


def test_what_is_calibrated_has_no_error_and_what_is_not_has_its_own():
    scores, outcomes = drawn(lambda s: s)
    assert measures(scores, outcomes)["ECE"] < 0.01
    scores, outcomes = drawn(lambda s: np.full_like(s, 0.9))
    assert measures(scores / 2, outcomes)["ECE"] == pytest.approx(0.65, abs=0.01)


def test_an_image_has_no_part_in_its_own_curve():
    scores, outcomes = drawn(Curve(5.0, -2.0), number=600)
    images = np.arange(600) // 6
    folds = fold_of(images, 100)
    assert len(np.unique(folds)) == FOLDS and np.bincount(folds).min() == 60
    assert all(len(np.unique(folds[images == image])) == 1 for image in range(100))
    evidence = Evidence(scores, outcomes, images)
    before = cross_fitted(fit_logistic, evidence, folds, scores, folds)
    turned = np.where(folds == 3, 1 - outcomes, outcomes)
    after = cross_fitted(fit_logistic, replace(evidence, outcomes=turned), folds, scores, folds)
    np.testing.assert_array_equal(before[folds == 3], after[folds == 3])
    assert (before[folds != 3] != after[folds != 3]).all()


def evidence(dataset, results):
    truth = ground_truth_from(dataset, "gt")
    labelled = labelled_of(truth)
    found = found_of(as_columns(entries_of(results, truth), truth), truth)
    return evidence_of(found, labelled, pairs_of(found, labelled, truth.sigmas), truth.sigmas)


@pytest.fixture
def scene():
    """One person, half labelled, and one image of a crowd; predictions of them and of nobody."""
    dataset = make_dataset(num_images=2)
    points = np.column_stack([np.linspace(100, 200, 17), np.linspace(100, 300, 17)])
    visibility = np.array([2] * 9 + [0] * 8)
    person = np.column_stack([points, visibility]).ravel().tolist()
    base = {"category_id": 1, "area": 10_000.0, "bbox": [100.0, 100.0, 100.0, 200.0]}
    crowd = {"keypoints": [0] * 51, "num_keypoints": 0, "iscrowd": 1, "image_id": 101, "id": 2}
    person = {"keypoints": person, "num_keypoints": 9, "iscrowd": 0, "image_id": 100, "id": 1}
    dataset["annotations"] = [{**base, **person}, {**base, **crowd}]
    return dataset, points


def result(points, score, image_id=100, keypoint_scores=0.5):
    triplets = np.column_stack([points, np.broadcast_to(keypoint_scores, 17)])
    return {
        "image_id": image_id,
        "category_id": 1,
        "keypoints": triplets.ravel().tolist(),
        "score": score,
    }


def test_each_labelled_keypoint_is_right_or_wrong_and_others_say_nothing(scene):
    dataset, points = scene
    moved = points.copy()
    moved[:4] += 90.0
    moved[9:] += 400.0  # unlabelled
    keypoints, people = evidence(dataset, [result(moved, 0.7, keypoint_scores=np.arange(17) / 17)])
    np.testing.assert_allclose(keypoints.scores, np.arange(9) / 17)
    np.testing.assert_array_equal(keypoints.outcomes, [0] * 4 + [1] * 5)
    assert people.scores == [0.7] and people.outcomes == pytest.approx([5 / 9], abs=1e-6)


def test_a_detection_of_nobody_is_worth_nothing_and_its_keypoints_say_nothing(scene):
    dataset, points = scene
    results = [result(points, 0.9), result(points + 900.0, 0.6), result(points + 1.0, 0.8)]
    keypoints, people = evidence(dataset, results)
    assert len(keypoints.outcomes) == 9 and keypoints.outcomes.all()
    np.testing.assert_allclose(people.outcomes, [1, 0, 0], err_msg="the third is a second one")


def test_the_best_prediction_is_of_the_person_whatever_its_score(scene):
    dataset, points = scene
    _, people = evidence(dataset, [result(points + 15.0, 0.9), result(points, 0.1)])
    assert people.outcomes[0] == 0 and people.outcomes[1] == 1


def test_a_pose_all_wrong_in_a_persons_box_counts(scene):
    dataset, points = scene
    keypoints, people = evidence(dataset, [result(points[::-1], 0.9)])
    assert len(keypoints.outcomes) == 9 and keypoints.outcomes.sum() <= 1
    assert people.outcomes[0] < 0.15


def test_predictions_on_a_crowd_say_nothing(scene):
    dataset, points = scene
    keypoints, people = evidence(dataset, [result(points, 0.9, image_id=101), result(points, 0.5)])
    assert people.scores == [0.5] and len(keypoints.scores) == 9


def test_a_calibration_is_of_the_scores_that_the_network_gives():
    rng = np.random.default_rng(0)
    box_scores, scores = rng.random(50), rng.random((50, 17)).astype(np.float32)
    calibration = Calibration(Curve(5.0, -1.0), Curve(6.0, -2.0))
    probabilities, expected = calibration(box_scores, scores)
    assert probabilities.dtype == np.float32 and expected.dtype == np.float64
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(1 - 5.0 * scores)), rtol=1e-6)
    own = person_scores(box_scores, scores)
    np.testing.assert_array_equal(np.argsort(own), np.argsort(expected))


@given(st.floats(0.1, 30), st.floats(-9, 9), st.floats(0, 1))
def test_the_inverse_brings_the_score_back(slope, offset, score):
    curve = Curve(slope, offset)
    if curve(score) < 1 - 1e-6:  # nearer to 1, doubles lie too far apart
        assert curve.inverse(float(curve(score))) == pytest.approx(score, abs=1e-6)
    assert curve.inverse(0) == -np.inf and curve.inverse(1) == np.inf


GOOD = {
    "weights": {"file": "a.onnx", "sha256": "1" * 64},
    "curves": {"keypoints": {"slope": 5, "offset": -1.5}, "people": {"slope": 6.5, "offset": 0}},
}


def test_what_is_kept_reads_back(save):
    calibration, sha256 = read_calibration(save(GOOD))
    assert calibration == Calibration(Curve(5.0, -1.5), Curve(6.5, 0.0)) and sha256 == "1" * 64
    assert read_calibration(save({**GOOD, "weights": None}))[1] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "is a list, expected an object"),
        ({}, "has no 'curves'"),
        ({**GOOD, "curves": {}}, "curves: has no 'keypoints'"),
        ({**GOOD, "curves": {**GOOD["curves"], "people": {}}}, "people: has no 'slope'"),
        (
            {**GOOD, "curves": {**GOOD["curves"], "people": {"slope": "a", "offset": 0}}},
            "people: slope is 'a', expected a finite number",
        ),
        (
            {**GOOD, "curves": {**GOOD["curves"], "keypoints": {"slope": -1, "offset": 0}}},
            "keypoints: slope is -1, expected one above 0",
        ),
    ],
)
def test_other_files_are_refused(save, content, said):
    path = save(content)
    with pytest.raises(ValueError, match=said) as error:
        read_calibration(path)
    assert str(error.value).startswith(str(path))
