"""Poses drawn on RGB uint8 images: limbs coloured by side, widths that suit the person's size.

Left is orange, right is blue, the middle is off-white: three colours that stay apart for every
common kind of colour blindness and in grey print. Sides are the person's own and come from the
skeleton's mirrored pairs. A dark rim sets the drawing off from any background.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from pose.geometry import Size
from pose.skeleton import Skeleton
from pose.structures import KEYPOINT_SCORE_THRESHOLD, Person, Poses

Color = tuple[int, int, int]

MIDDLE: Color = (240, 240, 225)
LEFT: Color = (255, 150, 20)
RIGHT: Color = (40, 150, 255)
RIM: Color = (20, 20, 24)
BACKGROUND: Color = (52, 53, 56)

_SIDE_COLORS = (MIDDLE, LEFT, RIGHT, MIDDLE)
"""By the bits of a side: 1 left, 2 right; a limb across, 3, belongs to the middle."""
_FRACTION_BITS = 4
"""OpenCV takes subpixel coordinates as integers with so many binary digits behind the point."""
_FILL_EXCESS = 1.45
"""OpenCV's anti-aliased polygons come out wider than asked by this many pixels (measured)."""
_FARTHEST = 1e5
"""Points further out than this many pixels are not drawn: OpenCV's coordinates would overflow."""


def draw_poses(
    image: np.ndarray,
    poses: Poses,
    *,
    score_threshold: float = KEYPOINT_SCORE_THRESHOLD,
    draw_boxes: bool = False,
    draw_scores: bool = False,
) -> np.ndarray:
    """A copy of `image` (H, W, 3) with predicted poses; those of higher score lie on top.

    Keypoints of a score up to `score_threshold` are left out, and so are limbs that end in one.
    Who is tracked has the id at the box. `draw_scores` writes the person's score there, as the
    result file has it.
    """
    canvas = _checked_copy(image)
    totals = poses.person_scores()
    order = np.argsort(totals, kind="stable")
    for i in order:
        shown = poses.scores[i] > score_threshold
        hollow = np.zeros_like(shown)
        _draw_figure(
            canvas, poses.keypoints[i], shown, hollow, poses.skeleton, poses.boxes[i], draw_boxes
        )
    ids = [""] * len(poses) if poses.track_ids is None else [str(n) for n in poses.track_ids]
    for i in order:
        text = f"{ids[i]} {totals[i]:.2f}".strip() if draw_scores else ids[i]
        if text:
            width = line_width(_extent(canvas, poses.boxes[i], poses.keypoints[i][:0]))
            _draw_label(canvas, text, poses.boxes[i][:2], width)
    return canvas


def draw_people(
    image: np.ndarray,
    people: Sequence[Person],
    skeleton: Skeleton,
    *,
    draw_boxes: bool = False,
) -> np.ndarray:
    """A copy of `image` (H, W, 3) with labelled people; hidden keypoints (visibility 1) hollow."""
    canvas = _checked_copy(image)
    for person in people:
        shown, hollow = person.visibility > 0, person.visibility == 1
        _draw_figure(canvas, person.keypoints, shown, hollow, skeleton, person.box, draw_boxes)
    return canvas


def line_width(extent: float) -> float:
    """Width in pixels of the limbs of a person whose longer side is `extent` pixels.

    It grows more slowly than the person: 1.5 px at 64, 4.7 at 300, 26 at 3000.
    """
    return max(1.2, 0.065 * extent**0.75)


