"""Ground truth and predictions with errors of known kinds and numbers, for the diagnosis' tests.

Keypoints of a person lie 80 pixels apart and people 1000, with an area at which a similarity of 0.1
ends 60 pixels from the place at the most: a keypoint is near one place and no other.
"""

import numpy as np

from pose.skeleton import COCO_17

AREA = 10_000.0
SPACING, STEP = 80.0, 1000.0
BOUNDS = {"good": (0.86, 1.0), "jitter": (0.51, 0.84), "miss": (0.1, 0.45)}
"""Of the similarities that are drawn."""


def labels(num_images=20, people=3, skeleton=COCO_17, hidden=0.0, seed=0):
    """People in rows, each keypoint in a place of its own of a grid."""
    rng = np.random.default_rng(seed)
    k = skeleton.num_keypoints
    place = np.stack([np.arange(k) % 5, np.arange(k) // 5], axis=1) * SPACING
    annotations = []
    for image_id in range(1, num_images + 1):
        for number in range(people):
            points = place + np.array([number * STEP + 100, 100])
            visibility = np.where(rng.random(k) < hidden, 1, 2)
            box_xywh = [*(points.min(axis=0) - 20), *(np.ptp(points, axis=0) + 40)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "keypoints": np.column_stack([points, visibility]).ravel().tolist(),
                    "num_keypoints": k,
                    "area": AREA,
                    "bbox": [float(v) for v in box_xywh],
                    "iscrowd": 0,
                }
            )
    category = {"id": 1, "name": skeleton.name, "keypoints": list(skeleton.keypoints)}
    if skeleton is not COCO_17:
        category |= {"mirrored": skeleton.mirrored, "sigmas": list(skeleton.sigmas)}
    images = [
        {"id": i, "file_name": f"{i}.jpg", "width": int(people * STEP), "height": 600}
        for i in range(1, num_images + 1)
    ]
    return {"images": images, "categories": [category], "annotations": annotations}


def points_of(annotation):
    return np.array(annotation["keypoints"], float).reshape(-1, 3)[:, :2]


def at_similarity(points, similarity, sigmas, rng):
    """Points (K, 2) moved in any direction until their similarity is that (K,)."""
    radius = 2 * np.asarray(sigmas) * np.sqrt(-2 * AREA * np.log(similarity))
    angle = rng.uniform(0, 2 * np.pi, len(points))
    return points + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def entry(annotation, points, score):
    triplets = np.column_stack([points, np.full(len(points), 0.9)])
    return {
        "image_id": annotation["image_id"],
        "category_id": 1,
        "keypoints": triplets.ravel().tolist(),
        "score": float(score),
    }


def predictions(dataset, rates, skeleton=COCO_17, seed=1):
    """A prediction of everyone whose keypoints are wrong in about so many cases of each kind; with
    it the kinds (N, K), and the similarities (N, K) to the place that each was put at. A keypoint
    without counterpart is never inverted."""
    rng = np.random.default_rng(seed)
    annotations, k = dataset["annotations"], skeleton.num_keypoints
    sigmas, flip_index = np.array(skeleton.sigmas), skeleton.flip_index
    names = ["good", *rates]
    chances = [1 - sum(rates.values()), *rates.values()]
    kinds = rng.choice(names, p=chances, size=(len(annotations), k))
    lone = flip_index == np.arange(k)
    kinds[:, lone] = np.where(kinds[:, lone] == "inversion", "good", kinds[:, lone])
    # Who is mostly elsewhere would be taken for another: a third of a person is wrong at the most.
    kinds[np.cumsum(kinds != "good", axis=1) > k // 3] = "good"
    results, similarities = [], []
    for number, annotation in enumerate(annotations):
        own = points_of(annotation)
        low, high = np.array([BOUNDS.get(kind, (0.55, 1.0)) for kind in kinds[number]]).T
        similarity = rng.uniform(low, high)
        others = [a for a in annotations
                  if a["image_id"] == annotation["image_id"] and a is not annotation]  # fmt: skip
        target = np.where((kinds[number] == "inversion")[:, None], own[flip_index], own)
        if others:
            other = points_of(others[rng.integers(len(others))])
            target = np.where((kinds[number] == "swap")[:, None], other, target)
        results.append(entry(annotation, at_similarity(target, similarity, sigmas, rng), 0.5))
        similarities.append(similarity)
    return results, kinds, np.array(similarities)


def of_nobody(dataset, number, score=0.4, seed=2):
    """Predictions far below everyone."""
    rng = np.random.default_rng(seed)
    annotations = dataset["annotations"]
    chosen = [annotations[i] for i in rng.integers(len(annotations), size=number)]
    return [entry(a, points_of(a) + np.array([0, 3000]), score) for a in chosen]
