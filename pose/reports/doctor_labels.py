"""What people's boxes, areas and keypoints say against each other, one small check a kind."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from pose.geometry import box_iou
from pose.metrics.oks import oks
from pose.reports.doctor_file import Labels
from pose.reports.doctor_kinds import Finding
from pose.reports.doctor_sides import swapped_sides
from pose.skeleton import UNIFORM_SIGMA

BORDER = 1.5
"""Pixels by which a box or a keypoint may lie outside: counting from 0 or 1, and rounding."""

FAR = 0.3
"""Of the box's longer side: keypoints further outside lie beyond the crop of any network."""

TINY = 0.25
"""Of the box's longer side: people of `ENOUGH` keypoints that reach less far."""

ENOUGH = 8

THIN = 0.01
"""Of the box: an area below it. The thinnest of COCO's people fill 5 % of theirs."""

ALIKE = 0.85
"""OKS of the labels of two people above which they may be one: people who label one person reach
about that."""

SAME_BOX = 0.98
"""IoU of two boxes that are taken for one."""

Says = tuple[int, str]
"""A row of `Labels`, and what is wrong with it."""


def label_findings(labels: Labels) -> list[Finding]:
    """All that `CHECKS` finds, and people labelled twice."""
    if labels.skeleton is None:
        return []
    findings = [
        Finding(kind, labels.called(row), says, int(labels.image_index[row]), people=(row,))
        for kind, check in CHECKS.items()
        for row, says in check(labels)
    ]
    if len(labels) and not labels.labelled.any():
        says = f"none of {len(labels)} annotations has a labelled keypoint"
        findings.append(Finding("nobody has keypoints", "annotations", says))
    return [*findings, *_doubles(labels)]


def oks_sigmas(labels: Labels) -> np.ndarray:
    """(K,) the skeleton's sigmas, or uniform ones."""
    assert labels.skeleton is not None
    given = labels.skeleton.sigmas
    return np.array(given or [UNIFORM_SIGMA] * labels.skeleton.num_keypoints)


