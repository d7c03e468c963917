"""Where pictures come from: files, folders, cameras, stream addresses; and how they are opened.

FFmpeg may open only what the user named. From a file it reads that file and no other: playlists
and files that hold mere links are refused. An address may lead it to further addresses (a stream
is often a playlist of pieces), never to a file of this machine.
"""

import logging
import os
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from pose.image_headers import MAX_PIXELS, HeaderError, check_size, header_of, is_animation
from pose.images import IMAGE_SUFFIXES, swap_red_blue

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

Source = str | os.PathLike[str]
Kind = Literal["image", "video", "folder", "stream", "camera"]

VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv"),
    *(".3gp", ".flv", ".m2ts", ".mts", ".mxf", ".ogv"),
)
SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "rtp", "tcp")
"""Beginnings of the addresses that are read."""
TIMEOUT_SECONDS = 20.0
"""A stream that gives nothing for so long has ended, or cannot be read; live playlists bring a
piece every ten seconds or so."""
CAMERA_FPS = Fraction(30)
"""Frames a second of a camera that states none."""

_OFFLINE = "POSE_OFFLINE"
_PROTOCOLS = "rtsp,rtmp,rtmps,http,https,httpproxy,udp,rtp,tcp,tls,crypto"
# Containers that hold their own pictures. Not among them: playlists (hls, dash, concat, sdp) and
# image sequences, which open further files.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mjpeg,"
    "h264,hevc,ivf,mxf,dv,m4v,obu,av1"
)
_STREAM_FORMATS = f"{_FORMATS},hls,rtsp,rtp,sdp,mpjpeg,live_flv"
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0", b"[playlist]", b"[Reference]", b"<?xml", b"<MPD")


def kind_of(source: Source) -> Kind:
    """What `source` is: a camera is `camera:0`, an address begins as one of SCHEMES do.

    An image of several frames is a video. A path object is never a camera or an address.
    FileNotFoundError where there is no such file, ValueError for an address that is not read.
    """
    if isinstance(source, str):
        if source.startswith("camera:"):
            camera_number(source)
            return "camera"
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", source)
        if scheme is not None:
            if scheme[1].lower() not in SCHEMES:
                known = ", ".join(f"{name}://" for name in SCHEMES)
                raise ValueError(f"{shown(source)}: expected a path or an address: {known}")
            return "stream"
    path = Path(source)
    if path.is_dir():
        return "folder"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such image, folder or video")
    if is_animation(path):
        return "video"
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return "image"
    return "image" if path.suffix.lower() not in VIDEO_SUFFIXES and _is_image(path) else "video"


def _is_image(path: Path) -> bool:
    try:
        return header_of(path).size > (0, 0)
    except HeaderError:
        return False


def shown(source: Source) -> str:
    """`source` for messages: an address without its user name and password."""
    return re.sub(r"(?<=://)[^/?#]*@", "", os.fspath(source))


def let_ffmpeg_run_free() -> None:
    """FFmpeg's log leads nowhere from here on, as PyAV has it unless told otherwise.

    As `av.logging.set_level` leads it, FFmpeg's threads wait for Python's lock with each line, and
    whoever frees a decoder holds that lock and waits for the threads: both for ever. Older
    torchvision sets it when it is imported.
    """
    import av.logging

    av.logging.set_level(None)


@contextmanager
def opened(source: Source) -> Iterator["InputContainer"]:
    """The container of a video file or a stream; FFmpeg's errors become one line of ValueError.

    FileNotFoundError where there is no such file.
    """
    import av

    let_ffmpeg_run_free()
    is_stream = isinstance(source, str) and kind_of(source) == "stream"
    name = shown(source)
    started = time.monotonic()
    try:
        with av.open(
            _address(str(source)) if is_stream else _resolved(Path(source)),
            container_options=_stream_options(str(source)) if is_stream else _FILE_OPTIONS,
            timeout=TIMEOUT_SECONDS if is_stream else None,
            **_lenient(av.__version__),
        ) as container:
            for stream in container.streams.video:
                if stream.codec_context is not None:
                    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            yield container
    except av.FFmpegError as error:
        reason = error.strerror
        if is_stream and time.monotonic() - started >= TIMEOUT_SECONDS:
            reason = f"nothing came for {TIMEOUT_SECONDS:g} seconds"
        elif not is_stream:
            reason = _why_not(Path(source), reason)
        raise ValueError(f"{name}: cannot be read as a video ({reason})") from None


