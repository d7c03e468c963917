"""The page of `pose app` against who means harm: files, names, paths and numbers of requests."""

import base64
import http.client
import io
import json
import multiprocessing
import os
import re
import signal
import struct
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pose.commands import app_decoding, app_jobs, app_server
from pose.commands.app_answers import App
from pose.commands.app_page import CSS, build_page, camera_frame
from pose.data.synthetic import draw_scene
from pose.images import read_image, write_image
from pose.video import probe, read_frames
from tests.clips import codec_of_sound, flash_and_beep, frames, write_clip, write_flash
from tests.commands.test_app_command import CFG, PREDICTOR, Visitor, go_on
from tests.patience import HANG_SECONDS

NETWORK = "<img src=x onerror=alert(1)>"
DETECTOR = "</p><script>alert(2)</script>"
CHOSEN = (NETWORK, 0.2, True)
MAX_BYTES = 200_000


# --- decoding in a program of its own


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    write_image(path, draw_scene(0, 0).image)
    return path


@pytest.fixture
def no_decoder_left():
    """When the test ends the programs that it started have ended."""
    before = multiprocessing.active_children()  # of other tests, which nobody has asked for yet
    yield
    assert set(multiprocessing.active_children()) <= set(before)


def pixels_of_header(size):
    """A PNG of a few bytes that states this size."""
    head = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    body = struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + body + end


def test_what_is_decoded_elsewhere_is_the_same(photo, tmp_path):
    assert np.array_equal(app_decoding.decoded_picture(photo), read_image(photo))
    path = write_clip(tmp_path / "a.mp4", frames(9))
    assert app_decoding.probed(path) == probe(path)
    for (image, seconds), (other, same) in zip(
        app_decoding.decoded_frames(path), read_frames(path), strict=True
    ):
        assert np.array_equal(image, other) and seconds == same
        assert image.flags.writeable


@pytest.mark.parametrize(
    ("name", "codec", "options"), [("a.mp4", "aac", {"video_from": 0.7}), ("a.mkv", "ac3", {})]
)
def test_the_sound_comes_along_in_step(tmp_path, name, codec, options):
    path = write_flash(tmp_path / name, codec, **options)
    result = app_jobs.video_job(PREDICTOR, CFG, path, tmp_path, go_on)
    assert codec_of_sound(result.drawn) == "aac"
    (_, before), (_, after) = flash_and_beep(path), flash_and_beep(result.drawn)
    assert after == pytest.approx(before - options.get("video_from", 0), abs=0.05)


def test_a_video_without_sound_or_with_a_broken_one_is_still_drawn(tmp_path):
    path = write_clip(tmp_path / "a.mp4", frames(4))
    assert app_decoding.separated_sound(path, tmp_path / "sound.mp4", 9) is None
    result = app_jobs.video_job(PREDICTOR, CFG, path, tmp_path, go_on)
    assert codec_of_sound(result.drawn) is None and len(list(read_frames(result.drawn))) == 4


def test_errors_are_the_readers_own(tmp_path, no_decoder_left):
    path = tmp_path / "a.mp4"
    path.write_text("#EXTM3U\n")
    with pytest.raises(ValueError, match=r"^.*a\.mp4: cannot be read as a video \(a playlist"):
        app_decoding.probed(path)
    with pytest.raises(ValueError, match=r"^.*a\.mp4: not a JPEG, PNG"):
        app_decoding.decoded_picture(path)


def test_pictures_beyond_the_limit_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(pixels_of_header((8192, 8192)))
    with pytest.raises(ValueError, match=r"a\.png: 8192 x 8192 pixels, at most \d+ are taken here"):
        app_decoding.decoded_picture(path)
    monkeypatch.setattr(app_decoding, "MAX_PIXELS", 64 * 48 - 1)
    clip = write_clip(tmp_path / "a.mp4", frames(2))
    for task in (app_decoding._probe, app_decoding._frames):
        with pytest.raises(ValueError, match=r"a\.mp4: 64 x 48 pixels, at most 3071 are taken"):
            list(task(clip))
    # and what comes from the other program is not believed either
    with pytest.raises(ValueError, match="the decoder broke off"):
        list(app_decoding.decoded_frames(clip))


def hang(connection, *given):
    time.sleep(60)


def take_all(connection, *given):
    app_decoding.limit_resources()
    try:
        np.ones(2 * app_decoding.MAX_MEMORY, np.uint8)
    except MemoryError:
        connection.send_bytes(json.dumps({"error": "there is no more"}).encode())


