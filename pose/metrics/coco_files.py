"""COCO's two files at the border: the ground truth and the results, read, checked and written.

What pycocotools passes over in silence is put right or refused here, so that a figure is never
wrong without a word. Entries of a result file and annotations are counted from 0 in messages.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose.records import category_ids, finite, numbers, objects, require, whole, write_json
from pose.skeleton import Skeleton, skeleton_from_category

logger = logging.getLogger(__name__)

RESULT_KEYS = ("image_id", "category_id", "keypoints", "score")
"""All that a result entry holds: COCO's server and pycocotools read further keys as meaning."""

_ANNOTATION_KEYS = ("image_id", "category_id", "keypoints", "area", "bbox")


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The labels of one keypoint category, checked; annotations are renumbered from 1.

    pycocotools takes an annotation with id 0 for unmatched and one of two with the same id for the
    other; ids mean nothing to a score, so it is given new ones.
    """

    source: str
    skeleton: Skeleton
    sigmas: np.ndarray
    """(K,) float64."""
    category_id: int
    category_ids: frozenset[int]
    """Of every category in the file; only `category_id`, the first, is scored."""
    image_ids: frozenset[int]
    annotations: list[dict[str, Any]]
    dataset: Mapping[str, Any]
    """The file's content, for what other figures than COCO's need of it."""


@dataclass(frozen=True, eq=False)
class Results(Sequence[dict[str, Any]]):
    """Columns that behave as a sequence of result entries with plain numbers.

    A hundred thousand people are four arrays; entries are made where somebody reads them.
    """

    category_id: int
    """Of all of them."""
    image_ids: np.ndarray
    """(N,) int64."""
    keypoints: np.ndarray
    """(N, 3K): x, y in image pixels and score of each keypoint."""
    scores: np.ndarray
    """(N,) float64."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        """Entry `index`; slices are not taken."""
        return {
            "image_id": int(self.image_ids[index]),
            "category_id": self.category_id,
            "keypoints": self.keypoints[index].tolist(),
            "score": float(self.scores[index]),
        }


def write_results(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Write result entries in the form that COCO's server takes: `RESULT_KEYS` and nothing else."""
    write_json(path, [{key: entry[key] for key in RESULT_KEYS} for entry in results])


def is_labelled(dataset: Any) -> bool:
    """Whether a COCO annotation file's content has keypoint labels (test-dev's has not)."""
    annotations = dataset.get("annotations") if isinstance(dataset, dict) else None
    return isinstance(annotations, list) and any(
        isinstance(a, dict) and "keypoints" in a for a in annotations
    )


def ground_truth_from(dataset: Any, source: str) -> GroundTruth:
    """The labels in a COCO annotation file's content; ValueError begins with `source`.

    Only the first category counts. Annotations of images that the file does not list are left
    out, with a warning.
    """
    if not isinstance(dataset, dict):
        raise ValueError(f"{source}: holds a {type(dataset).__name__}, expected COCO annotations")
    if not is_labelled(dataset):
        raise ValueError(f"{source}: no keypoint annotations (a test split?), nothing to score")
    images, listed = objects(dataset, "images", source), category_ids(dataset, source)
    if not images:
        raise ValueError(f"{source}: 'images' is empty, nothing to score")
    image_ids = frozenset(
        whole(image.get("id"), f"{source}: images[{number}]: id")
        for number, image in enumerate(images)
    )
    skeleton = skeleton_from_category(dataset["categories"][0], source)
    annotations: list[dict[str, Any]] = []
    nobody = strays = 0
    for number, entry in enumerate(dataset["annotations"]):
        where = f"{source}: annotation {number}"
        require(entry, ("image_id", "category_id"), where)
        category_id = whole(entry["category_id"], f"{where}: category_id")
        if category_id != listed[0]:
            nobody += category_id not in listed
            continue
        if whole(entry["image_id"], f"{where}: image_id") not in image_ids:
            strays += 1
            continue
        annotations.append(_annotation(entry, skeleton.num_keypoints, len(annotations) + 1, where))
    if nobody:
        logger.warning("%s: left out %d annotations of categories not listed in it", source, nobody)
    if strays:
        logger.warning("%s: left out %d annotations of images not listed in it", source, strays)
    return GroundTruth(
        source=source,
        skeleton=skeleton,
        sigmas=skeleton.oks_sigmas(),
        category_id=listed[0],
        category_ids=frozenset(listed),
        image_ids=image_ids,
        annotations=annotations,
        dataset=dataset,
    )


