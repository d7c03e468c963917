"""OKS equals pycocotools'; suppression equals its slow, plain wording."""

import math

import numpy as np
import pytest

import pose.metrics.oks as oks_module
from pose.metrics.oks import SOFT_NMS_LIMIT, oks, oks_nms, score_order, soft_oks_nms
from pose.skeleton import COCO_17

SIGMAS = np.array(COCO_17.sigmas)


def slow_oks(a, b, area):
    terms = [
        math.exp(-((xa - xb) ** 2 + (ya - yb) ** 2) / (2 * (2 * s) ** 2 * area))
        for (xa, ya), (xb, yb), s in zip(a, b, SIGMAS, strict=True)
    ]
    return sum(terms) / len(terms)


def slow_order(scores):
    """Insertion from the ascending end: a later equal score comes before an earlier one."""
    return sorted(range(len(scores)), key=lambda i: (scores[i], i), reverse=True)


def slow_nms(keypoints, scores, areas, threshold):
    kept = []
    for i in slow_order(scores):
        close = [slow_oks(keypoints[i], keypoints[j], (areas[i] + areas[j]) / 2) for j in kept]
        if all(value <= threshold for value in close):
            kept.append(i)
    return kept


def slow_soft_nms(keypoints, scores, areas, threshold):
    scores, kept = dict(enumerate(scores)), []
    while scores and len(kept) < 20:
        best = max(scores, key=lambda i: (scores[i], i))
        del scores[best]
        kept.append(best)
        for i in scores:
            value = slow_oks(keypoints[best], keypoints[i], (areas[best] + areas[i]) / 2)
            scores[i] *= math.exp(-(value**2) / threshold)
    return kept


def crowd(seed, num_people):
    """People in clusters of likenesses, scores with ties."""
    rng = np.random.default_rng(seed)
    prototypes = rng.uniform(0, 200, size=(4, 17, 2))
    keypoints = prototypes[rng.integers(0, 4, num_people)]
    keypoints = keypoints + rng.choice([1, 8, 30], size=(num_people, 1, 1)) * rng.normal(
        size=keypoints.shape
    )
    scores = np.round(rng.random(num_people), 1)
    return keypoints, scores, rng.uniform(5e3, 3e4, size=num_people)


def test_equals_pycocotools(coco, dataset, results):
    evaluation = coco.bare(dataset, results, SIGMAS)
    compared = 0
    for (image_id, _), matrix in evaluation.ious.items():
        truths = [a for a in dataset["annotations"] if a["image_id"] == image_id]
        predictions = [r for r in results if r["image_id"] == image_id]
        predictions.sort(key=lambda r: -r["score"])
        points = np.array([r["keypoints"] for r in predictions]).reshape(-1, 17, 3)[:, :, :2]
        for j, truth in enumerate(truths):
            triplets = np.array(truth["keypoints"]).reshape(17, 3)
            ours = oks(points, triplets[:, :2], truth["area"], SIGMAS, triplets[:, 2])
            if truth["num_keypoints"]:
                np.testing.assert_allclose(ours, np.asarray(matrix)[:, j], rtol=0, atol=1e-12)
                compared += len(ours)
            else:
                assert np.isnan(ours).all()
    assert compared > 50


def test_broadcasts_to_pairs():
    keypoints, _, areas = crowd(0, 6)
    visibility = np.random.default_rng(3).integers(0, 3, size=(6, 17))
    pairs = oks(keypoints[:, None], keypoints, areas, SIGMAS, visibility)
    assert pairs.shape == (6, 6)
    for i in range(6):
        one = oks(keypoints[i], keypoints[2], areas[2], SIGMAS, visibility[2])
        assert pairs[i, 2] == pytest.approx(float(one), abs=1e-15)
    np.testing.assert_allclose(np.diag(pairs), 1)


def test_no_people():
    nobody = np.zeros((0, 17, 2))
    assert oks(nobody, np.zeros((17, 2)), 1.0, SIGMAS).shape == (0,)
    for suppress in (oks_nms, soft_oks_nms):
        assert suppress(nobody, np.zeros(0), np.zeros(0), SIGMAS).shape == (0,)
    nowhere = np.zeros(0, np.int64)
    assert oks_nms(nobody, np.zeros(0), np.zeros(0), SIGMAS, image_ids=nowhere).shape == (0,)


