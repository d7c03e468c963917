"""AP lost to the boxes against AP lost to the pose, from files alone.

A top-down system looks for poses in boxes that a detector gave. Whoever has no box is lost before
the network looks, and a box that does not fit costs as well; what is then still missing is the
pose's own.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pose.data.coco import load_detections
from pose.geometry import box_iou
from pose.metrics.keypoint_errors import without
from pose.metrics.matches import average_precision
from pose.reports.diagnosis import Case
from pose.structures import People

FITS = 0.5
"""A detected box of this overlap (IoU) with a person's is of that person."""

FIT_BOUNDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def read_detections(case: Case, detections: Path, annotations: Path) -> People:
    """The boxes of a detection file of the same images; errors are those of `load_detections`."""
    return load_detections(detections, annotations, skeleton=case.truth.skeleton)


def fits_of(case: Case, boxes: People) -> np.ndarray:
    """(G,) the highest overlap (IoU) of a detected box with each annotation's; 0 without any."""
    overlaps, owners = _overlaps(case, boxes)
    fits = np.zeros(len(case.labelled.images))
    for table, people in zip(overlaps, owners, strict=True):
        if table.size:
            fits[people] = table.max(axis=0)
    return fits


def box_losses(case: Case, boxes: People) -> dict[str, Any]:
    """What the boxes of the detector cost: recall by overlap, AP without whom they miss, and how
    people are found by how well the nearest box fits them."""
    labelled, matches = case.labelled, case.matches
    wanted = ~labelled.ignored
    fits = fits_of(case, boxes)
    missed = wanted & (fits < FITS)
    ap = average_precision(matches)
    found = np.zeros((len(matches.thresholds), len(fits)))
    for t, row in enumerate(matches.partners):
        found[t, row[row >= 0]] = 1.0
    rows = []
    for low, high in pairwise(FIT_BOUNDS):
        members = wanted & (fits >= low) & ((fits < high) | (high == 1.0))
        if members.any():
            rows.append(
                {
                    "overlap": f"below {high:g}" if low == 0 else f"{low:g} to {high:g}",
                    "people": int(members.sum()),
                    "found": float(found[0, members].mean()),
                    "AR": float(found[:, members].mean()),
                }
            )
    return {
        "boxes": len(boxes),
        "recall": {f"{t:.2f}": float((fits[wanted] >= t).mean()) for t in matches.thresholds},
        "people without a box": int(missed.sum()),
        "boxes of nobody": float((best_of(case, boxes) < FITS).mean()) if len(boxes) else np.nan,
        "AP": ap,
        "AP without those people": average_precision(without(matches, people=missed)),
        "by fit": rows,
    }


def best_of(case: Case, boxes: People) -> np.ndarray:
    """(N,) the highest overlap (IoU) of each detected box with an annotation's."""
    result = np.zeros(len(boxes))
    overlaps, _ = _overlaps(case, boxes)
    for table, members in zip(overlaps, _by_image(case, boxes), strict=True):
        if table.size:
            result[members] = table.max(axis=1)
    return result


def pose_against_boxes(case: Case, on_truth: Case) -> list[dict[str, Any]]:
    """How the AP that is missing to 1 divides; `on_truth` is the same network's result on
    ground-truth boxes."""
    with_truth, with_boxes = (average_precision(c.matches) for c in (on_truth, case))
    return [
        {"lost to": "the pose", "AP": 1.0 - with_truth},
        {"lost to": "the boxes", "AP": with_truth - with_boxes},
    ]


def _overlaps(case: Case, boxes: People) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of every image the table (boxes, annotations) of overlaps, and the annotations."""
    people = np.searchsorted(case.labelled.images, np.arange(len(case.truth.image_ids) + 1))
    tables, owners = [], []
    for image, members in enumerate(_by_image(case, boxes)):
        mine = np.arange(people[image], people[image + 1])
        tables.append(box_iou(boxes.boxes[members], case.labelled.boxes[mine]))
        owners.append(mine)
    return tables, owners


def _by_image(case: Case, boxes: People) -> list[np.ndarray]:
    """The detected boxes of every image, in the order of the image ids."""
    ids = np.array(sorted(case.truth.image_ids), np.int64)
    order = np.argsort(boxes.image_ids, kind="stable")
    ranked = boxes.image_ids[order]
    starts, ends = (np.searchsorted(ranked, ids, side=side) for side in ("left", "right"))
    return [order[a:b] for a, b in zip(starts, ends, strict=True)]
