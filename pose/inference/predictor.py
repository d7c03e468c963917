"""The call that people make: pictures in, poses out, whatever the pictures come as."""

import copy
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, overload

import numpy as np

from pose.geometry import box_center_extent
from pose.images import list_images, read_image
from pose.inference.boxes import Boxes
from pose.inference.detectors import PersonDetector
from pose.inference.predict import BATCH_SIZE, Runtime, calibrated, find_poses
from pose.metrics.oks import NMS_THRESHOLD, oks_nms
from pose.records import MAX_PIXEL, shown
from pose.structures import Poses
from pose.video import kind_of, read_frames

IMAGES_AT_ONCE = 8
"""Pictures whose people share batches; so many are held in memory."""

PERSON_THRESHOLD = 0.2
"""Detected boxes whose pose has a lower person score show nobody."""

NO_BOXES = "no boxes and no detector: say where the people are (boxes=...), or name a detector"


class Predictor:
    """Pictures -> the poses of the people in them. Holds no state between calls, so that several
    threads may share one.

    Where a call brings boxes, every one gives a pose. Where the detector finds them, poses that
    show nobody (person score up to `person_threshold`) and second poses of the same person
    (OKS above 0.9) are left out.

    `person_threshold` is one of the network's own scores, whether or not they are calibrated.
    """

    def __init__(
        self,
        runtime: Runtime,
        detector: PersonDetector | None = None,
        *,
        batch_size: int = BATCH_SIZE,
        images_at_once: int = IMAGES_AT_ONCE,
        person_threshold: float = PERSON_THRESHOLD,
    ) -> None:
        self.runtime = runtime
        self.detector = detector
        self.batch_size = batch_size
        self.images_at_once = images_at_once
        self.person_threshold = person_threshold
        skeleton = runtime.skeleton
        self._sigmas = skeleton.oks_sigmas() if detector else np.ones(skeleton.num_keypoints)

    @overload
    def __call__(self, source: np.ndarray, boxes: Any = None) -> Poses: ...
    @overload
    def __call__(self, source: Iterator[Any], boxes: Any = None) -> Iterator[Poses]: ...
    @overload
    def __call__(self, source: Sequence[Any], boxes: Any = None) -> Any: ...
    @overload
    def __call__(self, source: os.PathLike[str], boxes: Any = None) -> Any: ...

    def __call__(self, source: Any, boxes: Any = None) -> Any:
        """Poses of one picture, a list of them for several, an iterator for a stream.

        source is an image, (H, W, 3) uint8 RGB or the path of a file (one `Poses`); a list of
        those or a folder, by sorted name (a list); an iterator of those, a video, the address of a
        stream or camera:0 (an iterator, which reads ahead by `images_at_once`). boxes, if given,
        are (N, 4) xyxy in image pixels or a `Boxes`, for several pictures one such for each.
        ValueError or FileNotFoundError of one line for what cannot be used.
        """
        if hasattr(source, "__array__"):
            source = np.asarray(source)
            if source.ndim != 4:
                return self._one(source, boxes)
        if isinstance(source, str | os.PathLike):
            kind = kind_of(source)
            if kind == "folder":
                return list(self._stream(list_images(source), boxes))
            if kind in ("video", "stream", "camera"):
                return self._stream((image for image, _ in read_frames(source)), boxes)
            return self._one(source, boxes)
        if isinstance(source, Iterator):
            return self._stream(source, boxes)
        if isinstance(source, Iterable):
            return list(self._stream(source, boxes))
        raise ValueError(
            f"cannot look for people in a {type(source).__name__}; expected an image (H, W, 3) "
            "uint8 RGB, a path, or several of them"
        )

    def look_at(
        self, images: Sequence[np.ndarray], boxes: Sequence[Boxes] | None = None
    ) -> list[Poses]:
        """The poses in images that are held in memory: what every other form comes down to."""
        given = self.detect(images) if boxes is None else boxes
        found = find_poses(self.runtime, images, given, self.batch_size)
        if boxes is None:
            found = [poses[people_only(self, poses, self._sigmas)] for poses in found]
        return [calibrated(poses, self.runtime.calibration) for poses in found]

    def detect(self, images: Sequence[np.ndarray]) -> list[Boxes]:
        """The people's boxes in images that are held in memory, by the detector."""
        if self.detector is None:
            raise ValueError(NO_BOXES)
        return self.detector(images) if images else []

    def _one(self, source: np.ndarray | str | os.PathLike[str], boxes: Any) -> Poses:
        return next(self._stream([source], None if boxes is None else [boxes]))

    def _stream(self, sources: Iterable[Any], boxes: Iterable[Any] | None) -> Iterator[Poses]:
        if boxes is None and self.detector is None:
            raise ValueError(NO_BOXES)
        return self._chunks(iter(sources), None if boxes is None else iter(boxes))

    def _chunks(self, sources: Iterator[Any], boxes: Iterator[Any] | None) -> Iterator[Poses]:
        while chunk := [as_image(source) for source in islice(sources, self.images_at_once)]:
            given = None
            if boxes is not None:
                given = [as_boxes(entry) for entry in islice(boxes, len(chunk))]
                if len(given) != len(chunk):
                    raise ValueError("fewer entries in boxes than pictures; give one for each")
            yield from self.look_at(chunk, given)
        if boxes is not None and next(boxes, None) is not None:
            raise ValueError("more entries in boxes than pictures; give one for each")


