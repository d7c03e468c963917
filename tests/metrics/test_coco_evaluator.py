"""The evaluator: the published oracle, and laws of merging, suppression and re-scoring."""

import json
import math

import numpy as np
import pytest

import pose.metrics.coco as coco_module
from pose.metrics.coco import CocoEvaluator
from pose.metrics.coco_files import write_results
from pose.metrics.coco_score import score_results
from pose.metrics.oks import oks_nms
from pose.skeleton import COCO_17, Skeleton
from pose.structures import People, person_scores

ORACLE = {
    "AP": 0.528746,
    "AP .5": 0.904290,
    "AP .75": 0.500990,
    "AP (M)": 0.424752,
    "AP (L)": 0.621955,
    "AR": 0.583333,
    "AR .5": 0.916667,
    "AR .75": 0.583333,
    "AR (M)": 0.44,
    "AR (L)": 0.685714,
}


def people_of(dataset, box_score=1.0, skeleton=COCO_17):
    """All annotations, in file order, with areas (N,) as their padded crops have."""
    annotations = dataset["annotations"]
    n = len(annotations)
    triplets = np.array([a["keypoints"] for a in annotations], dtype=np.float32)
    triplets = triplets.reshape(n, skeleton.num_keypoints, 3)
    xywh = np.array([a["bbox"] for a in annotations], dtype=np.float64).reshape(n, 4)
    image_ids = [image["id"] for image in dataset["images"]]
    people = People(
        skeleton=skeleton,
        images=np.array([f"{i}.jpg" for i in image_ids]),
        image_sizes=np.zeros((len(image_ids), 2), dtype=np.int32),
        image_index=np.array([image_ids.index(a["image_id"]) for a in annotations]),
        image_ids=np.array([a["image_id"] for a in annotations], dtype=np.int64),
        boxes=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1, dtype=np.float32),
        keypoints=triplets[..., :2],
        visibility=triplets[..., 2].astype(np.uint8),
        areas=np.array([a["area"] for a in annotations]),
        scores=np.full(n, box_score),
        annotation_ids=np.array([a["id"] for a in annotations]),
    )
    return people, 1.5625 * xywh[:, 2] * xywh[:, 3]


@pytest.fixture
def oracle(test_data):
    """Annotation path, people, areas, predicted keypoints and scores of the published oracle."""
    path = test_data / "coco/annotations/oracle_4images.json"
    people, areas = people_of(json.loads(path.read_text()), box_score=0.98)
    keypoints = people.keypoints * np.array([0.98, 1.02], dtype=np.float32)
    return path, people, areas, keypoints, people.visibility * np.float32(0.8)


def test_oracle(oracle, tmp_path):
    path, people, areas, keypoints, scores = oracle
    assert len(people) == 14
    evaluator = CocoEvaluator(path, people, areas)
    for batch in np.array_split(np.random.default_rng(0).permutation(14), 4):
        evaluator.update(batch, keypoints[batch], scores[batch])
    figures = evaluator.compute()
    assert list(figures) == list(ORACLE)
    assert figures == pytest.approx(ORACLE, abs=1e-6)
    write_results(tmp_path / "results.json", evaluator.results())
    assert score_results(tmp_path / "results.json", path) == figures


def test_oracle_sees_the_order_of_equal_scores(oracle, monkeypatch):
    path, people, areas, keypoints, scores = oracle

    def earlier_first(keypoints, scores, areas, sigmas, threshold, image_ids):
        kept = oks_nms(keypoints, scores, areas, sigmas, threshold, image_ids)
        return kept[np.lexsort((kept, -scores[kept], image_ids[kept]))]

    monkeypatch.setattr(coco_module, "oks_nms", earlier_first)
    evaluator = CocoEvaluator(path, people, areas)
    evaluator.update(np.arange(14), keypoints, scores)
    assert evaluator.compute()["AP"] == pytest.approx(0.527185, abs=1e-6)


def test_oracle_with_a_bbox_key_keeps_its_figures(oracle):
    path, people, areas, keypoints, scores = oracle
    evaluator = CocoEvaluator(path, people, areas)
    evaluator.update(np.arange(14), keypoints, scores)
    boxed = [{**entry, "bbox": [0.0, 0.0, 50.0, 50.0]} for entry in evaluator.results()]
    assert score_results(boxed, path) == evaluator.compute()


def noisy(people, areas, seed=0):
    rng = np.random.default_rng(seed)
    spread = 0.06 * np.sqrt(areas / 1.5625)[:, None, None]
    keypoints = people.keypoints + spread * rng.normal(size=people.keypoints.shape)
    return keypoints, rng.random(people.visibility.shape)


@pytest.fixture
def evaluator(dataset, save):
    people, areas = people_of(dataset, box_score=0.7)
    return CocoEvaluator(save(dataset), people, areas)


def test_order_padding_and_merging_do_not_matter(evaluator):
    people = evaluator.people
    keypoints, scores = noisy(people, evaluator.areas)
    n = len(people)
    evaluator.update(np.arange(n), keypoints, scores)
    expected, figures = evaluator.results(), evaluator.compute()
    assert 0 < figures["AP"] < 1

    evaluator.reset()
    assert evaluator.results() == []
    padded = np.concatenate([np.random.default_rng(1).permutation(n), [0, 5, 0]])
    for batch in np.array_split(padded, 5):
        evaluator.update(batch, keypoints[batch], scores[batch])
    assert evaluator.results() == expected

    evaluator.reset()
    parts = []
    for half in (np.arange(1, n, 2), np.arange(0, n, 2)):
        evaluator.reset()
        evaluator.update(half, keypoints[half], scores[half])
        parts.append(evaluator.predictions())
    evaluator.reset()
    for part in parts:
        evaluator.update(*part)
    assert evaluator.results() == expected


