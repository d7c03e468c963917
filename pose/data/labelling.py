"""Predicted poses as annotations: a COCO keypoint file that labelling tools import and correct, and
that is trained on afterwards."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pose.geometry import Size, xyxy_to_xywh
from pose.skeleton import Skeleton, skeleton_to_category
from pose.structures import KEYPOINT_SCORE_THRESHOLD, Poses

SEEN = 2
"""The visibility of a predicted keypoint: whether it is hidden is for the people who correct it."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One picture and the poses to label it with."""

    image_id: int
    name: str
    """File name relative to the image folder, with forward slashes."""
    size: Size
    poses: Poses


def annotations_of(
    images: Iterable[LabelledImage],
    skeleton: Skeleton,
    *,
    score_threshold: float = KEYPOINT_SCORE_THRESHOLD,
) -> dict[str, Any]:
    """The content of a COCO keypoint file, as CVAT, Label Studio and our own loader read it.

    Keypoints up to `score_threshold` are unlabelled (0, 0, 0), people without any other are left
    out. `bbox` is the box a pose was looked for in, cut at the image, `area` that of the box.
    """
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in images:
        width, height = image.size
        pictures.append(
            {"id": image.image_id, "file_name": image.name, "width": width, "height": height}
        )
        boxes = image.poses.boxes.astype(np.float64).clip(0, [width, height, width, height])
        labelled = image.poses.scores > score_threshold
        for i in np.flatnonzero(labelled.any(axis=1)):
            box_xywh = [round(float(v), 3) for v in xyxy_to_xywh(boxes[i])]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image.image_id,
                    "category_id": 1,
                    "keypoints": _triplets(image.poses.keypoints[i], labelled[i]),
                    "num_keypoints": int(labelled[i].sum()),
                    "bbox": box_xywh,
                    "area": round(box_xywh[2] * box_xywh[3], 3),
                    "iscrowd": 0,
                }
            )
    category = {
        **{k: v for k, v in skeleton_to_category(skeleton).items() if v is not None},
        "name": "person",
        "supercategory": "person",
    }
    return {"images": pictures, "annotations": annotations, "categories": [category]}


def _triplets(keypoints: np.ndarray, labelled: np.ndarray) -> Sequence[float]:
    """x, y, visibility of each keypoint in one list."""
    rows = np.where(
        labelled[:, None], np.column_stack([keypoints, np.full(len(labelled), SEEN)]), 0
    )
    return [round(float(v), 4) for v in rows.ravel()]
