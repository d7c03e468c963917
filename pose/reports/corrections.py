"""What people changed in pre-annotations, and the labels that they left behind.

Whoever was suggested is looked for among the corrected people of the image by likeness: the mean of
the OKS over the keypoints labelled in both and the IoU of the boxes, or of the keypoints' bounds
where the tool keeps no boxes. Tools number anew, so nothing else tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from pose.data.corrected import Began, CorrectedImage, join_rows, read_began, read_export
from pose.data.cvat_export import read_cvat
from pose.data.label_studio_export import read_label_studio
from pose.data.labelling import coco_annotation
from pose.geometry import Size, box_iou, has_area, xywh_to_xyxy
from pose.metrics.coco_files import Results, ground_truth_from
from pose.metrics.matches import average_precision, found_of, labelled_of, match, pairs_of
from pose.metrics.oks import oks
from pose.records import finite, objects, pixels, require, whole

ALIKE = 0.25
"""Likeness from which on a corrected person is the suggested one: say, bounds that share half, with
every keypoint elsewhere."""

MOVED = 0.01
"""Of a person's size, the square root of the box's area: keypoints further off than that and than
`ROUNDING` were moved."""

ROUNDING = 0.02
"""Pixels; CVAT keeps hundredths."""

MARGIN = 0.1
"""Of the longer side of the bound of a person's keypoints: what a box has more on each side, for
people who were added without one. The median over the people of COCO's val2017."""


HIDDEN = 1
"""The visibility of a keypoint that is labelled and not seen."""

CHANGES = (
    "people kept",
    "people added",
    "people removed",
    "keypoints kept in place",
    "keypoints moved",
    "keypoints added",
    "keypoints removed",
    "keypoints marked hidden",
)
"""What is counted; keypoints are those of the people kept."""


@dataclass(frozen=True, eq=False)
class Corrected:
    """An export, read back."""

    content: dict[str, Any]
    """The COCO keypoint file of the images that were looked at, to be trained on."""
    changes: dict[str, int | float]
    """What people changed, in the order in which it is told; figures that do not exist, such as the
    mean OKS of nobody, are left out."""


