"""PoseTrack18's mAP and MOTA, as its evaluation program (poseval) computes them, and the figures of
people followed as a whole. Figures are fractions.

A keypoint is found within 0.5 head sizes; a head size is 0.6 times the diagonal of `bbox_head`.
In a frame every prediction goes to the person of whom it finds the largest share, a person keeps
the best such prediction, and everything else counts as false. Each of 15 keypoints has its AP over
all frames by the keypoints' own scores. Points in ignored regions are taken away on both sides, and
frames without annotations do not count.

Where predictions have a `track_id`, each of the 15 keypoints is followed for itself by CLEAR MOT
(Andriluka et al. 2018); which person a prediction goes to for mAP plays no part in that.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose.metrics.coco_files import GroundTruth
from pose.metrics.coco_score import entries_of
from pose.metrics.posetrack_files import read_sequences, sequence_of
from pose.metrics.posetrack_frames import (
    UNTRACKED,
    Frame,
    by_sequence,
    followed_keypoints,
    followed_people,
)
from pose.metrics.tracking import clear_counts, tracking_figures
from pose.records import finite, numbers, numbers_of_any, require, whole

logger = logging.getLogger(__name__)

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


def score_posetrack(
    results: Path | Sequence[dict[str, Any]], truth: GroundTruth
) -> dict[str, float]:
    """ "mAP", the mean of 15 keypoints, and that of each of `GROUPS`; nan where none is labelled.
    Where results have a `track_id`, the figures of `score_tracks` too.

    Results are entries in COCO's form, or what `read_sequences` takes. ValueError of one line names
    the file, the entry and the field.
    """
    source = "results"
    if isinstance(results, Path):
        results, source = read_sequences(results), str(results)
    entries = entries_of(results, truth, source)
    tracked = any("track_id" in entry for entry in results)
    for number, (entry, given) in enumerate(zip(entries, results, strict=True)):
        where = f"{source}: entry {number}"
        require(given, ("track_id",) if tracked else (), where)
        entry["track_id"] = whole(given.get("track_id", UNTRACKED), f"{where}: track_id")
    names = [name for name in truth.skeleton.keypoints if name not in UNSCORED]
    columns = [truth.skeleton.index(name) for name in names]
    frames = list(_frames(entries, truth, columns, tracked=tracked))
    figures = score_keypoints(frames, names)
    return figures | score_tracks(frames, names, truth.sigmas[columns]) if tracked else figures


def score_keypoints(frames: Sequence[Frame], names: Sequence[str]) -> dict[str, float]:
    """ "mAP" and that of `GROUPS`; names are those of the frames' keypoints."""
    scores: list[list[float]] = [[] for _ in names]
    found: list[list[bool]] = [[] for _ in names]
    labelled = np.zeros(len(names), dtype=np.int64)
    for frame in frames:
        labelled += frame.has_truth.sum(axis=0)
        hits = matched(frame)
        for k in range(len(names)):
            has = frame.has_predicted[:, k]
            scores[k] += frame.scores[has, k].tolist()
            found[k] += hits[has, k].tolist()
    ap = [
        average_precision(np.array(scores[k]), np.array(found[k], bool), int(labelled[k]))
        for k in range(len(names))
    ]
    return {"mAP": _mean(ap), **_of_groups(ap, names)}


