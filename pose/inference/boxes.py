"""Where people are looked for in one's own pictures: boxes typed in, or read from a file.

A file is JSON in one of COCO's two forms: an annotation file (the boxes of its first category
belong to the images it names), or a list of detections `{image_id, bbox, score}`; a result file of
ours holds `box` and `box_score` instead. A detection belongs to the image of its `file_name` where
it has one, else to the one whose file name holds the number `image_id` (COCO's 000000000139.jpg is
139); in a video `image_id` is the frame's number, from 0.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from pose.geometry import xywh_to_xyxy
from pose.records import finite, numbers, objects, read_json, require, whole

PERSON = 1
"""COCO's category, the one that counts in a list of detections."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes to look at in one picture."""

    boxes: np.ndarray
    """(N, 4) float32 xyxy."""
    scores: np.ndarray
    """(N,) float32; 1 where none is given."""


@dataclass(frozen=True, eq=False)
class BoxSource:
    """Boxes for any picture: the same everywhere, or by file name or number."""

    everywhere: Boxes | None = None
    by_name: Mapping[str, Boxes] = field(default_factory=dict)
    by_number: Mapping[int, Boxes] = field(default_factory=dict)

    def of_image(self, path: PurePath) -> Boxes:
        """The boxes of an image file, by its path as far as the entries name it, by its bare name
        where only one of them ends so, or by its number; none gives an empty `Boxes`."""
        if self.everywhere is not None:
            return self.everywhere
        digits = re.findall(r"\d+", path.stem)
        number = int(digits[-1]) if digits else -1
        named = self.by_name.get(path.as_posix()) or self._by_bare_name.get(path.name)
        return named or self.by_number.get(number) or EMPTY

    @cached_property
    def _by_bare_name(self) -> Mapping[str, Boxes]:
        counts = Counter(PurePath(name).name for name in self.by_name)
        bare = {PurePath(name).name: boxes for name, boxes in self.by_name.items()}
        return {name: boxes for name, boxes in bare.items() if counts[name] == 1}

    def of_frame(self, number: int) -> Boxes:
        """The boxes of frame `number`, from 0."""
        return self.everywhere or self.by_number.get(number) or EMPTY


EMPTY = Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def parse_boxes(text: str) -> BoxSource:
    """The boxes that `--boxes` names: "x1,y1,x2,y2;..." in pixels, or a JSON file."""
    if re.fullmatch(r"[-+0-9.,;eE\s]+", text) and "," in text:
        return BoxSource(everywhere=_typed(text))
    return read_boxes(Path(text))


def read_boxes(path: Path) -> BoxSource:
    """The boxes of an annotation or detection file; ValueError names file, entry and field."""
    content = read_json(path)
    names: Mapping[int | None, Any] = {}
    person = PERSON
    if isinstance(content, dict):
        names = _names(content, path)
        categories = objects(content, "categories", str(path)) if "categories" in content else []
        person = categories[0].get("id", PERSON) if categories else PERSON
        content = objects(content, "annotations", str(path))
    if not isinstance(content, list):
        raise ValueError(
            f"{path}: expected a list of detections [{{image_id, bbox, score}}, ...] or a COCO "
            "annotation file"
        )
    by_name, by_number = defaultdict(list), defaultdict(list)
    for number, entry in enumerate(content):
        where = f"{path}: entry {number}"
        require(entry, (), where)
        if entry.get("category_id", person) != person or entry.get("iscrowd"):
            continue
        row = _box_and_score(entry, where)
        image_id = whole(entry["image_id"], f"{where}: image_id") if "image_id" in entry else None
        name = entry.get("file_name", names.get(image_id))
        if isinstance(name, str):
            by_name[PurePath(name).as_posix()].append(row)
        elif image_id is not None:
            by_number[image_id].append(row)
        else:
            raise ValueError(f"{where}: has neither file_name nor image_id")
    return BoxSource(
        by_name={name: _stacked(rows) for name, rows in by_name.items()},
        by_number={number: _stacked(rows) for number, rows in by_number.items()},
    )


def _names(content: Any, path: Path) -> dict[int | None, Any]:
    names: dict[int | None, Any] = {}
    for number, image in enumerate(objects(content, "images", str(path))):
        where = f"{path}: images[{number}]"
        require(image, ("id",), where)
        names[whole(image["id"], f"{where}: id")] = image.get("file_name")
    return names


def _typed(text: str) -> Boxes:
    rows = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        try:
            x1, y1, x2, y2 = box = [float(v) for v in part.split(",")]
            if not np.isfinite(box).all():
                raise ValueError
        except ValueError:
            raise ValueError(f"--boxes: '{part}' is not x1,y1,x2,y2 in pixels") from None
        if not (x2 > x1 and y2 > y1):
            raise ValueError(
                f"--boxes: '{part}' has no area; expected x1,y1,x2,y2 with x2 > x1 and y2 > y1"
            )
        rows.append((box, 1.0))
    return _stacked(rows)


def _box_and_score(entry: Mapping[str, Any], where: str) -> tuple[list[float], float]:
    if "box" in entry and "bbox" not in entry:
        box = numbers(entry["box"], 4, f"{where}: box")
        if (box[2:] <= box[:2]).any():
            raise ValueError(f"{where}: box {box.tolist()} has no area; expected [x1, y1, x2, y2]")
        return box.tolist(), finite(entry.get("box_score", 1.0), f"{where}: box_score")
    require(entry, ("bbox",), where)
    box = numbers(entry["bbox"], 4, f"{where}: bbox")
    if box[2] <= 0 or box[3] <= 0:
        raise ValueError(f"{where}: bbox {box.tolist()} has no area; expected [x, y, w, h]")
    return xywh_to_xyxy(box).tolist(), finite(entry.get("score", 1.0), f"{where}: score")


def _stacked(rows: list[tuple[list[float], float]]) -> Boxes:
    boxes = np.array([box for box, _ in rows], dtype=np.float32).reshape(-1, 4)
    return Boxes(boxes, np.array([score for _, score in rows], dtype=np.float32))
