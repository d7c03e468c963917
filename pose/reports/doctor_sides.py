"""Left and right labels that look exchanged, by the geometry of one person's keypoints.

A mirrored pair is the vector from its right to its left keypoint. Pairs that limbs join hang
together: elbows do not pass each other while the shoulders and the wrists stay on their sides, the
trunk does not turn by half a circle between shoulders and hips, and whoever shows both eyes and the
nose has the left eye on the viewer's right.
"""

from collections.abc import Iterator

import numpy as np

from pose.skeleton import Skeleton

OPPOSITE = -0.6
"""A pair whose cosine with its neighbour is below it points the other way."""

WIDE = 0.3
"""Of the distance between two pairs' middles: narrower pairs say nothing, a person seen from the
side has none. Half of that is enough where all neighbours agree."""

LEAST = 5.0
"""Pixels that a pair is wide at least; nearer each other labels are exchanged by their noise."""

FRONT = 0.8
"""Sine of the angle between the eyes and the face's upward direction, from which the face is seen
rather from the front than from the side."""


def swapped_sides(
    skeleton: Skeleton, points: np.ndarray, visibility: np.ndarray
) -> Iterator[tuple[int, str]]:
    """Of people (N, K, 2) with visibility (N, K), those whose left and right look exchanged and by
    what one sees it; each person once."""
    told: dict[int, str] = {}
    pairs = _Pairs(skeleton, points, visibility)
    for found, text in (*_faces(pairs), *_trunks(pairs), *_single_pairs(pairs, skeleton)):
        for person in np.flatnonzero(found).tolist():
            told.setdefault(person, text)
    yield from sorted(told.items())


class _Pairs:
    """The mirrored pairs of N people: vectors, middles, and where both keypoints are labelled."""

    def __init__(self, skeleton: Skeleton, points: np.ndarray, visibility: np.ndarray) -> None:
        self.names = [left for left, _ in skeleton.mirrored]
        sides = [[skeleton.index(name) for name in pair] for pair in skeleton.mirrored]
        left, right = np.array(sides, np.int64).reshape(-1, 2).T
        self.left, self.right = left.tolist(), right.tolist()
        self.vectors = points[:, left] - points[:, right]
        self.middles = (points[:, left] + points[:, right]) / 2
        self.lengths = np.linalg.norm(self.vectors, axis=-1)
        self.labelled = (visibility[:, left] > 0) & (visibility[:, right] > 0)
        self.seen = (visibility[:, left] == 2) & (visibility[:, right] == 2)
        nose = [i for i, name in enumerate(skeleton.keypoints) if name.lower() == "nose"]
        self.nose = points[:, nose[0]] if nose else None
        self.nose_seen = visibility[:, nose[0]] == 2 if nose else None

    def place(self, part: str) -> int | None:
        """The pair whose name holds `part`; None where none or several do."""
        found = [i for i, name in enumerate(self.names) if part in name.lower()]
        return found[0] if len(found) == 1 else None

    def cosine(self, i: int, j: int) -> np.ndarray:
        """(N,) of the angle between two pairs."""
        product = (self.vectors[:, i] * self.vectors[:, j]).sum(axis=-1)
        return product / np.maximum(self.lengths[:, i] * self.lengths[:, j], 1e-9)

    def opposite(self, i: int, j: int, wide: float) -> np.ndarray:
        """(N,) whether both pairs are labelled and wide and point to opposite sides."""
        apart = np.linalg.norm(self.middles[:, i] - self.middles[:, j], axis=-1)
        least = np.maximum(wide * apart, LEAST)
        narrower = np.minimum(self.lengths[:, i], self.lengths[:, j])
        both = self.labelled[:, i] & self.labelled[:, j]
        return both & (narrower >= least) & (self.cosine(i, j) < OPPOSITE)


_MIRRORED = "the face is seen from the front, its left eye on the viewer's left"

Sign = tuple[np.ndarray, str]
"""Who shows it (N,), and what it is."""


def _trunks(pairs: _Pairs) -> Iterator[Sign]:
    shoulders, hips = pairs.place("shoulder"), pairs.place("hip")
    if shoulders is not None and hips is not None:
        yield pairs.opposite(shoulders, hips, WIDE), "shoulders and hips face opposite ways"


def _single_pairs(pairs: _Pairs, skeleton: Skeleton) -> Iterator[Sign]:
    """A pair that is opposite to every labelled neighbour, of which there are two at least."""
    joined = {tuple(sorted(limb)) for limb in skeleton.limb_index.tolist()}
    for i, name in enumerate(pairs.names):
        neighbours = [
            j
            for j in range(len(pairs.names))
            if {tuple(sorted((a[i], a[j]))) for a in (pairs.left, pairs.right)} <= joined
        ]
        if len(neighbours) < 2:
            continue
        both = pairs.labelled[:, [i]] & pairs.labelled[:, neighbours]
        against = np.stack([pairs.opposite(i, j, WIDE / 2) for j in neighbours], axis=1)
        part = name.lower().replace("left", "").strip("_- ")
        yield (
            (both.sum(axis=1) >= 2) & (against == both).all(axis=1),
            f"{part}s are exchanged against all that they are joined to",
        )


def _faces(pairs: _Pairs) -> Iterator[Sign]:
    """Both eyes and the nose are seen: then the face is, and its left is on the viewer's right."""
    eyes, shoulders = pairs.place("eye"), pairs.place("shoulder")
    if eyes is None or pairs.nose is None or pairs.nose_seen is None:
        return
    seen = pairs.seen[:, eyes] & pairs.nose_seen & (pairs.lengths[:, eyes] >= LEAST)
    up = pairs.middles[:, eyes] - pairs.nose
    front = seen & (pairs.lengths[:, eyes] >= 0.7 * np.linalg.norm(up, axis=-1))
    side = _sine(up, pairs.vectors[:, eyes])
    ears = pairs.place("ear")
    if shoulders is None:
        yield front & (side < -FRONT), _MIRRORED
        return
    above = pairs.nose - pairs.middles[:, shoulders]
    upright = pairs.labelled[:, shoulders] & ((up * above).sum(axis=-1) > 0)
    yield front & upright & (side < -FRONT), _MIRRORED
    length = np.linalg.norm(above, axis=-1)
    wide = pairs.lengths[:, shoulders] >= np.maximum(0.9 * length, 2 * LEAST)
    behind = upright & wide & (_sine(above, pairs.vectors[:, shoulders]) < -FRONT)
    frontal = front & (side > FRONT)
    if ears is not None:
        frontal = frontal & pairs.seen[:, ears]
    yield frontal & behind, "the face is seen from the front, the shoulders from behind"


def _sine(up: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(N,) of the angle from `up` to `across`, positive where the left is on the viewer's right
    (y points down)."""
    cross = up[:, 0] * across[:, 1] - up[:, 1] * across[:, 0]
    lengths = np.linalg.norm(up, axis=-1) * np.linalg.norm(across, axis=-1)
    return cross / np.maximum(lengths, 1e-9)