def die(connection, *given):
    os.kill(os.getpid(), signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)


def lie(connection, *given):
    connection.send_bytes(json.dumps({"size": [10, 10], "time": 0}).encode())
    connection.send_bytes(bytes(7))


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (hang, r"cannot be decoded within 2 seconds"),
        (die, r"the decoder broke off"),
        (lie, r"the decoder broke off"),
        pytest.param(
            take_all,
            "there is no more",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="no limit of memory"),
        ),
    ],
)
def test_a_decoder_that_goes_wrong_is_a_line(photo, monkeypatch, no_decoder_left, work, said):
    seconds = 2.0 if work is hang else app_decoding.DECODING_SECONDS
    monkeypatch.setattr(app_decoding, "_work", work)
    monkeypatch.setattr(app_decoding, "DECODING_SECONDS", seconds)
    started = time.monotonic()
    with pytest.raises(ValueError, match=said):
        app_decoding.decoded_picture(photo)
    assert time.monotonic() - started < 30


def test_a_frame_of_the_camera_is_read_by_our_own_readers(photo):
    from gradio.data_classes import ImageData

    def sent(data):
        return ImageData(url=f"data:image/png;base64,{base64.b64encode(data).decode()}")

    assert np.array_equal(camera_frame(sent(photo.read_bytes())), read_image(photo))
    assert camera_frame(None) is None
    for data in (b"%!PS-Adobe-3.0 EPSF-3.0\n", b"", pixels_of_header((8192, 8192))):
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            camera_frame(sent(data))
    for other in (ImageData(path=str(photo)), ImageData(url=f"file://{photo}")):
        with pytest.raises(ValueError, match="empty"):
            camera_frame(other)


# --- the page


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    pytest.importorskip("gradio", reason="gradio, which makes the page, is not installed")
    folder = tmp_path_factory.mktemp("uploads")
    app_server.keep_private(folder)
    work = App({NETWORK: "net"}, lambda network: (PREDICTOR, CFG), DETECTOR, folder)
    asgi = app_server.application(build_page(work), CSS, max_bytes=MAX_BYTES)
    # gradio reads the folder of uploads when it is imported, which other tests may have done
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    with app_server.listen(0) as listening, app_server.serving(asgi, listening):
        yield work, f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def visitor(served):
    visitor = Visitor(served[1])
    yield visitor
    visitor.http.close()


NAMES = (
    *("../../odd.png", "..\\..\\odd.png", "/etc/odd.png", "C:\\odd.png", "\\\\host\\odd.png"),
    *("a/../../odd.png", "....//odd.png", "%2e%2e%2fodd.png", "odd.png\0.html", "CON", ".htaccess"),
    *("a" * 300 + ".png", "-rf.png", "`touch x`.png", "$(touch x).png", "|touch x|.png"),
    *("<svg onload=alert(1)>.png", "\u202egnp.exe", "a\r\nSet-Cookie: x=1.png", "", ".", ".."),
)


@pytest.mark.parametrize("name", NAMES)
def test_an_upload_lies_where_the_server_says(served, visitor, name):
    folder = served[0].folder.resolve()
    before = {path for path in folder.parent.rglob("*") if folder not in path.parents}
    answer = visitor.http.post("/gradio_api/upload", files={"files": (name, b"0")})
    if answer.status_code == 200:
        for path in map(Path, answer.json()):
            assert path.resolve().is_relative_to(folder) and path.is_file()
    else:
        assert answer.status_code in (400, 413, 422, 500)
    assert {p for p in folder.parent.rglob("*") if folder not in p.parents} == before
    assert "set-cookie" not in answer.headers


def test_a_hundred_uploads_at_once(served, visitor):
    """Each gets a place of its own; what is too large is refused and kept nowhere; the page lives
    on."""

    def send(number):
        data = bytes([number]) * (MAX_BYTES + 1 if number % 10 == 0 else 1000 + number)
        files = {"files": ("same.png", io.BytesIO(data))}
        return number, visitor.http.post("/gradio_api/upload", files=files)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(100)))
    places = set()
    for number, answer in answers:
        assert answer.status_code == (413 if number % 10 == 0 else 200)
        if answer.status_code == 200:
            (path,) = answer.json()
            assert Path(path).read_bytes() == bytes([number]) * (1000 + number)
            places.add(path)
    assert len(places) == 90
    sizes = [path.stat().st_size for path in served[0].folder.rglob("*") if path.is_file()]
    assert max(sizes) <= MAX_BYTES
    assert visitor.http.get("/").status_code == 200


