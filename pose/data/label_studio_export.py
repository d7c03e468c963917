"""Label Studio's JSON export -> the people of each image.

Of several annotations of one image the latest counts; skipped ones and tasks without any do not.
A keypoint belongs to the rectangle it stands below (`parentID`), else to one that it is joined to
by a relation, else to the only one that holds it and has none of its name.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from pose.data.corrected import Began, CorrectedImage, inside, join_rows
from pose.data.label_studio import HIDDEN, IMAGE
from pose.data.labelling import PERSON, SEEN
from pose.geometry import Size, has_area
from pose.records import finite, objects, require, shown, shown_text, whole

logger = logging.getLogger(__name__)

JOINED = ("rectanglelabels", "keypointlabels", "choices", "relation")
"""Kinds of results that say something about a person."""


@dataclass(frozen=True, eq=False)
class _Regions:
    """What one annotation holds, by the region's id."""

    boxes: dict[str, np.ndarray]
    """(4,) xyxy in pixels."""
    keypoints: dict[str, tuple[str, np.ndarray]]
    """Name and (3,) x, y, visibility."""
    parents: dict[str, str]
    """A keypoint's id -> its rectangle's, where the tool says so."""


def read_label_studio(
    tasks: Any, began: Began, source: str
) -> tuple[list[CorrectedImage], dict[str, int]]:
    """The images that have an annotation, and how many were skipped and had several."""
    latest: dict[str, tuple[Mapping[str, Any], str]] = {}
    counts = {"tasks without annotation": 0, "annotations that a later one replaces": 0}
    for number, task in enumerate(objects({"tasks": tasks}, "tasks", source)):
        where = f"{source}: task {shown(task['id']) if 'id' in task else f'number {number}'}"
        _require_full_form(task, where)
        name = began.named(_file_of(task["data"][IMAGE], f"{where}: data.{IMAGE}"), where)
        finished = [
            annotation
            for annotation in objects(task, "annotations", where)
            if not annotation.get("was_cancelled")
        ]
        counts["tasks without annotation"] += not finished
        for annotation in finished:
            before = latest.get(name)
            counts["annotations that a later one replaces"] += before is not None
            if before is None or _when(annotation) >= _when(before[0]):
                latest[name] = annotation, where
    images = [
        _image(annotation, name, began, where) for name, (annotation, where) in latest.items()
    ]
    return images, counts


def _require_full_form(task: Mapping[str, Any], where: str) -> None:
    if IMAGE in task and "data" not in task:
        raise ValueError(
            f"{where}: is of Label Studio's short form JSON_MIN, which does not say whose a "
            "keypoint is; export as JSON"
        )
    require(task, ("data", "annotations"), where)
    require(task["data"], (IMAGE,), f"{where}: data")


def _file_of(address: Any, where: str) -> str:
    """The file's path in an address, decoded: of local files it is the parameter d."""
    if not isinstance(address, str):
        raise ValueError(f"{where} is {shown(address)}, expected an image's address")
    try:
        parts = urlsplit(address)
        local = parse_qs(parts.query, errors="strict").get("d")
        return local[0] if local else unquote(parts.path, errors="strict")
    except ValueError:
        raise ValueError(f"{where} is {shown(address)}, which is no address") from None


