"""What one network gives as its boxes and its decoding change: AP against boxes, shift and scale of
boxes, and choices of flip, decoding and suppression.

The boxes are ground truth, those of a detector, and those of them that match a person, so that
what the detector misses, what it misplaces and what it makes up part ways. The rest runs on a
sample of whole images.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from pose.geometry import box_center_extent, box_iou
from pose.images import ImageFolder
from pose.inference.boxes import Boxes
from pose.inference.predict import Runtime
from pose.inference.predictor import Predictor
from pose.metrics.matches import Found, average_precision, match, pairs_of, ten_figures
from pose.metrics.oks import NMS_THRESHOLD, oks_nms, soft_oks_nms
from pose.reports.diagnosis import Case, case_of
from pose.reports.diagnosis_boxes import FITS
from pose.structures import KEYPOINT_SCORE_THRESHOLD, People, person_scores, rows_of

SAMPLE = 400
"""People whose images the sample holds at least, where there are so many."""

SHIFTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Of the box's width and height, in a direction drawn for each box."""

SCALES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)

NMS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Thresholds of OKS; at 1 nobody is suppressed."""


@dataclass(frozen=True, eq=False)
class Looked:
    """What a network found in N boxes."""

    boxes: People
    keypoints: np.ndarray
    """(N, K, 2) image pixels."""
    scores: np.ndarray
    """(N, K)."""


def network_study(
    case: Case,
    networks: Mapping[str, Predictor],
    images: ImageFolder,
    labelled: People,
    detected: People | None,
) -> dict[str, Any]:
    """The AP of the first of `networks` by boxes, shift and scale, and that of all of them on the
    sample; labelled and detected are the boxes of ground truth and of a detector."""
    name, network = next(iter(networks.items()))
    runtime = network.runtime
    # What is not moved is looked at once.
    passes = len(SHIFTS) + len(SCALES) + len(networks) - 2 + (detected is not None)
    with tqdm(total=passes, desc="network", unit="pass", disable=None, leave=False) as bar:

        def run(network: Predictor, boxes: People) -> Looked:
            looked = look(network, boxes, images)
            bar.update()
            return looked

        on_truth = run(network, labelled)
        on_detected = None if detected is None else run(network, detected)
        part, counts = sample_of(case, labelled)
        sample = rows_of(labelled, part)
        unmoved = ap_of(case, runtime, taken(on_truth, part), counts=counts)

        def ap_on(network: Predictor, boxes: People) -> float:
            return ap_of(case, runtime, run(network, boxes), counts=counts)

        def ap_by(other: Predictor) -> float:
            return unmoved if other is network else ap_on(other, sample)

        shifts = {s: ap_on(network, shifted(sample, s)) if s else unmoved for s in SHIFTS}
        scales = {s: ap_on(network, scaled(sample, s)) if s != 1 else unmoved for s in SCALES}
        used = on_detected or on_truth
        return {
            "network": name,
            "sample": {"images": int(counts.sum()), "people": len(part)},
            "boxes": by_boxes(case, runtime, on_truth, on_detected),
            "shift": [{"shift": s, "AP": ap} for s, ap in shifts.items()],
            "scale": [{"scale": s, "AP": ap} for s, ap in scales.items()],
            "choices": [{"choice": title, "AP": ap_by(o)} for title, o in networks.items()],
            "NMS": [{"threshold": t, "AP": ap_of(case, runtime, used, nms=t)} for t in NMS],
            "soft NMS": ap_of(case, runtime, used, soft=True),
        }


def by_boxes(
    case: Case, runtime: Runtime, on_truth: Looked, on_detected: Looked | None
) -> list[dict[str, Any]]:
    """The figures on ground truth and, where there are detected boxes, on the ground truth of those
    who have a matching one, on these, and on all detected boxes."""
    cases = {"ground truth": on_truth}
    if on_detected is not None:
        own, theirs = matching(on_truth.boxes, on_detected.boxes)
        cases["ground truth of those detected"] = taken(on_truth, own)
        cases["detected boxes that match"] = taken(on_detected, theirs)
        cases["detected boxes"] = on_detected
    rows = []
    for name, looked in cases.items():
        found = found_in(case, runtime, looked)
        figures = ten_figures(case_of(case.truth, case.labelled, found).by_area)
        rows.append({"boxes": name, "number": len(looked.boxes), **figures})
    return rows


def divided(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The AP missing to 1 by what costs it, from the rows of `by_boxes`."""
    ap = {row["boxes"]: row["AP"] for row in rows}
    losses = [{"lost to": "the pose", "AP": 1.0 - ap["ground truth"]}]
    names = {
        "people without a box": "ground truth of those detected",
        "boxes that fit badly": "detected boxes that match",
        "false and second boxes": "detected boxes",
    }
    before = ap["ground truth"]
    for name, key in names.items():
        if key in ap:
            losses.append({"lost to": name, "AP": before - ap[key]})
            before = ap[key]
    return losses


