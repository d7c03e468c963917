"""Person AP of boxes: pycocotools' own figures, on the images that were looked at."""

import contextlib
import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pose.records import (
    category_ids,
    finite,
    named_images,
    numbers,
    objects,
    read_json,
    require,
    whole,
)

FIGURES = {
    "AP": 0,
    "AP .5": 1,
    "AP .75": 2,
    "AP (S)": 3,
    "AP (M)": 4,
    "AP (L)": 5,
    "AR": 8,
}
"""Name -> its place in pycocotools' twelve; at most 100 boxes an image count. S, M and L are people
below 32^2, to 96^2 and above 96^2 square pixels."""


@dataclass(frozen=True, eq=False)
class BoxTruth:
    """The boxes of an annotation file's first category, and the images it lists."""

    source: str
    names: Mapping[int, str]
    """Image id -> file name."""
    category_id: int
    annotations: Sequence[Mapping[str, Any]]


def read_box_truth(path: Path) -> BoxTruth:
    """The boxes of a COCO annotation file, crowds included; keypoints may be there or not.

    ValueError or FileNotFoundError of one line that names file, entry and field.
    """
    content = read_json(path)
    names = named_images(content, str(path), all_named=True)
    category_id = category_ids(content, str(path))[0]
    annotations: list[dict[str, Any]] = []
    for number, entry in enumerate(objects(content, "annotations", str(path))):
        where = f"{path}: annotation {number}"
        require(entry, ("image_id", "category_id", "bbox"), where)
        if whole(entry["category_id"], f"{where}: category_id") != category_id:
            continue
        box = numbers(entry["bbox"], 4, f"{where}: bbox").tolist()
        annotations.append(
            {
                "id": len(annotations) + 1,  # pycocotools takes one with id 0 for unmatched
                "image_id": whole(entry["image_id"], f"{where}: image_id"),
                "category_id": category_id,
                "bbox": box,
                "area": finite(entry.get("area", box[2] * box[3]), f"{where}: area"),
                "iscrowd": whole(entry.get("iscrowd", 0), f"{where}: iscrowd"),
            }
        )
    return BoxTruth(str(path), names, category_id, annotations)


def box_figures(
    entries: Sequence[Mapping[str, Any]], truth: BoxTruth, image_ids: Collection[int]
) -> dict[str, float]:
    """`FIGURES` of detections {image_id, bbox, score} on the images `image_ids`, which are all that
    counts; nan without members. No detection at all gives zeros."""
    from pycocotools.cocoeval import COCOeval

    detections = [
        {
            "id": number,
            "image_id": entry["image_id"],
            "category_id": truth.category_id,
            "bbox": list(entry["bbox"]),
            "area": entry["bbox"][2] * entry["bbox"][3],
            "iscrowd": 0,
            "score": entry["score"],
        }
        for number, entry in enumerate(entries, start=1)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_index(truth, truth.annotations), _index(truth, detections), "bbox")
        evaluation.params.catIds = [truth.category_id]
        evaluation.params.imgIds = sorted(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = {name: float(evaluation.stats[place]) for name, place in FIGURES.items()}
    return {name: value if value >= 0 else math.nan for name, value in values.items()}


def _index(truth: BoxTruth, annotations: Sequence[Mapping[str, Any]]) -> Any:
    """A pycocotools COCO object of these annotations."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id} for image_id in truth.names],
        "categories": [{"id": truth.category_id}],
        "annotations": [dict(annotation) for annotation in annotations],  # it writes into them
    }
    coco.createIndex()
    return coco