def people_only(predictor: Predictor, poses: Poses, sigmas: np.ndarray) -> np.ndarray:
    """Indices of the poses, with the network's own scores, without those who are nobody and without
    whom the detector found twice; best first. `sigmas` (K,) are those of OKS."""
    totals = poses.person_scores()
    people = np.flatnonzero(totals > predictor.person_threshold)
    found, totals = poses[people], totals[people]
    areas = box_center_extent(found.boxes, predictor.runtime.input_size)[1].prod(axis=-1)
    return people[oks_nms(found.keypoints, totals, areas, sigmas, NMS_THRESHOLD)]


def uncalibrated(predictor: Predictor) -> Predictor:
    """A predictor like `predictor` that gives the network's own scores."""
    other = copy.copy(predictor)
    other.runtime = replace(predictor.runtime, calibration=None)
    return other


def as_image(source: Any) -> np.ndarray:
    """An image, or that in a file, as (H, W, 3) uint8 RGB; ValueError for anything else."""
    if isinstance(source, str | os.PathLike):
        return read_image(source)
    image = np.asarray(source)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"the image is {image.dtype} {image.shape}; expected RGB uint8 (H, W, 3)")
    return image


def as_boxes(given: Any) -> Boxes:
    """`Boxes`, or (N, 4) xyxy with the score 1 each; ValueError for boxes nobody can stand in."""
    scores = None
    if isinstance(given, Boxes):
        given, scores = given.boxes, given.scores
    try:
        pixels = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"boxes are {shown(given)}; expected (N, 4) numbers") from None
    if pixels.size and (pixels.shape[-1] != 4 or pixels.ndim > 2):
        raise ValueError(f"boxes have shape {pixels.shape}; expected (N, 4), as x1,y1,x2,y2")
    pixels = pixels.reshape(-1, 4)
    near = np.all(np.abs(pixels) <= MAX_PIXEL, axis=1, keepdims=True)  # False where one is nan
    boxes = np.where(near, pixels, 0).astype(np.float32)
    bad = np.flatnonzero((boxes[:, 2:] <= boxes[:, :2]).any(axis=1))
    if len(bad):
        raise ValueError(
            f"box {pixels[bad[0]].tolist()}: expected x1,y1,x2,y2 in pixels with x2 > x1 and "
            "y2 > y1"
        )
    scores = np.ones(len(boxes)) if scores is None else scores
    return Boxes(boxes, np.asarray(scores, dtype=np.float32))
