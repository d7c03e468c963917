"""The diagnosis returns errors that were put in: each kind of known number, none of another."""

import json

import numpy as np
import pytest

from pose.metrics.coco_files import ground_truth_from
from pose.metrics.coco_score import as_columns, entries_of, score_results
from pose.metrics.keypoint_errors import ERRORS, KINDS, best_scores, corrected
from pose.metrics.matches import average_precision, found_of, labelled_of, similarities
from pose.reports.diagnosis import (
    STEPS,
    case_of,
    corrected_alone,
    corrected_in_turn,
    diagnose,
    keypoint_gains,
    put_right,
    read_case,
)
from pose.reports.diagnosis_groups import by_group, by_keypoint, shares
from pose.skeleton import COCO_17, Skeleton
from tests.metrics.conftest import make_dataset, make_results
from tests.reports.constructed import AREA, entry, labels, of_nobody, points_of, predictions

DOG = Skeleton(
    name="dog",
    keypoints=("nose", "left_ear", "right_ear", "tail", "left_paw", "right_paw"),
    mirrored=(("left_ear", "right_ear"), ("left_paw", "right_paw")),
    sigmas=(0.03, 0.05, 0.05, 0.1, 0.08, 0.08),
)
RATES = {"jitter": 0.15, "inversion": 0.1, "swap": 0.08, "miss": 0.12}


def case(dataset, results):
    truth = ground_truth_from(dataset, "gt")
    found = found_of(as_columns(entries_of(results, truth), truth), truth)
    return case_of(truth, labelled_of(truth), found)


def diagnosed(dataset, results):
    return diagnose(case(dataset, results))


def ap(the_case):
    return average_precision(the_case.matches)


@pytest.mark.parametrize("skeleton", [COCO_17, DOG])
@pytest.mark.parametrize("kind", [None, *RATES])
def test_errors_put_in_come_out(skeleton, kind):
    """Each kind alone and all together, on COCO's people and on another body: every keypoint is
    told for what it was made."""
    rates = RATES if kind is None else {kind: 0.25}
    dataset = labels(skeleton=skeleton)
    results, kinds, _ = predictions(dataset, rates, skeleton)
    errors = case(dataset, results).errors
    np.testing.assert_array_equal(errors.partners, np.arange(len(kinds)))
    np.testing.assert_array_equal(np.array(KINDS)[errors.kinds], kinds)
    found = shares(errors.kinds)
    for name in KINDS:
        assert found[name] == pytest.approx((kinds == name).mean(), abs=0.01)
    assert found[kind or "miss"] > 0.05


def test_the_shares_by_keypoint_are_those_put_in():
    dataset = labels()
    results, kinds, _ = predictions(dataset, RATES)
    the_case = case(dataset, results)
    rows = by_keypoint(the_case, keypoint_gains(the_case))
    assert [row["keypoint"] for row in rows] == list(COCO_17.keypoints)
    for k, row in enumerate(rows):
        assert row["labelled"] == len(kinds)
        for name in KINDS:
            assert row[name] == pytest.approx((kinds[:, k] == name).mean(), abs=1e-12)
        away = [
            np.linalg.norm(np.reshape(r["keypoints"], (-1, 3))[k, :2] - points_of(a)[k])
            for r, a in zip(results, dataset["annotations"], strict=True)
        ]
        assert row["median"] == pytest.approx(np.median(away))
        side = 4 * 80 + 40
        assert row["PCK 0.1"] == pytest.approx(np.mean(np.array(away) <= 0.1 * side))


@pytest.mark.parametrize("kind", ERRORS)
def test_a_corrected_keypoint_is_where_the_paper_puts_it(kind):
    dataset = labels()
    results, kinds, given = predictions(dataset, RATES)
    the_case = case(dataset, results)
    sigmas = np.array(COCO_17.sigmas)
    better = corrected(the_case.found, the_case.labelled, the_case.errors, sigmas, [kind])
    own = similarities(
        better.keypoints, the_case.labelled.keypoints, the_case.labelled.areas, sigmas
    )
    target = {"jitter": 0.85, "miss": 0.5}.get(kind, given)
    wrong = kinds == kind
    np.testing.assert_allclose(own[wrong], np.broadcast_to(target, own.shape)[wrong], atol=1e-6)
    untouched = the_case.found.keypoints[~wrong]
    np.testing.assert_array_equal(better.keypoints[~wrong], untouched)