def checked_results(entries: Any, truth: GroundTruth, source: str) -> list[dict[str, Any]]:
    """Result entries with exactly `RESULT_KEYS`, keypoints (3K,) float64; the input stays as it is.

    ValueError names source, entry and field for what cannot be scored. Warned of and scored:
    `bbox` keys (ignored: pycocotools would take sizes from them), predictions given twice (as they
    stand: they lower AP), other categories of the ground truth (pass unscored).
    """
    if not isinstance(entries, list):
        raise ValueError(f"{source}: holds a {type(entries).__name__}, expected a list of results")
    results = [_result(e, truth, f"{source}: entry {n}") for n, e in enumerate(entries)]
    boxes = sum("bbox" in entry for entry in entries)
    if boxes:
        logger.warning("%s: ignored the 'bbox' of %d entries", source, boxes)
    say_repeated(
        [result["image_id"] for result in results],
        [result["keypoints"] for result in results],
        source,
    )
    others = sum(result["category_id"] != truth.category_id for result in results)
    if others:
        logger.warning("%s: %d entries are of a category that is not scored", source, others)
    return results


def say_repeated(image_ids: Sequence[int], keypoints: Iterable[np.ndarray], source: str) -> None:
    """Warn of predictions that come twice; image_ids (N,) and N arrays of keypoints."""
    rows = (row.tobytes() for row in keypoints)
    twice = len(image_ids) - len(set(zip(image_ids, rows, strict=True)))
    if twice:
        logger.warning("%s: %d entries repeat another, which lowers AP", source, twice)


def _annotation(entry: dict[str, Any], num_keypoints: int, new_id: int, where: str) -> dict:
    """A ground-truth annotation as pycocotools reads it, with a new id."""
    require(entry, _ANNOTATION_KEYS, where)
    keypoints = numbers(entry["keypoints"], 3 * num_keypoints, f"{where}: keypoints")
    labelled = int(np.count_nonzero(keypoints[2::3] > 0))
    area = finite(entry["area"], f"{where}: area")
    if area < 0:
        raise ValueError(f"{where}: area is {area:g}, expected square pixels")
    return {
        "id": new_id,
        "image_id": int(entry["image_id"]),
        "category_id": int(entry["category_id"]),
        "keypoints": keypoints,
        "num_keypoints": whole(entry.get("num_keypoints", labelled), f"{where}: num_keypoints"),
        "area": area,
        "bbox": numbers(entry["bbox"], 4, f"{where}: bbox").tolist(),
        "iscrowd": whole(entry.get("iscrowd", 0), f"{where}: iscrowd"),
    }


def _result(entry: Any, truth: GroundTruth, where: str) -> dict[str, Any]:
    """One checked result entry."""
    require(entry, RESULT_KEYS, where)
    image_id = whole(entry["image_id"], f"{where}: image_id")
    if image_id not in truth.image_ids:
        raise ValueError(f"{where}: image_id {image_id} is not among the images of {truth.source}")
    category_id = whole(entry["category_id"], f"{where}: category_id")
    if category_id not in truth.category_ids:
        raise ValueError(
            f"{where}: category_id is {category_id}, expected {truth.category_id} as in "
            f"{truth.source}"
        )
    size = 3 * truth.skeleton.num_keypoints
    return {
        "image_id": image_id,
        "category_id": category_id,
        "keypoints": numbers(entry["keypoints"], size, f"{where}: keypoints"),
        "score": finite(entry["score"], f"{where}: score"),
    }