def by_image(labels: Labels, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Those of `rows` that lie in a listed image, image by image: its place, and the rows."""
    rows = rows[labels.image_index[rows] >= 0]
    rows = rows[np.argsort(labels.image_index[rows], kind="stable")]
    places, starts = np.unique(labels.image_index[rows], return_index=True)
    return zip(places.tolist(), np.split(rows, starts[1:]), strict=False)


def _beyond(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(N, ...) pixels by which points (N, ..., 2) lie outside low..high (N, ..., 2)."""
    return np.maximum(low - points, points - high).max(axis=-1).clip(0)


def _listed(labels: Labels, found: np.ndarray) -> list[str]:
    """Names of the keypoints found (K,), the first few."""
    assert labels.skeleton is not None
    names = [labels.skeleton.keypoints[k] for k in np.flatnonzero(found)]
    return names[:4] + ["..."] * (len(names) > 4)


def _rows(found: np.ndarray, says: Callable[[int], str]) -> Iterator[Says]:
    return ((row, says(row)) for row in np.flatnonzero(found).tolist())


def _no_size(labels: Labels) -> Iterable[Says]:
    sides = labels.sides
    # The published rule takes one pixel from every box.
    flat = np.any(sides <= 1, axis=1)
    return _rows(flat, lambda i: f"is {sides[i, 0]:g} x {sides[i, 1]:g} pixels")


def _shown_box(labels: Labels, row: int) -> str:
    left, top, *_ = labels.boxes[row]
    width, height = labels.sides[row]
    return f"bbox [{left:.0f}, {top:.0f}, {width:.0f}, {height:.0f}]"


def _shown_in(labels: Labels, row: int) -> str:
    width, height = labels.person_sizes[row]
    return f"{_shown_box(labels, row)} in an image of {width:.0f} x {height:.0f}"


def _outside(labels: Labels) -> np.ndarray:
    low, high = labels.boxes[:, :2], labels.boxes[:, 2:]
    apart = np.any(high <= 0, axis=1) | np.any(low >= labels.person_sizes - 1, axis=1)
    return apart & (labels.sides > 0).all(axis=1)


def _as_corners(labels: Labels) -> np.ndarray:
    """Boxes that leave the image as stated, and fit image and keypoints as corners."""
    sizes, boxes = labels.person_sizes, labels.boxes
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    leave = _beyond(boxes[:, 2:], np.zeros(2), sizes) > BORDER
    fit = (corners[:, 2:] <= sizes + BORDER).all(axis=1)
    fit &= (corners[:, 2:] > corners[:, :2]).all(axis=1)
    far = _beyond(labels.keypoints, corners[:, None, :2], corners[:, None, 2:])
    near = np.where(labels.labelled, far, 0).max(axis=1, initial=0)
    longest = (corners[:, 2:] - corners[:, :2]).max(axis=1)
    return leave & fit & (near <= 0.1 * longest) & labels.labelled.any(axis=1)


def _past_border(labels: Labels) -> Iterable[Says]:
    past = np.maximum(
        _beyond(labels.boxes[:, :2], np.zeros(2), labels.person_sizes),
        _beyond(labels.boxes[:, 2:], np.zeros(2), labels.person_sizes),
    )
    found = (past > BORDER) & ~_outside(labels) & ~_as_corners(labels)
    return _rows(found, lambda i: f"{_shown_in(labels, i)}: by {past[i]:.0f} pixels")


def _points_in_box(labels: Labels) -> np.ndarray:
    """(N, K) pixels outside the box; 0 for those without label."""
    far = _beyond(labels.keypoints, labels.boxes[:, None, :2], labels.boxes[:, None, 2:])
    return np.where(labels.labelled, far, 0)


def _holds_none(labels: Labels) -> np.ndarray:
    known, whole = labels.labelled, (labels.sides > 0).all(axis=1)
    outside = (_points_in_box(labels) > BORDER) | ~known
    # Of one or two keypoints, a hand beyond the visible part is common.
    return outside.all(axis=1) & (known.sum(axis=1) >= 3) & whole & ~_as_corners(labels)


def _far_points(labels: Labels) -> Iterable[Says]:
    share = _points_in_box(labels) / np.maximum(labels.sides.max(axis=1), 1e-9)[:, None]
    whole = (labels.sides > 0).all(axis=1) & ~_holds_none(labels) & ~_as_corners(labels)
    found = (share > FAR) & whole[:, None]
    return _rows(
        found.any(axis=1),
        lambda i: f"{', '.join(_listed(labels, found[i]))} by {share[i].max():.0%} of the box",
    )


def _tiny_in_box(labels: Labels) -> Iterable[Says]:
    known = labels.labelled[..., None]
    low = np.where(known, labels.keypoints, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, labels.keypoints, -np.inf).max(axis=1, initial=-np.inf)
    reach = (high - low).max(axis=1) / np.maximum(labels.sides.max(axis=1), 1e-9)
    found = (reach < TINY) & (known.sum(axis=(1, 2)) >= ENOUGH)
    return _rows(found, lambda i: f"keypoints reach over {reach[i]:.0%} of its longer side")


def _areas(labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """(N,) areas, and those of boxes that have one (else nan)."""
    boxes = labels.sides.clip(0).prod(axis=1)
    return labels.areas, np.where(boxes > 0, boxes, np.nan)


def _area_says(labels: Labels) -> Callable[[int], str]:
    areas, boxes = _areas(labels)
    return lambda i: f"area {areas[i]:g}, the box's is {boxes[i]:g}"


def _outside_image(labels: Labels, visibility: int) -> Iterable[Says]:
    sizes = labels.person_sizes[:, None]
    past = _beyond(labels.keypoints, np.zeros(2), sizes - 1)
    found = (past > BORDER) & labels.labelled & (labels.visibility == visibility)
    return _rows(
        found.any(axis=1),
        lambda i: f"{', '.join(_listed(labels, found[i]))} by {past[i][found[i]].max():.0f} px",
    )


def _with_places(labels: Labels) -> np.ndarray:
    """(N, K) unlabelled keypoints that have a place none the less."""
    return (labels.visibility == 0) & (np.abs(np.nan_to_num(labels.keypoints)).max(axis=-1) > 0)


def _unseen(labels: Labels) -> Iterable[Says]:
    nobody = ~np.any(labels.visibility > 0, axis=1)
    found = _with_places(labels) & nobody[:, None]
    return _rows(found.any(axis=1), lambda i: f"{found[i].sum()} keypoints have visibility 0")


def _at_origin(labels: Labels) -> Iterable[Says]:
    found = labels.labelled & (np.abs(labels.keypoints).max(axis=-1) == 0)
    return _rows(found.any(axis=1), lambda i: ", ".join(_listed(labels, found[i])))


def _wrong_count(labels: Labels) -> Iterable[Says]:
    actual = (labels.visibility > 0).sum(axis=1)
    readable = np.isfinite(labels.keypoints).all(axis=(1, 2))
    found = (labels.counted != actual) & (labels.counted >= 0) & readable
    return _rows(found, lambda i: f"says {labels.counted[i]}, {actual[i]} are labelled")


def _without(labels: Labels) -> Iterable[Says]:
    readable = np.isfinite(labels.keypoints).all(axis=(1, 2))
    found = readable & ~(labels.visibility > 0).any(axis=1) & ~_with_places(labels).any(axis=1)
    return _rows(found, lambda _: "no keypoint is labelled")


def _sides_exchanged(labels: Labels) -> Iterable[Says]:
    assert labels.skeleton is not None
    if not labels.skeleton.mirrored:
        return iter(())
    visibility = labels.visibility * labels.labelled
    return swapped_sides(labels.skeleton, np.nan_to_num(labels.keypoints), visibility)


CHECKS: dict[str, Callable[[Labels], Iterable[Says]]] = {
    "box without size": _no_size,
    "box outside the image": lambda s: _rows(_outside(s), lambda i: _shown_in(s, i)),
    "box in the form x1, y1, x2, y2": lambda s: _rows(_as_corners(s), lambda i: _shown_in(s, i)),
    "box holds none of its keypoints": lambda s: _rows(
        _holds_none(s), lambda i: f"{_shown_box(s, i)}, {s.labelled[i].sum()} keypoints elsewhere"
    ),
    "area 0 or below": lambda s: _rows(s.areas <= 0, lambda i: f"area {s.areas[i]:g}"),
    "seen keypoint outside the image": lambda s: _outside_image(s, 2),
    "num_keypoints wrong": _wrong_count,
    "box beyond the image": _past_border,
    "keypoints far outside the box": _far_points,
    "box far larger than its keypoints": _tiny_in_box,
    "area larger than the box": lambda s: _rows(
        _areas(s)[0] > 1.02 * _areas(s)[1] + 1, _area_says(s)
    ),
    "area far below the box": lambda s: _rows(
        (s.areas > 0) & (s.areas < THIN * _areas(s)[1]), _area_says(s)
    ),
    "hidden keypoint outside the image": lambda s: _outside_image(s, 1),
    "keypoints without visibility": _unseen,
    "keypoint at 0, 0": _at_origin,
    "left and right look exchanged": _sides_exchanged,
    "person without keypoints": _without,
    "num_keypoints missing": lambda s: _rows(s.counted < 0, lambda _: "has no num_keypoints"),
}
"""Kind -> the people in whom it is found."""


def _doubles(labels: Labels) -> Iterator[Finding]:
    """Two people of one image that are one: to the letter, by OKS, or by their box."""
    sigmas, known = oks_sigmas(labels), labels.labelled
    for image, members in by_image(labels, np.arange(len(labels))):
        overlaps = np.triu(box_iou(np.nan_to_num(labels.boxes[members]),
                                   np.nan_to_num(labels.boxes[members])), 1)  # fmt: skip
        for i, j in zip(*np.nonzero(overlaps > 0.5), strict=True):
            a, b = int(members[i]), int(members[j])
            kind, says = _double(labels, a, b, float(overlaps[i, j]), known, sigmas)
            if kind:
                where = f"{labels.called(b)} and {labels.called(a)}"
                yield Finding(kind, where, says, image, people=(b, a))


def _double(
    labels: Labels, a: int, b: int, overlap: float, known: np.ndarray, sigmas: np.ndarray
) -> tuple[str, str]:
    shared = known[a] & known[b]
    same_box = overlap > SAME_BOX
    if shared.any() and (known[a] == known[b]).all() and same_box:
        gap = np.abs(labels.keypoints[a] - labels.keypoints[b])[shared]
        if gap.max() == 0:
            return "the same person twice", f"{shared.sum()} keypoints are at the same places"
    if shared.sum() >= 4 and shared.sum() >= 0.6 * max(known[a].sum(), known[b].sum()):
        area = max(float(labels.areas[[a, b]].mean()), 1.0)
        likeness = float(oks(labels.keypoints[a], labels.keypoints[b], area, sigmas, shared))
        if likeness > ALIKE:
            return "nearly the same person twice", f"OKS of one to the other is {likeness:.2f}"
    return ("the same box twice", f"IoU {overlap:.2f}") if same_box else ("", "")
