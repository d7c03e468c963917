"""PoseTrack18's mAP, as its evaluation program (poseval) computes it; figures are fractions.

A keypoint is found within 0.5 head sizes; a head size is 0.6 times the diagonal of `bbox_head`.
In a frame every prediction goes to the person of whom it finds the largest share, a person keeps
the best such prediction, and everything else counts as false. Each of 15 keypoints has its AP over
all frames by the keypoints' own scores. Points in ignored regions are taken away on both sides, and
frames without annotations do not count.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose.metrics.coco_files import GroundTruth
from pose.metrics.coco_score import entries_of
from pose.metrics.posetrack_files import read_sequences
from pose.records import numbers, require

THRESHOLD = 0.5
HEAD_SHARE = 0.6

UNSCORED = ("left_ear", "right_ear")
"""Keypoints that the files name and nobody labels."""

GROUPS = {
    "Head": ("head_top", "head_bottom", "nose"),
    "Shoulder": ("left_shoulder", "right_shoulder"),
    "Elbow": ("left_elbow", "right_elbow"),
    "Wrist": ("left_wrist", "right_wrist"),
    "Hip": ("left_hip", "right_hip"),
    "Knee": ("left_knee", "right_knee"),
    "Ankle": ("left_ankle", "right_ankle"),
}


def score_posetrack(results: Path | list[dict[str, Any]], truth: GroundTruth) -> dict[str, float]:
    """ "mAP", the mean of 15 keypoints, and that of each of `GROUPS`; nan where none is labelled.

    Results are entries in COCO's form, or the folder of `write_sequences`. ValueError of one line
    names the file, the entry and the field.
    """
    if isinstance(results, Path):
        results = read_sequences(results)
    entries = entries_of(results, truth)
    names = [name for name in truth.skeleton.keypoints if name not in UNSCORED]
    columns = [truth.skeleton.index(name) for name in names]
    scores: list[list[float]] = [[] for _ in names]
    found: list[list[bool]] = [[] for _ in names]
    labelled = np.zeros(len(names), dtype=np.int64)
    for frame in _frames(entries, truth, columns):
        labelled += frame.has_truth.sum(axis=0)
        hits = matched(frame)
        for k in range(len(names)):
            has = frame.has_predicted[:, k]
            scores[k] += frame.scores[has, k].tolist()
            found[k] += hits[has, k].tolist()
    ap = {
        name: average_precision(np.array(scores[k]), np.array(found[k], bool), int(labelled[k]))
        for k, name in enumerate(names)
    }
    groups = {group: _mean([ap[name] for name in members]) for group, members in GROUPS.items()}
    return {"mAP": _mean(list(ap.values())), **groups}


@dataclass(frozen=True, eq=False)
class Frame:
    """P predictions and G people of one frame, with K keypoints of which some may be absent."""

    predicted: np.ndarray
    """(P, K, 2) image pixels."""
    scores: np.ndarray
    """(P, K)."""
    has_predicted: np.ndarray
    """(P, K) bool."""
    truth: np.ndarray
    """(G, K, 2) image pixels."""
    has_truth: np.ndarray
    """(G, K) bool."""
    head_sizes: np.ndarray
    """(G,) pixels."""


def matched(frame: Frame) -> np.ndarray:
    """(P, K) bool: the predicted keypoints that are found."""
    hits = np.zeros(frame.has_predicted.shape, dtype=bool)
    if not (len(frame.predicted) and len(frame.truth)):
        return hits
    distance = np.linalg.norm(frame.predicted[:, None] - frame.truth[None], axis=-1)
    both = frame.has_predicted[:, None] & frame.has_truth[None]
    near = both & (distance <= THRESHOLD * frame.head_sizes[None, :, None])
    share = near.sum(axis=2) / np.maximum(frame.has_truth.sum(axis=1), 1)
    own = share.argmax(axis=1)
    share[np.arange(share.shape[1])[None] != own[:, None]] = 0
    best = share.argmax(axis=0)
    for person in np.flatnonzero(share.max(axis=0) > 0):
        hits[best[person]] = near[best[person], person]
    return hits


def average_precision(scores: np.ndarray, found: np.ndarray, num_labelled: int) -> float:
    """Area under the precision-recall curve made to fall (VOC); nan where nothing is labelled."""
    if not num_labelled:
        return float("nan")
    hits = np.cumsum(found[np.argsort(scores, kind="stable")[::-1]])
    recall = np.concatenate([[0.0], hits / num_labelled, [1.0]])
    precision = np.concatenate([[0.0], hits / np.arange(1, len(hits) + 1), [0.0]])
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * falling[1:]).sum())


def inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """(...) bool: which points (..., 2) lie in a polygon (V, 2), by the even-odd rule."""
    x, y = points[..., 0, None], points[..., 1, None]
    (x1, y1), (x2, y2) = polygon.T, np.roll(polygon, -1, axis=0).T
    crosses = (y1 > y) != (y2 > y)
    height = np.where(y2 == y1, 1.0, y2 - y1)
    left = x < (x2 - x1) * (y - y1) / height + x1
    return (crosses & left).sum(axis=-1) % 2 == 1


def _frames(
    entries: Sequence[Mapping[str, Any]], truth: GroundTruth, columns: list[int]
) -> Iterator[Frame]:
    """The annotated frames, without what lies in ignored regions."""
    people: dict[int, list[np.ndarray]] = {}
    heads: dict[int, list[float]] = {}
    size = 3 * truth.skeleton.num_keypoints
    for number, entry in enumerate(truth.dataset["annotations"]):
        where = f"{truth.source}: annotation {number}"
        require(entry, ("image_id", "keypoints", "bbox_head"), where)
        box = numbers(entry["bbox_head"], 4, f"{where}: bbox_head")
        triplets = numbers(entry["keypoints"], size, f"{where}: keypoints").reshape(-1, 3)
        people.setdefault(int(entry["image_id"]), []).append(triplets[columns])
        heads.setdefault(int(entry["image_id"]), []).append(HEAD_SHARE * float(np.hypot(*box[2:])))
    found: dict[int, list[np.ndarray]] = {}
    for entry in entries:
        triplets = np.asarray(entry["keypoints"], np.float64).reshape(-1, 3)
        found.setdefault(entry["image_id"], []).append(triplets[columns])
    for number, image in enumerate(truth.dataset["images"]):
        if int(image["id"]) not in people:
            continue
        labels = np.array(people[int(image["id"])])
        predicted = np.array(found.get(int(image["id"]), [])).reshape(-1, len(columns), 3)
        # as the program: a point is there unless all three of its numbers are 0
        has_truth = (labels != 0).any(axis=-1)
        has_predicted = np.ones(predicted.shape[:2], dtype=bool)
        for region in _regions(image, f"{truth.source}: images[{number}]"):
            has_truth &= ~inside(labels[..., :2], region)
            has_predicted &= ~inside(predicted[..., :2], region)
        yield Frame(
            *(predicted[..., :2], predicted[..., 2], has_predicted),
            *(labels[..., :2], has_truth, np.array(heads[int(image["id"])])),
        )


def _regions(image: Mapping[str, Any], where: str) -> Iterator[np.ndarray]:
    """Polygons (V, 2) in image pixels."""
    xs, ys = image.get("ignore_regions_x") or [], image.get("ignore_regions_y") or []
    if len(xs) != len(ys):
        raise ValueError(f"{where}: ignore_regions_x and _y have {len(xs)} and {len(ys)} regions")
    for region, (x, y) in enumerate(zip(xs, ys, strict=True)):
        across = numbers(x, len(x), f"{where}: ignore_regions_x[{region}]")
        down = numbers(y, len(x), f"{where}: ignore_regions_y[{region}]")
        yield np.column_stack([across, down])


def _mean(values: list[float]) -> float:
    """Of those that exist."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