PAGES = {
    "page.html": b"<script>alert(1)</script>",
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "page.xhtml": b"<html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>",
    "page.png": b"<!doctype html><script>alert(1)</script>",
    "page.mp4": b"<!doctype html><script>alert(1)</script>",
    "script.js": b"alert(1)",
    "paper.pdf": b"%PDF-1.4",
    "page": b"<!doctype html><script>alert(1)</script>",
}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("part", [{}, {"Range": "bytes=0-5"}], ids=["whole", "part"])
def test_nothing_that_was_uploaded_is_a_page(visitor, name, part):
    """Whoever is led to its address gets a file to save; no browser takes it for a page, and were
    it one, its scripts would not run."""
    files = {"files": (name, PAGES[name])}
    (path,) = visitor.http.post("/gradio_api/upload", files=files).json()
    answer = visitor.http.get(f"/gradio_api/file={path}", headers=part)
    assert answer.status_code in (200, 206)
    assert answer.headers.get_list("content-disposition")[0].startswith("attachment")
    assert len(answer.headers.get_list("content-disposition")) == 1
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == app_server.STORED_POLICY
    assert not answer.headers["content-type"].startswith(("text/html", "image/svg", "text/java"))


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/process_recording",
        "/gradio_api/component_server",
        "/gradio_api/custom_component/1/client/x/y.js",
        "/gradio_api/vibe-edit/",
        "/gradio_api/run-history/connect",
        "/gradio_api/dev/reload",
        "/monitoring",
        "/gradio_api/profiling/traces",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/file=http://127.0.0.1:1/a",
        "/gradio_api/file=/http:/127.0.0.1:1/a",
    ],
)
def test_ways_that_the_page_does_not_need_are_closed(visitor, path):
    for method in ("GET", "POST"):
        assert visitor.http.request(method, path).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../../../../etc/passwd",
        "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "....//....//etc/passwd",
        "/proc/self/environ",
        "C:/Windows/win.ini",
        "file:///etc/passwd",
        "setup.py",
        "/dev/zero",
        ".",
        "\\\\host\\share",
    ],
)
def test_no_path_leads_out_of_the_folder(served, path):
    folder, address = served[0].folder, served[1].removeprefix("http://")
    stored = [f"/gradio_api/{door}{start}" for door in ("file=", "file/")
              for start in ("", f"{folder}/", f"{folder}/../")]  # fmt: skip
    for start in (*stored, "/static/", "/assets/", "/svelte/"):
        # as it stands, which other clients tidy up before they send it
        connection = http.client.HTTPConnection(address, timeout=HANG_SECONDS)
        connection.request("GET", f"{start}{path}")
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status in (400, 403, 404) or (answer.status == 307 and not text), start
        assert b"root:" not in text and b"PATH=" not in text


def test_names_and_words_of_strangers_are_text_on_the_page(visitor, photo):
    """Of the detector, of a network and of an upload, in answers and in errors."""
    page = visitor.http.get("/").text
    assert "<script>alert(2)" not in page and "<img src=x" not in page
    heading = next(c["props"]["value"] for c in visitor.config["components"] if c["type"] == "html")
    assert "&lt;script&gt;alert(2)" in heading and "<script" not in heading
    name = "<img src=x onerror=alert(3)>.png"
    for data, said in ((photo.read_bytes(), "1 person found"), (b"none", "not a JPEG")):
        files = {"files": (name, data)}
        (path,) = visitor.http.post("/gradio_api/upload", files=files).json()
        file = {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}
        *_, line = visitor.find("Image", file, *CHOSEN)[1]
        assert said in line
        assert re.fullmatch(r'<p( class="pose-wrong")?>[^<>]*</p>', line)


def test_a_hostile_upload_is_a_line_and_the_next_one_works(visitor, photo, tmp_path):
    path = tmp_path / "list.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    *_, line = visitor.find("Video", visitor.upload(path), *CHOSEN)[1]
    assert "list.mp4: cannot be read as a video (a playlist" in line
    path = tmp_path / "huge.png"
    path.write_bytes(pixels_of_header((30_000, 30_000)))
    *_, line = visitor.find("Image", visitor.upload(path), *CHOSEN)[1]
    assert "huge.png: 30000 x 30000 pixels" in line
    *_, line = visitor.find("Image", visitor.upload(photo), *CHOSEN)[1]
    assert "1 person found" in line


def test_the_limits_are_said_where_they_are():
    assert app_server.HOST == "127.0.0.1"
    assert Fraction(app_decoding.MAX_PIXELS) >= 7680 * 4320, "8K is a video of today"
