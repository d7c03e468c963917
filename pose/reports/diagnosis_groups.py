"""The diagnosis by keypoint and by kind of person: what share of each goes wrong, and how."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from pose.geometry import box_iou
from pose.metrics.keypoint_errors import KINDS
from pose.reports.diagnosis import Case

PCK = (0.05, 0.1, 0.2)
"""Shares of the longer side of the person's box within which a keypoint counts as found."""

SIDES = (0, 32, 64, 96, 192, np.inf)
"""Bounds of the sizes, as the side of a square of the person's area, in pixels."""

CROWDED = 0.1
"""The overlap (IoU) from which on the box of another is in the way (the paper's)."""


def by_keypoint(case: Case, gains: Sequence[float]) -> list[dict[str, Any]]:
    """For each keypoint of the people found: the shares of the kinds of error, the AP gained were
    all its errors put right, PCK, and the error in pixels (median, and of the worst tenth)."""
    errors, labelled = case.errors, case.labelled
    told = errors.kinds >= 0
    partners = errors.partners
    away = np.linalg.norm(case.found.keypoints - labelled.keypoints[partners], axis=-1)
    sides = (labelled.boxes[:, 2:] - labelled.boxes[:, :2]).max(axis=1)[partners]
    rows = []
    for k, name in enumerate(case.truth.skeleton.keypoints):
        mine = told[:, k]
        distance, share = away[mine, k], away[mine, k] / np.maximum(sides[mine], 1e-9)
        rows.append(
            {
                "keypoint": name,
                "labelled": int(mine.sum()),
                **shares(errors.kinds[mine, k]),
                "gain": gains[k],
                **{f"PCK {bound}": _mean(share <= bound) for bound in PCK},
                "median": float(np.median(distance)) if mine.any() else np.nan,
                "worst tenth": float(np.quantile(distance, 0.9)) if mine.any() else np.nan,
            }
        )
    return rows


def by_group(case: Case) -> dict[str, list[dict[str, Any]]]:
    """For groups of people by size, crowding, hidden and labelled keypoints: how many they are, who
    is found at an OKS of 0.5, AR, the mean OKS of the found, and the kinds of their keypoints."""
    matches, errors = case.matches, case.errors
    num = len(case.labelled.areas)
    recalls = np.zeros((len(matches.thresholds), num))
    for t, row in enumerate(matches.partners):
        recalls[t, row[row >= 0]] = 1.0
    predictions = np.full(num, -1)
    mine = np.flatnonzero(errors.partners >= 0)
    predictions[errors.partners[mine]] = mine
    oks = np.full(num, np.nan)
    own = errors.partners[case.pairs.predictions] == case.pairs.people
    oks[case.pairs.people[own]] = case.pairs.oks[own]
    result = {}
    for title, groups in groups_of(case).items():
        result[title] = [
            {
                "group": name,
                "people": int(members.sum()),
                "found": float(recalls[0, members].mean()),
                "AR": float(recalls[:, members].mean()),
                "OKS": _mean(oks[members & ~np.isnan(oks)]),
                **shares(errors.kinds[predictions[members & (predictions >= 0)]]),
            }
            for name, members in groups
            if members.any()
        ]
    return result


def groups_of(case: Case) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Title -> names of groups with who is in them (G,) bool; whom nobody need find is in none."""
    labelled = case.labelled
    shown = labelled.visibility > 0
    counts = shown.sum(axis=1)
    hidden = (labelled.visibility == 1).sum(axis=1) / np.maximum(counts, 1)
    overlaps = crowding(case)
    k = case.truth.skeleton.num_keypoints
    quarters = sorted({0, *(-(-k * i // 4) for i in range(1, 5))})
    wanted = ~labelled.ignored

    def within(values: np.ndarray, bounds: Sequence[float]) -> Iterator[tuple[float, float, Any]]:
        """Above the lower bound, up to the upper one."""
        for low, high in pairwise(bounds):
            yield low, high, wanted & (values > low) & (values <= high)

    sizes = np.sqrt(np.maximum(labelled.areas, 1e-9))
    return {
        "Size": [(_size_name(low, high), who) for low, high, who in within(sizes, SIDES)],
        "People in the way": [
            ("nobody", wanted & (overlaps == 0)),
            ("1 or 2", wanted & (overlaps > 0) & (overlaps <= 2)),
            ("3 or more", wanted & (overlaps > 2)),
        ],
        "Hidden keypoints": [
            ("none", wanted & (hidden == 0)),
            ("up to a quarter", wanted & (hidden > 0) & (hidden <= 0.25)),
            ("up to half", wanted & (hidden > 0.25) & (hidden <= 0.5)),
            ("more", wanted & (hidden > 0.5)),
        ],
        "Labelled keypoints": [
            (f"{low + 1} to {high}" if high > low + 1 else f"{high}", who)
            for low, high, who in within(counts, quarters)
        ],
    }


def crowding(case: Case) -> np.ndarray:
    """(G,) how many other annotations of the image overlap each one's box by `CROWDED` or more."""
    labelled = case.labelled
    result = np.zeros(len(labelled.images), np.int64)
    bounds = np.flatnonzero(np.diff(labelled.images)) + 1
    for part in np.split(np.arange(len(labelled.images)), bounds):
        if len(part) > 1:
            boxes = labelled.boxes[part]
            overlap = box_iou(boxes, boxes)
            np.fill_diagonal(overlap, 0.0)
            result[part] = (overlap >= CROWDED).sum(axis=1)
    return result


def shares(kinds: np.ndarray) -> dict[str, float]:
    """The share of each of `KINDS` among the keypoints that have one."""
    counts = np.bincount(kinds[kinds >= 0].ravel(), minlength=len(KINDS))
    total = counts.sum()
    return {k: float(c / total) if total else np.nan for k, c in zip(KINDS, counts, strict=True)}


def _size_name(low: float, high: float) -> str:
    if low == 0:
        return f"up to {high:g} px"
    return f"above {low:g} px" if np.isinf(high) else f"{low:g} to {high:g} px"


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
