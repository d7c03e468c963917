"""MPII annotations -> People: the published json, or the .mat file of the original release.

Both hold 1-based pixels, a rough centre and a scale, that of a person 200 pixels high. The
published crop is a square: the centre is moved 15 * scale down, its side is 1.25 * 200 * scale,
and one pixel is taken off centre and keypoints to count from 0. A person's `box` is that square
before the padding of 1.25, which `Crop.of_box` adds. Errors name file, entry and field.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose.geometry import BOX_PADDING
from pose.mat_files import read_mat
from pose.records import (
    MAX_PIXEL,
    file_name,
    finite,
    numbers,
    pixels,
    read_json,
    require,
    whole,
)
from pose.skeleton import MPII_16
from pose.structures import People

SCALE_PIXELS = 200.0
"""Pixels that a scale of 1 stands for."""

CENTER_SHIFT = 15.0
"""Pixels that the centre moves down at a scale of 1, so that no feet are cut off."""

NO_CENTER = -1.0
"""What x of a centre is where nobody marked one: neither shift nor padding then."""

NUM_KEYPOINTS = MPII_16.num_keypoints


def load_mpii(annotations: Path) -> People:
    """The people of an MPII annotation file, in the file's order: `.mat` is the release, any other
    name the published json.

    All entries of a json count, since results go by their place; of the release those people of
    training images who have a centre, a scale and keypoints. An entry without `joints` (a test
    split) is a person whose visibility is all 0. image_ids number the images and annotation_ids
    the people from 1, as they come; areas are those of the boxes, in square pixels.
    """
    annotations = Path(annotations)
    read = _release if annotations.suffix.lower() == ".mat" else _published
    return _people(list(read(annotations)))


@dataclass(frozen=True, eq=False)
class _Entry:
    """A person as the file states it: 1-based pixels, nothing moved yet."""

    image: str
    center: np.ndarray
    """(2,)."""
    scale: float
    keypoints: np.ndarray
    """(16, 2)."""
    visibility: np.ndarray
    """(16,) 0, 1 or 2."""
    where: str
    """File and entry, for messages."""


def _people(entries: list[_Entry]) -> People:
    """Columns, with the published convention applied to them."""
    numbered: dict[str, int] = {}
    index = np.array([numbered.setdefault(e.image, len(numbered)) for e in entries], np.int64)
    center = np.array([e.center for e in entries], np.float64).reshape(-1, 2)
    scale = np.array([e.scale for e in entries], np.float64)
    visibility = np.array([e.visibility for e in entries], np.uint8).reshape(-1, NUM_KEYPOINTS)
    keypoints = np.array([e.keypoints for e in entries], np.float64)
    marked = center[:, 0] != NO_CENTER
    center[:, 1] += np.where(marked, CENTER_SHIFT * scale, 0)
    center -= 1
    half = SCALE_PIXELS / 2 * np.where(marked, scale, scale / BOX_PADDING)[:, None]
    boxes = np.concatenate([center - half, center + half], axis=1).astype(np.float32)
    for place in np.flatnonzero((boxes[:, 2:] <= boxes[:, :2]).any(axis=1)):
        raise ValueError(f"{entries[place].where}: scale is {scale[place]:g}, too small to look at")
    return People(
        skeleton=MPII_16,
        images=np.array(list(numbered), np.str_),
        image_sizes=np.zeros((len(numbered), 2), np.int32),
        image_index=index,
        image_ids=index + 1,
        boxes=boxes,
        keypoints=np.where(
            visibility[..., None] > 0, keypoints.reshape(-1, NUM_KEYPOINTS, 2) - 1, 0
        ).astype(np.float32),
        visibility=visibility,
        areas=(2 * half[:, 0]) ** 2,
        scores=np.ones(len(entries)),
        annotation_ids=np.arange(1, len(entries) + 1),
    )


def _published(path: Path) -> Iterator[_Entry]:
    """The entries of a json; `joints_vis` is 1 for every labelled keypoint, hidden ones too."""
    content = read_json(path)
    if not isinstance(content, list):
        raise ValueError(
            f"{path}: is a {type(content).__name__}, expected MPII's list of people "
            "[{image, center, scale, joints, joints_vis}, ...]"
        )
    for number, entry in enumerate(content):
        where = f"{path}: entry {number}"
        require(entry, ("image", "center", "scale"), where)
        keypoints, labelled = np.zeros((NUM_KEYPOINTS, 2)), np.zeros(NUM_KEYPOINTS)
        if "joints" in entry or "joints_vis" in entry:
            require(entry, ("joints", "joints_vis"), where)
            keypoints = _points(entry["joints"], f"{where}: joints")
            labelled = numbers(entry["joints_vis"], NUM_KEYPOINTS, f"{where}: joints_vis")
            if not np.isin(labelled, (0, 1)).all():
                raise ValueError(f"{where}: joints_vis has a value other than 0 or 1")
        yield _Entry(
            file_name(entry["image"], f"{where}: image"),
            pixels(entry["center"], 2, f"{where}: center"),
            _scale(entry["scale"], f"{where}: scale"),
            keypoints,
            2 * labelled,
            where,
        )


def _release(path: Path) -> Iterator[_Entry]:
    """The people of RELEASE; images and people are counted from 1 in messages, as MATLAB does."""
    content = read_mat(path)
    require(content, ("RELEASE",), f"{path}")
    release = _first(content["RELEASE"])
    images, training = _all(release, "annolist"), _all(release, "img_train")
    if len(images) != len(training):
        raise ValueError(
            f"{path}: RELEASE has {len(images)} entries in annolist, {len(training)} in img_train"
        )
    for number, (image, is_training) in enumerate(zip(images, training, strict=True), 1):
        if is_training != 1:
            continue
        for place, person in enumerate(_all(image, "annorect"), 1):
            center, scale = _field(person, "objpos"), _field(person, "scale")
            points = _all(_field(person, "annopoints"), "point")
            if center is None or scale is None or not len(points):
                continue
            where = f"{path}: annolist({number}).annorect({place})"
            name = _field(_field(image, "image"), "name")
            keypoints, visibility = _labels(points, f"{where}: annopoints")
            yield _Entry(
                file_name(name, f"{path}: annolist({number}): image.name"),
                _point(center, f"{where}: objpos"),
                _scale(scale, f"{where}: scale"),
                keypoints,
                visibility,
                where,
            )


def _labels(points: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (16, 2) and visibility (16,) of a person's `point` structs."""
    keypoints, visibility = np.zeros((NUM_KEYPOINTS, 2)), np.zeros(NUM_KEYPOINTS)
    for number, point in enumerate(points, 1):
        here = f"{where}.point({number})"
        k = whole(_field(point, "id"), f"{here}.id")
        if not 0 <= k < NUM_KEYPOINTS:
            raise ValueError(f"{here}.id is {k}, expected 0 to {NUM_KEYPOINTS - 1}")
        keypoints[k] = _point(point, here)
        visibility[k] = _visibility(_field(point, "is_visible"), f"{here}.is_visible")
    return keypoints, visibility