@dataclass(frozen=True, eq=False)
class _People:
    """N people of one image."""

    triplets: np.ndarray
    """(N, K, 3) x, y, visibility."""
    boxes: np.ndarray
    """(N, 4) xyxy; nan where there is none."""
    scores: np.ndarray
    """(N,) of suggestions."""

    @property
    def labelled(self) -> np.ndarray:
        """(N, K)."""
        return self.triplets[..., 2] > 0

    @property
    def areas(self) -> np.ndarray:
        """(N,) square pixels of the boxes."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]).prod(axis=1)

    @property
    def bounds(self) -> np.ndarray:
        """(N, 4) xyxy of the labelled keypoints; zeros where there are none."""
        points, labelled = self.triplets[..., :2], self.labelled[..., None]
        low = np.where(labelled, points, np.inf).min(axis=1)
        high = np.where(labelled, points, -np.inf).max(axis=1)
        bounds = np.concatenate([low, high], axis=1)
        return np.where(np.isfinite(bounds), bounds, 0)


def read_corrected(export: Path, began: Path) -> Corrected:
    """The labels in a file that CVAT or Label Studio exported, and how they differ from `began`,
    the annotations that were imported there. ValueError of one line names what does not fit."""
    start = read_began(began)
    images, counts = _read(export, start)
    suggested = _suggested(start)
    sigmas = start.skeleton.oks_sigmas()
    changes = dict.fromkeys(CHANGES, 0)
    similarities: list[float] = []
    people: dict[str, _People] = {}
    for image in images:
        before = suggested[image.name]
        now = _People(image.triplets, image.boxes, np.ones(len(image.triplets)))
        rows, columns = _pairs(before, now, sigmas)
        now = _with_boxes(now, before, (rows, columns), start.images[image.name][1])
        people[image.name] = now
        similarities += _count(changes, before, now, (rows, columns), sigmas)
    content = _content(start, people)
    figures: dict[str, int | float] = {
        "images": len(images),
        "images not corrected": len(start.images) - len(images),
        **counts,
        **changes,
    }
    if similarities:
        figures["mean OKS of the people kept"] = float(np.mean(similarities))
    if any(entry["num_keypoints"] for entry in content["annotations"]):
        figures["AP of the suggestions"] = _average_precision(content, start, suggested, people)
    return Corrected(content, figures)


def _read(export: Path, began: Began) -> tuple[list[CorrectedImage], dict[str, int]]:
    """The images of an export of either tool, and what else there is to tell of it."""
    content = read_export(export)
    counts: dict[str, int] = {}
    if isinstance(content, list):
        images, counts = read_label_studio(content, began, f"{export}")
    elif isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys():
        images = read_cvat(content, began, f"{export}")
    else:
        raise ValueError(
            f"{export}: is neither Label Studio's JSON export nor CVAT's COCO Keypoints 1.0; "
            "export in one of these forms"
        )
    if not images:
        raise ValueError(f"{export}: holds no annotated image; correct some and export again")
    return images, counts


def _suggested(began: Began) -> dict[str, _People]:
    """The people of every image that labelling began with; crowds are none."""
    name_of = {image_id: name for name, (image_id, _) in began.images.items()}
    k = began.skeleton.num_keypoints
    rows: dict[str, list[tuple[np.ndarray, np.ndarray, float]]] = {
        name: [] for name in began.images
    }
    for number, entry in enumerate(objects(began.content, "annotations", f"{began.path}")):
        where = f"{began.path}: annotation {number}"
        require(entry, ("image_id", "keypoints", "bbox"), where)
        image_id = whole(entry["image_id"], f"{where}: image_id")
        if image_id not in name_of:
            raise ValueError(f"{where}: image_id {image_id} is not among the file's images")
        triplets = pixels(entry["keypoints"], 3 * k, f"{where}: keypoints").reshape(k, 3)
        box = xywh_to_xyxy(pixels(entry["bbox"], 4, f"{where}: bbox"))
        if not has_area(box):
            raise ValueError(f"{where}: bbox has no size")
        score = finite(entry.get("score", 1.0), f"{where}: score")
        if not entry.get("iscrowd"):
            rows[name_of[image_id]].append((triplets, box, score))
    return {
        name: _People(
            join_rows([triplets for triplets, _, _ in people], k, 3),
            join_rows([box for _, box, _ in people], 4),
            np.array([score for _, _, score in people], np.float64),
        )
        for name, people in rows.items()
    }


def _pairs(before: _People, now: _People, sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `before` and of `now` that are one person: the pairs of the highest total likeness,
    without those below `ALIKE`."""
    if not len(before.triplets) or not len(now.triplets):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    shared = before.labelled[:, None] & now.labelled
    either = before.labelled[:, None] | now.labelled
    points = before.triplets[:, None, :, :2], now.triplets[..., :2]
    similarity = np.nan_to_num(oks(*points, before.areas[:, None], sigmas, shared))
    boxed = np.isfinite(now.boxes).all()
    ours, theirs = (before.boxes, now.boxes) if boxed else (before.bounds, now.bounds)
    likeness = (similarity + box_iou(ours, theirs)) / 2
    # Of people at one place those with the same keypoints are the same
    agreement = shared.sum(axis=-1) / np.maximum(either.sum(axis=-1), 1)
    rows, columns = linear_sum_assignment(likeness * (1 + agreement), maximize=True)
    alike = likeness[rows, columns] >= ALIKE
    return rows[alike], columns[alike]


