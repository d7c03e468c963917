"""Uploads are decoded in a program of their own, which may not take all memory or all day.

It sends pixels and a few numbers, nothing that could be more; what it cannot do is one line. The
limit of memory holds on Linux, where the system keeps to it; those of time and size everywhere.
"""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pose.video import VideoInfo

MAX_PIXELS = 2**25
"""Of an uploaded picture or a frame of a video: 33 megapixels, as 8K video has."""
MAX_MEMORY = 6 * 2**30
"""Bytes of address space of the program that decodes; its libraries alone take 1 to 2 GB."""
DECODING_SECONDS = 60.0
"""From one frame to the next, or for a picture."""
CPU_SECONDS = 3600
"""Of the processor, for a whole upload."""

Message = tuple[dict[str, Any], bytes]
"""Numbers, and the pixels of an image or nothing."""


def decoded_picture(path: Path) -> np.ndarray:
    """An uploaded photo as `read_image` gives it; its errors, and ValueError beyond the limits."""
    with _asked("picture", path) as messages:
        return _image(*next(messages), path)


def probed(path: Path) -> "VideoInfo":
    """What an uploaded video says of itself; errors as of `decoded_picture`."""
    from pose.video import VideoInfo

    with _asked("probe", path) as messages:
        stated, _ = next(messages)
        fps = Fraction(*stated["fps"])
        return VideoInfo(tuple(stated["size"]), fps, stated["num_frames"], stated["duration"])


def decoded_frames(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """The frames of an uploaded video as `read_frames` gives them; errors as of
    `decoded_picture`."""
    with _asked("frames", path) as messages:
        for stated, pixels in messages:
            yield _image(stated, pixels, path), float(stated["time"])


def separated_sound(path: Path, out: Path, seconds: float) -> Path | None:
    """The first seconds of a video's sound as the file `out`, which mp4 players know; None where
    it has none that can be read."""
    with _asked("sound", path, str(out), seconds) as messages:
        for _ in messages:
            pass
    return out if out.is_file() else None


@contextmanager
def _asked(task: str, path: Path, *given: Any) -> Iterator[Iterator[Message]]:
    """The messages of a program that does one of `_TASKS`; it ends with the block."""
    context = multiprocessing.get_context("spawn")  # a copy of this one would share its memory
    here, there = context.Pipe(duplex=False)
    arguments = (there, task, str(path), *given)
    process = context.Process(target=_work, args=arguments, daemon=True)
    process.start()
    there.close()
    try:
        yield _messages(here, path)
    finally:
        process.kill()
        process.join()
        here.close()


def _messages(connection: Connection, path: Path) -> Iterator[Message]:
    """What the other program sends until it is done; its error is raised here."""
    try:
        while True:
            if not connection.poll(DECODING_SECONDS):
                raise ValueError(f"{path}: cannot be decoded within {DECODING_SECONDS:g} seconds")
            stated = json.loads(connection.recv_bytes())
            if "error" in stated:
                raise ValueError(stated["error"])
            if "done" in stated:
                return
            yield stated, connection.recv_bytes()
    except (EOFError, ConnectionError):
        raise ValueError(f"{path}: cannot be decoded; the decoder broke off") from None


def _image(stated: dict[str, Any], pixels: bytes, path: Path) -> np.ndarray:
    width, height = map(int, stated["size"])
    if len(pixels) != 3 * width * height or not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"{path}: cannot be decoded; the decoder broke off")
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3).copy()


def _work(connection: Connection, task: str, path: str, *given: Any) -> None:
    """What the other program does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the page
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)  # decoders speak to the terminal, the page does so in a line
    limit_resources()
    end: dict[str, Any] = {"done": True}
    with suppress(ConnectionError):  # nobody waits any more
        try:
            for stated, pixels in _TASKS[task](Path(path), *given):
                connection.send_bytes(json.dumps(stated).encode())
                connection.send_bytes(pixels)
        except (ValueError, OSError) as error:
            end = {"error": str(error)}
        except MemoryError:
            end = {"error": f"{path}: needs more memory than an upload may take"}
        connection.send_bytes(json.dumps(end).encode())


def limit_resources() -> None:
    """From now on this process ends rather than take more; where the system has no such limits
    only the page's own count."""
    try:
        import resource
    except ImportError:
        return
    limits = {"RLIMIT_AS": MAX_MEMORY, "RLIMIT_CPU": CPU_SECONDS, "RLIMIT_CORE": 0}
    for name, most in limits.items():
        with suppress(ValueError, OSError):  # macOS knows the first and refuses it
            resource.setrlimit(getattr(resource, name), (most, most))


def check_size(size: tuple[int, int], path: Path) -> None:
    """ValueError for a picture of more than MAX_PIXELS."""
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(
            f"{path}: {size[0]} x {size[1]} pixels, at most {MAX_PIXELS} are taken here; "
            "`pose predict` takes more"
        )


def _picture(path: Path) -> Iterator[Message]:
    from pose.image_headers import HeaderError, header_of
    from pose.images import read_image

    with suppress(HeaderError):  # which `read_image` says better
        check_size(header_of(path).size, path)
    yield _message(read_image(path))


def _probe(path: Path) -> Iterator[Message]:
    from pose.video import probe

    info = probe(path)
    check_size(info.size, path)
    fps = (info.fps.numerator, info.fps.denominator)
    stated = {"size": info.size, "num_frames": info.num_frames, "duration": info.duration}
    yield {**stated, "fps": fps}, b""


def _frames(path: Path) -> Iterator[Message]:
    from pose.video import read_frames

    for image, time in read_frames(path):
        check_size((image.shape[1], image.shape[0]), path)
        yield _message(image, time=time)


def _sound(path: Path, out: str, seconds: float) -> Iterator[Message]:
    import av

    from pose.video_sound import Sound

    with Sound(path) as sound, av.open(out, "w", format="mp4") as output:
        sound.open_stream(output)
        if output.streams:
            sound.write_until(output, Fraction(seconds))
        is_silent = not output.streams
    if is_silent:
        Path(out).unlink(missing_ok=True)
    yield {}, b""


def _message(image: np.ndarray, **more: float) -> Message:
    return {"size": (image.shape[1], image.shape[0]), **more}, np.ascontiguousarray(image).tobytes()


_TASKS: dict[str, Callable[..., Iterator[Message]]] = {
    "picture": _picture,
    "probe": _probe,
    "frames": _frames,
    "sound": _sound,
}
