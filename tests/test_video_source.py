"""What a source is; FFmpeg opens what the user named and nothing else."""

import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from pose import video_source
from pose.video import kind_of, probe, read_frames
from pose.video_source import shown
from tests.clips import frames, write_clip
from tests.patience import HANG_SECONDS
from tests.serving import Server, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("POSE_OFFLINE", raising=False)
    with serving() as server:
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSE_OFFLINE", raising=False)
    monkeypatch.setattr(video_source, "TIMEOUT_SECONDS", 0.5)


def count(source: str | Path) -> int:
    return len(list(read_frames(source)))


def test_kinds_of_sources(tmp_path: Path) -> None:
    picture = Image.fromarray(frames(1)[0])
    for name in ("a.jpg", "a.png", "a.gif", "a.webp", "a.tif", "a.BMP", "no_suffix"):
        picture.save(tmp_path / name, "PNG" if name == "no_suffix" else None)
        assert kind_of(tmp_path / name) == kind_of(str(tmp_path / name)) == "image"
    for name in ("b.gif", "b.png", "b.webp", "b.apng"):
        kind = "PNG" if name == "b.apng" else None
        picture.save(tmp_path / name, kind, save_all=True, append_images=[picture.rotate(9)])
        assert kind_of(tmp_path / name) == "video"
    (tmp_path / "damaged.jpg").write_bytes(b"text")
    assert kind_of(tmp_path / "damaged.jpg") == "image"  # its reader says what is wrong with it
    for name in ("c.mp4", "c.AVI", "c.unknown"):
        (tmp_path / name).write_bytes(b"text")
        assert kind_of(tmp_path / name) == "video"
    assert kind_of(tmp_path) == kind_of(str(tmp_path)) == "folder"
    assert kind_of("camera:0") == kind_of("camera:12") == "camera"
    for scheme in ("rtsp", "http", "HTTPS", "udp", "rtmp"):
        assert kind_of(f"{scheme}://host/path") == "stream"
    assert video_source.camera_number("camera:12") == 12


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("camera:", "expected camera:NUMBER, such as camera:0"),
        ("camera:front", "expected camera:NUMBER"),
        ("camera:-1", "expected camera:NUMBER"),
        ("file:///etc/passwd", "file:///etc/passwd: expected a path or an address: rtsp://, "),
        ("concat://a|b", "expected a path or an address"),
        ("ftp://me:secret@host/a.mp4", "ftp://host/a.mp4: expected a path or an address"),
    ],
)
def test_what_is_no_source_is_refused(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("|", r"\|")) as caught:
        kind_of(source)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


LOGGED = """
import sys
import av.logging
import numpy as np
from pose.video import VideoWriter, probe
for turn in ("write", "read"):
    av.logging.set_level(av.logging.ERROR)
    if turn == "write":
        noise = np.random.default_rng(0)
        with VideoWriter(sys.argv[1]) as writer:
            for _ in range(20):
                writer.write(noise.integers(0, 255, (240, 320, 3), np.uint8))
    else:
        for _ in range(50):
            assert probe(sys.argv[1]).num_frames == 20
    assert av.logging.get_level() is None, turn
"""


def test_a_log_that_the_application_set_stops_no_video(tmp_path: Path) -> None:
    line = [sys.executable, "-c", LOGGED, str(tmp_path / "a.mp4")]
    subprocess.run(line, check=True, timeout=HANG_SECONDS)  # it would wait for ever


def test_what_is_not_there(tmp_path: Path) -> None:
    for source in (tmp_path / "none.mp4", "none.jpg", Path("camera:0"), Path("rtsp://host/a")):
        with pytest.raises(FileNotFoundError, match="no such image, folder or video"):
            kind_of(source)


def test_passwords_are_not_shown() -> None:
    assert shown("rtsp://me:se@cret@host:554/a?b=@c") == "rtsp://host:554/a?b=@c"
    assert shown("http://me:secret@host?to=a@b") == "http://host?to=a@b"
    assert shown("http://host/a@b.mp4") == "http://host/a@b.mp4"
    assert shown(Path("a@b/c.mp4")) == os.fspath(Path("a@b/c.mp4"))


# --- files


