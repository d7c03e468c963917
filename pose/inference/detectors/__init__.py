"""Person detectors: images in, the boxes of the people out.

A detector is anything that can be called so; each module here makes one from a file. They hold no
state between calls, so several threads may share one.
"""

from collections.abc import Callable, Sequence

import numpy as np

from pose.geometry import Size
from pose.inference.boxes import Boxes

PersonDetector = Callable[[Sequence[np.ndarray]], list[Boxes]]
"""Images (H, W, 3) uint8 RGB of any sizes -> the people in each: boxes inside the image, best score
first."""

MIN_SIDE = 1.0
"""Boxes that are narrower or lower than this within the image, in pixels, show nobody."""


def person_boxes(
    boxes: np.ndarray, scores: np.ndarray, size: Size, score_threshold: float
) -> Boxes:
    """What a detector gives of one image of `size`, from raw boxes (N, 4) xyxy and scores (N,).

    Boxes are cut at the image's borders; what is below the threshold, not finite or next to nothing
    is left out; the best come first.
    """
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    scores = np.asarray(scores, dtype=np.float32).reshape(-1)
    usable = np.isfinite(boxes).all(axis=1) & (scores >= score_threshold)
    boxes, scores = boxes[usable], scores[usable]
    boxes = boxes.clip(0, np.array([*size, *size], np.float32))
    large = (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE).all(axis=1)
    boxes, scores = boxes[large], scores[large]
    order = np.argsort(-scores, kind="stable")
    return Boxes(boxes[order], scores[order])
