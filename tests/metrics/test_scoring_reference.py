"""The published scoring is what ours is measured against: the same figures, from other steps."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from pose.metrics.coco import CocoEvaluator
from pose.metrics.coco_score import score_results
from pose.metrics.oks import oks_nms
from pose.references import scoring
from pose.skeleton import COCO_17
from pose.structures import person_scores
from tests.metrics.test_coco_evaluator import ORACLE, noisy, people_of

SIGMAS = np.array(COCO_17.sigmas)


def published(annotations, people, areas, keypoints, scores, path):
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO(str(annotations))
    rows = np.concatenate([keypoints, scores[..., None]], axis=-1).astype(np.float32)
    return scoring.evaluate(
        labels, rows, people.scores, areas, people.image_ids, path, sigmas=SIGMAS
    )


def test_the_oracle(test_data, tmp_path):
    path = test_data / "coco/annotations/oracle_4images.json"
    people, areas = people_of(json.loads(path.read_text()), box_score=0.98)
    keypoints = people.keypoints * np.array([0.98, 1.02], dtype=np.float32)
    scores = people.visibility * np.float32(0.8)
    stats = published(path, people, areas, keypoints, scores, tmp_path / "results.json")
    assert stats == pytest.approx(list(ORACLE.values()), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_figures_and_file_are_those_of_the_evaluator(coco, save, tmp_path, seed):
    dataset = coco.make_dataset(seed=seed, num_images=25)
    people, areas = people_of(dataset, box_score=0.7)
    keypoints, scores = noisy(people, areas, seed)
    annotations, path = save(dataset), tmp_path / "results.json"
    stats = published(annotations, people, areas, keypoints, scores, path)
    evaluator = CocoEvaluator(annotations, people, areas)
    evaluator.update(np.arange(len(people)), keypoints, scores)
    assert stats == pytest.approx(list(evaluator.compute().values()), abs=1e-12)
    assert stats == list(score_results(path, annotations).values())
    assert 0 < stats[0] < 1


def test_suppression_is_ours_person_by_person():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 200, (4, 17, 2))[rng.integers(0, 4, 40)]
    points += rng.choice([1, 8, 30], (40, 1, 1)) * rng.normal(size=points.shape)
    keypoints = np.concatenate([points, rng.random((40, 17, 1))], axis=-1)
    areas, box_scores = rng.uniform(5e3, 3e4, 40), np.round(rng.random(40), 1)
    people = [
        {"keypoints": k, "area": a, "score": s}
        for k, a, s in zip(keypoints, areas, box_scores, strict=True)
    ]
    for threshold in (0.3, 0.9):
        kept = scoring.oks_nms(people, threshold, SIGMAS)
        assert kept == oks_nms(keypoints, box_scores, areas, SIGMAS, threshold).tolist()
        assert 1 < len(kept) < 40
    totals = person_scores(box_scores, keypoints[..., 2])
    single = [{**p, "keypoints": p["keypoints"].astype(np.float32)} for p in people]
    assert [scoring.rescored(p, 0.2) for p in single] == pytest.approx(totals.tolist(), abs=1e-15)
    nobody = {"keypoints": keypoints[0] * 0, "score": 0.5}
    assert scoring.rescored(nobody, 0.2) == 0.0
