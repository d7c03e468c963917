"""The labels of val2017 at full size against 100,000 jittered detections: what bare pycocotools
says of the clean file is said of it, and of the same labels under ids that it stumbles over.
"""

import copy

import numpy as np
import pytest

from pose.metrics.coco_score import score_results
from pose.metrics.coco_scorers import SCORERS
from pose.records import read_json
from pose.skeleton import COCO_17

LABELS = "coco_scale/person_keypoints_val2017.json"
NUM_DETECTIONS = 100_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clean(test_data):
    return read_json(test_data / LABELS)


@pytest.fixture(scope="module")
def detections(clean):
    """Around each labelled person in turn until there are enough, with scores that often tie."""
    rng = np.random.default_rng(0)
    people = [a for a in clean["annotations"] if a.get("num_keypoints") and not a.get("iscrowd")]
    found = []
    for number in range(NUM_DETECTIONS):
        person = people[number % len(people)]
        points = np.array(person["keypoints"], dtype=float).reshape(-1, 3)
        spread = np.sqrt(person["area"]) * rng.choice([0.01, 0.05, 0.2])
        points[:, :2] += rng.normal(size=(len(points), 2)) * spread
        found.append(
            {
                "image_id": person["image_id"],
                "category_id": 1,
                "keypoints": points.ravel().tolist(),
                "score": round(float(rng.random()), 2),
            }
        )
    return found


@pytest.fixture(scope="module")
def bare(coco, clean, detections):
    return coco.bare(clean, detections, COCO_17.sigmas).stats.tolist()


def with_ids(dataset, ids):
    changed = copy.copy(dataset)
    changed["annotations"] = [
        {**a, "id": new} for a, new in zip(dataset["annotations"], ids, strict=True)
    ]
    return changed


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(lambda n: range(1, n + 1), id="clean"),
        pytest.param(lambda n: range(n), id="id 0"),
        pytest.param(lambda n: [5] * n, id="duplicate ids"),
        pytest.param(lambda n: [float(i) for i in range(1, n + 1)], id="float ids"),
    ],
)
@pytest.mark.parametrize("scorer", SCORERS)
def test_every_figure_is_bare_pycocotools_of_the_clean_file(
    save, clean, detections, bare, ids, scorer
):
    if scorer == "hotcoco":
        pytest.importorskip("hotcoco")
    dataset = with_ids(clean, ids(len(clean["annotations"])))
    assert list(score_results(detections, save(dataset), scorer).values()) == bare
    assert 0.1 < bare[0] < 0.9