def look(network: Predictor, boxes: People, images: ImageFolder) -> Looked:
    """The poses in all boxes, those of several images together."""
    k = network.runtime.skeleton.num_keypoints
    keypoints = np.zeros((len(boxes), k, 2), np.float32)
    scores = np.zeros((len(boxes), k), np.float32)
    order = np.argsort(boxes.image_index, kind="stable")
    ends = np.flatnonzero(np.diff(boxes.image_index[order])) + 1
    groups = np.split(order, ends) if len(order) else []
    names = [str(boxes.images[boxes.image_index[members[0]]]) for members in groups]
    given = [Boxes(boxes.boxes[g], boxes.scores[g].astype(np.float32)) for g in groups]
    found = network(map(images.read, names), given)
    for members, poses in zip(groups, found, strict=True):
        keypoints[members], scores[members] = poses.keypoints, poses.scores
    return Looked(boxes, keypoints, scores)


def found_in(
    case: Case, runtime: Runtime, looked: Looked, nms: float = NMS_THRESHOLD, soft: bool = False
) -> Found:
    """Scored and suppressed as `pose evaluate` does."""
    boxes = looked.boxes
    totals = person_scores(boxes.scores, looked.scores, KEYPOINT_SCORE_THRESHOLD)
    areas = box_center_extent(boxes.boxes, runtime.input_size)[1].prod(axis=1)
    points, sigmas = looked.keypoints, case.truth.sigmas
    if soft:
        kept = np.zeros(0, np.int64)
        for image_id in np.unique(boxes.image_ids):
            own = np.flatnonzero(boxes.image_ids == image_id)
            best = soft_oks_nms(points[own], totals[own], areas[own], sigmas, nms)
            kept = np.append(kept, own[best])
    else:
        kept = oks_nms(points, totals, areas, sigmas, nms, boxes.image_ids)
    ids = np.array(sorted(case.truth.image_ids), np.int64)
    return Found(
        images=np.searchsorted(ids, boxes.image_ids[kept]),
        keypoints=looked.keypoints[kept].astype(np.float64),
        keypoint_scores=looked.scores[kept],
        scores=totals[kept],
    )


def ap_of(
    case: Case,
    runtime: Runtime,
    looked: Looked,
    *,
    nms: float = NMS_THRESHOLD,
    soft: bool = False,
    counts: np.ndarray | None = None,
) -> float:
    """AP on all images, or on those that `counts` (I,) names."""
    found = found_in(case, runtime, looked, nms, soft)
    pairs = pairs_of(found, case.labelled, case.truth.sigmas)
    return average_precision(match(found, case.labelled, pairs), counts)


def sample_of(case: Case, people: People) -> tuple[np.ndarray, np.ndarray]:
    """Whole images drawn until they hold `SAMPLE` people: those people, and (I,) 1 for the images
    that were drawn and 0 for the others."""
    ids = np.array(sorted(case.truth.image_ids), np.int64)
    image = np.searchsorted(ids, people.image_ids)
    held = np.bincount(image, minlength=len(ids))
    order = np.random.default_rng(0).permutation(len(ids))
    enough = int(np.searchsorted(np.cumsum(held[order]), SAMPLE)) + 1
    counts = np.zeros(len(ids), np.int64)
    counts[order[:enough]] = 1
    return np.flatnonzero(counts[image]), counts


def matching(people: People, detected: People) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of one labelled and one detected box of an image, the best overlap first, down to an
    IoU of 0.5: their places in both."""
    own: list[int] = []
    theirs: list[int] = []
    for image_id in np.unique(people.image_ids):
        mine = np.flatnonzero(people.image_ids == image_id)
        others = np.flatnonzero(detected.image_ids == image_id)
        overlap = box_iou(people.boxes[mine], detected.boxes[others])
        while overlap.size and overlap.max() >= FITS:
            i, j = np.unravel_index(int(overlap.argmax()), overlap.shape)
            own.append(int(mine[i]))
            theirs.append(int(others[j]))
            overlap[i, :], overlap[:, j] = -1.0, -1.0
    return np.array(own, np.int64), np.array(theirs, np.int64)


def shifted(people: People, share: float) -> People:
    """Boxes moved by that share of their width and height, each in a direction of its own."""
    angles = np.random.default_rng(1).uniform(0, 2 * np.pi, len(people))
    sizes = people.boxes[:, 2:] - people.boxes[:, :2]
    move = share * sizes * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return replace(people, boxes=(people.boxes + np.tile(move, 2)).astype(np.float32))


def scaled(people: People, factor: float) -> People:
    """Boxes grown about their middle."""
    middle = (people.boxes[:, :2] + people.boxes[:, 2:]) / 2
    half = factor * (people.boxes[:, 2:] - people.boxes[:, :2]) / 2
    boxes = np.concatenate([middle - half, middle + half], axis=1)
    return replace(people, boxes=boxes.astype(np.float32))


def taken(looked: Looked, which: np.ndarray) -> Looked:
    """Some of the boxes with what was found in them."""
    return Looked(rows_of(looked.boxes, which), looked.keypoints[which], looked.scores[which])
