"""Scoring equals pycocotools on clean input, and says or mends what pycocotools passes over."""

import copy
import json
import logging
import math

import numpy as np
import pytest

from pose.metrics.coco_files import write_results
from pose.metrics.coco_score import FIGURES, score_results
from pose.records import read_json, write_json
from pose.skeleton import COCO_17, Skeleton

HAND = Skeleton("hand", tuple(f"tip_{i}" for i in range(5)), sigmas=(0.03, 0.05, 0.07, 0.09, 0.11))


def values(figures):
    assert tuple(figures) == FIGURES
    return list(figures.values())


@pytest.mark.parametrize("skeleton", [COCO_17, HAND], ids=lambda s: s.name)
@pytest.mark.parametrize("seed", range(4))
def test_equals_bare_pycocotools(coco, save, skeleton, seed):
    dataset = coco.make_dataset(skeleton, seed=seed)
    results = coco.make_results(dataset, seed=seed + 50, error=0.02 + 0.02 * seed)
    bare = coco.bare(dataset, results, skeleton.sigmas).stats
    annotations, given = save(dataset), save(results, "results.json")
    figures = score_results(given, annotations)
    assert values(figures) == bare.tolist()
    assert 0 < figures["AP"] < 1
    assert score_results(results, annotations) == figures


def damage_missing_images(results):
    return [r for r in results if r["image_id"] % 3]


def damage_one_score(results):
    return [{**r, "score": 0.5} for r in results]


def damage_repeated(results):
    return results + results[::2]


def damage_shifted(results):
    return [{**r, "keypoints": [v + 9 for v in r["keypoints"]]} for r in results]


def damage_many(results):
    """More than the 20 an image that COCO scores."""
    return [{**r, "score": r["score"] / n} for n in range(1, 13) for r in results]


@pytest.mark.parametrize(
    "damage",
    [damage_missing_images, damage_one_score, damage_repeated, damage_shifted, damage_many],
    ids=lambda d: d.__name__,
)
def test_damaged_results_equal_bare_pycocotools(coco, save, dataset, results, damage):
    damaged = damage(results)
    bare = coco.bare(dataset, damaged, COCO_17.sigmas).stats
    assert values(score_results(damaged, save(dataset))) == bare.tolist()


def test_truth_as_prediction_is_one(dataset, save):
    labelled = [a for a in dataset["annotations"] if a["num_keypoints"] and not a["iscrowd"]]
    keys = ("image_id", "category_id", "keypoints")
    results = [{**{key: a[key] for key in keys}, "score": 1.0} for a in labelled]
    assert values(score_results(results, save(dataset))) == pytest.approx([1.0] * 10, abs=1e-12)


def with_ids(dataset, ids):
    changed = copy.deepcopy(dataset)
    for annotation, new_id in zip(changed["annotations"], ids, strict=True):
        annotation["id"] = new_id
    return changed


def test_annotation_ids_do_not_matter(coco, dataset, results, save):
    n = len(dataset["annotations"])
    clean = score_results(results, save(dataset))
    for ids in (range(n), [7] * n, [float(i) for i in range(n)], [None] * n):
        assert score_results(results, save(with_ids(dataset, ids))) == clean
    # what it is about: pycocotools itself loses the person with id 0
    bare = coco.bare(with_ids(dataset, range(n)), results, COCO_17.sigmas).stats
    assert bare[0] < clean["AP"]


def test_integral_floats_are_integers(dataset, results, save):
    clean = score_results(results, save(dataset))
    floats = [{**r, "image_id": float(r["image_id"]), "category_id": 1.0} for r in results]
    changed = copy.deepcopy(dataset)
    for annotation in changed["annotations"]:
        annotation["image_id"] = float(annotation["image_id"])
        del annotation["num_keypoints"]
        if not annotation["iscrowd"]:
            del annotation["iscrowd"]
    assert score_results(floats, save(changed)) == clean


def test_a_bbox_is_ignored_with_a_warning(coco, dataset, results, save, caplog):
    clean = score_results(results, save(dataset))
    boxed = [{**r, "bbox": [0.0, 0.0, 60.0, 60.0], "area": 1.0} for r in results]
    before = copy.deepcopy(boxed)
    with caplog.at_level(logging.WARNING):
        assert score_results(boxed, save(dataset)) == clean
    assert f"ignored the 'bbox' of {len(results)} entries" in caplog.text
    assert boxed == before
    moved = coco.bare(dataset, boxed, COCO_17.sigmas).stats
    assert moved.tolist() != values(clean)


def test_duplicates_are_scored_as_they_stand_with_a_warning(dataset, results, save, caplog):
    with caplog.at_level(logging.WARNING):
        twice = score_results(results + results, save(dataset))
    assert f"{len(results)} entries repeat another" in caplog.text
    assert twice["AP"] < score_results(results, save(dataset))["AP"]


def test_no_results_are_zeros_and_no_members_nan(dataset, save):
    assert values(score_results([], save(dataset))) == [0.0] * 10
    small = copy.deepcopy(dataset)
    for annotation in small["annotations"]:
        annotation["area"] = 2000.0
    figures = score_results([], save(small))
    assert [name for name in FIGURES if math.isnan(figures[name])] == ["AP (L)", "AR (L)"]
    assert figures["AP (M)"] == 0.0


def entry_with(**changes):
    def apply(entry):
        entry.update(changes)

    return apply


def entry_without(key):
    def apply(entry):
        del entry[key]

    return apply


def entry_with_keypoint(value):
    def apply(entry):
        entry["keypoints"][7] = value

    return apply


