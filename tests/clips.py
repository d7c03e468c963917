"""Small videos as cameras, editors and broadcasters write them, for the tests that read them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CLOCK = Fraction(1, 90_000)
RATE = 48_000


def frames(number: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """A bright square that wanders over a grey ground."""
    made = []
    for i in range(number):
        image = np.full((height, width, 3), 90, np.uint8)
        image[8:24, 2 * i : 2 * i + 16] = (230, 60, 20)
        made.append(image)
    return made


def noise(number: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frames that do not compress: every packet is some kilobytes."""
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (number, height, width, 3), dtype=np.uint8))


def write_clip(
    path: Path,
    images: list[np.ndarray],
    codec: str = "libx264",
    *,
    times: list[float] | None = None,
    pixels: str = "yuv420p",
    kind: str | None = None,
    options: dict[str, str] | None = None,
    fps: int = 25,
) -> Path:
    """`images` at `times` in seconds, else at `fps`, in the container of the suffix or `kind`.

    An mp4 called front.mp4 has its index in front.
    """
    front = {"movflags": "+faststart"} if path.name == "front.mp4" else {}
    with av.open(str(path), "w", format=kind, container_options=front) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        if times is not None:
            stream.time_base = stream.codec_context.time_base = CLOCK
        for i, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[i] / CLOCK), CLOCK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_flash(
    path: Path,
    codec: str | None,
    *,
    seconds: float = 2.5,
    at: float = 1.5,
    video_from: float = 0.0,
    audio_from: float = 0.0,
    rate: int = RATE,
    layout: str = "stereo",
    silent: tuple[float, float] = (0.0, 0.0),
    leap: float = 0.0,
) -> Path:
    """A flash and a beep both `at` seconds of one clock; `silent` are seconds without packets.

    The clock of the sound leaps by `leap` seconds after the first one. `codec` is that of the
    sound, None for none.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "12", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.time_base = video.codec_context.time_base = CLOCK
        audio = None if codec is None else container.add_stream(codec, rate=rate)
        if audio is not None:
            audio.layout = layout
        for i in range(int(seconds * 25)):
            time = video_from + i / 25
            image = np.full((48, 64, 3), 255 if at <= time < at + 0.2 else 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time / CLOCK), CLOCK
            container.mux(video.encode(frame))
        for first in range(0, int(seconds * rate) if audio is not None else 0, 1024):
            times = audio_from + np.arange(first, first + 1024) / rate
            if silent[0] <= times[0] < silent[1]:
                continue
            beep = np.where((times >= at) & (times < at + 0.2), np.sin(6283 * times) / 2, 0)
            samples = np.repeat(beep[None].astype(np.float32), 1 if layout == "mono" else 2, axis=0)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round((times[0] + (leap if first >= rate else 0)) * rate)
            container.mux(audio.encode(frame))
        for stream in (video, audio):
            if stream is not None:
                container.mux(stream.encode(None))
    return path


def flash_and_beep(path: Path) -> tuple[float, float | None]:
    """Seconds of the first bright frame and of the first loud sample, as a player has them."""
    with av.open(str(path)) as container:
        flash = next(
            frame.time
            for frame in container.decode(video=0)
            if frame.to_ndarray(format="gray").mean() > 128
        )
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", RATE)
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                loud = np.flatnonzero(np.abs(part.to_ndarray()[0]) > 0.2)
                if len(loud):
                    return flash, part.time + loud[0] / RATE
    return flash, None


def durations(path: Path) -> dict[str, float]:
    """Seconds of each kind of stream in a file."""
    with av.open(str(path)) as container:
        return {s.type: float(s.duration * s.time_base) for s in container.streams}


def codec_of_sound(path: Path) -> str | None:
    with av.open(str(path)) as container:
        found = container.streams.best("audio")
        return None if found is None else found.codec_context.codec.canonical_name
