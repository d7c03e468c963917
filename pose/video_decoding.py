"""From packets to frames: every frame that can be decoded, of damaged and cut files too."""

import logging
from collections import deque
from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING

from pose.once import say_once
from pose.video_source import Source, kind_of, opened, shown, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

_TAIL = 64
"""Packets at the end whose frames must come; more than a decoder has threads."""
_BACK, _AHEAD = 1, 3600
"""Seconds: a time stamp that leaps so far stems from a clock that was set anew."""


class Clock:
    """Time stamps that count from a start, also where they leap because a clock was set anew."""

    def __init__(self, start: Fraction | None = None) -> None:
        """start, in seconds, becomes 0; None takes the first stamp."""
        self.start = start

    def since_start(self, stamp: Fraction, following: Fraction) -> Fraction:
        """Seconds of a stamp; `following` is where it would stand behind the one before."""
        if self.start is None or not -_BACK < stamp - self.start - following < _AHEAD:
            self.start = stamp - following
        return stamp - self.start


def decoded(
    container: "InputContainer", stream: "VideoStream", source: Source
) -> Iterator["VideoFrame"]:
    """Every frame that can be decoded, at least one.

    Several threads lose good frames beside damaged ones, one thread does not: from the first
    damage in a file on, one reads it.
    """
    stream.thread_type = "AUTO"
    is_file = kind_of(source) == "video"
    num_frames, is_damaged = yield from _decode(container, stream, source, stop_at_damage=is_file)
    if not is_damaged:
        return
    with opened(source) as again:
        stream = video_stream(again, source)
        stream.thread_type = "SLICE"
        frames = _decode(again, stream, source, stop_at_damage=False)
        yield from islice(frames, num_frames, None)


def _decode(
    container: "InputContainer", stream: "VideoStream", source: Source, *, stop_at_damage: bool
) -> Generator["VideoFrame", None, tuple[int, bool]]:
    """All frames; if `stop_at_damage`, those in front of it. Returns how many, and whether so."""
    import av

    num_frames = num_damaged = 0
    sent: deque[int] = deque(maxlen=_TAIL)
    came: deque[int | None] = deque(maxlen=2 * _TAIL)
    for packet in _packets(container, stream, source):
        if packet is not None and packet.pts is not None and not packet.is_discard:
            sent.append(packet.pts)
        try:
            frames = stream.decode(packet)
        # Commonly: the packets before the first key frame. ValueError: a decoder that did not open.
        except (av.FFmpegError, ValueError):
            if stop_at_damage:
                return num_frames, True
            num_damaged += 1
            continue
        for frame in frames:
            num_frames += 1
            came.append(frame.pts)
            yield frame
    if stop_at_damage and not set(came).issuperset(sent):  # PyAV hid an error behind good frames
        return num_frames, True
    if num_frames == 0:
        raise ValueError(f"{shown(source)}: holds no frame that can be decoded")
    if num_damaged:
        told = f"{shown(source)}: {num_damaged} damaged packets were skipped"
        say_once(logger, logging.WARNING, told)
    return num_frames, False


def _packets(
    container: "InputContainer", stream: "VideoStream", source: Source
) -> Iterator["Packet[VideoStream] | None"]:
    """The packets of `stream`; after an error in the file None, which asks for what is left."""
    import av

    has_some = False
    try:
        for packet in container.demux(stream):
            yield packet
            has_some = True
    except av.FFmpegError as error:
        if not has_some:
            raise
        say_once(logger, logging.WARNING, f"{shown(source)}: ends early ({error.strerror})")
        yield None
    except IndexError:  # PyAV's, behind the last packet, where damage made up further streams
        return