@pytest.mark.parametrize("name", ["a.m3u8", "a.mp4", "a.ts", "a.avi"])
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n",
        "\ufeff#EXTM3U\n#EXTINF:1,\n{0}\n",
        "ffconcat version 1.0\nfile '{0}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        '<?xml version="1.0"?><MPD><BaseURL>{0}</BaseURL></MPD>',
        "[playlist]\nFile1={0}\n",
    ],
    ids=["hls", "hls-with-mark", "concat", "sdp", "dash", "pls"],
)
def test_playlists_are_not_followed(tmp_path: Path, name: str, text: str) -> None:
    secret = write_clip(tmp_path / "secret.ts", frames(2))
    path = tmp_path / name
    path.write_text(text.format(secret), encoding="utf-8")
    for act in (probe, lambda source: next(read_frames(source))):
        with pytest.raises(ValueError, match=f"{name}: .*a playlist: what it names is not opened"):
            act(path)


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:9/a.ts", "concat:a.ts|b.ts", "subfile,,:a.ts"]
)
def test_protocols_in_a_playlist_are_not_opened(tmp_path: Path, target: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_text(f"#EXTM3U\n#EXTINF:1,\n{target}\n")
    with pytest.raises(ValueError, match="a playlist"):
        probe(path)


def boxes_with(data: bytes, kind: bytes, change) -> bytes:
    """An ISO file (14496-12) whose boxes `kind`, at any depth, hold change(content)."""
    made, at = b"", 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + size]
        if name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
            content = boxes_with(content, kind, change)
        if name == kind:
            content = change(content)
        made += struct.pack(">I4s", 8 + len(content), name) + content
        at += size
    return made


@pytest.mark.parametrize("kind", [b"url ", b"alis"])
def test_an_mp4_that_keeps_its_pictures_elsewhere(tmp_path: Path, kind: bytes) -> None:
    """The data reference (14496-12, 8.7.2; QuickTime's alias) names a file beside it.

    FFmpeg follows this very alias where its option enable_drefs is set.
    """
    dark, bright = (np.full((48, 64, 3), level, np.uint8) for level in (10, 240))
    write_clip(tmp_path / "secret.mp4", [bright] * 5, "mpeg4")
    path = write_clip(tmp_path / "a.mp4", [dark] * 5, "mpeg4")
    name = b"/secret.mp4\0"
    entry = bytes(4) + name
    if kind == b"alis":
        levels = struct.pack(">HH", 1, 1)
        place = struct.pack(">HH", 2, len(name)) + name + struct.pack(">hH", -1, 0)
        entry = bytes(134) + levels + bytes(16) + place

    def elsewhere(content: bytes) -> bytes:
        return content[:8] + struct.pack(">I4s", 8 + len(entry), kind) + entry

    path.write_bytes(boxes_with(path.read_bytes(), b"dref", elsewhere))
    if kind == b"url ":
        assert all(image.mean() < 60 for image, _ in read_frames(path)) and count(path) == 5
        return
    with av.open(str(path), container_options={"enable_drefs": "1"}) as container:
        assert all(f.to_ndarray(format="gray").mean() > 200 for f in container.decode(video=0))
    with pytest.raises(ValueError, match=r"a\.mp4: holds no frame that can be decoded"):
        count(path)


def test_names_are_never_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("http:a.mp4", "-i.mp4", "pipe:0.mp4", "a%d.mp4", "größe 图.mp4"):
        write_clip(tmp_path / "a.mp4", frames(2)).rename(name)
        assert count(name) == count(Path(name)) == 2


