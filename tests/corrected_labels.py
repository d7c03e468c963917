"""Exports as the two labelling tools write them, made from suggestions: what tests correct."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pose.data.label_studio import growing_tasks
from pose.data.labelling import LabelledImage, growing_annotations
from pose.skeleton import Skeleton
from pose.structures import Poses

HAND = Skeleton(
    "hand",
    ("thumb", "left_tip", "right_tip"),
    limbs=(("thumb", "left_tip"), ("thumb", "right_tip")),
    mirrored=(("left_tip", "right_tip"),),
    sigmas=(0.03, 0.04, 0.05),
)


def poses(points: Any, boxes: Any, skeleton: Skeleton = HAND, scores: Any = None) -> Poses:
    """Poses of people with these keypoints (N, K, 2) and boxes (N, 4)."""
    points = np.array(points, np.float32).reshape(-1, skeleton.num_keypoints, 2)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    kept = np.full(points.shape[:2], 0.9, np.float32) if scores is None else scores
    return Poses(points, kept, boxes, skeleton, np.full(len(boxes), 0.8, np.float32))


def two_hands() -> list[LabelledImage]:
    """Two images of two and of no people."""
    first = poses(
        [[[20, 30], [40, 30], [40, 60]], [[120, 80], [150, 90], [160, 120]]],
        [[10, 20, 60, 80], [100, 70, 180, 140]],
    )
    return [
        LabelledImage(7, "a/one.jpg", (200, 150), first),
        LabelledImage(9, "b.jpg", (320, 240), poses([], [])),
    ]


def suggest(folder: Path, images: list[LabelledImage], skeleton: Skeleton = HAND) -> Path:
    """annotations.json and label_studio.json in the folder; the path of the first."""
    began = folder / "annotations.json"
    with (
        growing_annotations(began, skeleton) as add,
        growing_tasks(folder / "label_studio.json", skeleton, folder="photos") as add_task,
    ):
        for image in images:
            add(image)
            add_task(image)
    return began


def label_studio_export(folder: Path) -> list[dict[str, Any]]:
    """The tasks as Label Studio 1.23 exports them where every prediction was submitted as it is."""
    tasks = json.loads((folder / "label_studio.json").read_text())
    return [
        {
            "id": number,
            "data": task["data"],
            "annotations": [
                {
                    "id": 10 + number,
                    "completed_by": 1,
                    "result": task["predictions"][0]["result"],
                    "was_cancelled": False,
                    "created_at": "2026-05-01T10:00:00.000000Z",
                    "updated_at": "2026-05-01T10:00:00.000000Z",
                }
            ],
            "drafts": [],
            "predictions": [],
            "meta": {},
            "project": 1,
        }
        for number, task in enumerate(tasks, start=1)
    ]


def cvat_export(began: Path) -> dict[str, Any]:
    """The annotations as CVAT exports them where nobody touched them: images and annotations
    numbered anew, places to a hundredth of a pixel, boxes around the keypoints, no sigmas."""
    content = json.loads(began.read_text())
    [category] = content["categories"]
    order = {image["id"]: number for number, image in enumerate(content["images"], start=1)}
    annotations = []
    for number, entry in enumerate(content["annotations"], start=1):
        triplets = np.round(np.reshape(entry["keypoints"], (-1, 3)), 2)
        seen = triplets[triplets[:, 2] > 0, :2]
        low, sides = seen.min(axis=0), np.ptp(seen, axis=0)
        annotations.append(
            {
                "id": number,
                "image_id": order[entry["image_id"]],
                "category_id": 1,
                "segmentation": [],
                "area": float(sides.prod()),
                "bbox": [*low.tolist(), *sides.tolist()],
                "iscrowd": 0,
                "attributes": {"occluded": False, "keyframe": False},
                "keypoints": triplets.ravel().tolist(),
                "num_keypoints": len(seen),
            }
        )
    return {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "", "url": ""},
        "categories": [
            {
                "id": 1,
                "name": "person",
                "supercategory": "",
                "keypoints": category["keypoints"],
                "skeleton": category["skeleton"],
            }
        ],
        "images": [
            {
                "id": order[image["id"]],
                "width": image["width"],
                "height": image["height"],
                "file_name": image["file_name"],
                "license": 0,
                "flickr_url": "",
                "coco_url": "",
                "date_captured": 0,
            }
            for image in content["images"]
        ],
        "annotations": annotations,
    }