def _when(annotation: Mapping[str, Any]) -> datetime:
    """When an annotation was last changed; the beginning of time where it does not say."""
    for key in ("updated_at", "created_at"):
        try:
            moment = datetime.fromisoformat(str(annotation[key]))
        except (KeyError, ValueError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.min.replace(tzinfo=UTC)


def _image(annotation: Mapping[str, Any], name: str, began: Began, where: str) -> CorrectedImage:
    results = objects(annotation, "result", f"{where}: annotation")
    others = sum(result.get("type") not in JOINED for result in results)
    if others:
        logger.warning("%s: left out %d regions of other kinds", where, others)
    regions = _regions(results, began, began.images[name][1], where)
    people = {box_id: np.zeros((began.skeleton.num_keypoints, 3)) for box_id in regions.boxes}
    # Those whose person is known first: they tell which people the others can belong to
    for region_id in sorted(regions.keypoints, key=lambda i: regions.parents.get(i) not in people):
        label, triplet = regions.keypoints[region_id]
        place = began.skeleton.index(label)
        parent = regions.parents.get(region_id)
        if parent not in people:
            free = [box_id for box_id, person in people.items() if not person[place, 2]]
            parent = _only_holder(free, regions, triplet, f"{where}: {shown_text(label)}")
        if people[parent][place, 2]:
            raise ValueError(f"{where}: a person has two keypoints {shown_text(label)}")
        people[parent][place] = triplet
    k = began.skeleton.num_keypoints
    return CorrectedImage(
        name, join_rows(list(people.values()), k, 3), join_rows([*regions.boxes.values()], 4)
    )


def _only_holder(free: Sequence[str], regions: _Regions, triplet: np.ndarray, where: str) -> str:
    """The one rectangle of `free` that holds a keypoint without parent."""
    point = triplet[:2]
    holding = [
        box_id
        for box_id in free
        if (regions.boxes[box_id][:2] <= point).all() and (point <= regions.boxes[box_id][2:]).all()
    ]
    if len(holding) == 1:
        return holding[0]
    raise ValueError(
        f"{where} at {point[0]:.0f}, {point[1]:.0f} belongs to nobody: it is below no rectangle "
        f"and lies in {len(holding)} that could take it; drag it onto its rectangle in the list of "
        "regions"
    )


def _regions(
    results: Iterable[Mapping[str, Any]], began: Began, size: Size, where: str
) -> _Regions:
    """The rectangles and keypoints of an annotation, in pixels."""
    found, hidden, links = _Regions({}, {}, {}), list[str](), list[tuple[str, str]]()
    for result in results:
        if result.get("type") == "relation":
            links.append((str(result.get("from_id")), str(result.get("to_id"))))
        elif result.get("type") in JOINED:
            require(result, ("id", "value"), f"{where}: {result['type']}")
            here = f"{where}: region {shown_text(str(result['id']))}"
            if result["type"] != "choices":
                _require_same_image(result, size, here)
                _add_region(found, result, began, size, here)
            elif HIDDEN in _choices(result["value"], here):
                hidden.append(str(result["id"]))
    for one, other in [*links, *((b, a) for a, b in links)]:
        if one in found.keypoints and other in found.boxes:
            found.parents.setdefault(one, other)
    for region_id in found.keypoints.keys() & hidden:
        found.keypoints[region_id][1][2] = 1
    return found


def _add_region(
    found: _Regions, result: Mapping[str, Any], began: Began, size: Size, where: str
) -> None:
    """A rectangle or a keypoint."""
    region_id, kind, value = str(result["id"]), result["type"], result["value"]
    if region_id in found.boxes or region_id in found.keypoints:
        raise ValueError(f"{where}: its id is that of another region too")
    label = _label(value, kind, where)
    if kind == "rectanglelabels":
        if label != PERSON:
            raise ValueError(f"{where}: is labelled {shown(label)}, expected '{PERSON}'")
        found.boxes[region_id] = _box(value, size, where)
        return
    if label not in began.skeleton.keypoints:
        known = shown_text(", ".join(began.skeleton.keypoints))
        raise ValueError(f"{where}: unknown keypoint {shown(label)} (known: {known})")
    point = inside(_pixels(value, ("x", "y"), size, where), size, f"{where}: {shown_text(label)}")
    found.keypoints[region_id] = label, np.array([*point, SEEN])
    if result.get("parentID"):
        found.parents[region_id] = str(result["parentID"])


def _choices(value: Any, where: str) -> list[Any]:
    require(value, ("choices",), f"{where}: value")
    if not isinstance(value["choices"], list):
        raise ValueError(f"{where}: value.choices is {shown(value['choices'])}, expected a list")
    return value["choices"]


def _require_same_image(result: Mapping[str, Any], size: Size, where: str) -> None:
    """Checks that a region's percents are of the image as it was suggested."""
    if finite(result.get("image_rotation") or 0, f"{where}: image_rotation") % 360:
        raise ValueError(f"{where}: its image was turned in Label Studio; turn it back and export")
    for key, expected in zip(("original_width", "original_height"), size, strict=True):
        if result.get(key) and whole(result[key], f"{where}: {key}") != expected:
            raise ValueError(
                f"{where}: {key} is {result[key]}, expected {expected}: another image, or one "
                "whose size has changed since it was suggested"
            )


def _label(value: Any, kind: str, where: str) -> str:
    """The region's only label."""
    require(value, (kind,), f"{where}: value")
    labels = value[kind]
    if not (isinstance(labels, list) and len(labels) == 1 and isinstance(labels[0], str)):
        raise ValueError(f"{where}: value.{kind} is {shown(labels)}, expected one label")
    return labels[0]


def _pixels(value: Mapping[str, Any], keys: Sequence[str], size: Size, where: str) -> np.ndarray:
    """(2,) what stands under two keys in percent of the image's sides."""
    require(value, keys, f"{where}: value")
    percent = [finite(value[key], f"{where}: value.{key}") for key in keys]
    return np.array([number / 100 * side for number, side in zip(percent, size, strict=True)])


def _box(value: Mapping[str, Any], size: Size, where: str) -> np.ndarray:
    """(4,) xyxy in pixels, inside the image: the bound of a rectangle, which may be turned about
    its first corner, in degrees clockwise."""
    corner = _pixels(value, ("x", "y"), size, where)
    width, height = _pixels(value, ("width", "height"), size, where)
    turn = math.radians(finite(value.get("rotation") or 0, f"{where}: value.rotation"))
    along = np.array([math.cos(turn), math.sin(turn)]) * width
    down = np.array([-math.sin(turn), math.cos(turn)]) * height
    corners = corner + np.array([0 * along, along, down, along + down])
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    if not turn:
        box = inside(box.reshape(2, 2), size, f"{where}: a corner").ravel()
    box = np.clip(box, 0, [*size, *size])
    if not has_area(box):
        raise ValueError(f"{where}: is a rectangle without size; remove it")
    return box