def test_the_figures_are_those_of_the_written_file(coco, save, tmp_path):
    for seed, soft in ((0, False), (1, False), (2, True)):
        dataset = coco.make_dataset(seed=seed, num_images=30)
        people, areas = people_of(dataset, box_score=0.7)
        path = save(dataset)
        evaluator = CocoEvaluator(path, people, areas, soft_nms=soft)
        evaluator.update(np.arange(len(people)), *noisy(people, areas, seed))
        write_results(tmp_path / "results.json", evaluator.results())
        figures = evaluator.compute()
        assert score_results(tmp_path / "results.json", path) == figures
        assert 0 < figures["AP"] < 1


def test_an_image_without_labels_is_named(evaluator):
    keypoints, scores = noisy(evaluator.people, evaluator.areas)
    evaluator.update(np.arange(len(scores)), keypoints, scores)
    evaluator.people.image_ids[:] += 1000
    with pytest.raises(ValueError, match=r"entry 0: image_id 11\d\d is not among the images"):
        evaluator.compute()


def test_results_hold_plain_numbers_and_nothing_else(evaluator):
    people = evaluator.people
    keypoints, scores = noisy(people, evaluator.areas)
    index = np.arange(len(people))
    evaluator.update(index, keypoints, scores)
    results = evaluator.results()
    totals = person_scores(people.scores, scores)
    for entry in results:
        assert list(entry) == ["image_id", "category_id", "keypoints", "score"]
        assert type(entry["image_id"]) is int and type(entry["category_id"]) is int
        assert type(entry["score"]) is float and entry["score"] in totals
        triplets = np.array(entry["keypoints"])
        assert triplets.shape == (51,)
        np.testing.assert_array_equal(triplets, triplets.astype(np.float32))
    assert json.loads(json.dumps(results)) == results
    seen = list(dict.fromkeys(entry["image_id"] for entry in results))
    assert seen == list(dict.fromkeys(people.image_ids.tolist()))


def test_people_found_twice_count_once(evaluator):
    people = evaluator.people
    keypoints, scores = noisy(people, evaluator.areas)
    index = np.arange(len(people))
    evaluator.update(index, np.zeros_like(keypoints), scores)
    assert len(evaluator.results()) == len(set(people.image_ids.tolist()))
    evaluator.soft_nms = True
    assert len(evaluator.results()) == len(people)


def test_the_threshold_of_keypoint_scores(dataset, save):
    people, areas = people_of(dataset, box_score=0.5)
    scores = np.tile(np.linspace(0, 0.8, 17), (len(people), 1))
    for threshold in (0.2, 0.6, 0.9):
        evaluator = CocoEvaluator(save(dataset), people, areas, keypoint_score_threshold=threshold)
        evaluator.update(np.arange(len(people)), people.keypoints, scores)
        above = [s for s in scores[0].astype(np.float32).tolist() if s > threshold]
        expected = 0.5 * sum(above) / len(above) if above else 0.0
        assert evaluator.results()[0]["score"] == pytest.approx(expected, abs=1e-12)


def test_nothing_predicted_is_zeros(evaluator):
    assert evaluator.results() == []
    assert set(evaluator.compute().values()) == {0.0}


def test_nobody_to_predict_is_zeros(dataset, save):
    people, areas = people_of({**dataset, "annotations": []})
    evaluator = CocoEvaluator(save(dataset), people, areas)
    evaluator.update(np.zeros(0, int), np.zeros((0, 17, 2)), np.zeros((0, 17)))
    assert set(evaluator.compute().values()) == {0.0}


def test_a_prediction_that_is_not_finite_is_refused(evaluator):
    keypoints, scores = noisy(evaluator.people, evaluator.areas)
    scores[2, 4] = math.nan
    with pytest.raises(ValueError, match=r"\.jpg is not finite"):
        evaluator.update(np.arange(len(scores)), keypoints, scores)


def test_a_split_without_labels_has_results_but_no_figures(dataset, save):
    people, areas = people_of(dataset)
    path = save({"images": dataset["images"], "categories": [{"id": 1, "name": "person"}]})
    evaluator = CocoEvaluator(path, people, areas)
    keypoints, scores = noisy(people, areas)
    evaluator.update(np.arange(len(people)), keypoints, scores)
    assert not evaluator.has_labels
    assert evaluator.results()
    with pytest.raises(ValueError, match="nothing to score"):
        evaluator.compute()


def test_other_keypoints_are_refused(coco, save):
    hand = Skeleton("hand", ("thumb", "index", "middle"))
    people, areas = people_of(coco.make_dataset(hand), skeleton=hand)
    with pytest.raises(ValueError, match="same keypoints"):
        CocoEvaluator(save(coco.make_dataset()), people, areas)


def test_a_skeleton_without_sigmas_warns_once(coco, save, caplog):
    hand = Skeleton("hand", ("thumb", "index", "middle"))
    dataset = coco.make_dataset(hand)
    people, areas = people_of(dataset, skeleton=hand)
    evaluator = CocoEvaluator(save(dataset), people, areas)
    evaluator.update(np.arange(len(people)), people.keypoints, np.ones((len(people), 3)))
    assert evaluator.compute()["AP"] > 0
    assert caplog.text.count("has no OKS sigmas") == 1