@pytest.mark.parametrize("kind", RATES)
def test_the_gain_is_what_the_error_took(kind):
    """Of predictions that are perfect but for one kind of error, correcting it gives the AP that
    follows from the similarities by hand; correcting another gives nothing."""
    dataset = labels()
    results, kinds, given = predictions(dataset, {kind: 0.3})
    for result, annotation, row in zip(results, dataset["annotations"], kinds, strict=True):
        points = np.reshape(result["keypoints"], (-1, 3))
        points[row == "good", :2] = points_of(annotation)[row == "good"]
        result["keypoints"] = points.ravel().tolist()
    rows = {row["error"]: row for row in corrected_alone(case(dataset, results))}
    target = {"jitter": 0.85, "miss": 0.5}.get(kind, given)
    oks = np.where(kinds == kind, target, 1.0).mean(axis=1)
    # All scores are equal, so predictions stand in the order of the file.
    expected = []
    for threshold in np.linspace(0.5, 0.95, 10):
        ordered = oks >= threshold
        right = np.cumsum(ordered)
        precision = right / np.arange(1, len(oks) + 1)
        highest = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
        expected.append(highest[np.searchsorted(right / len(oks), np.linspace(0, 1, 101))].mean())
    assert rows[kind]["AP"] == pytest.approx(np.mean(expected), abs=0.01)
    assert rows[kind]["gain"] > 0.02
    for other in set(ERRORS) - {kind}:
        assert rows[other]["gain"] == 0


def test_missed_false_and_second_predictions_are_counted():
    dataset = labels()
    results, *_ = predictions(dataset, {"jitter": 0.1})
    missed, seconds = 7, 11
    results = results[missed:]
    doubled = [{**r, "score": 0.3} for r in results[:seconds]]
    for r in doubled:
        r["keypoints"] = (np.array(r["keypoints"]) + 0.5).tolist()
    counts = diagnosed(dataset, results + doubled + of_nobody(dataset, 5))["counts"]
    assert counts == {
        "images": 20,
        "people": 60,
        "predictions": 53 + seconds + 5,
        "of a person": 53,
        "second of a person": seconds,
        "of nobody": 5,
        "on crowds or beyond 20": 0,
        "missed people": missed,
    }


def test_missed_people_cost_what_they_are():
    """Perfect predictions of three people in four: AP is recall, and without the others 1."""
    dataset = labels()
    results, *_ = predictions(dataset, {})
    for r, a in zip(results, dataset["annotations"], strict=True):
        r["keypoints"] = entry(a, points_of(a), 0.5)["keypoints"]
    rows = {r["error"]: r for r in corrected_alone(case(dataset, results[:45]))}
    assert rows["missed people"]["AP"] == 1.0
    assert rows["missed people"]["gain"] == pytest.approx(0.25, abs=0.01)
    assert rows["false positives"]["gain"] == 0


def test_scores_in_the_wrong_order_cost_what_the_right_order_gives():
    """As many false ones before the right ones: half of AP; put right, or left out, all of it."""
    dataset = labels()
    results = [entry(a, points_of(a), 0.5) for a in dataset["annotations"]]
    the_case = case(dataset, results + of_nobody(dataset, 60, score=0.9))
    rows = {row["error"]: row for row in corrected_alone(the_case)}
    assert ap(the_case) == pytest.approx(0.5, abs=0.01)
    assert rows["score"]["AP"] == 1.0
    assert rows["false positives"]["AP"] == 1.0
    assert rows["jitter"]["gain"] == rows["miss"]["gain"] == 0


def test_a_better_prediction_with_a_lower_score_is_told():
    dataset = labels()
    results, *_ = predictions(dataset, {"jitter": 0.3})
    exact = [entry(a, points_of(a), 0.2) for a in dataset["annotations"][:9]]
    worse = [{**r, "score": 0.1} for r in predictions(dataset, {"miss": 0.4}, seed=5)[0][20:30]]
    scores = diagnosed(dataset, results + exact + worse)["scores"]
    assert scores["people whose best prediction is not the one that counts"] == 9
    tenths = scores["tenths"]
    assert len(tenths) == 10
    assert tenths[0]["right"] == 1.0


def test_the_best_scores_give_every_person_the_nearest_prediction():
    dataset = labels(num_images=2, people=2)
    results = [entry(a, points_of(a) + shift, 0.5)
               for a in dataset["annotations"] for shift in (4.0, 1.0)]  # fmt: skip
    the_case = case(dataset, results)
    scores = best_scores(the_case.found, the_case.labelled, the_case.pairs)
    assert (scores[1::2] > 0.8).all()
    assert (scores[0::2] < 1e-9).all()


