"""OKS sigmas for a skeleton, from people labelled twice or from what a network leaves over.

COCO's way: sigma_i^2 = E[d_i^2 / s^2], with the distance d of a label from the true place and s^2
the person's area (COCO keypoint evaluation). Two labels of one keypoint differ by two such errors,
so E[D_i^2] = 2 E[d_i^2].
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pose.geometry import box_iou
from pose.reports.doctor_file import Labels
from pose.reports.doctor_labels import by_image

PAIRS = 10
"""A keypoint's sigma is given from so many distances on."""

SAME = 0.7
"""IoU of the boxes from which on two annotations of an image may be of one person."""

NEAR = 0.25
"""Of the root of the area: how far apart two labels of one keypoint are at most, at the median of
a pair's; those of two people in one box are farther."""


def suggested_sigmas(labels: Labels, residuals: np.ndarray | None = None) -> dict[str, Any] | None:
    """By keypoint the sigma that is set, that of repeated annotations, and that of `residuals`
    (M, K), a network's distances over the root of the area (nan where unlabelled), which hold its
    own errors too. None where neither says anything."""
    if labels.skeleton is None:
        return None
    repeats = repeated_distances(labels)
    ways: dict[str, tuple[list[float], np.ndarray]] = {}
    if len(repeats):
        ways["repeated annotations"] = (_from_repeats(repeats), repeats)
    if residuals is not None and len(residuals):
        ways["network residuals"] = (_from_residuals(residuals), residuals)
    ways = {name: way for name, way in ways.items() if not all(math.isnan(v) for v in way[0])}
    if not ways:
        return None
    best = next(iter(ways))
    return {
        "from": best,
        "keypoints": list(labels.skeleton.keypoints),
        "set": list(labels.skeleton.sigmas or [None] * labels.skeleton.num_keypoints),
        **{name: values for name, (values, _) in ways.items()},
        "labels": np.isfinite(ways[best][1]).sum(axis=0).tolist(),
        "sigmas": _filled(ways[best][0]),
    }


def repeated_distances(labels: Labels) -> np.ndarray:
    """(M, K) of people annotated twice: the distances of their keypoints over the root of the area;
    nan where either is unlabelled. Copies, equal to the letter, say nothing and are left out."""
    known = labels.labelled
    rows = [np.zeros((0, known.shape[1]))]
    for _, members in by_image(labels, np.flatnonzero(known.any(axis=1))):
        boxes = np.nan_to_num(labels.boxes[members])
        for i, j in zip(*np.nonzero(np.triu(box_iou(boxes, boxes), 1) >= SAME), strict=True):
            a, b = members[i], members[j]
            gaps = np.linalg.norm(labels.keypoints[a] - labels.keypoints[b], axis=-1)
            area = labels.areas[[a, b]].mean()
            gaps = np.where(known[a] & known[b], gaps / math.sqrt(max(area, 1.0)), np.nan)
            if np.isfinite(gaps).any() and np.nanmax(gaps) > 0 and np.nanmedian(gaps) <= NEAR:
                rows.append(gaps[None])
    return np.concatenate(rows)


def _from_repeats(distances: np.ndarray) -> list[float]:
    return _of_each(distances, lambda gaps: math.sqrt(float((gaps**2).mean()) / 2))


def _from_residuals(distances: np.ndarray) -> list[float]:
    # A network is now and then elsewhere altogether; of a round normal error the squares' mean is
    # their median over ln 2.
    return _of_each(distances, lambda d: math.sqrt(float(np.median(d**2)) / math.log(2)))


def _of_each(distances: np.ndarray, estimate: Any) -> list[float]:
    """For each keypoint; nan where there are too few distances, or all are 0."""
    values = []
    for column in distances.T:
        column = column[np.isfinite(column)]
        value = estimate(column) if len(column) >= PAIRS else 0.0
        values.append(value or math.nan)
    return values


def _filled(values: Sequence[float]) -> list[float]:
    """As a category takes them: rounded, a keypoint without its own gets the middle one."""
    middle = float(np.nanmedian(values))
    return [round(middle if math.isnan(value) else value, 4) for value in values]