def test_odd_characters_in_what_a_file_says_of_itself(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", frames(2), "mpeg4")
    data = path.read_bytes()
    title = b"INFOISFT" + struct.pack("<I", 4) + b"\xff\xfe\xe9\x00"
    at = data.index(b"LIST", data.index(b"hdrl"))
    at = data.index(b"JUNK") if b"JUNK" in data else at
    (size,) = struct.unpack_from("<I", data, at + 4)
    room = struct.pack("<4sI", b"LIST", len(title)) + title
    room += struct.pack("<4sI", b"JUNK", size - len(room))
    path.write_bytes(data[:at] + room + data[at + len(room) :])
    assert count(path) == 2


def test_pyav_19_is_given_what_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, plain, given = write_clip(tmp_path / "a.mp4", frames(2)), av.open, set()

    def open_noting_keys(name: str, **keys: object) -> object:
        given.update(keys)
        return plain(name, **keys)

    monkeypatch.setattr(av, "__version__", "19.0.0")
    monkeypatch.setattr(av, "open", open_noting_keys)
    assert count(path) == 2 and given == {"container_options", "timeout"}


# --- addresses


def test_a_video_behind_an_address(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.files["a.ts"] = write_clip(tmp_path / "a.ts", frames(5)).read_bytes()
    address = server.url("a.ts").replace("://", "://me:secret@")
    assert count(address) == 5 and probe(address.replace("http", "HTTP")).size == (64, 48)
    assert f"opening the stream {server.url('a.ts')}" in caplog.text
    assert "secret" not in caplog.text


def test_a_live_playlist_may_lead_to_addresses_only(tmp_path: Path, server: Server) -> None:
    local = write_clip(tmp_path / "a.ts", frames(5))
    server.files["a.ts"] = local.read_bytes()
    list_of = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n".format
    server.files["good.m3u8"] = list_of("a.ts").encode()
    assert count(server.url("good.m3u8")) == 5
    for target in (f"file://{local}", str(local), f"concat:{local}", f"subfile,,start,0,:{local}"):
        server.files["bad.m3u8"] = list_of(target).encode()
        with pytest.raises(ValueError, match=r"bad\.m3u8: cannot be read as a video"):
            count(server.url("bad.m3u8"))
    server.moved["moved.ts"] = f"file://{local}"
    with pytest.raises(ValueError, match="cannot be read as a video"):
        count(server.url("moved.ts"))


def test_errors_of_addresses_are_one_line(server: Server) -> None:
    server.files["a.mp4"] = b"<html>" * 99
    for address in (server.url("none.mp4"), server.url("a.mp4"), "http://127.0.0.1:9/a.mp4"):
        secret = address.replace("://", "://me:secret@")
        with pytest.raises(ValueError, match="cannot be read as a video") as caught:
            probe(secret)
        assert str(caught.value).startswith(address) and "\n" not in str(caught.value)


def test_a_stream_that_breaks_off_keeps_what_came(tmp_path: Path, server: Server) -> None:
    server.files["a.ts"] = write_clip(tmp_path / "a.ts", frames(60)).read_bytes()
    server.cut = len(server.files["a.ts"]) // 2
    assert 5 < count(server.url("a.ts")) < 60


@pytest.mark.parametrize("scheme", ["udp", "rtp", "rtsp", "http", "tcp", "rtmp"])
def test_an_unreadable_stream_ends_in_bounded_time(impatient: None, scheme: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        address = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ValueError, match=r"\(nothing came for 0\.5 seconds\)"):
            probe(address)
        assert time.monotonic() - started < 5


def test_a_stream_that_falls_silent_ends(tmp_path: Path, impatient: None) -> None:
    data = write_clip(tmp_path / "a.ts", frames(60)).read_bytes()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        found = read_frames(f"tcp://127.0.0.1:{listening.getsockname()[1]}")
        done = threading.Event()

        def feed() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(data[: len(data) // 2])
                done.wait(10)

        thread = threading.Thread(target=feed, daemon=True)
        thread.start()
        started = time.monotonic()
        assert 5 < len(list(found)) < 60
        assert time.monotonic() - started < 5
        done.set()
        thread.join()


def test_offline_forbids_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSE_OFFLINE", "1")
    with pytest.raises(ValueError, match="http://host/a: POSE_OFFLINE forbids opening it"):
        probe("http://me:secret@host/a")


# --- cameras


class Camera:
    """Stands for cv2.VideoCapture."""

    def __init__(self, images: list[np.ndarray], fps: float) -> None:
        self.images, self.fps, self.released = iter(images), fps, False

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        image = next(self.images, None)
        return image is not None, image

    def get(self, what: int) -> float:
        return self.fps if what == cv2.CAP_PROP_FPS else 0

    def release(self) -> None:
        self.released = True


def test_cameras_give_rgb_and_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def capture(number: int) -> Camera:
        opened.append(Camera([image[..., ::-1] for image in frames(4)], 29.97 if number else 0))
        return opened[-1]

    monkeypatch.setattr(cv2, "VideoCapture", capture)
    found = list(read_frames("camera:1"))
    assert len(found) == 4 and found[0][1] == 0
    assert (np.diff([seconds for _, seconds in found]) >= 0).all()
    for (image, _), expected in zip(found, frames(4), strict=True):
        np.testing.assert_array_equal(image, expected)
    info = probe("camera:1")
    assert (info.size, info.num_frames, info.duration) == ((64, 48), None, None)
    assert float(info.fps) == pytest.approx(29.97, abs=1e-3) and probe("camera:0").fps == 30
    reading = read_frames("camera:0")
    next(reading)
    reading.close()
    assert all(camera.released for camera in opened)


def test_a_camera_without_pictures_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: Camera([], 30))
    for act in (probe, lambda source: next(read_frames(source))):
        with pytest.raises(ValueError, match="camera:0: the camera gives no picture"):
            act("camera:0")


def test_a_camera_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="camera:9999: no such camera, or another program uses it"):
        probe("camera:9999")
