"""How the drawn people move: ranges of joint angles for a score of everyday and playful motions.

A body is fifteen rigid segments (`SEGMENTS`). Each has three angles against its parent, in degrees:
*flex* (limbs: forward, elbows and knees: bending; spine: forward; foot: toes down), *abduct*
(limbs: away from the body; spine: to the person's right) and *twist* (limbs: outwards; spine: to
the person's left). All zero is a person who stands upright with hanging arms. The signs are the
same for both sides, so a motion is mirrored by exchanging the rows of left and right.
"""

import numpy as np

SEGMENTS = (
    "pelvis",
    "chest",
    "head",
    *("upper_arm_l", "forearm_l", "hand_l", "upper_arm_r", "forearm_r", "hand_r"),
    *("thigh_l", "shank_l", "foot_l", "thigh_r", "shank_r", "foot_r"),
)
MIRRORED = [0, 1, 2, 6, 7, 8, 3, 4, 5, 12, 13, 14, 9, 10, 11]
"""The row of `SEGMENTS` that each row takes in a mirrored motion."""

Range = tuple[float, float]
Ranges = tuple[Range, Range, Range]

REST: dict[str, Ranges] = {
    "pelvis": ((-6, 8), (-5, 5), (-8, 8)),
    "chest": ((-6, 12), (-8, 8), (-15, 15)),
    "head": ((-18, 28), (-14, 14), (-48, 48)),
    "upper_arm": ((-18, 24), (4, 22), (-25, 20)),
    "forearm": ((4, 45), (0, 0), (-30, 30)),
    "hand": ((-20, 30), (-12, 12), (-40, 40)),
    "thigh": ((-8, 10), (1, 11), (-4, 16)),
    "shank": ((0, 12), (0, 0), (-3, 3)),
    "foot": ((-6, 6), (-3, 3), (0, 14)),
}
"""What a segment does in a motion that does not name it."""

