"""Data to measure on: the user's own where `data.root` says so, else drawn scenes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from easydict import EasyDict

from pose.benchmarks.settings import Settings
from pose.build_data import data_path, load_people
from pose.config import plain, resolve
from pose.data.synthetic import write_synthetic
from pose.records import write_json
from pose.schema import Data
from pose.structures import People

IMAGES, SIZE, BOXES = 24, (640, 480), 20
"""Pictures of a split, their size, and the boxes that a detector finds in each."""


def with_data(settings: Settings) -> Settings:
    """The settings with data that are on this machine, plainly read: of several training sets the
    first.

    Those of the config, which must be there where data.root is named; else 'train' and 'val' drawn
    below the settings' folder, with `BOXES` boxes an image as data.val_boxes.
    """
    cfg = settings.cfg
    own = has_own_data(cfg)
    layer = plain(cfg)
    first = {"more_annotations": (), "more_images": (), "more_formats": ()}
    plainly = {"cache": False, "warped_by": "loader", "unreadable": "error"}
    data = {**layer["data"], **first, **plainly, **({} if own else _drawn(settings))}
    cfg = resolve({**layer, "data": data}, "data")
    if not own:
        found = list(_detections(load_people(cfg, "val")))
        write_json(data_path(cfg, "val_boxes"), found)
    return Settings(cfg, settings.device, settings.folder)


def has_own_data(cfg: EasyDict) -> bool:
    """Whether the data of the config are meant: data.root is named, or its default is there."""
    return cfg.data.root != Data().root or data_path(cfg, "val_annotations").exists()


def _drawn(settings: Settings) -> dict[str, Any]:
    """Draws the set; the keys of `data` that name it."""
    root = settings.folder / "drawn"
    write_synthetic(root, {"train": IMAGES, "val": IMAGES}, size=SIZE)
    data = {"format": "coco", "root": str(root), "val_boxes": "boxes.json"}
    for split in ("train", "val"):
        data[f"{split}_annotations"] = f"annotations/person_keypoints_{split}.json"
        data[f"{split}_images"] = f"images/{split}"
    return data


def _detections(people: People) -> Iterator[dict[str, Any]]:
    """COCO's detections, `BOXES` an image: boxes of its people, moved and stretched at random."""
    rng = np.random.default_rng(0)
    for image_id in np.unique(people.image_ids):
        own = people.boxes[people.image_ids == image_id].astype(float)
        for box in own[rng.integers(len(own), size=BOXES)]:
            size = (box[2:] - box[:2]) * rng.uniform(0.7, 1.4, 2)
            corner = box[:2] + size * rng.uniform(-0.2, 0.2, 2)
            yield {
                "image_id": int(image_id),
                "category_id": 1,
                "bbox": [*corner.tolist(), *size.tolist()],
                "score": float(rng.uniform(0.1, 1)),
            }
