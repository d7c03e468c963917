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

from pose.geometry import has_area, xywh_to_xyxy
from pose.records import (
    category_ids,
    file_name,
    finite,
    named_images,
    objects,
    pixels,
    read_json,
    require,
    whole,
)

PERSON = 1
"""COCO's category, the one that counts in a list of detections."""

MAX_SCORE = 1e30
"""Scores further out are refused: as float32 they, or their products, would be infinite."""


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
    names: Mapping[int, str] = {}
    person = PERSON
    if isinstance(content, dict):
        names = named_images(content, str(path), all_named=False)
        person = category_ids(content, str(path))[0] if "categories" in content else PERSON
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
        category_id = whole(entry.get("category_id", person), f"{where}: category_id")
        if category_id != person or whole(entry.get("iscrowd", 0), f"{where}: iscrowd"):
            continue
        row = _box_and_score(entry, where)
        image_id = whole(entry["image_id"], f"{where}: image_id") if "image_id" in entry else None
        if "file_name" in entry:
            name = file_name(entry["file_name"], f"{where}: file_name")
            by_name[PurePath(name).as_posix()].append(row)
        elif image_id is not None and image_id in names:
            by_name[PurePath(names[image_id]).as_posix()].append(row)
        elif image_id is not None:
            by_number[image_id].append(row)
        else:
            raise ValueError(f"{where}: has neither file_name nor image_id")
    return BoxSource(
        by_name={name: _stacked(rows) for name, rows in by_name.items()},
        by_number={number: _stacked(rows) for number, rows in by_number.items()},
    )


def _typed(text: str) -> Boxes:
    rows = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        try:
            box = pixels([float(v) for v in part.split(",")], 4, part)
        except ValueError:
            raise ValueError(f"--boxes: '{part}' is not x1,y1,x2,y2 in pixels") from None
        if not has_area(box):
            raise ValueError(
                f"--boxes: '{part}' has no area; expected x1,y1,x2,y2 with x2 > x1 and y2 > y1"
            )
        rows.append((box.tolist(), 1.0))
    return _stacked(rows)


def _box_and_score(entry: Mapping[str, Any], where: str) -> tuple[list[float], float]:
    field, kind, score = "bbox", "[x, y, w, h]", "score"
    if "box" in entry and "bbox" not in entry:
        field, kind, score = "box", "[x1, y1, x2, y2]", "box_score"
    require(entry, (field,), where)
    given = pixels(entry[field], 4, f"{where}: {field}")
    box = given if field == "box" else xywh_to_xyxy(given)
    if not has_area(box):
        raise ValueError(f"{where}: {field} {given.tolist()} has no area; expected {kind}")
    value = finite(entry.get(score, 1.0), f"{where}: {score}")
    if abs(value) > MAX_SCORE:
        raise ValueError(f"{where}: {score} is {value:g}, which no detector gives")
    return box.tolist(), value


def _stacked(rows: list[tuple[list[float], float]]) -> Boxes:
    boxes = np.array([box for box, _ in rows], dtype=np.float32).reshape(-1, 4)
    return Boxes(boxes, np.array([score for _, score in rows], dtype=np.float32))
