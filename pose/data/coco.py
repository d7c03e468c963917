"""COCO annotation and detection files -> People, by the published rules.

A labelled person is one that is no crowd and has at least one labelled keypoint; an ordinary
box loses one pixel (x2 = min(W-1, x + w - 1)), as in the published loader. Detected boxes are
taken as they stand. Only the first category of a file counts. Errors name file, entry and field.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pose.geometry import Size, has_area, xywh_to_xyxy
from pose.records import (
    MAX_PIXEL,
    category_ids,
    file_name,
    finite,
    objects,
    pixels,
    read_json,
    require,
    shown,
    shown_text,
    whole,
)
from pose.skeleton import Skeleton, skeleton_from_category
from pose.structures import People

logger = logging.getLogger(__name__)

BoxRule = Literal["published", "mmpose"]
"""How an annotated box is read: one pixel smaller than stated (the released HRNet code), or as
stated (MMPose); both are cut at the image's last pixel."""

Reader = Callable[[Path], dict[str, Any]]
"""An annotation file -> its content in COCO's form, as `read_annotations` gives it."""


def read_annotations(path: Path) -> dict[str, Any]:
    """A COCO file's content, with `images` and `categories` checked to be lists of objects."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: is a {type(content).__name__}, expected a COCO annotation file")
    objects(content, "images", f"{path}")
    category_ids(content, f"{path}")
    return content


def labelled_skeleton(path: Path, read: Reader = read_annotations) -> Skeleton | None:
    """The skeleton of an annotation file's first category; None where it lists no keypoints, as
    in the files of test splits."""
    category = read(path)["categories"][0]
    return skeleton_from_category(category, str(path)) if "keypoints" in category else None


def image_names(path: Path) -> dict[int, str]:
    """Image id -> file name, of every image that an annotation file lists, in its order."""
    images = _Images(read_annotations(path)["images"], path)
    return dict(zip(images.ids, images.names, strict=True))


def load_coco(
    path: Path,
    skeleton: Skeleton | None = None,
    *,
    box_rule: BoxRule = "published",
    read: Reader = read_annotations,
) -> People:
    """The labelled people of a COCO keypoint file, in the file's order.

    The category brings the skeleton unless one is given. A file without annotations (test-dev)
    gives no people. `read` is the reader of a file whose form differs.
    """
    content = read(path)
    listed, skeleton = _category(content, path, skeleton)
    images = _Images(content["images"], path)
    annotations = objects(content, "annotations", f"{path}") if "annotations" in content else []
    rows = []
    nobody = elsewhere = flat = 0
    for number, annotation in enumerate(annotations):
        where = f"{path}: annotation {_called(annotation, number)}"
        require(annotation, ("image_id", "category_id"), where)
        category_id = whole(annotation["category_id"], f"{where}: category_id")
        if category_id != listed[0]:
            nobody += category_id not in listed
            continue
        if whole(annotation.get("iscrowd", 0), f"{where}: iscrowd"):
            continue
        triplets = _keypoints(annotation, skeleton.num_keypoints, where)
        image = images.find(annotation, where)
        x, y, w, h = _box_xywh(annotation, where)
        if image is None:
            elsewhere += 1
            continue
        box = _cut_box((x, y, w, h), images.sizes[image], box_rule)
        area = finite(annotation.get("area", w * h), f"{where}: area")
        new_id = whole(annotation.get("id", 0), f"{where}: id")
        if area <= 0 or not (triplets[:, 2] > 0).any():
            continue
        if not has_area(box):
            flat += 1
            continue
        rows.append((image, box, triplets, area, 1.0, new_id))
    if nobody and nobody == len(annotations):
        raise ValueError(
            f"{path}: no annotation has category_id {listed[0]}, that of categories[0]"
        )
    _warn_of(path, nobody, "annotations left out whose category_id the file does not list")
    _warn_of(path, elsewhere, "people left out that lie in images the file does not list")
    _warn_of(path, flat, "people left out whose box has no area inside the image")
    return images.people(rows, skeleton)


def load_detections(
    path: Path,
    annotations: Path,
    *,
    score_threshold: float = 0.0,
    skeleton: Skeleton | None = None,
    read: Reader = read_annotations,
) -> People:
    """The people of a COCO detection file, as boxes in the images that `annotations` lists.

    Raw boxes of the first category with score >= threshold, in the file's order. A file none of
    whose boxes is of that category or lies in a listed image is refused; single ones elsewhere
    are counted and left out.
    """
    content = read(annotations)
    (category_id, *_), skeleton = _category(content, annotations, skeleton)
    images = _Images(content["images"], annotations)
    detections = read_json(path)
    if not isinstance(detections, list):
        raise ValueError(f"{path}: expected a list of detections [{{image_id, bbox, ...}}, ...]")
    unlabelled = np.zeros((skeleton.num_keypoints, 3), np.float32)
    rows = []
    of_category = elsewhere = flat = 0
    for number, detection in enumerate(detections):
        where = f"{path}: detection {number}"
        require(detection, ("image_id", "category_id", "bbox", "score"), where)
        if whole(detection["category_id"], f"{where}: category_id") != category_id:
            continue
        of_category += 1
        x, y, w, h = _box_xywh(detection, where)
        score = finite(detection["score"], f"{where}: score")
        image = images.find(detection, where)
        box = tuple(xywh_to_xyxy(np.array([x, y, w, h])))
        if image is None:
            elsewhere += 1
        elif not has_area(box):
            flat += 1
        elif score >= score_threshold:
            rows.append((image, box, unlabelled, w * h, score, 0))
    none = f"{path}: none of its {len(detections)} boxes"
    if detections and not of_category:
        raise ValueError(f"{none} has category_id {category_id}, that of people in {annotations}")
    if elsewhere and elsewhere == of_category:
        split = "give the detection file of this split"
        raise ValueError(f"{none} lies in an image of {annotations}; {split}")
    _warn_of(path, elsewhere, f"boxes left out that lie in images that {annotations} does not list")
    _warn_of(path, flat, "boxes left out that have no area")
    return images.people(rows, skeleton)


class _Images:
    """The images of one annotation file, addressed by id."""

    def __init__(self, entries: list[dict[str, Any]], path: Path) -> None:
        self.names: list[str] = []
        self.sizes: list[Size] = []
        self.ids: list[int] = []
        self._index: dict[int, int] = {}
        for number, entry in enumerate(entries):
            where = f"{path}: images[{number}]"
            require(entry, ("id", "file_name"), where)
            name = file_name(entry["file_name"], f"{where}: file_name")
            image_id, size = whole(entry["id"], f"{where}: id"), _size(entry, where)
            first = self._index.setdefault(image_id, number)
            if first != number and (self.names[first], self.sizes[first]) != (name, size):
                other = shown_text(self.names[first])
                raise ValueError(f"{where}: id {image_id} is that of {other} too")
            self.names.append(name)
            self.ids.append(image_id)
            self.sizes.append(size)

    def find(self, entry: Mapping[str, Any], where: str) -> int | None:
        """The place of the image that an entry belongs to; None where it is not listed."""
        return self._index.get(whole(entry["image_id"], f"{where}: image_id"))

    def people(self, rows: list[tuple], skeleton: Skeleton) -> People:
        """Columns from rows of (image, box, keypoint triplets, area, score, annotation id)."""
        k = skeleton.num_keypoints
        columns = list(zip(*rows, strict=True)) or [()] * 6
        index = np.array(columns[0], dtype=np.int64)
        triplets = np.array(columns[2], dtype=np.float32).reshape(-1, k, 3)
        return People(
            skeleton=skeleton,
            images=np.array(self.names, dtype=np.str_),
            image_sizes=np.array(self.sizes, dtype=np.int32).reshape(-1, 2),
            image_index=index,
            image_ids=np.array(self.ids, dtype=np.int64)[index],
            boxes=np.array(columns[1], dtype=np.float32).reshape(-1, 4),
            keypoints=np.ascontiguousarray(triplets[..., :2]),
            visibility=triplets[..., 2].astype(np.uint8),
            areas=np.array(columns[3], dtype=np.float64),
            scores=np.array(columns[4], dtype=np.float64),
            annotation_ids=np.array(columns[5], dtype=np.int64),
        )


def _category(
    content: Mapping[str, Any], path: Path, skeleton: Skeleton | None
) -> tuple[list[int], Skeleton]:
    """The ids of all categories, and the first one's skeleton unless one is given."""
    ids = category_ids(content, str(path))
    return ids, skeleton or skeleton_from_category(content["categories"][0], str(path))


