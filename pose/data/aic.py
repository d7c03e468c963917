"""AI Challenger's keypoint annotations -> the content of a COCO file.

Its json is a list of images, whose people are objects of `human1`, `human2`, ...: boxes x1, y1, x2,
y2 in `human_annotations`, 14 triplets in `keypoint_annotations` with v = 1 seen, 2 hidden, 3 not
labelled. Images are named by `image_id` and lie beside each other as `<image_id>.jpg`; they and the
people are numbered from 1 as they come. The file states no image sizes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pose.records import file_name, pixels, read_json, require, shown_text
from pose.skeleton import skeleton_to_category
from pose.skeletons import AIC_14

VISIBILITY = {1: 2, 2: 1, 3: 0}
"""AI Challenger's v -> COCO's."""


def read_aic(path: Path) -> dict[str, Any]:
    """An AI Challenger file in COCO's form; a person's area is that of the box."""
    content = read_json(path)
    if not isinstance(content, list):
        raise ValueError(
            f"{path}: is a {type(content).__name__}, expected AI Challenger's list of images "
            "[{image_id, human_annotations, keypoint_annotations}, ...]"
        )
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, entry in enumerate(content):
        where = f"{path}: entry {number}"
        require(entry, ("image_id", "human_annotations", "keypoint_annotations"), where)
        name = file_name(entry["image_id"], f"{where}: image_id")
        images.append({"id": number + 1, "file_name": f"{name}.jpg"})
        for person in _people(entry, where):
            new = {"id": len(annotations) + 1, "image_id": number + 1, "category_id": 1}
            annotations.append(new | person)
    category = skeleton_to_category(AIC_14)
    return {"images": images, "annotations": annotations, "categories": [category]}


def _people(entry: dict[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """The people of one image, as annotations without ids."""
    boxes, keypoints = entry["human_annotations"], entry["keypoint_annotations"]
    for name, value in (("human_annotations", boxes), ("keypoint_annotations", keypoints)):
        if not isinstance(value, dict):
            raise ValueError(f"{where}: {name} is a {type(value).__name__}, expected an object")
    if boxes.keys() != keypoints.keys():
        odd = sorted(boxes.keys() ^ keypoints.keys())[0]
        raise ValueError(f"{where}: {shown_text(odd)} has a box or keypoints only, expected both")
    for human in boxes:
        name = shown_text(human)
        x1, y1, x2, y2 = pixels(boxes[human], 4, f"{where}: human_annotations.{name}").tolist()
        field = f"{where}: keypoint_annotations.{name}"
        triplets = pixels(keypoints[human], 3 * AIC_14.num_keypoints, field).reshape(-1, 3)
        if not np.isin(triplets[:, 2], list(VISIBILITY)).all():
            raise ValueError(f"{field} has a visibility other than 1, 2 or 3")
        triplets[:, 2] = [VISIBILITY[int(v)] for v in triplets[:, 2]]
        triplets[triplets[:, 2] == 0] = 0
        yield {
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "keypoints": triplets.ravel().tolist(),
        }
