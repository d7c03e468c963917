"""The skin of a figure: tubes of elliptic rings round its segments, and flat patches for the face.

Everything is a four-cornered face with a colour. Rings stand in their segment's frame (see
`figure`), in statures; two neighbouring rings of a tube span a strip of `SIDES` faces. Side 0
begins at the person's left and runs over the front.
"""

from dataclasses import dataclass

import numpy as np

from pose.data.synthetic.figure import FACE, WAIST, Figure
from pose.data.synthetic.motions import SEGMENTS
from pose.data.synthetic.outfit import Outfit
from pose.data.synthetic.tubes import all_tubes

SIDES = 10
_TURN = 2 * np.pi * np.arange(SIDES) / SIDES


@dataclass(frozen=True, eq=False)
class _Table:
    """The tubes as arrays: R rings, S strips between them.

    centres (R, 3), spokes (R, SIDES, 3), segments (R,); strips (S,) is the first ring of each,
    parts (S,) its part, along (S,) its middle's place along the tube in 0..1.
    """

    centres: np.ndarray
    spokes: np.ndarray
    segments: np.ndarray
    is_head: np.ndarray
    strips: np.ndarray
    parts: np.ndarray
    along: np.ndarray


def _build_table() -> _Table:
    centres, spokes, segments, strips, parts, along = [], [], [], [], [], []
    planes = {"y": (0, 2), "z": (0, 1), "x": (2, 1)}
    for tube in all_tubes():
        count = len(tube.rings)
        for step, (x, y, z, u, v) in enumerate(tube.rings):
            low_torso = tube.part == "torso" and y < 0.06
            centres.append((x, y - WAIST if tube.part == "torso" and not low_torso else y, z))
            segments.append(SEGMENTS.index("pelvis" if low_torso else tube.segment))
            spoke = np.zeros((SIDES, 3))
            first, second = planes[tube.axis]
            spoke[:, first], spoke[:, second] = u * np.cos(_TURN), v * np.sin(_TURN)
            spokes.append(spoke)
            if step + 1 < count:
                strips.append(len(centres) - 1)
                parts.append(tube.part)
                along.append((step + 0.5) / (count - 1))
    index = np.array(segments)
    return _Table(
        centres=np.array(centres, float),
        spokes=np.stack(spokes),
        segments=index,
        is_head=(index == SEGMENTS.index("head"))[:, None],
        strips=np.array(strips),
        parts=np.array(parts),
        along=np.array(along),
    )


TABLE = _build_table()
_NEXT = np.roll(np.arange(SIDES), -1)


@dataclass(frozen=True, eq=False)
class Faces:
    """F faces in the body frame: corners (F, 4, 3), inside (F, 3) a point behind each, colours
    (F, 3) RGB 0..255 unlit, lift (F,) statures by which a patch is painted nearer than it lies,
    held (F,) whether the face belongs to a thing in the hand and not to the person."""

    corners: np.ndarray
    inside: np.ndarray
    colours: np.ndarray
    lift: np.ndarray
    held: np.ndarray


def build_faces(figure: Figure, outfit: Outfit) -> Faces:
    """All faces of a dressed figure."""
    scale = np.where(TABLE.is_head, figure.build.head_scale, figure.build.girth)
    places = TABLE.centres * np.where(TABLE.is_head, figure.build.head_scale, 1.0)
    local = places[:, None] + TABLE.spokes * scale[..., None]
    turned = figure.rotations[TABLE.segments]
    rings = np.einsum("rij,rsj->rsi", turned, local) + figure.origins[TABLE.segments][:, None]
    worn = outfit.worn(TABLE.parts)
    first = TABLE.strips[worn]
    colours = outfit.strip_colours(TABLE.parts[worn], TABLE.along[worn], SIDES)
    held = np.repeat(np.isin(TABLE.parts[worn], ("bat", "racket", "ball")), SIDES)
    upper, lower = rings[first], rings[first + 1]
    if outfit.skirt:
        upper_hem, lower_hem = _skirt(figure, outfit.skirt)
        upper, lower = np.concatenate([upper, upper_hem]), np.concatenate([lower, lower_hem])
        colours = np.concatenate([colours, outfit.skirt_colours(len(upper_hem), SIDES)])
        held = np.concatenate([held, np.zeros(len(upper_hem) * SIDES, bool)])
    corners = np.stack([upper, upper[:, _NEXT], lower[:, _NEXT], lower], 2).reshape(-1, 4, 3)
    inside = 0.5 * (upper.mean(1) + lower.mean(1)).repeat(SIDES, 0)
    patches, behind, patch_colours, lift = _patches(figure, outfit)
    return Faces(
        corners=np.concatenate([corners, patches]),
        inside=np.concatenate([inside, behind]),
        colours=np.concatenate([colours.reshape(-1, 3), patch_colours]),
        lift=np.concatenate([np.zeros(len(corners)), lift]),
        held=np.concatenate([held, np.zeros(len(patches), bool)]),
    )


