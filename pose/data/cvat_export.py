"""CVAT's export "COCO Keypoints 1.0" -> the people of each image.

CVAT numbers images and annotations anew, knows a skeleton's points but no box around them, and
writes visibility 1 for points marked as occluded and 0, with a place none the less, for those
marked as outside. Somebody all of whose points are outside is nobody.
"""

import logging
from typing import Any

import numpy as np

from pose.data.corrected import Began, CorrectedImage, inside, join_rows
from pose.records import category_ids, named_images, objects, pixels, require, shown_text, whole

logger = logging.getLogger(__name__)


def read_cvat(content: Any, began: Began, source: str) -> list[CorrectedImage]:
    """All images that the file lists: whether somebody looked at one without people it does not
    say. Keypoints are found by their names."""
    orders = _orders(content, began, source)
    names = named_images(content, source, all_named=True)
    rows: dict[str, list[np.ndarray]] = {}
    image_of: dict[int, str] = {}
    for image_id, given in names.items():
        name = began.named(given, f"{source}: image {image_id}")
        if name in rows:
            raise ValueError(f"{source}: image {image_id}: {shown_text(name)} is listed twice")
        rows[name], image_of[image_id] = [], name
    others = 0
    for number, entry in enumerate(objects(content, "annotations", source)):
        where = f"{source}: annotation {number}"
        require(entry, ("image_id", "category_id"), where)
        order = orders.get(whole(entry["category_id"], f"{where}: category_id"))
        image_id = whole(entry["image_id"], f"{where}: image_id")
        if order is None or whole(entry.get("iscrowd", 0), f"{where}: iscrowd"):
            others += 1
            continue
        if image_id not in image_of:
            raise ValueError(f"{where}: image_id {image_id} is not among the file's images")
        name = image_of[image_id]
        triplets = _triplets(entry, order, where)
        seen = triplets[:, 2] > 0
        triplets[seen, :2] = inside(triplets[seen, :2], began.images[name][1], where)
        if seen.any():
            rows[name].append(triplets)
    if others:
        logger.warning("%s: left out %d annotations that are no skeletons", source, others)
    k = began.skeleton.num_keypoints
    return [
        CorrectedImage(name, join_rows(people, k, 3), np.full((len(people), 4), np.nan))
        for name, people in rows.items()
    ]


def _orders(content: Any, began: Began, source: str) -> dict[int, np.ndarray]:
    """Category id -> (K,) the place in its list of each of our keypoints, for the categories that
    have keypoints: CVAT lists every label of the task."""
    ids = category_ids(content, source)
    ours = began.skeleton.keypoints
    known = shown_text(", ".join(ours))
    orders = {}
    for number, (category_id, category) in enumerate(zip(ids, content["categories"], strict=True)):
        names = category.get("keypoints") or []
        where = f"{source}: categories[{number}]"
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{where}: keypoints is no list of names")
        unknown = [name for name in names if name not in ours]
        if unknown:
            raise ValueError(f"{where}: unknown keypoint {shown_text(unknown[0])} (known: {known})")
        if names and (len(names) != len(ours) or set(names) != set(ours)):
            raise ValueError(
                f"{where}: lists {len(names)} keypoints, expected the {len(ours)} of {began.path}"
            )
        if names:
            orders[category_id] = np.array([names.index(name) for name in ours])
    if not orders:
        raise ValueError(
            f"{source}: no category lists keypoints; export as COCO Keypoints 1.0 from a task "
            "whose label is a skeleton"
        )
    return orders


def _triplets(entry: Any, order: np.ndarray, where: str) -> np.ndarray:
    """(K, 3) x, y, visibility in our order; 0, 0, 0 for an unlabelled one."""
    require(entry, ("keypoints",), where)
    triplets = pixels(entry["keypoints"], 3 * len(order), f"{where}: keypoints").reshape(-1, 3)
    if not np.isin(triplets[:, 2], (0, 1, 2)).all():
        raise ValueError(f"{where}: keypoints has a visibility other than 0, 1 or 2")
    triplets = triplets[order]
    triplets[triplets[:, 2] == 0] = 0
    return triplets
