"""Videos in and out: frames are (H, W, 3) uint8 RGB, times are seconds since the first frame.

Read is what FFmpeg decodes from a file or a stream that the user named (`pose.video_source`), the
frames of animated images, and cameras. Written is H.264 in mp4 (`pose.video_writer`).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pose.geometry import Size
from pose.image_headers import header_of, is_animation
from pose.pillow_images import animation_frames
from pose.video_decoding import Clock, decoded
from pose.video_source import (
    VIDEO_SUFFIXES,
    Kind,
    Source,
    camera_fps,
    camera_frames,
    kind_of,
    opened,
    opened_camera,
    video_stream,
)
from pose.video_writer import DEFAULT_FPS, MAX_FPS, MIN_FPS, VideoWriter

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

__all__ = ["VIDEO_SUFFIXES", "Kind", "VideoInfo", "VideoWriter", "kind_of", "probe", "read_frames"]

_OTHERS = {"image": "a single picture", "folder": "a folder"}
_LEAST_STEP = Fraction(1, 90_000)
_TAGGED = {1, 4, 5, 6, 7, 9}
"""Codes of the colour matrices that swscale knows (ITU-T H.273)."""
_HD_HEIGHT = 720
"""From so many rows on, colours that state no matrix are BT.709, else BT.601, as in players."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself."""

    size: Size
    """(width, height) as `read_frames` gives them, turned upright."""
    fps: Fraction
    """Frames a second on average."""
    num_frames: int | None
    """As the header states it; None where it does not."""
    duration: float | None
    """Seconds; None where the file does not state it."""


def probe(source: Source) -> VideoInfo:
    """What a video states of itself; reads its first frame. Errors as of `read_frames`."""
    return _PROBES[_way_to_read(source)](source)


def read_frames(source: Source) -> Iterator[tuple[np.ndarray, float]]:
    """The frames of a video file, an animated image, a stream or a camera, each with its time.

    Frames are (H, W, 3) uint8 RGB in the order they are shown, turned upright as the file asks
    (telephones store their videos lying) and all of the first one's size: others are scaled to
    fit, with black at the sides. Times are seconds since the first frame and grow from each to the
    next. Damaged stretches are skipped with a warning. A camera or a stream goes on until it ends.
    FileNotFoundError where there is no file, ValueError where it is no video.
    """
    return _READERS[_way_to_read(source)](source)


def _way_to_read(source: Source) -> str:
    """One of "camera", "animation" and "container"; ValueError where `source` is no video."""
    kind = kind_of(source)
    if kind == "camera":
        return "camera"
    if kind in ("image", "folder"):
        raise ValueError(f"{source}: a video was expected, this is {_OTHERS[kind]}")
    return "animation" if kind == "video" and is_animation(Path(source)) else "container"


def _probe_camera(source: Source) -> VideoInfo:
    with opened_camera(source) as capture:
        image, _ = next(camera_frames(capture, source))
        return VideoInfo((image.shape[1], image.shape[0]), camera_fps(capture), None, None)


def _read_camera(source: Source) -> Iterator[tuple[np.ndarray, float]]:
    with opened_camera(source) as capture:
        yield from camera_frames(capture, source)


def _probe_animation(source: Source) -> VideoInfo:
    path = Path(source)
    seconds = [shown_for for _, shown_for in animation_frames(path)]
    fps = Fraction(len(seconds) / sum(seconds)).limit_denominator(1001)
    return VideoInfo(header_of(path).size, fps, len(seconds), sum(seconds))


def _read_animation(source: Source) -> Iterator[tuple[np.ndarray, float]]:
    time = 0.0
    for image, shown_for in animation_frames(Path(source)):
        yield image, time
        time += shown_for


def _probe_container(source: Source) -> VideoInfo:
    with opened(source) as container:
        stream = video_stream(container, source)
        first = next(decoded(container, stream, source))
        size = (first.height, first.width) if _quarters(first) % 2 else (first.width, first.height)
        duration = None
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration = container.duration / 1e6  # microseconds
        return VideoInfo(size, _fps(stream), stream.frames or None, duration)


def _read_container(source: Source) -> Iterator[tuple[np.ndarray, float]]:
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()  # a new one for every frame is half as fast
    with opened(source) as container:
        stream = video_stream(container, source)
        size = None
        for frame, time in _timed(decoded(container, stream, source), stream):
            image = _rgb(frame, reformatter)
            size = (image.shape[1], image.shape[0]) if size is None else size
            yield _fit(image, size), time


_PROBES: dict[str, Callable[[Source], VideoInfo]] = {
    "camera": _probe_camera,
    "animation": _probe_animation,
    "container": _probe_container,
}
_READERS: dict[str, Callable[[Source], Iterator[tuple[np.ndarray, float]]]] = {
    "camera": _read_camera,
    "animation": _read_animation,
    "container": _read_container,
}


def _timed(
    frames: Iterable["VideoFrame"], stream: "VideoStream"
) -> Iterator[tuple["VideoFrame", float]]:
    """Each frame and its seconds since the first; one without a time follows the one before."""
    step = 1 / _fps(stream)
    clock, time = Clock(), -step
    for frame in frames:
        following = time + step
        if frame.pts is None or stream.time_base is None:
            time = following
        else:
            stamp = clock.since_start(frame.pts * stream.time_base, following)
            time = max(stamp, time + _LEAST_STEP)
        yield frame, float(time)


def _rgb(frame: "VideoFrame", reformatter: "VideoReformatter") -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned upright by the display matrix."""
    from av.video.reformatter import Colorspace

    matrix = None
    if len(frame.format.components) > 2 and not frame.format.is_rgb:
        untagged = Colorspace.ITU709 if frame.height >= _HD_HEIGHT else Colorspace.ITU601
        matrix = None if frame.colorspace in _TAGGED else untagged
    # threads=1: it is quicker than handing one frame to several
    rgb = reformatter.reformat(frame, format="rgb24", src_colorspace=matrix, threads=1)
    return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), _quarters(frame)))


def _quarters(frame: "VideoFrame") -> int:
    """Quarter turns, counter-clockwise as np.rot90 turns, that show the frame upright."""
    return round(frame.rotation / 90) % 4


def _fit(image: np.ndarray, size: Size) -> np.ndarray:
    """`image` itself where it has `size`; else scaled to fit into it, black at the sides."""
    width, height = image.shape[1], image.shape[0]
    if (width, height) == size:
        return image
    scale = min(size[0] / width, size[1] / height)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    fitted[top : top + height, left : left + width] = scaled
    return fitted


def _fps(stream: "VideoStream") -> Fraction:
    """Frames a second on average; some files state none, or the ticks of their clock."""
    stated = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    return next((rate for rate in stated if rate and MIN_FPS <= rate <= MAX_FPS), DEFAULT_FPS)
