"""What a network that knows the skeleton says of the labels: it looks into every person's box.

It errs more often than people do, so it speaks only where it is sure of what it sees: then labels
that fit far better with left and right exchanged, and labels that are elsewhere, are worth a look.
"""

from typing import Any

import numpy as np
from tqdm import tqdm

from pose.images import ImageFolder
from pose.inference.boxes import Boxes
from pose.inference.predict import CPU_BATCH, Runtime, find_poses
from pose.metrics.oks import oks
from pose.reports.doctor_file import Labels
from pose.reports.doctor_kinds import Finding
from pose.reports.doctor_labels import oks_sigmas

SURE = 0.5
"""Mean score, of the labelled keypoints, from which on the network is asked."""

EXCHANGED = (0.5, 0.25)
"""OKS to the exchanged labels at least, and by how much it is above that to the labels."""

DISPUTED = 0.2
"""OKS to the labels below it."""

FEW = 5
"""Labelled keypoints that a person has at least, to be spoken of."""


def label_study(
    labels: Labels, runtime: Runtime, images: ImageFolder
) -> tuple[np.ndarray, dict[str, Any], list[Finding]]:
    """The residuals (M, K) of `suggested_sigmas`, figures, and what the network disputes."""
    rows = _askable(labels)
    points, scores = _look(labels, rows, runtime, images)
    known = labels.labelled[rows]
    truth = np.nan_to_num(labels.keypoints[rows])
    areas, sigmas = np.maximum(labels.areas[rows], 1.0), oks_sigmas(labels)
    flip = runtime.skeleton.flip_index
    own = oks(points, truth, areas, sigmas, known)
    other = oks(points, truth[:, flip], areas, sigmas, known[:, flip])
    found = np.isfinite(points).all(axis=(1, 2))
    count = np.maximum(known.sum(axis=1), 1)
    sure = found & ((scores * known).sum(axis=1) / count >= SURE) & (known.sum(axis=1) >= FEW)
    exchanged = sure & (other >= EXCHANGED[0]) & (other - own >= EXCHANGED[1])
    disputed = sure & ~exchanged & (own < DISPUTED)
    findings = [
        _finding(labels, int(rows[i]), kind, points[i], f"OKS {own[i]:.2f} to the labels{more}")
        for kind, which, values in (
            ("network sees left and right exchanged", exchanged, other),
            ("network disputes the label", disputed, None),
        )
        for i in np.flatnonzero(which)
        for more in [f", {values[i]:.2f} to them exchanged" if values is not None else ""]
    ]
    distances = np.linalg.norm(points - truth, axis=-1) / np.sqrt(areas)[:, None]
    residuals = np.where(known & sure[:, None], distances, np.nan)
    figures = {
        "people looked at": int(found.sum()),
        "of whom it is sure": int(sure.sum()),
        "mean OKS": float(own[found].mean()) if found.any() else float("nan"),
    }
    return residuals, figures, findings


def _askable(labels: Labels) -> np.ndarray:
    """Rows of people with a label and a box, in a known image."""
    sides = labels.boxes[:, 2:] - labels.boxes[:, :2]
    whole = (sides > 0).all(axis=1) & np.isfinite(labels.areas) & (labels.image_index >= 0)
    rows = np.flatnonzero(whole & labels.labelled.any(axis=1))
    return rows[np.argsort(labels.image_index[rows], kind="stable")]


def _look(
    labels: Labels, rows: np.ndarray, runtime: Runtime, images: ImageFolder
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (M, K, 2) and scores (M, K) in the boxes; nan where the image cannot be read."""
    count = runtime.skeleton.num_keypoints
    points = np.full((len(rows), count, 2), np.nan)
    scores = np.zeros((len(rows), count))
    places = labels.image_index[rows]
    groups = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(places)) + 1)
    for members in tqdm(
        groups if len(rows) else [], desc="network", unit="image", leave=False, disable=None
    ):
        name = labels.names[places[members[0]]]
        try:
            image = images.read(name or "")
        except (OSError, ValueError):
            continue
        boxes = labels.boxes[rows[members]].astype(np.float32)
        given = Boxes(boxes, np.ones(len(boxes), np.float32))
        [poses] = find_poses(runtime, [image], [given], CPU_BATCH)
        points[members], scores[members] = poses.keypoints, poses.scores
    return points, scores


def _finding(labels: Labels, row: int, kind: str, points: np.ndarray, says: str) -> Finding:
    image = int(labels.image_index[row])
    return Finding(kind, labels.called(row), says, image, people=(row,), points=points.tolist())
