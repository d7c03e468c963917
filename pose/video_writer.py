"""H.264 in mp4 as every browser plays it: yuv420p, BT.709, even sides, the index in front."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, cast

import numpy as np

from pose.files import replacing
from pose.geometry import Size
from pose.video_sound import Sound
from pose.video_source import let_ffmpeg_run_free

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

DEFAULT_FPS = Fraction(25)
"""Frames a second of a file that states none."""
MIN_FPS, MAX_FPS = Fraction(1, 3600), Fraction(1000)

_TIME_BASE = Fraction(1, 90_000)
_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf")
_BT709 = 1
"""The code of ITU-R BT.709 for matrix, primaries and transfer (ITU-T H.273): untagged or BT.601
colours come out tinted in players that take BT.709 for granted."""
_LIMITED_RANGE = 1


class VideoWriter:
    """Writes an mp4 that plays in a browser; a context manager.

    Every frame given is a frame of the file. The file appears whole at the end of the `with` block
    or, where that ends in an error, not at all. An odd side is padded by repeating its last pixel.
    A thread encodes each frame while the next one is made: Ctrl-C, which reaches the main thread
    alone, can so not come between a frame and its place in the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: Fraction | float = DEFAULT_FPS,
        audio_from: str | os.PathLike[str] | None = None,
    ) -> None:
        """fps is the spacing of frames that bring no time of their own.

        `audio_from` is the video file whose frames are written, with their times: its sound goes
        along, as far as there are frames. Sound that cannot be read is left out with a warning.
        """
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise ValueError(f"{self.path}: videos are written as .mp4; give a name that ends so")
        self.fps = Fraction(fps).limit_denominator(10_000) if 0 < fps <= MAX_FPS else Fraction(0)
        if self.fps < MIN_FPS:
            raise ValueError(f"{self.path}: expected {MIN_FPS} <= fps <= {MAX_FPS}, got {fps}")
        self.num_frames = 0
        self._audio_from = None if audio_from is None else Path(audio_from)
        self._last_tick = -1
        self._encoding: Future[None] | None = None
        self._open = ExitStack()

    def __enter__(self) -> "VideoWriter":
        import av
        from av.video.reformatter import VideoReformatter

        self._encoder = next((name for name in _ENCODERS if name in av.codecs_available), None)
        if self._encoder is None:
            raise ValueError(
                f"{self.path}: this build of PyAV has no H.264 encoder; install one with libx264 "
                "(the wheels of the package 'av' have it)"
            )
        let_ffmpeg_run_free()
        self._reformatter = VideoReformatter()
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(self.path))
            options = {"movflags": "+faststart"}
            container = av.open(str(temporary), "w", format="mp4", container_options=options)
            self._container = stack.enter_context(container)
            self._sound = stack.enter_context(Sound(self._audio_from))
            self._thread = stack.enter_context(ThreadPoolExecutor(1))
            self._open = stack.pop_all()
        return self

    def write(self, image: np.ndarray, time: float | None = None) -> None:
        """Adds (H, W, 3) uint8 RGB, shown at `time` seconds, or 1 / fps after the frame before.

        Times that do not grow are moved on by the least step. ValueError where the size changes.
        """
        import av
        from av.video.reformatter import ColorRange, Colorspace

        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"{self.path}: expected (H, W, 3) uint8, got {image.shape}")
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self.num_frames == 0:
            self._open_streams((image.shape[1], image.shape[0]))
        if image.shape[:2] != (self._stream.height, self._stream.width):
            raise ValueError(
                f"{self.path}: frame {self.num_frames} is {width} x {height}, the first one was "
                f"{self._stream.width} x {self._stream.height}; all must have one size"
            )
        following = self._last_tick + self._step if self.num_frames else 0
        tick = following if time is None else round(time / _TIME_BASE)
        tick = max(tick, self._last_tick + 1)
        picture = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24")
        # threads=1: it is quicker than handing one frame to several
        frame = self._reformatter.reformat(
            picture,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        frame.pts, frame.time_base, frame.duration = tick, _TIME_BASE, self._step
        self._wait()
        self._encoding = self._thread.submit(self._encode, frame, tick)
        self._last_tick = tick
        self.num_frames += 1

    def _encode(self, frame: "VideoFrame | None", tick: int) -> None:
        """Writes a frame, or those that the encoder still holds, and the sound up to `tick`."""
        self._container.mux(self._stream.encode(frame))
        self._sound.write_until(self._container, tick * _TIME_BASE)

    def _wait(self) -> None:
        """For the frame before; its error is raised here."""
        if self._encoding is not None:
            self._encoding.result()

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
            self._wait()
            self._thread.submit(self._encode, None, self._last_tick + self._step).result()

    @property
    def _step(self) -> int:
        return round(1 / (self.fps * _TIME_BASE))

    def _open_streams(self, size: Size) -> None:
        import av

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
        try:
            context.open()
        except av.FFmpegError:
            raise ValueError(
                f"{self.path}: {size[0]} x {size[1]} pixels at {float(self.fps):g} frames a second "
                "cannot be encoded as H.264; scale the frames down"
            ) from None
        self._sound.open_stream(self._container)