def score_tracks(
    frames: Sequence[Frame], names: Sequence[str], sigmas: np.ndarray
) -> dict[str, float]:
    """PoseTrack's "MOTA", the mean of the keypoints, that of `GROUPS`, "MOTP", "Precision" and
    "Recall"; then `tracking_figures` of people, by OKS with sigmas (K,)."""
    sequences = by_sequence(frames)
    clear = [
        clear_counts([followed_keypoints(s, k) for s in sequences], 1 - THRESHOLD)
        for k in range(len(names))
    ]
    mota = [counts.mota for counts in clear]
    return {
        "MOTA": _mean(mota),
        **{f"MOTA {group}": value for group, value in _of_groups(mota, names).items()},
        "MOTP": _mean([counts.motp for counts in clear]),
        "Precision": _mean([counts.precision for counts in clear]),
        "Recall": _mean([counts.recall for counts in clear]),
        **tracking_figures([followed_people(s, sigmas) for s in sequences]),
    }


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
    entries: Sequence[Mapping[str, Any]], truth: GroundTruth, columns: list[int], *, tracked: bool
) -> Iterator[Frame]:
    """The annotated frames in the order of the file; people's ids are `UNTRACKED` unless `tracked`.

    A person's id that stands twice in a frame counts twice, with a warning.
    """
    people: dict[int, list[tuple[Any, ...]]] = {}
    needed = ["image_id", "keypoints", "bbox_head", "bbox", "area"] + tracked * ["track_id"]
    size = 3 * truth.skeleton.num_keypoints
    for number, entry in enumerate(truth.dataset["annotations"]):
        where = f"{truth.source}: annotation {number}"
        require(entry, needed, where)
        triplets = numbers(entry["keypoints"], size, f"{where}: keypoints").reshape(-1, 3)
        head_box = numbers(entry["bbox_head"], 4, f"{where}: bbox_head")
        track_id = whole(entry["track_id"], f"{where}: track_id") if tracked else UNTRACKED
        box = numbers(entry["bbox"], 4, f"{where}: bbox")
        area = finite(entry["area"], f"{where}: area")
        people.setdefault(whole(entry["image_id"], f"{where}: image_id"), []).append(
            (triplets[columns], HEAD_SHARE * np.hypot(*head_box[2:]), box, area, track_id)
        )
    found: dict[int, list[tuple[np.ndarray, int]]] = {}
    for entry in entries:
        triplets = np.asarray(entry["keypoints"]).reshape(-1, 3)[columns]
        found.setdefault(entry["image_id"], []).append((triplets, entry["track_id"]))
    twice = 0
    for number, image in enumerate(truth.dataset["images"]):
        image_id, where = int(image["id"]), f"{truth.source}: images[{number}]"
        if image_id in people:
            require(image, ("file_name",), where)
            regions = list(_regions(image, where))
            frame = _frame(sequence_of(image), people[image_id], found.get(image_id, []), regions)
            twice += len(frame.truth_ids) - len(np.unique(frame.truth_ids))
            yield frame
    if twice and tracked:
        logger.warning("%s: %d track ids stand twice in a frame", truth.source, twice)


def _frame(
    sequence: str,
    people: Sequence[tuple[Any, ...]],
    found: Sequence[tuple[Any, ...]],
    regions: list[np.ndarray],
) -> Frame:
    """One frame, without what lies in ignored regions."""
    labels, head_sizes, boxes, areas, truth_ids = map(np.array, zip(*people, strict=True))
    predicted = np.array([triplets for triplets, _ in found]).reshape(-1, *labels.shape[1:])
    # as the program: a point is there unless all three of its numbers are 0
    has_truth, has_predicted = (labels != 0).any(axis=-1), (predicted != 0).any(axis=-1)
    # where someone without labels is, nobody knows what is right either
    nameless = boxes[~has_truth.any(axis=1)]
    unknown = has_predicted & _inside_any(predicted, [*regions, *map(_corners, nameless)])
    return Frame(
        sequence=sequence,
        predicted=predicted[..., :2],
        scores=predicted[..., 2],
        has_predicted=has_predicted & ~_inside_any(predicted, regions),
        predicted_ids=np.array([track_id for _, track_id in found], dtype=np.int64),
        ignored=2 * unknown.sum(axis=1) > has_predicted.sum(axis=1),
        truth=labels[..., :2],
        has_truth=has_truth & ~_inside_any(labels, regions),
        truth_ids=truth_ids,
        head_sizes=head_sizes,
        areas=areas,
    )


def _inside_any(triplets: np.ndarray, polygons: Sequence[np.ndarray]) -> np.ndarray:
    """(...) bool: which points of triplets (..., 3) lie in one of the polygons."""
    found = np.zeros(triplets.shape[:-1], dtype=bool)
    for polygon in polygons:
        found |= inside(triplets[..., :2], polygon)
    return found


def _corners(box_xywh: np.ndarray) -> np.ndarray:
    """A box as a polygon (4, 2)."""
    x, y, width, height = box_xywh
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def _regions(image: Mapping[str, Any], where: str) -> Iterator[np.ndarray]:
    """Polygons (V, 2) in image pixels."""
    xs, ys = (image.get(f"ignore_regions_{axis}") or [] for axis in "xy")
    if not (isinstance(xs, list) and isinstance(ys, list)):
        raise ValueError(f"{where}: ignore_regions_x or _y is not a list of lists")
    if len(xs) != len(ys):
        raise ValueError(f"{where}: ignore_regions_x and _y have {len(xs)} and {len(ys)} regions")
    for region, (x, y) in enumerate(zip(xs, ys, strict=True)):
        across = numbers_of_any(x, f"{where}: ignore_regions_x[{region}]")
        down = numbers(y, len(across), f"{where}: ignore_regions_y[{region}]")
        yield np.column_stack([across, down])


def _mean(values: Sequence[float]) -> float:
    """Of those that exist."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _of_groups(values: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """The mean of each of `GROUPS`, of the values (K,) of keypoints with these names."""
    by_name = dict(zip(names, values, strict=True))
    return {group: _mean([by_name[n] for n in members]) for group, members in GROUPS.items()}
