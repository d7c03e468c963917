"""The published scoring: people re-scored and suppressed one by one, a result file written and read
back, pycocotools.

The steps and the arithmetic of the evaluation that Xiao et al. (ECCV 2018) and Sun et al.
(CVPR 2019) released, written from what it does. Of equal scores the later comes first.
"""

import contextlib
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Person = dict[str, Any]
"""keypoints (K, 3): x, y and score; area, score and image, its id."""


def evaluate(
    labels: Any,
    predictions: np.ndarray,
    box_scores: np.ndarray,
    areas: np.ndarray,
    image_ids: np.ndarray,
    path: Path,
    *,
    sigmas: np.ndarray,
    category_id: int = 1,
    keypoint_threshold: float = 0.2,
    nms_threshold: float = 0.9,
) -> list[float]:
    """The ten `stats` of pycocotools for predictions (N, K, 3) of people with box_scores (N,), the
    areas (N,) of their padded crops and image_ids (N,), against `labels`, its COCO object. Writes
    the result file to `path`."""
    images: dict[int, list[Person]] = defaultdict(list)
    for index, keypoints in enumerate(predictions):
        person = {
            "keypoints": keypoints,
            "area": areas[index],
            "score": box_scores[index],
            "image": int(image_ids[index]),
        }
        images[person["image"]].append(person)
    kept = []
    for people in images.values():
        for person in people:
            person["score"] = rescored(person, keypoint_threshold)
        kept.append([people[i] for i in oks_nms(people, nms_threshold, sigmas)])
    write_results(kept, path, category_id)
    return coco_stats(labels, path, sigmas)


def rescored(person: Person, threshold: float) -> float:
    """The box's score times the mean of the keypoint scores above `threshold`."""
    total, number = 0.0, 0
    for keypoint in range(len(person["keypoints"])):
        score = float(person["keypoints"][keypoint][2])
        if score > threshold:
            total += score
            number += 1
    if number:
        total /= number
    return total * float(person["score"])


def oks_nms(people: Sequence[Person], threshold: float, sigmas: np.ndarray) -> list[int]:
    """Places of the people of one image that stay, best first: each chosen one drops those of the
    rest that resemble it."""
    scores = np.array([person["score"] for person in people])
    keypoints = np.array([person["keypoints"].flatten() for person in people])
    areas = np.array([person["area"] for person in people])
    order = scores.argsort(kind="stable")[::-1]
    kept = []
    while order.size > 0:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        likeness = oks(keypoints[best], keypoints[rest], areas[best], areas[rest], sigmas)
        order = rest[np.where(likeness <= threshold)[0]]
    return kept


def oks(
    person: np.ndarray, others: np.ndarray, area: float, areas: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """(N,) likeness of flat keypoints (3K,) to others (N, 3K), one after the other."""
    variances = (sigmas * 2) ** 2
    x, y = person[0::3], person[1::3]
    found = np.zeros(len(others))
    for index in range(len(others)):
        dx, dy = others[index, 0::3] - x, others[index, 1::3] - y
        spread = (area + areas[index]) / 2 + np.spacing(1)
        error = (dx**2 + dy**2) / variances / spread / 2
        found[index] = np.sum(np.exp(-error)) / error.shape[0]
    return found


def write_results(images: Sequence[Sequence[Person]], path: Path, category_id: int) -> None:
    """The result file, indented as the released code leaves it."""
    results = []
    for people in images:
        keypoints = np.array([person["keypoints"] for person in people], dtype=np.float64)
        flat = np.zeros((len(people), keypoints.shape[1] * 3))
        for keypoint in range(keypoints.shape[1]):
            for value in range(3):
                flat[:, keypoint * 3 + value] = keypoints[:, keypoint, value]
        results += [
            {
                "image_id": person["image"],
                "category_id": category_id,
                "keypoints": list(flat[index]),
                "score": person["score"],
            }
            for index, person in enumerate(people)
        ]
    with path.open("w", encoding="utf-8") as file:
        json.dump(results, file, sort_keys=True, indent=4)


def coco_stats(labels: Any, path: Path, sigmas: np.ndarray) -> list[float]:
    """pycocotools' ten numbers of a result file, -1 without members."""
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(labels, labels.loadRes(str(path)), "keypoints")
        evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.params.useSegm = None
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]
