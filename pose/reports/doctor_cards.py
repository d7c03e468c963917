"""Examples of findings: the picture with its label drawn over it, beside a closer look."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import cv2
import numpy as np
from tqdm import tqdm

from pose.images import ImageFolder, swap_red_blue
from pose.reports.doctor_file import Labels
from pose.reports.doctor_kinds import Finding
from pose.reports.gallery import CROP, cut
from pose.reports.markup import Markup, picture_address, tag

EXAMPLES = 6
"""Of each kind."""

BYTES = 9_000_000
"""Of all pictures together; examples beyond have none."""

MARGIN = 0.15
"""Of what a closer look shows, on every side."""

MOST = 30
"""People of an image whose labels are drawn."""

UNIT = 1000
"""Units that a panel is wide."""

View = tuple[float, float, float]
"""Left, top and width in image pixels of what a panel shows; it is 4/3 as high."""


def cards(
    findings: Sequence[Finding],
    labels: Labels,
    images: ImageFolder | None,
    others: ImageFolder | None = None,
) -> dict[str, list[Markup]]:
    """The first examples of each kind; `others` holds the pictures of the other split."""
    chosen = [
        finding
        for _, members in groupby(sorted(findings, key=lambda f: f.kind), key=lambda f: f.kind)
        for finding in _spread(list(members))
    ]
    room = [BYTES]
    made: dict[str, list[Markup]] = {}
    for finding in tqdm(chosen, desc="examples", unit="example", leave=False, disable=None):
        card = _card(finding, labels, images, others or images, room)
        if card is not None:
            made.setdefault(finding.kind, []).append(card)
    return made


def _spread(findings: Sequence[Finding]) -> list[Finding]:
    """Examples from all over the list, not its beginning alone."""
    shown = [finding for finding in findings if finding.image >= 0]
    places = np.unique(np.linspace(0, max(len(shown) - 1, 0), EXAMPLES).round().astype(int))
    return [shown[place] for place in places] if shown else []


def _card(
    finding: Finding,
    labels: Labels,
    images: ImageFolder | None,
    others: ImageFolder | None,
    room: list[int],
) -> Markup | None:
    picture = _read(images, labels.names[finding.image])
    if picture is None and not finding.people:
        return None
    height, width = (0, 0) if picture is None else picture.shape[:2]
    size = (width, height) if picture is not None else tuple(labels.sizes[finding.image].tolist())
    panels = []
    if all(size):
        drawn = list(_drawn(finding, labels, whole_view(*size)))
        panels.append(_panel(picture, whole_view(*size), drawn, "image", room))
    if finding.other is not None:
        other = _read(others if finding.across else images, finding.other)
        if other is not None:
            panels.append(_panel(other, whole_view(*other.shape[1::-1]), [], finding.other, room))
    elif not finding.people and not finding.boxes and all(size):
        rows = np.flatnonzero(labels.image_index == finding.image)[:MOST].tolist()
        view = whole_view(*size)
        drawn = list(_drawn(replace(finding, people=rows), labels, view))
        panels.append(_panel(picture, view, drawn, "its labels", room))
    elif (closer := closer_view(finding, labels, size)) is not None:
        drawn = list(_drawn(finding, labels, closer))
        panels.append(_panel(picture, closer, drawn, "closer", room))
    if not panels:
        return None
    caption = tag(
        "figcaption",
        tag("b", finding.where),
        tag("small", finding.says),
        tag("small", labels.name_of(finding.image)),
    )
    return tag("figure", tag("div", panels, class_="pair"), caption, class_="card")


def _read(images: ImageFolder | None, name: str | None) -> np.ndarray | None:
    """None for what is not there or cannot be read, which is a finding of its own."""
    if images is None or name is None:
        return None
    try:
        return images.read(name)
    except (OSError, ValueError):
        return None


def whole_view(width: int, height: int) -> View:
    """All of an image."""
    shown = max(width, height * CROP[0] / CROP[1])
    return (width - shown) / 2, (height - shown * CROP[1] / CROP[0]) / 2, shown


def closer_view(finding: Finding, labels: Labels, size: tuple[int, int]) -> View | None:
    """What the finding speaks of; None where it is no place in the image, or none near it."""
    corners = [np.asarray(box, float).reshape(2, 2) for box in finding.boxes]
    for row in finding.people:
        corners.append(labels.boxes[row].reshape(2, 2))
        corners.append(labels.keypoints[row][labels.labelled[row]])
    points = np.concatenate(corners) if corners else np.zeros((0, 2))
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return None
    if all(size):
        # Of what leads far away only the beginning is shown.
        points = points.clip(-0.3 * np.array(size), 1.3 * np.array(size))
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.maximum((high - low) * (1 + 2 * MARGIN), 24)
    width = max(extent[0], extent[1] * CROP[0] / CROP[1])
    if width > 1e5:
        return None
    middle = (low + high) / 2
    return (
        float(middle[0] - width / 2),
        float(middle[1] - width * CROP[1] / CROP[0] / 2),
        float(width),
    )


def _panel(
    picture: np.ndarray | None, view: View, drawn: list[Markup], title: str, room: list[int]
) -> Markup:
    parts: list[Markup] = []
    if picture is not None:
        part = swap_red_blue(cut(picture, view))
        done, data = cv2.imencode(".webp", part, [cv2.IMWRITE_WEBP_QUALITY, 60])
        assert done
        room[0] -= len(data)
        if room[0] > 0:
            parts.append(tag("image", href=picture_address(data.tobytes()), width=UNIT,
                             height=round(UNIT * CROP[1] / CROP[0], 2)))  # fmt: skip
    drawing = tag("svg", parts, drawn, viewBox=f"0 0 {UNIT} {UNIT * CROP[1] // CROP[0]}",
                  role="img")  # fmt: skip
    return tag("div", drawing, tag("span", title))


def _drawn(finding: Finding, labels: Labels, view: View) -> Iterator[Markup]:
    """Boxes and keypoints of the label; in red what else the finding is about."""
    for row in finding.people:
        yield from _box(labels.boxes[row], view, "limb m")
        yield from _pose(labels, row, view)
    for box in finding.boxes:
        yield from _box(np.asarray(box, float), view, "wrong")
    for point in np.asarray(finding.points, float).reshape(-1, 2):
        if np.isfinite(point).all():
            x, y = _place(point, view)
            yield tag("circle", cx=x, cy=y, r=20, stroke_width=8, class_="wrong")


def _box(box: np.ndarray, view: View, kind: str) -> Iterator[Markup]:
    if np.isfinite(box).all():
        (left, top), (right, bottom) = _place(box[:2], view), _place(box[2:], view)
        place: Mapping[str, float] = {"x": min(left, right), "y": min(top, bottom)}
        sides = {"width": abs(right - left), "height": abs(bottom - top)}
        yield tag("rect", **place, **sides, stroke_width=7, class_=kind)


def _pose(labels: Labels, row: int, view: View) -> Iterator[Markup]:
    skeleton, known = labels.skeleton, labels.labelled[row]
    if skeleton is None:
        return
    sides = ["m"] * skeleton.num_keypoints
    for left, right in skeleton.mirrored:
        sides[skeleton.index(left)], sides[skeleton.index(right)] = "l", "r"
    places = [_place(point, view) for point in np.nan_to_num(labels.keypoints[row])]
    for a, b in skeleton.limb_index.tolist():
        if known[a] and known[b]:
            ends = {"x1": places[a][0], "y1": places[a][1], "x2": places[b][0], "y2": places[b][1]}
            color = sides[a] if sides[a] == sides[b] else "m"
            yield tag("line", **ends, stroke_width=17, class_="rim")
            yield tag("line", **ends, stroke_width=10, class_=f"limb {color}")
    for k in np.flatnonzero(known).tolist():
        x, y = places[k]
        hidden = " hidden" if labels.visibility[row, k] == 1 else ""
        name = tag("title", skeleton.keypoints[k])
        yield tag("circle", name, cx=x, cy=y, r=12, stroke_width=5, class_=sides[k] + hidden)


def _place(point: np.ndarray, view: View) -> tuple[int, int]:
    """A point of the image in a panel's units; what lies far outside stays near it."""
    left, top, width = view
    x, y = (point - np.array([left, top])) / width * UNIT
    return round(math.copysign(min(abs(x), 1e4), x)), round(math.copysign(min(abs(y), 1e4), y))
