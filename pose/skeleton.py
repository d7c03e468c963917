"""Skeletons: which keypoints there are, which limbs join them, which of them mirror each other.

Keypoints are addressed by *name*; their order is the order of every array with a K in its shape.
"""

import logging
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)

UNIFORM_SIGMA = 0.07
"""OKS sigma of every keypoint of a skeleton that brings none: about the mean of COCO's 17."""


@dataclass(frozen=True)
class Skeleton:
    """The keypoints of one kind of body.

    limbs are pairs of keypoint names that a drawing joins; mirrored are (left, right) pairs of
    names; upper_body names the keypoints of the half-body augmentation (empty: that augmentation
    is off); sigmas are the K OKS constants, or None where nobody measured them.
    """

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...] = ()
    mirrored: tuple[tuple[str, str], ...] = ()
    upper_body: frozenset[str] = frozenset()
    sigmas: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.keypoints:
            raise ValueError(f"skeleton '{self.name}': needs at least one keypoint name")
        repeated = sorted(k for k, count in Counter(self.keypoints).items() if count > 1)
        if repeated:
            raise ValueError(f"skeleton '{self.name}': repeated keypoint names {repeated}")
        pairs = [name for pair in (*self.limbs, *self.mirrored) for name in pair]
        for name in (*pairs, *self.upper_body):
            self.index(name)
        sides = [name for pair in self.mirrored for name in pair]
        if len(set(sides)) < len(sides):
            twice = sorted({name for name in sides if sides.count(name) > 1})
            raise ValueError(f"skeleton '{self.name}': {twice} stand in two mirrored pairs")
        if self.sigmas is not None and len(self.sigmas) != self.num_keypoints:
            raise ValueError(
                f"skeleton '{self.name}': {len(self.sigmas)} sigmas for "
                f"{self.num_keypoints} keypoints; give one for each"
            )
        if self.sigmas is not None and not all(0 < sigma < np.inf for sigma in self.sigmas):
            raise ValueError(f"skeleton '{self.name}': sigmas must be above 0, got {self.sigmas}")

    @property
    def num_keypoints(self) -> int:
        return len(self.keypoints)

    def index(self, name: str) -> int:
        """The position of keypoint `name`; ValueError names the known ones."""
        try:
            return self.keypoints.index(name)
        except ValueError:
            known = ", ".join(self.keypoints)
            raise ValueError(
                f"skeleton '{self.name}': unknown keypoint '{name}' (known: {known})"
            ) from None

    @cached_property
    def flip_index(self) -> np.ndarray:
        """(K,) int64: `keypoints[flip_index]` swaps left and right."""
        order = np.arange(self.num_keypoints)
        for left, right in self.mirrored:
            i, j = self.index(left), self.index(right)
            order[i], order[j] = j, i
        return order

    @cached_property
    def limb_index(self) -> np.ndarray:
        """(L, 2) int64: the two keypoints of each limb."""
        pairs = [(self.index(a), self.index(b)) for a, b in self.limbs]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    @cached_property
    def upper_index(self) -> np.ndarray:
        """(U,) int64: the upper body's keypoints, ascending."""
        return np.array(sorted(self.index(name) for name in self.upper_body), dtype=np.int64)

    def oks_sigmas(self) -> np.ndarray:
        """(K,) float64 OKS sigmas; a skeleton without any gets a uniform one, with a warning."""
        if self.sigmas is not None:
            return np.array(self.sigmas)
        logger.warning(
            "skeleton '%s' has no OKS sigmas: every keypoint counts with %.2f, so its AP compares "
            'only with itself (give "sigmas" in the annotation file\'s category to set them)',
            self.name,
            UNIFORM_SIGMA,
        )
        return np.full(self.num_keypoints, UNIFORM_SIGMA)