@pytest.mark.parametrize(
    "spoil, said",
    [
        (entry_with(score=math.nan), "score is nan, expected a finite number"),
        (entry_with(score=math.inf), "score is inf, expected a finite number"),
        (entry_with(score="0.5"), "score is '0.5', expected a finite number"),
        (entry_with(score=10**400), "score is 1000"),
        (entry_with(score=True), "score is True, expected a finite number"),
        (entry_with_keypoint(math.nan), "keypoints[7] is nan"),
        (entry_with_keypoint(-math.inf), "keypoints[7] is -inf"),
        (entry_with_keypoint("3"), "keypoints is not a flat list of numbers"),
        (entry_with_keypoint(None), "keypoints is not a flat list of numbers"),
        (entry_with_keypoint([1, 2]), "keypoints is not a flat list of numbers"),
        (entry_with(keypoints=[1.0] * 48), "keypoints has 48 values, expected 51"),
        (entry_with(keypoints=None), "keypoints is None, expected a list of 51 numbers"),
        (entry_with(image_id=5), "image_id 5 is not among the images of"),
        (entry_with(image_id=100.5), "image_id is 100.5, expected an integer"),
        (entry_with(image_id="100"), "image_id is '100', expected an integer"),
        (entry_with(category_id=0), "category_id is 0, expected 1"),
        (entry_without("keypoints"), "has no 'keypoints'"),
        (entry_without("score"), "has no 'score'"),
        (entry_without("image_id"), "has no 'image_id'"),
        (entry_without("category_id"), "has no 'category_id'"),
    ],
)
def test_a_spoilt_entry_is_named(dataset, results, save, spoil, said):
    spoil(results[3])
    path = save(results, "results.json")
    with pytest.raises(ValueError) as raised:
        score_results(path, save(dataset))
    message = str(raised.value)
    assert message.startswith(f"{path}: entry 3: ")
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [{"annotations": []}, None, 3, ["text"]])
def test_a_file_that_is_no_result_list_is_named(dataset, save, content):
    path = save(content, "results.json")
    with pytest.raises(ValueError, match="expected a") as raised:
        score_results(path, save(dataset))
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("key", ["keypoints", "area", "bbox", "image_id"])
def test_an_annotation_without_a_field_is_named(dataset, save, key):
    del dataset["annotations"][2][key]
    path = save(dataset)
    with pytest.raises(ValueError, match=f"annotation 2: has no '{key}'") as raised:
        score_results([], path)
    assert str(raised.value).startswith(str(path))


def test_no_labels_are_nothing_to_score(dataset, save):
    unlabelled = [{k: v for k, v in a.items() if k != "keypoints"} for a in dataset["annotations"]]
    category = {"id": 1, "name": "person"}
    for annotations in ({}, {"annotations": []}, {"annotations": unlabelled}):
        content = {"images": dataset["images"], "categories": [category], **annotations}
        with pytest.raises(ValueError, match="nothing to score"):
            score_results([], save(content))


def test_only_the_first_category_counts(dataset, results, save, caplog):
    clean = score_results(results, save(dataset))
    dataset["categories"].append({"id": 2, "name": "chair"})
    dataset["annotations"].append({"id": 900, "image_id": 100, "category_id": 2})
    chair = {**results[0], "category_id": 2}
    with caplog.at_level(logging.WARNING):
        assert score_results([chair, *results], save(dataset)) == clean
    assert "1 entries are of a category that is not scored" in caplog.text


def test_annotations_of_unlisted_images_are_left_out_with_a_warning(dataset, save, caplog):
    clean = score_results([], save(dataset))
    dataset["annotations"].append({**dataset["annotations"][0], "image_id": 5})
    with caplog.at_level(logging.WARNING):
        assert score_results([], save(dataset)) == clean
    assert "left out 1 annotations" in caplog.text


def test_broken_files_are_one_line(tmp_path, save):
    whole = json.dumps([{"name": "é" * 20}], ensure_ascii=False)
    cut, latin, empty = (tmp_path / f"{name}.json" for name in ("cut", "latin", "empty"))
    cut.write_text(whole[:15], encoding="utf-8")
    latin.write_bytes(whole.encode("latin-1"))
    empty.write_bytes(b"")
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 200_000)
    for path in (cut, latin, empty, deep, tmp_path):
        with pytest.raises(ValueError) as raised:
            read_json(path)
        assert str(raised.value).startswith(f"{path}: ")
        assert "\n" not in str(raised.value)
    with pytest.raises(FileNotFoundError, match=r"missing\.json: no such file"):
        read_json(tmp_path / "missing.json")
    marked = tmp_path / "marked.json"
    marked.write_bytes(whole.encode("utf-8-sig"))
    assert read_json(marked) == json.loads(whole)


def test_results_read_back_bit_for_bit(tmp_path, results):
    path = tmp_path / "new" / "results.json"
    write_results(path, [{**r, "box": [1, 2, 3, 4]} for r in results])
    assert read_json(path) == results
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


def test_arrays_are_written_as_lists_and_nan_refused(tmp_path):
    path = tmp_path / "content.json"
    write_json(path, {"a": np.array([1.5, 2.0]), "b": np.float64(0.1)})
    assert read_json(path) == {"a": [1.5, 2.0], "b": 0.1}
    for bad in (math.nan, math.inf, np.array([math.nan]), np.float64("nan")):
        with pytest.raises(ValueError, match="not finite") as raised:
            write_json(path, {"a": bad})
        assert "\n" not in str(raised.value)
    # the earlier file stands, and nothing half-written beside it
    assert read_json(path)["b"] == 0.1
    assert len(list(tmp_path.iterdir())) == 1