MOTIONS: dict[str, tuple[float, dict[str, Ranges]]] = {
    "stand": (1.4, {}),
    "hands_on_hips": (
        0.7,
        {
            "upper_arm": ((-28, -8), (38, 56), (-75, -45)),
            "forearm": ((82, 108), (0, 0), (0, 0)),
            "thigh": ((-4, 6), (4, 18), (0, 20)),
        },
    ),
    "arms_crossed": (
        0.5,
        {
            "upper_arm": ((22, 42), (4, 16), (-70, -45)),
            "forearm": ((85, 115), (0, 0), (0, 0)),
        },
    ),
    "walk": (
        1.5,
        {
            "thigh_l": ((8, 36), (0, 5), (0, 8)),
            "shank_l": ((0, 30), (0, 0), (0, 0)),
            "thigh_r": ((-28, 0), (0, 5), (0, 8)),
            "shank_r": ((5, 50), (0, 0), (0, 0)),
            "foot_r": ((0, 35), (0, 0), (0, 8)),
            "upper_arm_l": ((-35, -5), (3, 14), (-15, 5)),
            "upper_arm_r": ((5, 35), (3, 14), (-15, 5)),
        },
    ),
    "run": (
        1.5,
        {
            "chest": ((4, 22), (-6, 6), (-22, 5)),
            "thigh_l": ((35, 85), (0, 8), (-4, 8)),
            "shank_l": ((45, 105), (0, 0), (0, 0)),
            "thigh_r": ((-32, 0), (0, 6), (-4, 8)),
            "shank_r": ((5, 95), (0, 0), (0, 0)),
            "foot_r": ((15, 50), (0, 0), (0, 5)),
            "upper_arm_l": ((-62, -25), (8, 26), (-30, -5)),
            "upper_arm_r": ((15, 62), (4, 20), (-30, -5)),
            "forearm": ((65, 118), (0, 0), (0, 0)),
        },
    ),
    "jump": (
        1.1,
        {
            "pelvis": ((-15, 22), (-16, 16), (-20, 20)),
            "chest": ((-22, 18), (-16, 16), (-25, 25)),
            "upper_arm": ((-40, 170), (25, 125), (-40, 50)),
            "forearm": ((0, 70), (0, 0), (-20, 20)),
            "thigh": ((-30, 85), (2, 42), (-8, 22)),
            "shank": ((5, 118), (0, 0), (0, 0)),
            "foot": ((20, 52), (0, 0), (0, 12)),
        },
    ),
    "star": (
        0.7,
        {
            "upper_arm": ((-12, 18), (58, 155), (-20, 60)),
            "forearm": ((0, 38), (0, 0), (-20, 20)),
            "thigh": ((-8, 15), (18, 46), (0, 25)),
            "foot": ((0, 35), (-5, 5), (0, 20)),
        },
    ),
    "cheer": (
        1.0,
        {
            "upper_arm": ((125, 185), (2, 48), (-30, 30)),
            "forearm": ((0, 75), (0, 0), (-20, 20)),
        },
    ),
    "reach": (
        1.1,
        {
            "chest": ((-12, 22), (0, 24), (-28, 10)),
            "upper_arm_l": ((85, 182), (-5, 42), (-25, 25)),
            "forearm_l": ((0, 42), (0, 0), (-20, 20)),
            "upper_arm_r": ((-38, 55), (5, 62), (-35, 20)),
            "thigh_l": ((-12, 45), (0, 14), (0, 10)),
            "foot": ((0, 32), (-3, 3), (0, 12)),
        },
    ),
    "wave": (
        0.6,
        {
            "upper_arm_l": ((0, 40), (70, 115), (40, 85)),
            "forearm_l": ((70, 125), (0, 0), (0, 0)),
        },
    ),
    "bend": (
        0.9,
        {
            "pelvis": ((22, 58), (-8, 8), (-12, 12)),
            "chest": ((20, 52), (-14, 14), (-28, 28)),
            "upper_arm": ((50, 112), (2, 26), (-25, 15)),
            "forearm": ((0, 48), (0, 0), (-15, 15)),
            "thigh": ((22, 75), (2, 18), (-4, 14)),
            "shank": ((4, 60), (0, 0), (0, 0)),
            "head": ((-42, 12), (-10, 10), (-32, 32)),
        },
    ),
    "sit": (
        1.2,
        {
            "pelvis": ((-16, 10), (-6, 6), (-10, 10)),
            "chest": ((-5, 26), (-10, 10), (-22, 22)),
            "thigh": ((72, 98), (2, 26), (-4, 22)),
            "shank": ((62, 112), (0, 0), (-6, 6)),
            "upper_arm": ((2, 62), (4, 28), (-45, -5)),
            "forearm": ((28, 100), (0, 0), (-15, 15)),
        },
    ),
    "squat": (
        0.8,
        {
            "pelvis": ((8, 32), (-6, 6), (-10, 10)),
            "chest": ((5, 34), (-8, 8), (-18, 18)),
            "thigh": ((85, 128), (6, 34), (0, 20)),
            "shank": ((88, 138), (0, 0), (-4, 4)),
            "upper_arm": ((22, 98), (2, 32), (-35, 5)),
            "forearm": ((8, 92), (0, 0), (-15, 15)),
            "foot": ((-22, 22), (-3, 3), (0, 10)),
        },
    ),
    "kick": (
        1.0,
        {
            "pelvis": ((-26, 4), (-10, 10), (-20, 20)),
            "thigh_l": ((38, 102), (0, 26), (-5, 16)),
            "shank_l": ((0, 48), (0, 0), (0, 0)),
            "foot_l": ((0, 42), (0, 0), (0, 8)),
            "thigh_r": ((-14, 14), (0, 10), (0, 10)),
            "shank_r": ((4, 34), (0, 0), (0, 0)),
            "upper_arm": ((-48, 62), (14, 86), (-25, 25)),
            "forearm": ((8, 72), (0, 0), (-20, 20)),
        },
    ),
    "throw": (
        1.0,
        {
            "chest": ((-22, 16), (-14, 6), (-42, 0)),
            "upper_arm_r": ((-22, 26), (62, 112), (45, 96)),
            "forearm_r": ((38, 118), (0, 0), (0, 0)),
            "upper_arm_l": ((22, 92), (0, 48), (-25, 15)),
            "thigh_l": ((12, 58), (0, 18), (0, 12)),
            "shank_l": ((8, 58), (0, 0), (0, 0)),
            "thigh_r": ((-28, 4), (4, 22), (0, 24)),
        },
    ),
    "swing": (
        0.8,
        {
            "chest": ((4, 32), (-12, 12), (-52, 52)),
            "upper_arm_l": ((32, 98), (-24, 8), (-35, 5)),
            "upper_arm_r": ((32, 98), (-24, 8), (-35, 5)),
            "forearm": ((12, 68), (0, 0), (-15, 15)),
            "thigh": ((2, 38), (6, 24), (0, 20)),
            "shank": ((6, 48), (0, 0), (0, 0)),
        },
    ),
    "lunge": (
        0.9,
        {
            "chest": ((-6, 36), (-12, 12), (-25, 25)),
            "thigh_l": ((48, 92), (0, 16), (0, 10)),
            "shank_l": ((42, 98), (0, 0), (0, 0)),
            "thigh_r": ((-38, -6), (0, 18), (0, 22)),
            "shank_r": ((4, 62), (0, 0), (0, 0)),
            "foot_r": ((-22, 12), (0, 0), (0, 10)),
            "upper_arm": ((-32, 108), (4, 62), (-30, 20)),
            "forearm": ((4, 92), (0, 0), (-15, 15)),
        },
    ),
    "kneel": (
        0.5,
        {
            "thigh": ((-4, 62), (2, 20), (0, 10)),
            "shank": ((82, 138), (0, 0), (-4, 4)),
            "foot": ((12, 58), (0, 0), (0, 8)),
            "upper_arm": ((0, 72), (3, 36), (-35, 10)),
            "forearm": ((8, 98), (0, 0), (-15, 15)),
        },
    ),
    "crawl": (
        0.12,
        {
            "pelvis": ((68, 92), (-8, 8), (-10, 10)),
            "chest": ((-4, 22), (-10, 10), (-12, 12)),
            "head": ((-58, -12), (-10, 10), (-28, 28)),
            "upper_arm": ((62, 110), (0, 20), (-18, 10)),
            "forearm": ((0, 30), (0, 0), (-10, 10)),
            "thigh": ((62, 108), (0, 14), (0, 8)),
            "shank": ((72, 104), (0, 0), (0, 0)),
            "foot": ((20, 55), (0, 0), (0, 5)),
        },
    ),
    "lie": (
        0.12,
        {
            "pelvis": ((-95, -72), (-12, 12), (-60, 60)),
            "upper_arm": ((-12, 62), (5, 100), (-30, 40)),
            "forearm": ((0, 98), (0, 0), (-15, 15)),
            "thigh": ((-6, 68), (2, 24), (0, 20)),
            "shank": ((0, 98), (0, 0), (0, 0)),
        },
    ),
    "cartwheel": (
        0.2,
        {
            "pelvis": ((-22, 22), (75, 200), (-15, 15)),
            "upper_arm": ((150, 188), (0, 38), (-15, 15)),
            "forearm": ((0, 18), (0, 0), (0, 0)),
            "thigh": ((-22, 28), (4, 58), (0, 15)),
            "foot": ((10, 42), (0, 0), (0, 8)),
        },
    ),
}
"""Relative chance and ranges of each motion; a name without side stands for both, drawn apart."""


