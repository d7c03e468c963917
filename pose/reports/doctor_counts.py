"""How many and how large: the counts and distributions that a data set is known by."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from pose.metrics.matches import LARGE, MEDIUM
from pose.reports.doctor_file import Labels

EDGE = 2.0
"""Pixels: a box that ends so near the image's border is cut by it."""


def counts_of(labels: Labels) -> dict[str, int]:
    """Images, annotations and labelled people."""
    with_points = labels.labelled.any(axis=1)
    places = labels.image_index[with_points & (labels.image_index >= 0)]
    return {
        "images": len(labels.names),
        "annotations": labels.annotations,
        "people": int(with_points.sum()),
        "images with people": len(np.unique(places)),
        "without keypoints": int((~with_points).sum()),
        "crowds": labels.crowds,
        "labelled keypoints": int(labels.labelled.sum()),
    }


def distributions_of(labels: Labels) -> dict[str, list[dict[str, Any]]]:
    """Title -> rows of (group, number, share) of labelled people, and by keypoint how it is
    labelled."""
    people = np.flatnonzero(labels.labelled.any(axis=1))
    places = labels.image_index[people]
    per_image = np.bincount(places[places >= 0], minlength=len(labels.names))
    areas, points = labels.areas[people], labels.labelled[people].sum(axis=1)
    sides = labels.sides[people]
    size = ["small" if a < MEDIUM[0] else "medium" if a < LARGE[0] else "large" for a in areas]
    shape = sides[:, 0] / np.maximum(sides[:, 1], 1e-9)
    form = ["tall" if s < 2 / 3 else "square" if s <= 1.5 else "wide" for s in shape]
    heights = _banded(sides[:, 1], (32, 64, 128, 256, 512), "px")
    count = labels.skeleton.num_keypoints if labels.skeleton else 0
    parts = sorted({max(1, round(count * q)) for q in (0.25, 0.5, 0.75, 1.0)})
    pictures = [f"{w} x {h}" for w, h in labels.sizes.tolist()]
    return {
        "People in an image": _rows([str(n) if n < 6 else "6 and more" for n in per_image],
                                    [*map(str, range(6)), "6 and more"]),
        "Size": _rows(size, ["small", "medium", "large"]),
        "Height of the box": _rows(heights, _band_names((32, 64, 128, 256, 512), "px")),
        "Form of the box": _rows(form, ["tall", "square", "wide"]),
        "Labelled keypoints of a person": _rows(_banded(points, parts, ""),
                                                _band_names(parts, "")),
        "Cut by the image's border": _rows(_borders(labels, people),
                                           ["at no side", "at one side", "at two or more"]),
        "Size of the images": _rows(pictures, [n for n, _ in Counter(pictures).most_common(8)]),
    }  # fmt: skip


def keypoint_rows(labels: Labels) -> list[dict[str, Any]]:
    """By keypoint the shares of labelled people in whom it is seen, hidden and unlabelled."""
    if labels.skeleton is None:
        return []
    people = labels.labelled.any(axis=1)
    states = labels.visibility[people]
    total = max(len(states), 1)
    return [
        {
            "keypoint": name,
            "seen": float((states[:, k] == 2).sum() / total),
            "hidden": float((states[:, k] == 1).sum() / total),
            "unlabelled": float((states[:, k] == 0).sum() / total),
        }
        for k, name in enumerate(labels.skeleton.keypoints)
    ]


def _borders(labels: Labels, people: np.ndarray) -> list[str]:
    """At how many sides the image's border cuts each of `people`, whose image's size is known."""
    people = people[labels.image_index[people] >= 0]
    sizes = labels.sizes[labels.image_index[people]]
    known = (sizes > 0).all(axis=1)
    boxes, sizes = labels.boxes[people][known], sizes[known]
    sides = (boxes[:, :2] <= EDGE).sum(axis=1) + (boxes[:, 2:] >= sizes - EDGE).sum(axis=1)
    return [("at no side", "at one side", "at two or more")[min(n, 2)] for n in sides]


def _banded(values: np.ndarray, edges: Sequence[float], unit: str) -> list[str]:
    names = _band_names(edges, unit)
    return [names[place] for place in np.searchsorted(edges, values, side="right")]


def _band_names(edges: Sequence[float], unit: str) -> list[str]:
    unit = f" {unit}" if unit else ""
    between = [
        f"{low:g} to {high - 1:g}{unit}" if high - 1 > low else f"{low:g}{unit}"
        for low, high in pairwise(edges)
    ]
    return [f"below {edges[0]:g}{unit}", *between, f"{edges[-1]:g}{unit} and more"]


def _rows(members: Sequence[str], order: Sequence[str]) -> list[dict[str, Any]]:
    """The groups in `order`, with what else there is."""
    counts = Counter(members)
    rest = len(members) - sum(counts[name] for name in order)
    rows = [(name, counts[name]) for name in order] + [("other", rest)] * (rest > 0)
    total = max(len(members), 1)
    return [{"group": name, "number": n, "share": n / total} for name, n in rows]
