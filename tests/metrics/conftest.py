"""Made-up COCO ground truth and predictions, and pycocotools as it comes, for the metric tests."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pose.skeleton import COCO_17


def make_dataset(skeleton=COCO_17, num_images=12, seed=0):
    """Images of up to four people of all sizes, some keypoints or whole people unlabelled."""
    rng = np.random.default_rng(seed)
    k = skeleton.num_keypoints
    annotations = []
    for image_id in range(100, 100 + num_images):
        for _ in range(rng.integers(0, 5)):
            side = rng.choice([40.0, 80.0, 200.0])
            corner = rng.uniform(0, 400, size=2)
            points = np.round(corner + side * rng.random((k, 2)))
            visibility = rng.choice([0, 1, 2], size=k, p=[0.2, 0.2, 0.6])
            if rng.random() < 0.15:
                visibility[:] = 0
            triplets = np.column_stack([points, visibility]) * (visibility[:, None] > 0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "keypoints": triplets.astype(int).ravel().tolist(),
                    "num_keypoints": int((visibility > 0).sum()),
                    "area": 0.5 * side * side,
                    "bbox": [*corner.tolist(), side, side],
                    "iscrowd": int(rng.random() < 0.1),
                }
            )
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.keypoints)}
    if skeleton is not COCO_17 and skeleton.sigmas:
        category["sigmas"] = list(skeleton.sigmas)
    images = [{"id": 100 + i, "file_name": f"{i}.jpg"} for i in range(num_images)]
    return {"images": images, "categories": [category], "annotations": annotations}


def make_results(dataset, seed=1, error=0.05):
    """One prediction near each annotation, and as many false ones, with scores that tie."""
    rng = np.random.default_rng(seed)
    results = []
    for annotation in dataset["annotations"]:
        truth = np.array(annotation["keypoints"], dtype=float).reshape(-1, 3)
        for spread in (error, 1.0):
            points = truth[:, :2] + spread * annotation["bbox"][2] * rng.normal(
                size=(len(truth), 2)
            )
            results.append(
                {
                    "image_id": annotation["image_id"],
                    "category_id": 1,
                    "keypoints": np.column_stack([points, rng.random(len(truth))]).ravel().tolist(),
                    "score": float(rng.choice([0.3, 0.5, rng.random()])),
                }
            )
    return results


def bare_pycocotools(dataset, results, sigmas):
    """pycocotools' ten stats and the evaluation itself, nothing of ours between."""
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO()
        labels.dataset = json.loads(json.dumps(dataset))
        labels.createIndex()
        predictions = labels.loadRes(json.loads(json.dumps(results)))
        evaluation = COCOeval(labels, predictions, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.fixture
def dataset():
    return make_dataset()


@pytest.fixture
def results(dataset):
    return make_results(dataset)


@pytest.fixture(scope="session")
def coco():
    """The helpers of this file, for tests that make several data sets."""

    class Helpers:
        make_dataset = staticmethod(make_dataset)
        make_results = staticmethod(make_results)
        bare = staticmethod(bare_pycocotools)

    return Helpers
