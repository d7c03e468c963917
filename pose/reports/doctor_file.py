"""An annotation file as it is: every entry read by itself, every fault noted, none of them final.

Loaders stop at the first mistake; here what can be read is, and the rest is nan or -1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pose.geometry import xywh_to_xyxy
from pose.records import MAX_PIXEL, file_name, finite, pixels, read_json, shown, whole
from pose.reports.doctor_categories import Category, read_categories
from pose.reports.doctor_fields import MISSING, attempt, called, repeated
from pose.reports.doctor_kinds import Finding
from pose.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Labels:
    """I images and N annotations of the first category that are no crowds."""

    path: Path
    category: Category
    """K is 0 where none lists keypoints."""
    names: list[str | None]
    image_ids: np.ndarray
    """(I,) int64; -1 where it cannot be read."""
    sizes: np.ndarray
    """(I, 2) width, height; 0 where not stated."""
    entries: np.ndarray
    """(N,) places in the file's list of annotations."""
    ids: np.ndarray
    """(N,); -1 where it cannot be read."""
    image_index: np.ndarray
    """(N,) places among the images; -1 for an unknown one."""
    boxes: np.ndarray
    """(N, 4) float64 xyxy as stated; nan where it cannot be read."""
    keypoints: np.ndarray
    """(N, K, 2) float64; nan where they cannot be read."""
    visibility: np.ndarray
    """(N, K) int; 0 where it cannot be read."""
    areas: np.ndarray
    """(N,); nan where it cannot be read, the box's where it is not stated."""
    counted: np.ndarray
    """(N,) num_keypoints as stated; -1 where it is not."""
    annotations: int
    crowds: int
    findings: list[Finding]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def skeleton(self) -> Skeleton | None:
        return self.category.skeleton

    @cached_property
    def labelled(self) -> np.ndarray:
        """(N, K) whether a keypoint is labelled and can be read."""
        return (self.visibility > 0) & np.isfinite(self.keypoints).all(axis=-1)

    @cached_property
    def sides(self) -> np.ndarray:
        """(N, 2) width and height of boxes; nan where they cannot be read."""
        return self.boxes[:, 2:] - self.boxes[:, :2]

    @cached_property
    def person_sizes(self) -> np.ndarray:
        """(N, 2) of each person's image; nan where it is unknown."""
        known = self.image_index >= 0
        sizes = np.full((len(self), 2), np.nan)
        sizes[known] = self.sizes[self.image_index[known]]
        sizes[(sizes <= 0).any(axis=1)] = np.nan
        return sizes

    def called(self, row: int) -> str:
        """What people find an annotation by."""
        return called("annotation", int(self.entries[row]), int(self.ids[row]))

    def name_of(self, image: int) -> str:
        """The file name of an image, for people."""
        return (self.names[image] if image >= 0 else None) or "an image without a name"


def read_labels(path: Path) -> Labels:
    """The file's content; ValueError or FileNotFoundError only where there is none to look at."""
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise ValueError(f"{path}: holds no list of images, expected a COCO annotation file")
    category, findings = read_categories(content)
    images = content["images"]
    names, ids, sizes = _images(images, findings)
    first: dict[int, int] = {}
    for place, image_id in enumerate(ids):
        if image_id != MISSING:
            first.setdefault(image_id, place)
    given = content.get("annotations", [])
    if not isinstance(given, list):
        findings.append(Finding("malformed entry", "annotations", "is no list"))
        given = []
    rows = list(_people(given, category, first, findings))
    return _columns(path, category, names, ids, sizes, rows, given, findings)


def _images(
    images: Sequence[Any], findings: list[Finding]
) -> tuple[list[str | None], list[int], list[tuple[int, int]]]:
    names: list[str | None] = []
    ids: list[int] = []
    sizes: list[tuple[int, int]] = []
    for place, entry in enumerate(images):
        where = f"images[{place}]"
        if not isinstance(entry, dict):
            findings.append(Finding("malformed entry", where, f"is {shown(entry)}, no object"))
            entry = {}
            image_id, name, size = None, None, (0, 0)
        else:
            image_id, wrong_id = attempt(whole, entry, "id")
            name, wrong_name = attempt(file_name, entry, "file_name")
            size, wrong_size = _size(entry)
            for says in filter(None, (wrong_id, wrong_name, wrong_size)):
                findings.append(Finding("malformed entry", where, says, place))
            if not all(size) and not wrong_size:
                says = "has no width and height"
                findings.append(Finding("size not stated", where, says, place))
        if image_id == 0:
            findings.append(Finding("image id 0", where, f"{name}: its id is 0", place))
        names.append(name)
        ids.append(MISSING if image_id is None else image_id)
        sizes.append(size)
    for place, before in repeated(ids):
        says = f"id {ids[place]} is that of images[{before}], {names[before]}, too"
        findings.append(Finding("duplicate image id", f"images[{place}]", says, place))
    known: dict[str, int] = {}
    for place, name in enumerate(names):
        before = place if name is None else known.setdefault(name, place)
        if before != place:
            says = f"{name} is that of images[{before}] too"
            findings.append(Finding("file name twice", f"images[{place}]", says, place))
    return names, ids, sizes


def _size(entry: Mapping[str, Any]) -> tuple[tuple[int, int], str | None]:
    values = []
    for field in ("width", "height"):
        value, wrong = (0, None) if entry.get(field) is None else attempt(whole, entry, field)
        if wrong is None and not 0 <= value <= MAX_PIXEL:
            wrong = f"{field} is {value}, which no image has"
        if wrong:
            return (0, 0), wrong
        values.append(value)
    return (values[0], values[1]), None