def _skirt(figure: Figure, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower rings (3, SIDES, 3) of a skirt that follows both thighs."""
    hips = figure.origins[[9, 12]].mean(0)
    knees = figure.origins[[10, 13]].mean(0)
    across = figure.rotations[0][:, 0]
    down = knees - hips
    down /= max(float(np.linalg.norm(down)), 1e-6)
    across = across - down * (across @ down)
    across /= max(float(np.linalg.norm(across)), 1e-6)
    front = np.cross(across, down)
    apart = 0.5 * np.abs(np.stack([across, front]) @ (figure.origins[10] - figure.origins[13]))
    waist = hips + figure.rotations[0] @ np.array([0, 0.06, 0])
    rings = []
    for share in (0.0, 0.35, 0.7, 1.0):
        reach = share * length
        centre = waist + (hips + (knees - hips) * reach - waist) * min(1.0, 3 * share)
        wide = (0.092 + 0.03 * reach) * figure.build.girth + max(0.0, apart[0] - 0.05) * reach
        deep = (0.074 + 0.045 * reach) * figure.build.girth + apart[1] * reach
        turn = np.cos(_TURN)[:, None] * across * wide + np.sin(_TURN)[:, None] * front * deep
        rings.append(centre + turn)
    stacked = np.stack(rings)
    return stacked[:-1], stacked[1:]


_EYE, _BROW, _MOUTH = (0.0085, 0.0048), (0.010, 0.0022), (0.014, 0.0036)
# segment, place, half width along, half height along, colour slot, lift
_PATCHES: list[tuple[str, tuple[float, float, float], np.ndarray, np.ndarray, str, float]] = []
for _side in (1, -1):
    _x, _y, _z = FACE["left_eye" if _side == 1 else "right_eye"]
    _flat = np.array([0.93, 0, -0.36 * _side])
    _up = np.array([0, 1.0, 0.0])
    _PATCHES += [
        ("head", (_x, _y, _z), _flat * _EYE[0], _up * _EYE[1], "eye_white", 0.012),
        ("head", (_x, _y, _z + 0.001), _flat * 0.0040, _up * 0.0046, "iris", 0.016),
        ("head", (_x, _y + 0.012, _z), _flat * _BROW[0], _up * _BROW[1], "brow", 0.012),
    ]
_PATCHES += [
    ("head", (0, 0.066, 0.062), np.array([_MOUTH[0], 0, 0]), _up * _MOUTH[1], "mouth", 0.012),
    ("chest", (0, 0.110, 0.078), np.array([0.040, 0, 0]), _up * 0.026, "logo", 0.020),
    ("chest", (0, 0.110, -0.068), np.array([0.045, 0, 0]), _up * 0.034, "number", 0.020),
]
_PATCH_SEGMENT = np.array([SEGMENTS.index(patch[0]) for patch in _PATCHES])
_PATCH_PLACE = np.array([patch[1] for patch in _PATCHES], float)
_PATCH_CORNERS = np.stack(
    [np.stack([-u - v, u - v, u + v, v - u]) for _, _, u, v, _, _ in _PATCHES]
)
_PATCH_SLOT = [patch[4] for patch in _PATCHES]
_PATCH_LIFT = np.array([patch[5] for patch in _PATCHES])


def _patches(
    figure: Figure, outfit: Outfit
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Eyes, brows, mouth and prints: corners, points behind, colours, lift of those worn."""
    keep = [i for i, slot in enumerate(_PATCH_SLOT) if slot in outfit.colours]
    segments = _PATCH_SEGMENT[keep]
    head = segments == SEGMENTS.index("head")
    scale = np.where(head, figure.build.head_scale, figure.build.girth)[:, None]
    local = (_PATCH_PLACE[keep][:, None] + _PATCH_CORNERS[keep]) * scale[..., None]
    turned, origins = figure.rotations[segments], figure.origins[segments]
    corners = np.einsum("pij,pcj->pci", turned, local) + origins[:, None]
    centre = np.where(head[:, None], [0, 0.10, 0.0], [0, 0.11, 0.0])
    behind = np.einsum("pij,pj->pi", turned, centre * scale) + origins
    colours = np.array([outfit.colours[_PATCH_SLOT[i]] for i in keep], float)
    return corners, behind, colours, _PATCH_LIFT[keep]
