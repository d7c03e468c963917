"""What stands behind and before the people: walls, floors, clutter; boxes, poles, plants.

The backdrop is painted at image resolution, (H, W, 3) RGB uint8; occluders on the canvas of
`paint`, with its label. Every texture is cut from one bank of noise that is made once a process.
"""

from functools import lru_cache

import cv2
import numpy as np

from pose.data.synthetic.outfit import SKIN, fabric
from pose.data.synthetic.paint import OCCLUDER

BANK = 1024


@lru_cache(maxsize=1)
def noise_bank() -> np.ndarray:
    """(4, BANK, BANK) int8 noise, from fine grain to wide clouds; the same in every process."""
    rng = np.random.default_rng(17)
    layers = []
    for cell in (1, 4, 16, 64):
        layer = np.zeros((BANK, BANK), np.float32)
        for octave in (cell, max(1, cell // 2)):
            coarse = rng.standard_normal((BANK // octave, BANK // octave)).astype(np.float32)
            layer += cv2.resize(coarse, (BANK, BANK), interpolation=cv2.INTER_CUBIC)
        layers.append(np.rint(layer / layer.std() * 32).clip(-127, 127).astype(np.int8))
    return np.stack(layers)


def noise(rng: np.random.Generator, layer: int, width: int, height: int) -> np.ndarray:
    """A random cut (height, width) int8 of the bank, standard deviation 32."""
    tile = noise_bank()[layer]
    if width > BANK or height > BANK:
        tile = np.tile(tile, (-(-height // BANK), -(-width // BANK)))
    y = rng.integers(tile.shape[0] - height + 1)
    x = rng.integers(tile.shape[1] - width + 1)
    return tile[y : y + height, x : x + width]


def _surface(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A wall, a sky or a floor, (height, width, 3) uint8: a gradient and two grains of noise."""
    top, foot = _muted(rng), _muted(rng)
    if rng.random() < 0.7:
        foot = top * rng.uniform(0.6, 1.3)
    ends = np.stack([top, foot]).astype(np.float32)[:, None]
    gradient = cv2.resize(ends, (width, height))
    first, second = (int(layer) for layer in rng.choice(4, 2, replace=False))
    strengths = rng.uniform(0, 0.95, 2) ** 2
    grain = cv2.addWeighted(
        noise(rng, first, width, height),
        strengths[0],
        noise(rng, second, width, height),
        strengths[1],
        0.0,
        dtype=cv2.CV_32F,
    )
    tints = rng.uniform(0.6, 1.2, (3, 1)).astype(np.float32)
    return cv2.add(gradient, cv2.transform(grain, tints), dtype=cv2.CV_8U)


def _muted(rng: np.random.Generator) -> np.ndarray:
    """The colour (3,) of a wide surface: mostly duller than cloth, as places are."""
    colour = fabric(rng)
    return colour + (colour.mean() - colour) * rng.uniform(0, 0.9)


def _colour(rng: np.random.Generator) -> tuple[float, ...]:
    """A colour of clutter; one in eight is of skin, to be mistaken for a limb."""
    shade = SKIN[rng.integers(len(SKIN))] * rng.uniform(0.7, 1.1) if rng.random() < 0.12 else None
    return tuple((fabric(rng) if shade is None else shade.clip(0, 255)).tolist())


def _pattern(rng: np.random.Generator, image: np.ndarray, horizon: int) -> None:
    """Regular structure: boards or bricks on the wall, converging lines on the floor."""
    height, width = image.shape[:2]
    kind = rng.integers(5)
    colour, thick = _colour(rng), int(rng.integers(1, 4))
    step = int(rng.integers(10, 48))
    if kind in (0, 1):
        for x in range(int(rng.integers(step)), width, step):
            cv2.line(image, (x, 0), (x, horizon), colour, thick)
    if kind in (1, 2):
        for y in range(int(rng.integers(step)), max(horizon, 1), max(6, step // 2)):
            cv2.line(image, (0, y), (width, y), colour, thick)
    if kind == 3:
        for x in range(0, width, 2 * step):
            for y in range(int(rng.integers(step)), max(horizon - step, 1), 2 * step):
                cv2.rectangle(image, (x, y), (x + step, y + step), colour, -1)
    if rng.random() < 0.5 and horizon < height - 8:
        colour, centre = _colour(rng), int(rng.uniform(0, width))
        for x in range(-width, 2 * width, 2 * step):
            cv2.line(
                image, (centre + (x - centre) // 3, horizon), (x, height), colour, 1, cv2.LINE_AA
            )
        row, gap = float(horizon), 2.0
        while row < height:
            cv2.line(image, (0, int(row)), (width, int(row)), colour, 1)
            row, gap = row + gap, gap * 1.5


def _limb_like(rng: np.random.Generator, image: np.ndarray, reach: float) -> None:
    """A bent, shaded pipe of two pieces: what an arm or a leg may be mistaken for."""
    height, width = image.shape[:2]
    points = [rng.uniform((0, 0), (width, height))]
    for _ in range(2):
        points.append(points[-1] + rng.normal(0, 0.4 * reach, 2))
    line = np.rint(points).astype(np.int32)
    thick = int(max(2, reach * rng.uniform(0.08, 0.22)))
    colour = np.array(_colour(rng))
    cv2.polylines(image, [line], False, (colour * 0.72).tolist(), thick, cv2.LINE_8)
    cv2.polylines(image, [line - 1], False, colour.tolist(), max(1, thick // 2), cv2.LINE_8)


def _clutter(rng: np.random.Generator, image: np.ndarray) -> None:
    """Boxes, discs, shards, lines and limb-like pipes, few or many."""
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(3, 16))):
        kind, reach = rng.random(), height * rng.uniform(0.04, 0.4) ** 1.2
        x, y = (int(v) for v in rng.uniform((0, 0), (width, height)))
        colour = _colour(rng)
        if kind < 0.25:
            corner = (x + int(reach * rng.uniform(0.3, 2)), y + int(reach * rng.uniform(0.3, 2)))
            cv2.rectangle(image, (x, y), corner, colour, -1 if rng.random() < 0.7 else 2)
        elif kind < 0.4:
            axes = (int(reach * 0.5) + 1, int(reach * rng.uniform(0.2, 0.6)) + 1)
            cv2.ellipse(image, (x, y), axes, rng.uniform(0, 180), 0, 360, colour, -1)
        elif kind < 0.55:
            shard = rng.normal((x, y), reach * 0.6, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(image, [np.rint(shard).astype(np.int32)], colour)
        elif kind < 0.72:
            end = (x + int(rng.normal(0, 2 * reach)), y + int(rng.normal(0, 2 * reach)))
            cv2.line(image, (x, y), end, colour, int(rng.integers(1, 5)), cv2.LINE_AA)
        else:
            _limb_like(rng, image, 1.4 * reach + 12)


def paint_backdrop(rng: np.random.Generator, size: tuple[int, int], horizon: float) -> np.ndarray:
    """The scene without people: (H, W, 3) uint8; `horizon` in rows parts wall from floor."""
    width, height = size
    edge = int(np.clip(horizon, 0, height))
    image = np.empty((height, width, 3), np.uint8)
    for begin, end in ((0, edge), (edge, height)):
        if end > begin:
            image[begin:end] = _surface(rng, width, end - begin)
    if rng.random() < 0.75:
        _pattern(rng, image, edge)
    _clutter(rng, image)
    if rng.random() < 0.3:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 2.2))
    return image


def paint_occluder(
    rng: np.random.Generator, canvas: np.ndarray, place: np.ndarray, reach: float
) -> None:
    """One thing in front of everybody, about canvas point `place` (2,), `reach` pixels large."""
    kind = rng.random()
    colour = np.array(_colour(rng))
    if kind < 0.34:
        _paint_box(canvas, place, reach * rng.uniform((0.3, 0.3), (0.9, 0.8)), rng, colour)
    elif kind < 0.60:
        lean, thick = rng.normal(0, 0.12), max(3, int(reach * rng.uniform(0.07, 0.22)))
        height = canvas.shape[0]
        top = place + np.array([-lean, -1]) * height
        foot = place + np.array([lean, 1]) * (height if rng.random() < 0.7 else reach)
        for shift, width, shade in ((0.0, 1.0, 0.7), (0.12, 0.66, 0.88), (0.2, 0.3, 1.08)):
            ends = [tuple(int(v) for v in end - (shift * thick, 0)) for end in (top, foot)]
            line = (*np.clip(colour * shade, 0, 255).tolist(), OCCLUDER)
            cv2.line(canvas, ends[0], ends[1], line, max(1, int(width * thick)))
    elif kind < 0.86:
        _paint_plant(canvas, place, reach, rng)
    else:
        for row in range(int(rng.integers(2, 5))):
            y = int(place[1] + (row - 1) * reach * 0.3)
            rail = (*colour.tolist(), OCCLUDER)
            cv2.line(canvas, (0, y), (canvas.shape[1], y), rail, max(2, int(reach * 0.05)))


def _paint_box(
    canvas: np.ndarray,
    place: np.ndarray,
    extent: np.ndarray,
    rng: np.random.Generator,
    colour: np.ndarray,
) -> None:
    """A crate or a table top: a front, a lid, a few stripes."""
    x1, y1 = (int(v) for v in place - extent / 2)
    x2, y2 = (int(v) for v in place + extent / 2)
    slant = int(rng.uniform(-0.3, 0.3) * extent[0])
    lid = np.array([(x1, y1), (x2, y1), (x2 + slant, y1 - int(extent[1] * 0.2))])
    lid = np.concatenate([lid, [(x1 + slant, lid[2][1])]]).astype(np.int32)
    cv2.fillPoly(canvas, [lid], (*np.clip(colour * 1.15, 0, 255).tolist(), OCCLUDER))
    cv2.rectangle(canvas, (x1, y1), (x2, y2), (*colour.tolist(), OCCLUDER), -1)
    dark = (*(colour * rng.uniform(0.5, 0.9)).tolist(), OCCLUDER)
    for y in np.linspace(y1, y2, int(rng.integers(2, 6))):
        cv2.line(canvas, (x1, int(y)), (x2, int(y)), dark, 2)


def _paint_plant(
    canvas: np.ndarray, place: np.ndarray, reach: float, rng: np.random.Generator
) -> None:
    """A bush: leaves about a point, in several greens (or in autumn)."""
    count = int(rng.integers(14, 40))
    green = np.array([rng.uniform(20, 150), rng.uniform(60, 170), rng.uniform(10, 70)])
    middles = place + rng.normal(0, 1, (count, 2)) * (0.24 * reach, 0.28 * reach)
    angles = rng.uniform(0, 2 * np.pi, count)
    along = np.stack([np.cos(angles), np.sin(angles)], 1) * (reach * 0.16)
    across = along[:, ::-1] * (0.34, -0.34)
    leaves = np.stack([middles - along, middles + across, middles + along, middles - across], 1)
    shades = rng.uniform(0.55, 1.25, count)
    for leaf, shade in zip(np.rint(leaves).astype(np.int32), shades, strict=True):
        colour = (*np.clip(green * shade, 0, 255).tolist(), OCCLUDER)
        cv2.fillConvexPoly(canvas, leaf, colour)