@dataclass(frozen=True, eq=False)
class _Person:
    place: int
    own_id: int
    image: int
    box: np.ndarray
    triplets: np.ndarray
    area: float
    counted: int
    crowd: bool


def _people(
    given: Sequence[Any], category: Category, images: Mapping[int, int], findings: list[Finding]
) -> Iterator[_Person]:
    """The annotations of the category, crowds among them; findings of all annotations."""
    ids = []
    for place, entry in enumerate(given):
        if not isinstance(entry, dict):
            says = f"is {shown(entry)}, no object"
            findings.append(Finding("malformed entry", f"annotation {place}", says))
            ids.append(MISSING)
            continue
        own_id, wrong = attempt(whole, entry, "id")
        own_id = MISSING if own_id is None else own_id
        ids.append(own_id)
        where = called("annotation", place, own_id)
        image_id, wrong_image = attempt(whole, entry, "image_id")
        image = images.get(image_id, MISSING)
        category_id, wrong_category = attempt(whole, entry, "category_id")
        for says in filter(None, (wrong, wrong_image, wrong_category)):
            findings.append(Finding("malformed entry", where, says, image, place))
        if own_id == 0:
            findings.append(Finding("annotation id 0", where, "its id is 0", image, place))
        if image == MISSING and not wrong_image:
            says = f"image_id {image_id} is not listed"
            findings.append(Finding("annotation of an unknown image", where, says))
        if category_id not in category.ids and not wrong_category:
            says = f"category_id {category_id} is not listed"
            findings.append(Finding("annotation of an unknown category", where, says, image))
        if category_id == category.main or category_id is None:
            yield _person(entry, place, own_id, image, category, findings)
    for place, before in repeated(ids):
        says = f"id {ids[place]} is that of annotation {before} too"
        where = called("annotation", place, ids[place])
        findings.append(Finding("duplicate annotation id", where, says, entry=place))


def _person(
    entry: Mapping[str, Any],
    place: int,
    own_id: int,
    image: int,
    category: Category,
    findings: list[Finding],
) -> _Person:
    where = called("annotation", place, own_id)

    def note(kind: str, says: str | None) -> None:
        if says:
            findings.append(Finding(kind, where, says, image, place))

    def optional(read: Callable[..., Any], field: str, default: Any) -> Any:
        if field not in entry:
            return default
        value, wrong = attempt(read, entry, field)
        note("malformed entry", wrong)
        return default if wrong else value

    crowd = optional(whole, "iscrowd", 0)
    if crowd not in (0, 1):
        note("malformed entry", f"iscrowd is {crowd}, expected 0 or 1")
    box, wrong = attempt(lambda value, field: pixels(value, 4, field), entry, "bbox")
    note("malformed entry", wrong)
    if wrong:
        box = np.full(4, np.nan)
    area = optional(finite, "area", float(box[2] * box[3]))
    triplets = np.full((category.num_keypoints, 3), np.nan)
    if category.num_keypoints and not crowd:
        triplets = _keypoints(entry, category.num_keypoints, note)
    counted = optional(whole, "num_keypoints", MISSING)
    return _Person(place, own_id, image, xywh_to_xyxy(box), triplets, area, counted, bool(crowd))


def _keypoints(
    entry: Mapping[str, Any], count: int, note: Callable[[str, str | None], None]
) -> np.ndarray:
    """(K, 3); nan where they cannot be read."""
    values = entry.get("keypoints")
    if isinstance(values, list) and len(values) != 3 * count:
        says = f"keypoints has {len(values)} values, expected {3 * count}"
        note("wrong number of keypoint values", says)
        return np.full((count, 3), np.nan)
    triplets, wrong = attempt(
        lambda value, field: pixels(value, 3 * count, field), entry, "keypoints"
    )
    note("malformed entry", wrong)
    if wrong:
        return np.full((count, 3), np.nan)
    triplets = triplets.reshape(count, 3)
    odd = ~np.isin(triplets[:, 2], (0, 1, 2))
    if odd.any():
        found = ", ".join(f"{v:g}" for v in np.unique(triplets[odd, 2])[:5])
        note("visibility not 0, 1 or 2", f"visibility {found} of {odd.sum()} keypoints")
        triplets[odd, 2] = 0
    return triplets


def _columns(
    path: Path,
    category: Category,
    names: list[str | None],
    ids: list[int],
    sizes: list[tuple[int, int]],
    rows: list[_Person],
    given: Sequence[Any],
    findings: list[Finding],
) -> Labels:
    people = [row for row in rows if not row.crowd]
    k = category.num_keypoints
    triplets = np.array([p.triplets for p in people], float).reshape(len(people), k, 3)
    return Labels(
        path=path,
        category=category,
        names=names,
        image_ids=np.array(ids, np.int64),
        sizes=np.array(sizes, np.int64).reshape(-1, 2),
        entries=np.array([p.place for p in people], np.int64),
        ids=np.array([p.own_id for p in people], np.int64),
        image_index=np.array([p.image for p in people], np.int64),
        boxes=np.array([p.box for p in people], float).reshape(-1, 4),
        keypoints=triplets[..., :2],
        visibility=np.nan_to_num(triplets[..., 2]).astype(np.int64),
        areas=np.array([p.area for p in people], float),
        counted=np.array([p.counted for p in people], np.int64),
        annotations=len(given),
        crowds=len(rows) - len(people),
        findings=findings,
    )