def _visibility(value: Any, where: str) -> int:
    """1 (hidden) or 2 (seen). The release has numbers and digits, and nothing for the two points
    of the head, which count as seen."""
    if value is None:
        return 2
    seen = whole(int(value) if isinstance(value, str) and value in ("0", "1") else value, where)
    if seen not in (0, 1):
        raise ValueError(f"{where} is {seen}, expected 0 or 1")
    return 1 + seen


def _first(values: Any) -> Any:
    """The first element of a MATLAB array; None of an empty one."""
    return values.flat[0] if isinstance(values, np.ndarray) and values.size else None


def _all(struct: Any, name: str) -> np.ndarray:
    """A field's elements (n,); none where the struct lacks it, for MATLAB that is the same."""
    values = getattr(struct, "__dict__", {}).get(name)
    return values.ravel() if isinstance(values, np.ndarray) else np.empty(0)


def _field(struct: Any, name: str) -> Any:
    """A field's only element; None where it is empty or missing."""
    return _first(_all(struct, name))


def _point(struct: Any, where: str) -> np.ndarray:
    """(2,) float64 from the fields x and y."""
    return pixels([finite(_field(struct, axis), f"{where}.{axis}") for axis in "xy"], 2, where)


def _points(values: Any, where: str) -> np.ndarray:
    """(16, 2) float64."""
    if not isinstance(values, list) or len(values) != NUM_KEYPOINTS:
        raise ValueError(f"{where} is no list of {NUM_KEYPOINTS} points [x, y]")
    return np.array([pixels(point, 2, f"{where}[{k}]") for k, point in enumerate(values)])


def _scale(value: Any, where: str) -> float:
    scale = finite(value, where)
    if not 0 < SCALE_PIXELS * scale <= MAX_PIXEL:
        raise ValueError(f"{where} is {scale:g}, which is no person's size")
    return scale
