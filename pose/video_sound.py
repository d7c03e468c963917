"""The sound of a video, carried along while its frames are written anew.

What browsers play is copied as it is, other codecs are converted to AAC. Times count from the first
frame, as those of `read_frames` do. The sound is read from a second handle of the file, a little at
a time as the frames come, so that memory does not grow with the length.
"""

import io
import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, cast

from pose.image_headers import is_animation
from pose.video_decoding import Clock, decoded
from pose.video_source import opened, video_stream

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.filter.graph import Graph
    from av.packet import Packet

logger = logging.getLogger(__name__)

_COPIED = {"aac", "mp3", "opus", "flac"}
"""Codecs that mp4 holds and browsers play."""
_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
_USUAL_RATE = 48_000
"""Samples a second where AAC does not know the file's own."""
_BITS_PER_CHANNEL = 80_000
"""A second, of converted sound."""


class Sound:
    """The sound of `path`, for one written video; a context manager. None has no sound.

    Sound that is damaged or cannot be read is left out with a warning, for it is the pictures that
    count. FileNotFoundError where there is no file.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._packets: Iterator[Packet[AudioStream]] = iter(())
        self._next: Packet[AudioStream] | None = None
        self._open = ExitStack()

    def __enter__(self) -> "Sound":
        if self.path is not None and not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: no such video file")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def open_stream(self, output: "OutputContainer") -> None:
        """Adds the stream to `output`; to be called before the first packet is written."""
        if self.path is None or is_animation(self.path):
            return
        try:
            container = self._open.enter_context(opened(self.path))
            stream = _audio_stream(container)
            if stream is None:
                return
            start = _first_time(self.path)
            if _can_be_copied(self.path):
                copy = cast("AudioStream", output.add_stream_from_template(stream))
                self._packets = _copied(container, stream, copy, start)
            else:
                self._packets = _converted(container, stream, _add_aac(output, stream), start)
        except ValueError as error:
            self._give_up(error)

    def write_until(self, output: "OutputContainer", seconds: Fraction) -> None:
        """Writes to `output` what begins before `seconds`, counted from the first frame."""
        import av

        try:
            while True:
                if self._next is None:
                    self._next = next(self._packets, None)
                packet = self._next
                if packet is None or (packet.pts or 0) * packet.time_base >= seconds:
                    return
                output.mux(packet)
                self._next = None
        except (av.InvalidDataError, av.ArgumentError, ValueError, IndexError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._packets, self._next = iter(()), None
        logger.warning("%s: its sound is left out from here on (%s)", self.path, error)


def _audio_stream(container: "InputContainer") -> "AudioStream | None":
    """The main sound, None without any; ValueError where nothing here knows its codec."""
    stream = cast("AudioStream | None", container.streams.best("audio"))
    if stream is not None and stream.codec_context is None:
        raise ValueError("an unknown codec")
    return stream


def _first_time(path: Path) -> Fraction:
    """The time stamp, in seconds, from which those of `read_frames` count."""
    with opened(path) as container:
        if not container.streams.video:  # sound alone, which somebody cut to its start
            return Fraction(0)
        stream = video_stream(container, path)
        first = next(decoded(container, stream, path))
        return Fraction(0) if first.pts is None else first.pts * (stream.time_base or Fraction(0))


def _can_be_copied(path: Path) -> bool:
    """Whether mp4 takes the sound as it is: tried in memory, with one packet."""
    import av

    with opened(path) as container:
        stream = _audio_stream(container)
        if stream is None or stream.codec_context.codec.canonical_name not in _COPIED:
            return False
        try:
            with av.open(io.BytesIO(), "w", format="mp4") as trial:
                copy = trial.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.dts is not None:
                        packet.stream = copy
                        trial.mux(packet)
                        return True
        except (av.FFmpegError, ValueError):
            pass
        return False


def _copied(
    container: "InputContainer", stream: "AudioStream", copy: "AudioStream", start: Fraction
) -> Iterator["Packet[AudioStream]"]:
    """The packets of `stream`, their time stamps counted from `start`, which grow.

    One packet may lie before the start: the decoder of the next one needs it, players skip it.
    """
    assert stream.time_base is not None
    clock, following, last = Clock(start), None, None
    for packet in container.demux(stream):
        if packet.pts is None or packet.dts is None:
            continue
        stamp, length = packet.pts * stream.time_base, (packet.duration or 0) * stream.time_base
        time = clock.since_start(stamp, stamp - start if following is None else following)
        following = time + length
        tick = round(time / stream.time_base)
        if following + length <= 0 or (last is not None and tick <= last):
            continue
        packet.pts = packet.dts = last = tick
        packet.stream = copy
        yield packet


def _add_aac(output: "OutputContainer", stream: "AudioStream") -> "AudioStream":
    """A stream of AAC for the sound of `stream`: one channel, or two of any more."""
    rate = stream.codec_context.sample_rate
    layout = "mono" if stream.codec_context.layout.nb_channels == 1 else "stereo"
    added = output.add_stream("aac", rate=rate if rate in _RATES else _USUAL_RATE)
    added.codec_context.layout = layout
    added.codec_context.format = "fltp"
    added.codec_context.bit_rate = _BITS_PER_CHANNEL * added.codec_context.layout.nb_channels
    return added


def _converted(
    container: "InputContainer", stream: "AudioStream", added: "AudioStream", start: Fraction
) -> Iterator["Packet[AudioStream]"]:
    """Packets of AAC from time 0 on; gaps in the time stamps are filled with silence."""
    graph = _steadily(added)
    for frame in _without_holes(_uniform(container, stream, added), start):
        graph.push(frame)
        for steady in _pulled(graph):
            yield from added.encode(steady)
    graph.push(None)
    for steady in _pulled(graph):
        yield from added.encode(steady)
    yield from added.encode(None)


def _without_holes(frames: Iterable["AudioFrame"], start: Fraction) -> Iterator["AudioFrame"]:
    """The frames, their time stamps in samples from `start`, and silence where seconds lack.

    It comes a second at a time, and only as far as there are pictures, be the hole hours long.
    """
    clock, following = Clock(start), None
    for frame in frames:
        if frame.pts is None or frame.time_base is None:
            continue
        rate = frame.sample_rate
        stamp = frame.pts * frame.time_base
        time = clock.since_start(stamp, stamp - start if following is None else following)
        following = max(Fraction(0), following or Fraction(0))
        while time - following > 1:
            yield _stamped(_silence(frame, rate), round(following * rate))
            following += 1
        yield _stamped(frame, round(time * rate))
        following = time + Fraction(frame.samples, rate)


def _stamped(frame: "AudioFrame", tick: int) -> "AudioFrame":
    frame.pts, frame.time_base = tick, Fraction(1, frame.sample_rate)
    return frame


def _silence(like: "AudioFrame", samples: int) -> "AudioFrame":
    import av

    silence = av.AudioFrame(like.format.name, like.layout.name, samples)
    silence.sample_rate = like.sample_rate
    for plane in silence.planes:
        plane.update(bytes(plane.buffer_size))
    return silence


def _uniform(
    container: "InputContainer", stream: "AudioStream", added: "AudioStream"
) -> Iterator["AudioFrame"]:
    """The frames that can be decoded, in the rate and channels of `added`, which a broadcast may
    change at any time."""
    import av

    resamplers: dict[tuple[str, str, int], av.AudioResampler] = {}
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError):  # as of pictures
            continue
        for frame in frames:
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            if kind not in resamplers:
                context = added.codec_context
                resamplers[kind] = av.AudioResampler("fltp", context.layout, context.sample_rate)
            yield from resamplers[kind].resample(frame)


def _steadily(added: "AudioStream") -> "Graph":
    from av.filter import Graph

    graph = Graph()
    context = added.codec_context
    source = graph.add_abuffer(
        sample_rate=context.sample_rate,
        format="fltp",
        layout=context.layout.name,
        time_base=Fraction(1, context.sample_rate),
    )
    # async=1 fills and cuts at the time stamps, without stretching; first_pts lets it start at 0
    steady = graph.add("aresample", "async=1:first_pts=0")
    graph.link_nodes(source, steady, graph.add("abuffersink")).configure()
    return graph


def _pulled(graph: "Graph") -> Iterator["AudioFrame"]:
    import av

    while True:
        try:
            yield cast("AudioFrame", graph.pull())
        except (av.BlockingIOError, av.EOFError):  # no more for now, or for good
            return