def _lenient(version: str) -> dict[str, Any]:
    """That what a file says of itself need not be UTF-8, as PyAV before 19 wants to be told."""
    return {"metadata_errors": "replace"} if int(version.partition(".")[0]) < 19 else {}


def _address(source: str) -> str:
    """As FFmpeg knows it: the scheme in small letters."""
    scheme, colon, rest = source.partition(":")
    return f"{scheme.lower()}{colon}{rest}"


def _resolved(path: Path) -> str:
    """A whole path cannot be taken for an address ("http:...") or an option of FFmpeg's."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such video file")
    return str(path.resolve())


_FILE_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}


def _stream_options(address: str) -> dict[str, str]:
    """The options for `address`, after a line in the log; ValueError where POSE_OFFLINE is set."""
    if os.environ.get(_OFFLINE, "0") not in ("", "0"):
        raise ValueError(f"{shown(address)}: {_OFFLINE} forbids opening it; give a file instead")
    logger.info("opening the stream %s", shown(address))
    options = {
        "protocol_whitelist": _PROTOCOLS,
        "format_whitelist": _STREAM_FORMATS,
        "rtsp_flags": "prefer_tcp",
    }
    if address.lower().startswith("https:"):
        roots = ssl.get_default_verify_paths().cafile
        if roots is None:
            logger.warning("%s: its certificate is not checked", shown(address))
        else:
            options |= {"tls_verify": "1", "ca_file": roots}
    return options


def _why_not(path: Path, reason: str | None) -> str:
    """What is wrong with a file that FFmpeg refuses, in plainer words where they are known."""
    with path.open("rb") as file:
        head = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(_PLAYLISTS):
        return "a playlist: what it names is not opened, give the video itself"
    if head[4:8] == b"ftyp":
        return f"{reason}; cut short or damaged, its index is missing"
    return str(reason)


def video_stream(container: "InputContainer", source: Source) -> "VideoStream":
    """The first video of a container, covers of music aside.

    ValueError where there is none, or its pictures are larger than MAX_PIXELS.
    """
    from av.stream import Disposition

    for stream in container.streams.video:
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic:
            check_size((stream.codec_context.width, stream.codec_context.height), shown(source))
            return stream
    raise ValueError(f"{shown(source)}: holds no video that can be decoded")


def camera_number(source: str) -> int:
    """0 of `camera:0`; ValueError for anything else."""
    number = re.fullmatch(r"camera:(\d{1,4})", source)
    if number is None:
        raise ValueError(f"{source}: expected camera:NUMBER, such as camera:0")
    return int(number[1])


@contextmanager
def opened_camera(source: Source) -> Iterator[cv2.VideoCapture]:
    """The camera of `camera:0`; ValueError where there is none."""
    number = camera_number(os.fspath(source))
    # As OpenCV 4 calls it, and 5. Silence: the error below says it in a line.
    set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    level = set_log_level(0)
    capture = cv2.VideoCapture(number)
    set_log_level(level)
    try:
        if not capture.isOpened():
            raise ValueError(
                f"{source}: no such camera, or another program uses it, or this one may not"
            )
        yield capture
    finally:
        capture.release()


def camera_fps(capture: cv2.VideoCapture) -> Fraction:
    """Frames a second as the camera states them."""
    stated = capture.get(cv2.CAP_PROP_FPS)
    return Fraction(stated).limit_denominator(1001) if 0 < stated <= 1000 else CAMERA_FPS


def camera_frames(capture: cv2.VideoCapture, source: Source) -> Iterator[tuple[np.ndarray, float]]:
    """(H, W, 3) uint8 RGB and its seconds since the first, until the camera gives no more.

    ValueError where it gives nothing at all.
    """
    started = None
    while True:
        came, image = capture.read()
        if not came:
            break
        now = time.monotonic()
        started = now if started is None else started
        yield swap_red_blue(image), now - started
    if started is None:
        raise ValueError(f"{source}: the camera gives no picture")