def mirrored_by_name(keypoints: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The (left, right) pairs among names such as left_knee, l_knee, LKnee, knee_left, kneeL.

    A pair is two names that are equal once a leading or trailing side word is exchanged.
    """
    names = tuple(keypoints)
    free = set(names)
    swaps = (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"))
    pairs = []
    for name in names:
        partners = [name.replace(left, right, 1) for left, right in swaps if left in name]
        for left, right in (("l", "r"), ("L", "R")):
            if name.startswith((f"{left}_", f"{left}-", f"{left} ")) or (
                left == "L" and len(name) > 1 and name[0] == "L" and name[1].isupper()
            ):
                partners.append(right + name[1:])
            if name.endswith((f"_{left}", f"-{left}", f" {left}")) or (
                left == "L" and len(name) > 1 and name[-1] == "L" and name[-2].islower()
            ):
                partners.append(name[:-1] + right)
        found = [partner for partner in partners if partner in free]
        if found and name in free:
            pairs.append((name, found[0]))
            free -= {name, found[0]}
    return tuple(pairs)


def skeleton_from_category(category: Mapping[str, Any], source: str = "category") -> Skeleton:
    """The skeleton that a COCO category describes: names, limbs (1-based), optional sigmas.

    Left/right pairs come from the names, unless the category lists them under "mirrored". A
    category with the names of COCO_17 is COCO_17, sigmas included. For others the upper body is
    unknown, so half-body augmentation stays off unless the category lists its names under
    "upper_body". ValueError begins with `source`.
    """
    names, name = category.get("keypoints"), category.get("name")
    if not isinstance(name, str):
        name = "custom"
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise ValueError(
            f"{source}: category {reprlib.repr(name)} has no list of keypoint names; "
            'expected "keypoints": ["nose", ...]'
        )
    if tuple(names) == COCO_17.keypoints:
        return COCO_17
    limbs, given = [], category.get("skeleton") or []
    for limb in given if isinstance(given, list) else [given]:
        inside = isinstance(limb, list) and len(limb) == 2
        if not (inside and all(isinstance(i, int) and 1 <= i <= len(names) for i in limb)):
            raise ValueError(
                f"{source}: category.skeleton holds {reprlib.repr(limb)}; expected pairs of "
                f"keypoint numbers from 1 to {len(names)}"
            )
        limbs.append((names[limb[0] - 1], names[limb[1] - 1]))
    sigmas, mirrored = category.get("sigmas"), category.get("mirrored")
    if isinstance(sigmas, str):
        raise ValueError(f"{source}: category.sigmas is a text; expected a list of numbers")
    if mirrored is None:
        mirrored = mirrored_by_name(names)
    try:
        return Skeleton(
            name=name,
            keypoints=tuple(names),
            limbs=tuple(limbs),
            mirrored=tuple((left, right) for left, right in mirrored),
            upper_body=frozenset(category.get("upper_body") or ()),
            sigmas=None if sigmas is None else tuple(float(s) for s in sigmas),
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{source}: {' '.join(str(error).split()):.300}") from None


def skeleton_to_category(skeleton: Skeleton) -> dict[str, Any]:
    """The COCO category that `skeleton_from_category` reads back, as plain lists."""
    return {
        "id": 1,
        "name": skeleton.name,
        "keypoints": list(skeleton.keypoints),
        "skeleton": (skeleton.limb_index + 1).tolist(),
        "mirrored": [list(pair) for pair in skeleton.mirrored],
        "upper_body": sorted(skeleton.upper_body),
        "sigmas": None if skeleton.sigmas is None else list(skeleton.sigmas),
    }


_COCO_NAMES = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)

COCO_17 = Skeleton(
    name="coco_17",
    keypoints=_COCO_NAMES,
    limbs=(
        ("left_ankle", "left_knee"),
        ("left_knee", "left_hip"),
        ("right_ankle", "right_knee"),
        ("right_knee", "right_hip"),
        ("left_hip", "right_hip"),
        ("left_shoulder", "left_hip"),
        ("right_shoulder", "right_hip"),
        ("left_shoulder", "right_shoulder"),
        ("left_shoulder", "left_elbow"),
        ("right_shoulder", "right_elbow"),
        ("left_elbow", "left_wrist"),
        ("right_elbow", "right_wrist"),
        ("left_eye", "right_eye"),
        ("nose", "left_eye"),
        ("nose", "right_eye"),
        ("left_eye", "left_ear"),
        ("right_eye", "right_ear"),
        ("left_ear", "left_shoulder"),
        ("right_ear", "right_shoulder"),
    ),
    mirrored=mirrored_by_name(_COCO_NAMES),
    upper_body=frozenset(_COCO_NAMES[:11]),
    sigmas=(
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
)
"""COCO's person: names and order of its category, sigmas of its evaluation."""

_MPII_NAMES = (
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "pelvis",
    "thorax",
    "upper_neck",
    "head_top",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
)

MPII_16 = Skeleton(
    name="mpii_16",
    keypoints=_MPII_NAMES,
    limbs=(
        ("right_ankle", "right_knee"),
        ("right_knee", "right_hip"),
        ("right_hip", "pelvis"),
        ("left_ankle", "left_knee"),
        ("left_knee", "left_hip"),
        ("left_hip", "pelvis"),
        ("pelvis", "thorax"),
        ("thorax", "upper_neck"),
        ("upper_neck", "head_top"),
        ("right_wrist", "right_elbow"),
        ("right_elbow", "right_shoulder"),
        ("right_shoulder", "thorax"),
        ("left_shoulder", "thorax"),
        ("left_elbow", "left_shoulder"),
        ("left_wrist", "left_elbow"),
    ),
    mirrored=mirrored_by_name(_MPII_NAMES),
)
"""MPII's person: names and order of its annotations. Its networks train without half bodies, its
evaluation knows no OKS."""