def _called(annotation: Mapping[str, Any], number: int) -> str:
    """What messages call an annotation: its id, or its place where it has none."""
    return shown(annotation["id"]) if "id" in annotation else f"number {number}"


def _cut_box(
    box_xywh: tuple[float, float, float, float], size: Size, rule: BoxRule
) -> tuple[float, float, float, float]:
    """xyxy inside the image."""
    x, y, w, h = box_xywh
    x1, y1 = max(0.0, x), max(0.0, y)
    if rule == "published":
        x2, y2 = x1 + max(0.0, w - 1), y1 + max(0.0, h - 1)
    else:
        x2, y2 = x + w, y + h
    if all(size):
        x2, y2 = min(size[0] - 1.0, x2), min(size[1] - 1.0, y2)
    return x1, y1, x2, y2


def _keypoints(annotation: Mapping[str, Any], num_keypoints: int, where: str) -> np.ndarray:
    """(K, 3) float32 x, y, visibility."""
    if "keypoints" not in annotation:
        raise ValueError(f"{where}: has no 'keypoints'; is this a person_keypoints_*.json file?")
    triplets = pixels(annotation["keypoints"], 3 * num_keypoints, f"{where}: keypoints")
    triplets = triplets.reshape(-1, 3)
    if not np.isin(triplets[:, 2], (0, 1, 2)).all():
        raise ValueError(f"{where}: keypoints has a visibility other than 0, 1 or 2")
    return triplets.astype(np.float32)


def _box_xywh(entry: Mapping[str, Any], where: str) -> list[float]:
    require(entry, ("bbox",), where)
    return pixels(entry["bbox"], 4, f"{where}: bbox").tolist()


def _size(entry: Mapping[str, Any], where: str) -> Size:
    """(width, height); 0 where the file does not say."""
    given = {key: entry.get(key) for key in ("width", "height")}
    width, height = (whole(0 if v is None else v, f"{where}: {k}") for k, v in given.items())
    if not (0 <= width <= MAX_PIXEL and 0 <= height <= MAX_PIXEL):
        raise ValueError(f"{where}: width x height is {width} x {height}, which no image is")
    return width, height


def _warn_of(path: Path, count: int, what: str) -> None:
    if count:
        logger.warning("%s: %d %s", path, count, what)