def test_of_equal_scores_the_later_comes_first():
    assert score_order(np.array([0.5, 0.9, 0.5, 0.9])).tolist() == [3, 1, 2, 0]
    far = np.arange(4)[:, None, None] * 1e4 + np.zeros((4, 17, 2))
    for suppress in (oks_nms, soft_oks_nms):
        kept = suppress(far, np.ones(4), np.full(4, 100.0), SIGMAS)
        assert kept.tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_nms_equals_the_slow_reference(seed, threshold):
    keypoints, scores, areas = crowd(seed, 30)
    kept = oks_nms(keypoints, scores, areas, SIGMAS, threshold)
    assert kept.tolist() == slow_nms(keypoints, scores, areas, threshold)
    assert 1 < len(kept) <= 30
    triplets = np.concatenate([keypoints, np.ones((30, 17, 1))], axis=-1)
    assert oks_nms(triplets, scores, areas, SIGMAS, threshold).tolist() == kept.tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_people", [7, 30])
def test_soft_nms_equals_the_slow_reference(seed, num_people):
    keypoints, scores, areas = crowd(seed, num_people)
    before = scores.copy()
    kept = soft_oks_nms(keypoints, scores, areas, SIGMAS, 0.9)
    assert kept.tolist() == slow_soft_nms(keypoints, scores, areas, 0.9)
    assert len(kept) == min(num_people, SOFT_NMS_LIMIT)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.3, 0.9, 1.0, 1.5])
@pytest.mark.parametrize("seed", range(4))
def test_nms_of_many_images_is_that_of_each(seed, threshold, monkeypatch):
    keypoints, scores, areas = crowd(seed, 90)
    images = np.random.default_rng(seed).choice([40, -3, 7, 2**40], 90, p=[0.7, 0.1, 0.1, 0.1])
    kept = []
    for image in dict.fromkeys(images.tolist()):
        rows = np.flatnonzero(images == image)
        close = slow_nms(keypoints[rows], scores[rows], areas[rows], threshold)
        kept += rows[close].tolist()
    arguments = (keypoints, scores, areas, SIGMAS, threshold)
    for pairs in (1, 50, 16_384):
        monkeypatch.setattr(oks_module, "PAIRS_AT_ONCE", pairs)
        found = oks_nms(*arguments, image_ids=images)
        assert found.dtype == np.int64
        assert found.tolist() == kept
    each = [oks_nms(*(a[images == i] for a in arguments[:3]), *arguments[3:]) for i in (40, 7)]
    assert sum(map(len, each)) == np.isin(images[kept], (40, 7)).sum()


@pytest.mark.parametrize("num_keypoints", [1, 2, 5])
def test_nms_of_few_keypoints_equals_all_pairs(num_keypoints):
    keypoints, scores, areas = crowd(1, 40)
    keypoints, sigmas = keypoints[:, :num_keypoints], SIGMAS[:num_keypoints]
    pairs = oks(keypoints[:, None], keypoints, (areas[:, None] + areas) / 2, sigmas)
    kept = []
    for i in slow_order(scores):
        if not any(pairs[i, j] > 0.5 for j in kept):
            kept.append(i)
    assert oks_nms(keypoints, scores, areas, sigmas, 0.5).tolist() == kept
    assert 1 < len(kept) < 40


def test_nms_leaves_the_best_of_copies():
    keypoints = np.tile(np.random.default_rng(0).uniform(0, 99, (1, 17, 2)), (3, 1, 1))
    scores = np.array([0.2, 0.8, 0.5])
    assert oks_nms(keypoints, scores, np.full(3, 1e4), SIGMAS).tolist() == [1]
    # the threshold itself is not above the threshold
    assert oks_nms(keypoints, scores, np.full(3, 1e4), SIGMAS, 1.0).tolist() == [1, 2, 0]