def contact_sheet(
    images: Sequence[np.ndarray],
    columns: int,
    cell: Size,
    captions: Sequence[str] | None = None,
) -> np.ndarray:
    """RGB images of any size, row by row in cells of `cell` = (width, height) pixels, as one.

    Each is scaled to fit, its aspect ratio kept; captions (one an image) stand below, cut where
    they are too long. No images give a sheet of one empty row.
    """
    if columns < 1 or min(cell) < 1:
        raise ValueError(f"contact sheet: expected columns and cell above 0, got {columns}, {cell}")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"contact sheet: {len(captions)} captions for {len(images)} images")
    gap = max(4, min(cell) // 40)
    text_height = 0 if captions is None else 22
    step = (cell[0] + gap, cell[1] + text_height + gap)
    rows = max(1, -(-len(images) // columns))
    sheet = np.full((rows * step[1] + gap, columns * step[0] + gap, 3), BACKGROUND, np.uint8)
    for i, image in enumerate(images):
        left, top = gap + i % columns * step[0], gap + i // columns * step[1]
        sheet[top : top + cell[1], left : left + cell[0]] = letterbox(image, cell)
        if captions is not None:
            text = _cut_text(captions[i], cell[0], 0.45)
            baseline = (left + 2, top + cell[1] + 15)
            cv2.putText(
                sheet, text, baseline, cv2.FONT_HERSHEY_SIMPLEX, 0.45, MIDDLE, 1, cv2.LINE_AA
            )
    return sheet


def letterbox(image: np.ndarray, size: Size) -> np.ndarray:
    """RGB `image` scaled to fit `size`, aspect ratio kept, centred on the neutral background."""
    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(
        image, fitted, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    result = np.full((size[1], size[0], 3), BACKGROUND, np.uint8)
    left, top = (size[0] - fitted[0]) // 2, (size[1] - fitted[1]) // 2
    result[top : top + fitted[1], left : left + fitted[0]] = small
    return result


def _checked_copy(image: np.ndarray) -> np.ndarray:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"drawing: expected (H, W, 3) uint8, got {image.shape} {image.dtype}")
    return image.copy()


def _draw_figure(
    canvas: np.ndarray,
    keypoints: np.ndarray,
    shown: np.ndarray,
    hollow: np.ndarray,
    skeleton: Skeleton,
    box: np.ndarray,
    draw_box: bool,
) -> None:
    """One person onto `canvas`, in place; keypoints (K, 2), shown and hollow (K,) bool."""
    with np.errstate(invalid="ignore"):
        shown = shown & (np.abs(keypoints) < _FARTHEST).all(axis=-1)  # NaN compares false
    width = line_width(_extent(canvas, box, keypoints[shown]))
    if draw_box:
        _draw_box(canvas, box, width)
    if not shown.any():
        return
    margin = 3 * width + 2
    low = np.floor(keypoints[shown].min(axis=0) - margin).clip(0).astype(int)
    high = np.ceil(keypoints[shown].max(axis=0) + margin).clip(0, canvas.shape[1::-1]).astype(int)
    columns, rows = high - low
    if columns <= 0 or rows <= 0:
        return
    # Drawn enlarged on a transparent layer of its own, then averaged down: thin lines stay thin,
    # which OpenCV's anti-aliasing alone does not give. Scattered keypoints must not ask for much.
    enlarged = min(4 if width < 3 else 2 if width < 8 else 1, max(1, 2048 // max(columns, rows)))
    layer = np.zeros((rows * enlarged, columns * enlarged, 4), np.uint8)
    points = (keypoints.astype(np.float64) - low + 0.5) * enlarged - 0.5
    _draw_limbs(layer, points, shown, skeleton, width * enlarged, max(0.8, 0.25 * width) * enlarged)
    _draw_dots(layer, points, shown, hollow, skeleton, width * enlarged)
    layer = cv2.resize(layer, (int(columns), int(rows)), interpolation=cv2.INTER_AREA)
    # Drawing onto transparent black multiplies colours by their coverage, so this is "over".
    region = canvas[low[1] : high[1], low[0] : high[0]]
    uncovered = 255 - layer[..., 3:].astype(np.uint16)
    region[:] = np.minimum(layer[..., :3] + (region * uncovered + 127) // 255, 255)


def _draw_limbs(
    layer: np.ndarray,
    points: np.ndarray,
    shown: np.ndarray,
    skeleton: Skeleton,
    width: float,
    rim: float,
) -> None:
    """All rims first, so that limbs which meet are not cut from each other."""
    sides = _sides(skeleton)
    limbs = [(a, b) for a, b in skeleton.limb_index if shown[a] and shown[b]]
    for a, b in limbs:
        _fill_bar(layer, points[a], points[b], width + 2 * rim, RIM)
    for a, b in limbs:
        _fill_bar(layer, points[a], points[b], width, _SIDE_COLORS[sides[a] | sides[b]])


def _draw_dots(
    layer: np.ndarray,
    points: np.ndarray,
    shown: np.ndarray,
    hollow: np.ndarray,
    skeleton: Skeleton,
    width: float,
) -> None:
    sides = _sides(skeleton)
    for k in np.flatnonzero(shown):
        radius = (1.1 if hollow[k] else 0.85) * width
        _fill_disc(layer, points[k], radius + 0.3 * width, RIM)
        _fill_disc(layer, points[k], radius, _SIDE_COLORS[sides[k]])
        if hollow[k]:
            _fill_disc(layer, points[k], 0.65 * width, RIM)


def _sides(skeleton: Skeleton) -> np.ndarray:
    """(K,) 0 middle, 1 left, 2 right."""
    sides = np.zeros(skeleton.num_keypoints, int)
    for left, right in skeleton.mirrored:
        sides[skeleton.index(left)], sides[skeleton.index(right)] = 1, 2
    return sides


def _fill_bar(
    layer: np.ndarray, start: np.ndarray, end: np.ndarray, width: float, color: Color
) -> None:
    """A bar with flat ends, which the keypoints' dots cover."""
    along = end - start
    length = float(np.hypot(*along))
    if length < 1e-6:
        return
    half = max(0.05, (width - _FILL_EXCESS) / 2)
    across = np.array([-along[1], along[0]]) / length * half
    corners = np.array([start + across, end + across, end - across, start - across])
    cv2.fillConvexPoly(layer, _fixed_point(corners), (*color, 255), cv2.LINE_AA, _FRACTION_BITS)


def _fill_disc(layer: np.ndarray, center: np.ndarray, radius: float, color: Color) -> None:
    x, y = _fixed_point(center)
    size = round(max(0.5, radius - 0.5) * 2**_FRACTION_BITS)  # discs, too, come out half a pixel on
    cv2.circle(
        layer, (int(x), int(y)), size, (*color, 255), cv2.FILLED, cv2.LINE_AA, _FRACTION_BITS
    )


def _fixed_point(points: np.ndarray) -> np.ndarray:
    return np.round(points * 2**_FRACTION_BITS).astype(np.int32)


def _extent(canvas: np.ndarray, box: np.ndarray, keypoints: np.ndarray) -> float:
    """The longer side in pixels of box (4,), or of the keypoints' bound where the box is empty.

    At most the canvas': of a larger person only a part is seen.
    """
    side = np.max(box[2:] - box[:2]) if np.isfinite(box).all() else 0
    if not 0 < side < _FARTHEST:
        side = np.max(np.ptp(keypoints, axis=0)) if len(keypoints) else 0
    return min(float(side), max(canvas.shape[:2]))


def _draw_box(canvas: np.ndarray, box: np.ndarray, width: float) -> None:
    if not (np.abs(box) < _FARTHEST).all():
        return
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    thin = max(1, round(width / 3))
    for thickness, color in ((thin + 1, RIM), (thin, MIDDLE)):
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, thickness)


def _draw_label(canvas: np.ndarray, text: str, corner: np.ndarray, width: float) -> None:
    """`text` on a dark plate above `corner` (2,), moved inside the image where need be."""
    if not (np.abs(corner) < _FARTHEST).all():
        return
    scale = float(np.clip(0.12 * width, 0.45, 4.0))
    thickness = max(1, round(scale * 1.3))
    (text_width, text_height), below = cv2.getTextSize(
        text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness
    )
    pad = max(2, text_height // 4)
    plate = (text_width + 2 * pad, text_height + below + pad)
    x = int(np.clip(corner[0], 0, max(0, canvas.shape[1] - plate[0])))
    y = int(np.clip(corner[1] - plate[1], 0, max(0, canvas.shape[0] - plate[1])))
    cv2.rectangle(canvas, (x, y), (x + plate[0], y + plate[1]), RIM, cv2.FILLED)
    baseline = (x + pad, y + text_height + pad // 2)
    cv2.putText(
        canvas, text, baseline, cv2.FONT_HERSHEY_SIMPLEX, scale, MIDDLE, thickness, cv2.LINE_AA
    )


def _cut_text(text: str, width: int, scale: float) -> str:
    """`text`, its middle cut out where it is wider than `width` pixels."""
    kept = text
    for length in range(len(text) - 1, 0, -1):
        if cv2.getTextSize(kept, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0] <= width - 4:
            break
        kept = f"{text[: (length + 1) // 2]}...{text[len(text) - length // 2 :]}"
    return kept