@pytest.mark.parametrize("seed", range(6))
def test_the_reference_is_pycocotools_and_no_correction_lowers_ap(seed):
    dataset = make_dataset(num_images=15, seed=seed)
    results = make_results(dataset, seed=seed, error=(0.02, 0.05, 0.1)[seed % 3])
    the_case = case(dataset, results)
    expected = score_results(results, ground_truth_from(dataset, "gt"), "pycocotools")
    figures = diagnose(the_case)["figures"]
    assert list(figures) == list(expected)
    np.testing.assert_allclose(list(figures.values()), list(expected.values()), rtol=0, atol=1e-12)
    turn = [row["AP"] for row in corrected_in_turn(the_case)]
    assert turn[0] == figures["AP"]
    assert (np.diff(turn) >= -1e-12).all()
    assert all(row["gain"] >= -1e-12 for row in corrected_alone(the_case))
    assert all(gain >= -1e-12 for gain in keypoint_gains(the_case))


def test_all_put_right_leaves_the_margin_of_labels():
    """Jitter alone, all put right: every OKS is above 0.85, so AP is 1 up to there."""
    dataset = labels()
    results, *_ = predictions(dataset, RATES)
    matches = put_right(case(dataset, [*results[5:], *of_nobody(dataset, 9)]), STEPS)
    assert average_precision(matches) > 0.6
    alone = put_right(case(dataset, predictions(dataset, {"jitter": 0.5})[0]), ["jitter"])
    assert (alone.partners[:8] >= 0).all(), "0.5 to 0.85"


def test_groups_divide_the_people():
    """By hand: one of three has two neighbours on top of it, a third of the keypoints is hidden."""
    dataset = labels(people=1)
    crowded = dataset["annotations"][:4]
    extra = [{**a, "id": 1000 + i, "bbox": [v + 10 for v in a["bbox"]]}
             for i, a in enumerate(crowded)]  # fmt: skip
    dataset["annotations"] += extra
    for annotation in dataset["annotations"][10:15]:
        triplets = np.reshape(annotation["keypoints"], (-1, 3))
        triplets[:6, 2] = 1
        annotation["keypoints"] = triplets.ravel().tolist()
    dataset["annotations"][15]["area"] = 40.0**2
    results = [entry(a, points_of(a), 0.5) for a in dataset["annotations"]]
    groups = by_group(case(dataset, results))
    people = {title: {r["group"]: r["people"] for r in rows} for title, rows in groups.items()}
    assert people["People in the way"] == {"nobody": 16, "1 or 2": 8}
    assert people["Hidden keypoints"] == {"none": 19, "up to half": 5}
    assert people["Size"] == {"32 to 64 px": 1, "96 to 192 px": 23}
    assert people["Labelled keypoints"] == {"14 to 17": 24}
    for rows in groups.values():
        assert sum(row["people"] for row in rows) == 24
    hidden = {row["group"]: row for row in groups["Hidden keypoints"]}["up to half"]
    assert (hidden["found"], hidden["AR"], hidden["OKS"]) == (1.0, 1.0, 1.0)
    assert AREA == 100.0**2


def test_crowds_and_unlabelled_people_are_nobodys_fault(tmp_path):
    dataset = labels()
    dataset["annotations"][0] |= {"iscrowd": 1}
    dataset["annotations"][1] |= {"num_keypoints": 0, "keypoints": [0.0] * 51}
    results, *_ = predictions(labels(), {"jitter": 0.1})
    counts = diagnosed(dataset, results)["counts"]
    assert (counts["people"], counts["missed people"]) == (58, 0)
    assert counts["on crowds or beyond 20"] == 2
    for annotation in dataset["annotations"]:
        annotation["iscrowd"] = 1
    for name, content in (("gt", dataset), ("results", results)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"gt\.json: holds no person with labelled keypoints"):
        read_case(tmp_path / "results.json", tmp_path / "gt.json")


def test_nothing_found_is_diagnosed():
    content = diagnosed(labels(num_images=2), [])
    assert content["figures"]["AP"] == 0
    assert content["counts"]["missed people"] == 6
    alone = {row["error"]: row["AP"] for row in content["alone"]}
    assert np.isnan(alone.pop("missed people"))
    assert set(alone.values()) == {0.0}
