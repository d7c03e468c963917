"""Videos in and out: frames are (H, W, 3) uint8 RGB, times are seconds since the first frame.

Written is H.264 in mp4 as every browser plays it (yuv420p, even sides, index in front). Read is
what FFmpeg decodes, from local files only: neither playlists nor links in a file are followed.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, cast

import numpy as np

from pose.files import replacing
from pose.geometry import Size

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv")
DEFAULT_FPS = Fraction(25)
"""Frames a second of a file that states none."""

_TIME_BASE = Fraction(1, 90_000)
_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")
_BT709 = 1
"""The code of ITU-R BT.709 for matrix, primaries and transfer (ITU-T H.273): untagged or BT.601
colours come out tinted in players that take BT.709 for granted."""
_LIMITED_RANGE = 1

# Containers that hold their own pictures. Not among them: playlists (hls, dash, concat) and image
# sequences, which open further files.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,mjpeg,"
    "h264,hevc,ivf,mxf,dv,m4v,obu,av1"
)
_INPUT_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself."""

    size: Size
    """(width, height) as `read_frames` gives them, turned upright."""
    fps: Fraction
    """Frames a second on average."""
    num_frames: int | None
    """As the header states it; None where it does not."""
    duration: float | None
    """Seconds; None where the file does not state it."""


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """What video `path` states of itself; reads its first frame. Errors as of `read_frames`."""
    with _opened(Path(path)) as (container, stream):
        first = next(_decoded(container, stream, Path(path)))
        height, width = _rgb(first).shape[:2]
        duration = None
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration = container.duration / 1e6  # microseconds
        return VideoInfo((width, height), _fps(stream), stream.frames or None, duration)


def read_frames(path: str | os.PathLike[str]) -> Iterator[tuple[np.ndarray, float]]:
    """The frames of video `path`, in the order they are shown, each with its time.

    Frames are (H, W, 3) uint8 RGB, turned upright as the file asks (telephones store their videos
    lying); times are seconds since the first frame. Damaged stretches are skipped with a warning.
    FileNotFoundError where there is no file, ValueError where it is no video.
    """
    with _opened(Path(path)) as (container, stream):
        start, time, step = None, 0.0, float(1 / _fps(stream))
        for i, frame in enumerate(_decoded(container, stream, Path(path))):
            if frame.pts is not None and frame.time_base is not None:
                start = frame.time if start is None else start
                time = frame.time - start
            elif i > 0:
                time += step
            yield _rgb(frame), time


class VideoWriter:
    """Writes an mp4 that plays in a browser; a context manager.

    Every frame given is a frame of the file. The file appears whole at the end of the `with` block
    or, where that ends in an error, not at all. An odd side is padded by repeating its last pixel.
    """

    def __init__(self, path: str | os.PathLike[str], fps: Fraction | float = DEFAULT_FPS) -> None:
        """fps is the spacing of frames that bring no time of their own."""
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise ValueError(f"{self.path}: videos are written as .mp4; give a name that ends so")
        if not 0 < fps <= 1000:
            raise ValueError(f"{self.path}: expected 0 < fps <= 1000, got {fps}")
        self.fps = Fraction(fps).limit_denominator(1001)
        self.num_frames = 0
        self._last_tick = -1
        self._open = ExitStack()

    def __enter__(self) -> "VideoWriter":
        import av

        self._encoder = next((name for name in _ENCODERS if name in av.codecs_available), None)
        if self._encoder is None:
            raise ValueError(
                f"{self.path}: this build of PyAV has no H.264 encoder; install one with libx264 "
                "(the wheels of the package 'av' have it)"
            )
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(self.path))
            options = {"movflags": "+faststart"}
            container = av.open(str(temporary), "w", format="mp4", container_options=options)
            self._container = stack.enter_context(container)
            self._open = stack.pop_all()
        return self

    def write(self, image: np.ndarray, time: float | None = None) -> None:
        """Adds (H, W, 3) uint8 RGB, shown at `time` seconds, or 1 / fps after the frame before.

        Times that do not grow are moved on by the least step. ValueError where the size changes.
        """
        import av

        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"{self.path}: expected (H, W, 3) uint8, got {image.shape}")
        height, width = image.shape[:2]
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self.num_frames == 0:
            self._open_stream((even.shape[1], even.shape[0]))
        if even.shape[:2] != (self._stream.height, self._stream.width):
            raise ValueError(
                f"{self.path}: frame {self.num_frames} is {width} x {height}, the first one was "
                f"{self._stream.width} x {self._stream.height}; all must have one size"
            )
        step = round(1 / (self.fps * _TIME_BASE))
        following = self._last_tick + step if self.num_frames else 0
        tick = following if time is None else round(time / _TIME_BASE)
        self._last_tick = max(tick, self._last_tick + 1)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        frame.pts, frame.time_base, frame.duration = self._last_tick, _TIME_BASE, step
        self._container.mux(self._stream.encode(frame))
        self.num_frames += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._open.__exit__(kind, error, trace)
            return
        with self._open:
            if self.num_frames == 0:
                raise ValueError(f"{self.path}: no frame was given, so no video was written")
            self._container.mux(self._stream.encode(None))

    def _open_stream(self, size: Size) -> None:
        assert self._encoder is not None
        options = {"crf": "20", "preset": "veryfast"} if self._encoder == "libx264" else {}
        stream = self._container.add_stream(self._encoder, rate=self.fps, options=options)
        self._stream = cast("VideoStream", stream)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        context = cast("VideoCodecContext", self._stream.codec_context)
        self._stream.time_base = context.time_base = _TIME_BASE
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE


@contextmanager
def _opened(path: Path) -> Iterator[tuple["InputContainer", "VideoStream"]]:
    """The container and its first video stream; FFmpeg's errors become one line."""
    import av

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such video file")
    try:
        # A resolved path cannot be taken for a URL ("http:...") or an option of FFmpeg's.
        with av.open(str(path.resolve()), "r", container_options=_INPUT_OPTIONS) as container:
            if not container.streams.video:
                raise ValueError(f"{path}: holds no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield container, stream
    except av.FFmpegError as error:
        raise ValueError(f"{path}: cannot be read as a video ({error.strerror})") from None


def _decoded(
    container: "InputContainer", stream: "VideoStream", path: Path
) -> Iterator["VideoFrame"]:
    """Every frame that can be decoded, at least one."""
    import av

    num_frames = num_damaged = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:  # commonly: the packets before the first key frame
            num_damaged += 1
            continue
        for frame in frames:
            num_frames += 1
            yield frame
    if num_frames == 0:
        raise ValueError(f"{path}: holds no frame that can be decoded")
    if num_damaged:
        logger.warning("%s: %d damaged packets were skipped", path, num_damaged)


def _rgb(frame: "VideoFrame") -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned upright by the display matrix."""
    quarters = round(frame.rotation / 90) % 4  # counter-clockwise, as np.rot90 turns
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarters))


def _fps(stream: "VideoStream") -> Fraction:
    return stream.average_rate or stream.guessed_rate or DEFAULT_FPS