def _with_boxes(
    now: _People, before: _People, pairs: tuple[np.ndarray, np.ndarray], size: Size
) -> _People:
    """The same people with a box each, where the tool keeps none: the suggested one, grown to the
    keypoints that are not where they were; the widened bound of the keypoints of those added, who
    are left out where they have none."""
    if np.isfinite(now.boxes).all():
        return now
    margin = np.maximum(MARGIN * (now.bounds[:, 2:] - now.bounds[:, :2]).max(axis=1), 1)
    boxes = now.bounds + margin[:, None] * (-1, -1, 1, 1)
    for row, column in zip(*pairs, strict=True):
        away = now.labelled[column] & ~_in_place(before, now, row, column)
        points = now.triplets[column, away, :2]
        corners = np.concatenate([before.boxes[row].reshape(2, 2), points])
        boxes[column] = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return _People(now.triplets, boxes.clip(0, [*size, *size]), now.scores)


def _in_place(before: _People, now: _People, row: int, column: int) -> np.ndarray:
    """(K,) whether a keypoint is labelled before and now and did not move."""
    both = before.labelled[row] & now.labelled[column]
    way = np.hypot(*(now.triplets[column, :, :2] - before.triplets[row, :, :2]).T)
    return both & (way <= max(MOVED * np.sqrt(before.areas[row]), ROUNDING))


def _count(
    changes: dict[str, int],
    before: _People,
    now: _People,
    pairs: tuple[np.ndarray, np.ndarray],
    sigmas: np.ndarray,
) -> list[float]:
    """Adds what changed in one image; the OKS of the people kept who have labelled keypoints."""
    rows, columns = pairs
    changes["people kept"] += len(rows)
    changes["people added"] += len(now.triplets) - len(columns)
    changes["people removed"] += len(before.triplets) - len(rows)
    was, is_now = before.labelled[rows], now.labelled[columns]
    in_place = np.array([_in_place(before, now, *pair) for pair in zip(*pairs, strict=True)], bool)
    hidden = (before.triplets[rows, :, 2] != HIDDEN) & (now.triplets[columns, :, 2] == HIDDEN)
    for name, which in {
        "keypoints kept in place": in_place.reshape(was.shape),
        "keypoints moved": was & is_now & ~in_place.reshape(was.shape),
        "keypoints added": is_now & ~was,
        "keypoints removed": was & ~is_now,
        "keypoints marked hidden": hidden,
    }.items():
        changes[name] += int(which.sum())
    values = oks(
        before.triplets[rows, :, :2],
        now.triplets[columns, :, :2],
        now.areas[columns],
        sigmas,
        is_now,
    )
    return values[np.isfinite(values)].tolist()


def _content(began: Began, people: Mapping[str, _People]) -> dict[str, Any]:
    """A COCO file with the images of `people` as labelling began with them, in its order."""
    category = began.content["categories"][0]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for name, (image_id, (width, height)) in began.images.items():
        if name in people:
            images.append({"id": image_id, "file_name": name, "width": width, "height": height})
            for triplets, box in zip(people[name].triplets, people[name].boxes, strict=True):
                annotation = coco_annotation(image_id, category["id"], triplets, box)
                annotations.append({"id": len(annotations) + 1, **annotation})
    return {"images": images, "annotations": annotations, "categories": [category]}


def _average_precision(
    content: dict[str, Any],
    began: Began,
    suggested: Mapping[str, _People],
    people: Mapping[str, _People],
) -> float:
    """COCO's AP of what was suggested in the images of `people`, which are the truth."""
    truth = ground_truth_from(content, "the correction")
    k = began.skeleton.num_keypoints
    found = [(began.images[name][0], suggested[name]) for name in people]
    results = Results(
        truth.category_id,
        np.concatenate([np.full(len(found.scores), image_id) for image_id, found in found]),
        np.concatenate([found.triplets.reshape(-1, 3 * k) for _, found in found]),
        np.concatenate([found.scores for _, found in found]),
    )
    predictions, labelled = found_of(results, truth), labelled_of(truth)
    pairs = pairs_of(predictions, labelled, truth.sigmas)
    return average_precision(match(predictions, labelled, pairs))
