"""The articulated body: from joint angles to fifteen rotated segments and the 17 keypoints in 3D.

Body frame: x to the person's left, y up, z to the front; right-handed. The unit of length is the
person's stature. A segment's own frame has its origin in its joint and hangs along -y (limbs) or
stands along +y (spine, head). Lengths are the usual anthropometric shares of stature, rounded.
"""

from dataclasses import dataclass

import numpy as np

from pose.data.synthetic.motions import SEGMENTS, draw_motion
from pose.skeleton import COCO_17

PARENTS = (-1, 0, 1, 1, 3, 4, 1, 6, 7, 0, 9, 10, 0, 12, 13)
SHOULDER_X, SHOULDER_Y = 0.106, 0.185
WAIST, NECK = 0.09, 0.205
UPPER_ARM, FOREARM, THIGH, SHANK, HIP_X = 0.172, 0.150, 0.245, 0.245, 0.052

_OFFSETS = np.zeros((15, 3))
_OFFSETS[1] = 0, WAIST, 0
_OFFSETS[2] = 0, NECK, 0
_OFFSETS[[3, 6]] = (SHOULDER_X, SHOULDER_Y, 0), (-SHOULDER_X, SHOULDER_Y, 0)
_OFFSETS[[4, 7]] = 0, -UPPER_ARM, 0
_OFFSETS[[5, 8]] = 0, -FOREARM, 0
_OFFSETS[[9, 12]] = (HIP_X, 0, 0), (-HIP_X, 0, 0)
_OFFSETS[[10, 13]] = 0, -THIGH, 0
_OFFSETS[[11, 14]] = 0, -SHANK, 0

# rotation senses: flex, abduct, twist of each segment about x, z, y of its parent's frame
_SENSES = np.ones((15, 3))
_SENSES[[3, 4, 5, 6, 7, 8, 9, 12], 0] = -1
_SENSES[[6, 7, 8, 12, 13, 14], 1:] = -1

FACE = {
    "nose": (0.0, 0.090, 0.074),
    "left_eye": (0.0185, 0.113, 0.0605),
    "right_eye": (-0.0185, 0.113, 0.0605),
    "left_ear": (0.0455, 0.100, 0.004),
    "right_ear": (-0.0455, 0.100, 0.004),
}
"""Where the face's keypoints sit in the head's frame, before the head's own scale."""

_JOINTS = {
    "shoulder": "upper_arm",
    "elbow": "forearm",
    "wrist": "hand",
    "hip": "thigh",
    "knee": "shank",
    "ankle": "foot",
}
_DEPTHS = {
    "nose": 0.022,
    "eye": 0.022,
    "ear": 0.024,
    "shoulder": 0.085,
    "elbow": 0.060,
    "wrist": 0.048,
    "hip": 0.110,
    "knee": 0.075,
    "ankle": 0.060,
}


def _keypoint_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Segment (17,), place in its frame (17, 3) and depth under the skin (17,) of each keypoint."""
    segments, places, depths = [], [], []
    for name in COCO_17.keypoints:
        side, _, joint = name.rpartition("_")
        segment = f"{_JOINTS[joint]}_{side[0]}" if joint in _JOINTS else "head"
        segments.append(SEGMENTS.index(segment))
        places.append(FACE.get(name, (0.0, 0.0, 0.0)))
        depths.append(_DEPTHS[joint])
    return np.array(segments), np.array(places), np.array(depths)


KEYPOINT_SEGMENTS, KEYPOINT_PLACES, KEYPOINT_DEPTHS = _keypoint_table()


@dataclass(frozen=True, eq=False)
class Build:
    """What of a body stays the same in every pose: offsets (15, 3) of each segment's joint in its
    parent's frame, and the scales that widen the head and all radii."""

    offsets: np.ndarray
    head_scale: float
    girth: float


@dataclass(frozen=True, eq=False)
class Figure:
    """A posed body.

    rotations (15, 3, 3) and origins (15, 3) take a segment's frame to the body frame; keypoints
    (17, 3) in COCO's order; depths (17,): a keypoint with more body than this before it is hidden
    by the body itself; `build` is what stays the same in another pose.
    """

    motion: str
    rotations: np.ndarray
    origins: np.ndarray
    keypoints: np.ndarray
    depths: np.ndarray
    build: Build


def rotation(angles: np.ndarray) -> np.ndarray:
    """Rotations (N, 3, 3) = Rx(flex) Rz(abduct) Ry(twist) of angles (N, 3) in radians."""
    (cx, cz, cy), (sx, sz, sy) = np.cos(angles).T, np.sin(angles).T
    zero = np.zeros_like(cx)
    rows = (
        (cz * cy, -sz, cz * sy),
        (cx * sz * cy + sx * sy, cx * cz, cx * sz * sy - sx * cy),
        (sx * sz * cy - cx * sy, sx * cz, sx * sz * sy + cx * cy + zero),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def draw_figure(rng: np.random.Generator) -> Figure:
    """One person at random: a motion, a moment of it, proportions of an adult or a child."""
    motion, angles = draw_motion(rng)
    return pose_figure(draw_build(rng), motion, angles)


def draw_build(rng: np.random.Generator) -> Build:
    """Proportions of an adult or, in one of five cases, a child."""
    child = rng.random() < 0.2
    head_scale = rng.uniform(1.2, 1.5) if child else rng.uniform(0.95, 1.15)
    girth = rng.uniform(0.88, 1.28) * (1.08 if child else 1.0)
    offsets = _OFFSETS * rng.uniform(0.94, 1.06, (15, 1))
    for left, right in ((3, 6), (4, 7), (5, 8), (9, 12), (10, 13), (11, 14)):
        offsets[right] = offsets[left] * (-1, 1, 1)
    return Build(offsets, head_scale, girth)


def pose_figure(build: Build, motion: str, angles: np.ndarray) -> Figure:
    """A body of that build in the pose of angles (15, 3), in degrees."""
    local = rotation(np.radians(angles) * _SENSES)
    offsets = build.offsets.copy()
    # a raised arm lifts its shoulder
    offsets[[3, 6], 1] += 0.016 * (1 - local[[3, 6], 1, 1])
    rotations, origins = np.empty((15, 3, 3)), np.zeros((15, 3))
    rotations[0] = local[0]
    for segment in range(1, 15):
        parent = PARENTS[segment]
        rotations[segment] = rotations[parent] @ local[segment]
        origins[segment] = origins[parent] + rotations[parent] @ offsets[segment]
    places = KEYPOINT_PLACES * build.head_scale
    turned = np.einsum("kij,kj->ki", rotations[KEYPOINT_SEGMENTS], places)
    depths = KEYPOINT_DEPTHS * np.where(KEYPOINT_PLACES.any(1), build.head_scale, build.girth)
    return Figure(
        motion=motion,
        rotations=rotations,
        origins=origins,
        keypoints=origins[KEYPOINT_SEGMENTS] + turned,
        depths=depths,
        build=build,
    )
