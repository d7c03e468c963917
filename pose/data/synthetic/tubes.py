"""The measures of the body: tubes of elliptic rings for trunk, head, limbs, hair and held things.

Rings stand in their segment's frame (see `figure`), in statures; about those of a grown-up.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pose.data.synthetic.figure import FOREARM, SHANK, THIGH, UPPER_ARM, WAIST

_Ring = tuple[float, float, float, float, float]


def _limb(length: float, *radii: float) -> tuple[_Ring, ...]:
    """Rings down a limb: rounded ends, `radii` at even steps between."""
    steps = np.linspace(0, length, len(radii))
    rings = [(0.0, -float(y), 0.0, r, r) for y, r in zip(steps, radii, strict=True)]
    top = (0.0, 0.8 * radii[0], 0.0, 0.45 * radii[0], 0.45 * radii[0])
    end = (0.0, -length - 0.8 * radii[-1], 0.0, 0.45 * radii[-1], 0.45 * radii[-1])
    return (top, *rings, end)


@dataclass(frozen=True)
class Tube:
    """Rings (x, y, z, radius u, radius v) of one part; axis: the direction the tube runs in."""

    part: str
    segment: str
    rings: tuple[_Ring, ...]
    axis: str = "y"


_TORSO: tuple[_Ring, ...] = (
    (0, -0.065, 0.0, 0.045, 0.040),
    (0, -0.040, 0.0, 0.083, 0.060),
    (0, 0.000, -0.004, 0.096, 0.068),
    (0, 0.050, 0.0, 0.085, 0.060),
    (0, 0.000 + WAIST, 0.003, 0.078, 0.057),
    (0, 0.050 + WAIST, 0.005, 0.087, 0.064),
    (0, 0.100 + WAIST, 0.006, 0.098, 0.070),
    (0, 0.145 + WAIST, 0.003, 0.104, 0.066),
    (0, 0.180 + WAIST, 0.0, 0.094, 0.054),
    (0, 0.205 + WAIST, 0.0, 0.056, 0.040),
    (0, 0.220 + WAIST, 0.0, 0.030, 0.030),
)
_HEAD: tuple[_Ring, ...] = (
    (0, 0.040, 0.030, 0.010, 0.012),
    (0, 0.048, 0.024, 0.024, 0.030),
    (0, 0.064, 0.016, 0.034, 0.045),
    (0, 0.088, 0.012, 0.041, 0.052),
    (0, 0.115, 0.010, 0.0435, 0.055),
    (0, 0.140, 0.008, 0.040, 0.051),
    (0, 0.158, 0.006, 0.028, 0.036),
    (0, 0.168, 0.006, 0.008, 0.010),
)
_HAIR: tuple[_Ring, ...] = (
    (0, 0.060, -0.026, 0.030, 0.020),
    (0, 0.085, -0.017, 0.044, 0.035),
    (0, 0.118, -0.008, 0.0475, 0.047),
    (0, 0.144, 0.001, 0.0455, 0.051),
    (0, 0.166, 0.003, 0.032, 0.040),
    (0, 0.178, 0.002, 0.008, 0.010),
)
_LONG_HAIR: tuple[_Ring, ...] = (
    (0, 0.120, -0.020, 0.046, 0.036),
    (0, 0.070, -0.030, 0.053, 0.032),
    (0, 0.020, -0.040, 0.056, 0.025),
    (0, -0.030, -0.052, 0.048, 0.020),
    (0, -0.060, -0.056, 0.024, 0.010),
)
_TAIL: tuple[_Ring, ...] = (
    (0, 0.150, -0.045, 0.010, 0.010),
    (0, 0.135, -0.068, 0.022, 0.018),
    (0, 0.090, -0.078, 0.020, 0.016),
    (0, 0.035, -0.070, 0.008, 0.008),
)
_BRIM: tuple[_Ring, ...] = (
    (0, 0.142, 0.050, 0.040, 0.012),
    (0, 0.136, 0.075, 0.036, 0.006),
    (0, 0.128, 0.098, 0.022, 0.004),
)
_NOSE: tuple[_Ring, ...] = (
    (0, 0.112, 0.060, 0.005, 0.006),
    (0, 0.092, 0.066, 0.009, 0.012),
    (0, 0.084, 0.064, 0.009, 0.010),
    (0, 0.080, 0.060, 0.003, 0.004),
)
_EAR: tuple[_Ring, ...] = (
    (0.037, 0.100, 0.004, 0.008, 0.014),
    (0.045, 0.101, 0.002, 0.012, 0.018),
    (0.049, 0.101, 0.000, 0.007, 0.012),
)
_FOOT: tuple[_Ring, ...] = (
    (0, -0.022, -0.042, 0.012, 0.010),
    (0, -0.014, -0.034, 0.022, 0.025),
    (0, -0.012, 0.005, 0.025, 0.030),
    (0, -0.022, 0.050, 0.028, 0.020),
    (0, -0.028, 0.092, 0.026, 0.013),
    (0, -0.030, 0.108, 0.013, 0.008),
)
_HAND: tuple[_Ring, ...] = (
    (0, 0.005, 0, 0.013, 0.012),
    (0, -0.020, 0, 0.014, 0.021),
    (0, -0.050, 0, 0.012, 0.025),
    (0, -0.080, 0.004, 0.008, 0.019),
    (0, -0.096, 0.006, 0.003, 0.008),
)
_BAT: tuple[_Ring, ...] = (
    (0, -0.055, -0.060, 0.009, 0.009),
    (0, -0.055, 0.150, 0.010, 0.010),
    (0, -0.055, 0.320, 0.022, 0.022),
    (0, -0.055, 0.420, 0.024, 0.024),
    (0, -0.055, 0.440, 0.010, 0.010),
)
_RACKET: tuple[_Ring, ...] = (
    (0, -0.055, -0.040, 0.008, 0.008),
    (0, -0.055, 0.160, 0.008, 0.008),
    (0, -0.055, 0.200, 0.006, 0.045),
    (0, -0.055, 0.270, 0.006, 0.070),
    (0, -0.055, 0.340, 0.006, 0.045),
    (0, -0.055, 0.360, 0.004, 0.010),
)


def _ball(radius: float, y: float) -> tuple[_Ring, ...]:
    angles = np.radians([8, 40, 75, 105, 140, 172])
    rings = zip(y + radius * np.cos(angles), radius * np.sin(angles), strict=True)
    return tuple((0.0, float(h), 0.01, float(r), float(r)) for h, r in rings)


def all_tubes() -> Iterable[Tube]:
    """All tubes a figure may wear, both sides."""
    yield Tube("torso", "chest", _TORSO)
    yield Tube("neck", "head", ((0, -0.020, -0.006, 0.034, 0.034), (0, 0.075, 0.002, 0.029, 0.030)))
    yield Tube("head", "head", _HEAD)
    yield Tube("nose", "head", _NOSE)
    yield Tube("hair", "head", _HAIR)
    yield Tube("long_hair", "head", _LONG_HAIR)
    yield Tube("tail", "head", _TAIL)
    yield Tube("brim", "head", _BRIM)
    for side in ("_l", "_r"):
        yield Tube("upper_arm", "upper_arm" + side, _limb(UPPER_ARM, 0.033, 0.031, 0.028, 0.025))
        yield Tube("forearm", "forearm" + side, _limb(FOREARM, 0.025, 0.026, 0.021, 0.016))
        yield Tube("hand", "hand" + side, _HAND)
        yield Tube("thigh", "thigh" + side, _limb(THIGH, 0.055, 0.053, 0.045, 0.037))
        yield Tube("shank", "shank" + side, _limb(SHANK, 0.037, 0.039, 0.030, 0.022))
        yield Tube("foot", "foot" + side, _FOOT, "z")
        ear = tuple((x if side == "_l" else -x, y, z, u, v) for x, y, z, u, v in _EAR)
        yield Tube("ear", "head", ear, "x")
    yield Tube("bat", "hand_r", _BAT, "z")
    yield Tube("racket", "hand_r", _RACKET, "z")
    yield Tube("ball", "hand_r", _ball(0.062, -0.10))