def _table(named: dict[str, Ranges]) -> np.ndarray:
    """Ranges (15, 3, 2) of one motion, the resting ones where it names none."""
    rows = []
    for segment in SEGMENTS:
        both = segment.removesuffix("_l").removesuffix("_r")
        rows.append(named.get(segment) or named.get(both) or REST[both])
    return np.array(rows, float)


_NAMES = tuple(MOTIONS)
_TABLES = np.stack([_table(named) for _, named in MOTIONS.values()])
_CHANCES = np.cumsum([chance for chance, _ in MOTIONS.values()])
_BREADTH = 0.75
"""Share of a range, about its middle, in which angles are drawn: with all joints near their ends
a pose looks strained."""
_SHAKE = np.array([4.0, 3.0, 4.0])


def draw_motion(rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """A motion's name and the angles (15, 3) of one moment of it: flex, abduct, twist, degrees."""
    name = _NAMES[int(np.searchsorted(_CHANCES, rng.random() * _CHANCES[-1], side="right"))]
    angles = draw_moment(rng, name)
    return name, mirrored(angles) if rng.random() < 0.5 else angles


def draw_moment(rng: np.random.Generator, motion: str) -> np.ndarray:
    """The angles (15, 3) of one moment of a motion, left and right as its ranges name them."""
    low, high = np.moveaxis(_TABLES[_NAMES.index(motion)], -1, 0)
    share = 0.5 + _BREADTH * (rng.random((15, 3)) - 0.5)
    angles = low + (high - low) * share + _SHAKE * rng.standard_normal((15, 3))
    hinges = [4, 7, 10, 13]
    angles[hinges, 0] = angles[hinges, 0].clip(0, 145)
    angles[hinges, 1] = 0.0
    return angles


def mirrored(angles: np.ndarray) -> np.ndarray:
    """The angles (15, 3) of the same moment seen in a mirror."""
    angles = angles[MIRRORED]
    angles[:3, 1:] *= -1
    return angles
