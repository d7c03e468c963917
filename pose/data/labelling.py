"""Predicted poses as annotations: a COCO keypoint file that labelling tools import and correct, and
that is trained on afterwards."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from pose.geometry import Size, xyxy_to_xywh
from pose.growing_json import growing_object
from pose.skeleton import Skeleton, skeleton_to_category
from pose.structures import KEYPOINT_SCORE_THRESHOLD, Poses

SEEN = 2
"""The visibility of a predicted keypoint: whether it is hidden is for the people who correct it."""

PERSON = "person"
"""What people are called in labelling tools, whatever the skeleton's name."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One picture and the poses to label it with."""

    image_id: int
    name: str
    """File name relative to the image folder, with forward slashes."""
    size: Size
    poses: Poses


@contextmanager
def growing_annotations(
    path: Path, skeleton: Skeleton, *, score_threshold: float = KEYPOINT_SCORE_THRESHOLD
) -> Iterator[Callable[[LabelledImage], None]]:
    """A COCO keypoint file, as CVAT and our own loader read it, to which the block adds images; it
    appears, whole, when the block ends. Annotations are those of `annotations_of`."""
    category = {
        **{k: v for k, v in skeleton_to_category(skeleton).items() if v is not None},
        "name": PERSON,
        "supercategory": PERSON,
    }
    ids = count(1)
    lists, others = ("images", "annotations"), {"categories": [category]}
    with growing_object(path, lists, others) as append:

        def add(image: LabelledImage) -> None:
            width, height = image.size
            append["images"](
                {"id": image.image_id, "file_name": image.name, "width": width, "height": height}
            )
            for annotation in annotations_of(image, score_threshold):
                append["annotations"]({"id": next(ids), **annotation})

        yield add


def annotations_of(image: LabelledImage, score_threshold: float) -> Iterator[dict[str, Any]]:
    """The COCO annotations of an image's people, without ids.

    Keypoints up to `score_threshold` and those outside the image are unlabelled (0, 0, 0), people
    without any other or without a box inside it are left out. `bbox` is the box a pose was looked
    for in, cut at the image, `area` that of the box, `score` the person's.
    """
    poses = image.poses
    boxes = poses.boxes.astype(np.float64).clip(0, [*image.size, *image.size])
    inside = ((poses.keypoints >= 0) & (poses.keypoints <= image.size)).all(axis=-1)
    labelled = (poses.scores > score_threshold) & inside
    scores = poses.person_scores(score_threshold)
    for i in np.flatnonzero(labelled.any(axis=1)):
        seen = np.full(len(labelled[i]), SEEN)
        triplets = np.where(labelled[i, :, None], np.column_stack([poses.keypoints[i], seen]), 0)
        annotation = coco_annotation(image.image_id, 1, triplets, boxes[i])
        if annotation["area"] > 0:
            yield {**annotation, "score": round(float(scores[i]), 6)}


def coco_annotation(
    image_id: int, category_id: int, triplets: np.ndarray, box: np.ndarray
) -> dict[str, Any]:
    """A person's annotation, without id; triplets (K, 3) of x, y, visibility, box (4,) xyxy."""
    box_xywh = [round(float(v), 3) for v in xyxy_to_xywh(box)]
    return {
        "image_id": image_id,
        "category_id": category_id,
        "keypoints": [round(float(v), 4) for v in triplets.ravel()],
        "num_keypoints": int((triplets[:, 2] > 0).sum()),
        "bbox": box_xywh,
        "area": round(box_xywh[2] * box_xywh[3], 3),
        "iscrowd": 0,
        # CVAT takes no annotation without this key
        "segmentation": [],
    }


def xml_element(name: str, attributes: Mapping[str, str], *inside: str) -> str:
    """An XML element as text, with other elements inside it."""
    said = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{said}>{''.join(inside)}</{name}>"
