"""`pose app`: from an upload to what is downloaded, for this machine alone."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from pose.commands import app, app_jobs, app_server
from pose.commands import main as cli
from pose.commands.app_answers import App, reason
from pose.commands.app_page import CSS, build_page
from pose.config import resolve
from pose.data.synthetic import draw_scene
from pose.images import read_image, write_image
from pose.inference.boxes import Boxes
from pose.inference.draw import draw_poses
from pose.inference.frames import poses_of_line
from pose.inference.predict import Runtime
from pose.inference.predictor import Predictor
from pose.skeleton import COCO_17
from pose.video import VideoInfo, VideoWriter, read_frames
from tests.patience import HANG_SECONDS
from tests.serving import serving

NETWORK = "hand.onnx"
CHOSEN = (NETWORK, 0.2, True)
"""What stands on the page: network, threshold, smoothing."""


def find(images):
    """Points on a diagonal, surer the brighter the crop; certain ones first."""
    along = torch.linspace(8, 56, 17)[None, :, None].repeat(len(images), 1, 2)
    bright = images.float().mean((1, 2, 3)) / 255
    return along, bright[:, None] * torch.linspace(1.0, 0.3, 17)[None]


MEANWHILE = []
"""What happens whenever the detector looks."""


def detect(images):
    """The middle of every image that is not black."""
    for step in MEANWHILE:
        step()
    found = []
    for image in images:
        height, width = image.shape[:2]
        box = np.array([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]], np.float32)
        box = box[: int(image.any())]
        found.append(Boxes(box, np.ones(len(box), np.float32)))
    return found


PREDICTOR = Predictor(Runtime(find, (64, 64), "published", COCO_17, "a test"), detect)
CFG = resolve({}, "test")


@pytest.fixture
def meanwhile():
    yield MEANWHILE
    MEANWHILE.clear()


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    write_image(path, draw_scene(0, 0).image)
    return path


def clip(path, num_frames=9, grey=None):
    with VideoWriter(path, 25) as writer:
        for i in range(num_frames):
            writer.write(np.full((48, 64, 3), 100 + i % 100 if grey is None else grey, np.uint8))
    return path


def go_on(stage, done, of):
    return True


def test_a_picture_gives_the_poses_of_the_predictor_drawn_and_in_numbers(photo, tmp_path):
    result = app_jobs.picture_job(PREDICTOR, CFG, photo, tmp_path)
    poses = PREDICTOR(photo)
    assert json.loads(result.poses.read_text()) == json.loads(poses.to_json())
    write_image(tmp_path / "expected.jpg", draw_poses(read_image(photo), poses))
    assert result.drawn.read_bytes() == (tmp_path / "expected.jpg").read_bytes()
    assert re.fullmatch(r"1 person found in \d+\.\d\d s \(a test\)\.", result.summary)


def test_the_threshold_says_what_is_drawn(photo, tmp_path):
    """No score is above 1: nothing is drawn, the numbers stay."""
    keys = resolve({"predict": {"keypoint_threshold": 1.0}}, "test")
    result = app_jobs.picture_job(PREDICTOR, keys, photo, tmp_path)
    write_image(tmp_path / "expected.jpg", read_image(photo))
    assert result.drawn.read_bytes() == (tmp_path / "expected.jpg").read_bytes()
    assert len(json.loads(result.poses.read_text())["people"]) == 1


def smoothing(how):
    return resolve({"predict": {"smoothing": how}}, "test")


@pytest.mark.parametrize("how", ["auto", "live", "none"])
def test_a_video_has_as_many_frames_afterwards(tmp_path, how):
    told = []
    source = clip(tmp_path / "clip.mp4")
    result = app_jobs.video_job(
        *(PREDICTOR, smoothing(how), source, tmp_path), lambda *stage: told.append(stage) or True
    )
    stages = ("Finding", "Drawing") if how == "auto" else ("Drawing",)
    assert told == [(stage, i, 9) for stage in stages for i in range(1, 10)]
    assert len(list(read_frames(result.drawn))) == 9
    lines = result.poses.read_text().splitlines()
    found = [poses_of_line(line, COCO_17) for line in lines]
    assert [frame for frame, _, _ in found] == list(range(9))
    assert [poses.track_ids.tolist() for _, _, poses in found[2:]] == [[1]] * 7
    assert result.summary.startswith("9 frames: 1 person found in ")


@pytest.mark.parametrize("how", ["auto", "none"])
def test_a_stopped_video_plays_as_far_as_it_came(tmp_path, how):
    source = clip(tmp_path / "clip.mp4")
    result = app_jobs.video_job(
        *(PREDICTOR, smoothing(how), source, tmp_path), lambda stage, done, of: done < 4
    )
    assert len(list(read_frames(result.drawn))) == 4
    assert len(result.poses.read_text().splitlines()) == 4


@pytest.mark.parametrize("how", ["auto", "none"])
def test_a_video_without_anybody(tmp_path, how):
    source = clip(tmp_path / "clip.mp4", grey=0)
    result = app_jobs.video_job(PREDICTOR, smoothing(how), source, tmp_path, go_on)
    assert len(list(read_frames(result.drawn))) == 9
    assert result.summary.startswith("9 frames: Nobody found in ")


def test_a_long_video_is_refused_and_one_of_unknown_length_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(app_jobs, "MAX_SECONDS", 1)
    source = clip(tmp_path / "clip.mp4", num_frames=60)
    job = (PREDICTOR, CFG, source, tmp_path, go_on)
    with pytest.raises(ValueError, match=r"clip.mp4: lasts 2 seconds, at most 1 are .*predict"):
        app_jobs.video_job(*job)
    unstated = VideoInfo((64, 48), 25, None, None)
    monkeypatch.setattr("pose.commands.app_decoding.probed", lambda path: unstated)
    result = app_jobs.video_job(*job)
    assert len(list(read_frames(result.drawn))) == 50
    assert result.summary.endswith("Only the first 1 seconds are taken here.")


def test_a_frame_of_the_camera(photo):
    image = read_image(photo)
    drawn, summary = app_jobs.frame_job(PREDICTOR, CFG, image)
    assert np.array_equal(drawn, draw_poses(image, PREDICTOR(image)))
    assert summary.startswith("1 person found in ")
    assert app_jobs.frame_job(PREDICTOR, CFG, 0 * image)[1].startswith("Nobody found in ")


def test_who_stays_before_the_camera_is_followed_and_moves_steadily(photo):
    """The detector's box trembles; what is drawn trembles less."""
    image = read_image(photo)
    rng = np.random.default_rng(0)

    def tremble(images):
        boxes = np.array([[80, 40, 240, 200]], np.float32) + rng.normal(0, 4, (1, 4))
        return [Boxes(boxes.astype(np.float32), np.ones(1, np.float32)) for _ in images]

    shaky = Predictor(PREDICTOR.runtime, tremble)
    follow = app_jobs.Follower(shaky, CFG)
    followed = [follow(image) for _ in range(40)][5:]
    assert {tuple(poses.track_ids.tolist()) for poses in followed} == {(1,)}
    alone = [shaky(image) for _ in range(35)]

    def trembling(many):
        return np.abs(np.diff([poses.keypoints[0] for poses in many], axis=0)).mean()

    assert trembling(followed) < trembling(alone) / 2


def test_an_error_is_a_line_without_the_place_of_the_upload(caplog):
    path = Path("/somewhere/photo.png")
    line = reason(ValueError(f"{path}: no\nimage"), path)
    assert line == "photo.png: no image"
    assert not caplog.records
    assert reason(ZeroDivisionError("by zero"), path).startswith("This failed inside the program")
    assert caplog.records[0].exc_info, "the terminal gets the whole of it"


def test_networks_are_called_by_their_file_names_where_that_is_clear(tmp_path):
    first, second, third = (tmp_path / name for name in ("a/n.onnx", "b/n.onnx", "b/m.onnx"))
    for path in (first, second, third):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    texts = [str(first), "hrnet_w32", str(second), str(third), "hrnet_w32"]
    assert app.called(texts) == {
        str(first): str(first),
        "hrnet_w32": "hrnet_w32",
        str(second): str(second),
        "m.onnx": str(third),
    }


def test_the_socket_is_on_the_loopback_address_and_a_taken_port_is_said():
    with app_server.listen(None) as first, app_server.listen(None) as second:
        assert first.getsockname()[0] == second.getsockname()[0] == "127.0.0.1"
        port = second.getsockname()[1]
        with pytest.raises(ValueError, match=rf"^--port {port}: cannot be listened on \(.+name"):
            app_server.listen(port)
    for port in (-1, 70000):
        with pytest.raises(ValueError, match=f"--port {port}: cannot be listened on"):
            app_server.listen(port)


@pytest.mark.parametrize(
    ("host", "origin", "welcome"),
    [
        ("127.0.0.1:7860", None, True),
        ("localhost:7860", None, True),
        ("127.0.0.1:7860", "http://127.0.0.1:7860", True),
        ("evil.example", None, False),
        ("evil.example:7860", "http://evil.example:7860", False),
        ("127.0.0.1.evil.example:7860", None, False),
        ("127.0.0.1:7860", "https://evil.example", False),
        ("127.0.0.1:7860", "http://127.0.0.1:8000", False),
        ("127.0.0.1:7860", "null", False),
        ("", None, False),
    ],
)
def test_only_this_page_on_this_machine_is_answered(host, origin, welcome):
    headers = {"host": host} | ({"origin": origin} if origin else {})
    assert app_server.from_here(headers) == welcome


def run(*line):
    return cli.main(["app", *map(str, line), "--device", "cpu"])


@pytest.fixture
def command(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "app", "Use")


def test_without_gradio_the_command_says_what_to_install(command, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run() == 2
    assert capsys.readouterr().err == (
        "pose: error: gradio is not installed, which makes the page; run: pip install gradio\n"
    )


# What follows needs gradio, whose import alone takes seconds.


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The page on a port of its own, and what it works with."""
    pytest.importorskip("gradio", reason="gradio, which makes the page, is not installed")
    folder = tmp_path_factory.mktemp("uploads")
    app_server.keep_private(folder)

    def load(network):
        if network != NETWORK:
            raise ValueError(f"{network}: not here, and POSE_OFFLINE forbids fetching it")
        return PREDICTOR, CFG

    work = App({NETWORK: NETWORK, "far <b>away</b>": "far_away"}, load, "a test's", folder)
    asgi = app_server.application(build_page(work), CSS, max_bytes=200_000)
    with app_server.listen(0) as listening, app_server.serving(asgi, listening):
        yield work, f"http://127.0.0.1:{listening.getsockname()[1]}"


class Visitor:
    """Asks the page as its scripts do."""

    def __init__(self, address):
        import httpx

        self.http = httpx.Client(base_url=address, trust_env=False, timeout=HANG_SECONDS)
        self.config = self.http.get("/config").json()

    def upload(self, path):
        with path.open("rb") as file:
            answer = self.http.post("/gradio_api/upload", files={"files": file})
        answer.raise_for_status()
        taken = {"path": answer.json()[0], "orig_name": path.name}
        return {**taken, "meta": {"_type": "gradio.FileData"}}

    def find(self, label, *values, name="me"):
        """What the job gives that begins with the component called so."""
        parts = {c["id"]: c["props"].get("label") for c in self.config["components"]}
        jobs = [d for d in self.config["dependencies"] if len(d["inputs"]) > 1]
        job = next(d["id"] for d in jobs if parts[d["inputs"][0]] == label)
        return self.call(job, values, name)

    def press(self, text, name="me"):
        """What the button does that has this text."""
        parts = {c["id"]: c["props"].get("value") for c in self.config["components"]}
        jobs = self.config["dependencies"]
        self.call(next(d["id"] for d in jobs if parts[d["targets"][0][0]] == text), (), name)

    def call(self, job, values, name):
        body = {"data": values, "fn_index": job, "session_hash": name}
        self.http.post("/gradio_api/queue/join", json=body).raise_for_status()
        with self.http.stream("GET", f"/gradio_api/queue/data?session_hash={name}") as lines:
            messages = [json.loads(x.removeprefix("data: ")) for x in lines.iter_lines() if x]
        done = next(m for m in messages if m["msg"] == "process_completed")
        assert done["success"], str(done)
        return messages, done["output"]["data"]

    def fetch(self, file):
        file = file.get("value", file)
        return self.http.get(f"/gradio_api/file={file['path']}").raise_for_status().content


@pytest.fixture(scope="module")
def visitor(served):
    visitor = Visitor(served[1])
    yield visitor
    visitor.http.close()


def test_an_image_from_upload_to_download(visitor, photo, tmp_path):
    _, (drawn, image, poses, line) = visitor.find("Image", visitor.upload(photo), *CHOSEN)
    assert "1 person found" in line
    assert json.loads(visitor.fetch(poses)) == json.loads(PREDICTOR(photo).to_json())
    assert visitor.fetch(drawn) == visitor.fetch(image)
    (tmp_path / "came.jpg").write_bytes(visitor.fetch(image))
    assert read_image(tmp_path / "came.jpg").shape == read_image(photo).shape


def test_a_video_from_upload_to_download(visitor, tmp_path):
    source = visitor.upload(clip(tmp_path / "clip.mp4"))
    messages, (_, video, lines, said) = visitor.find("Video", source, *CHOSEN)
    (tmp_path / "came.mp4").write_bytes(visitor.fetch(video))
    assert len(list(read_frames(tmp_path / "came.mp4"))) == 9
    assert len(visitor.fetch(lines).splitlines()) == 9
    assert "9 frames: 1 person found" in said
    progress = [p for m in messages if m["msg"] == "progress" for p in m["progress_data"]]
    # nine frames may be drawn between two looks at the progress
    assert {(p["desc"], p["length"]) for p in progress} - {("Drawing", 9)} == {("Finding", 9)}


def test_jobs_of_several_visitors_run_one_after_the_other(visitor, photo, meanwhile):
    running, most = [], []

    def work():
        running.append(1)
        time.sleep(0.2)
        most.append(len(running))
        running.pop()

    meanwhile.append(work)
    file = visitor.upload(photo)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: visitor.find("Image", file, *CHOSEN, name=name), "abc"))
    assert most == [1, 1, 1]


def test_the_stop_button_ends_a_video_and_keeps_what_is_done(visitor, tmp_path, meanwhile):
    looks, begun = [], threading.Event()

    def look():
        looks.append(1)
        if len(looks) == 3:  # each time at eight frames
            begun.set()
        time.sleep(0.1)

    meanwhile.append(look)
    source = visitor.upload(clip(tmp_path / "clip.mp4", num_frames=200))
    visitor.press("Stop")  # without a job it does nothing, to the next one neither
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(visitor.find, "Video", source, *CHOSEN)
        assert begun.wait(HANG_SECONDS)
        visitor.press("Stop", name="another")
        _, (_, video, lines, _) = job.result()
    (tmp_path / "came.mp4").write_bytes(visitor.fetch(video))
    num_frames = len(list(read_frames(tmp_path / "came.mp4")))
    assert 16 < num_frames == len(visitor.fetch(lines).splitlines()) < 200
    meanwhile.clear()
    source = visitor.upload(clip(tmp_path / "next.mp4"))
    assert "9 frames" in visitor.find("Video", source, *CHOSEN)[1][3]


@pytest.mark.parametrize("label", ["Image", "Video"])
def test_what_cannot_be_read_is_one_line_on_the_page(visitor, tmp_path, label):
    path = tmp_path / "a & b.mp4"
    path.write_text("neither")
    _, (drawn, first, second, line) = visitor.find(label, visitor.upload(path), *CHOSEN)
    assert drawn is None and not first["interactive"] and not second["interactive"]
    assert re.fullmatch(r'<p class="pose-wrong">a &amp; b.mp4: [^<\n]+</p>', line)


def test_a_network_that_may_not_be_fetched_is_one_line_on_the_page(visitor, photo):
    _, (*_, line) = visitor.find("Image", visitor.upload(photo), "far <b>away</b>", 0.2, True)
    assert "far_away: not here, and POSE_OFFLINE forbids fetching it" in line


def test_uploads_are_limited_and_lie_in_the_folder(served, visitor, tmp_path):
    large = tmp_path / "large.mp4"
    large.write_bytes(b"0" * 200_001)
    with large.open("rb") as file:
        answer = visitor.http.post("/gradio_api/upload", files={"files": file})
    assert answer.status_code == 413
    large.write_bytes(b"0" * 200_000)
    assert Path(visitor.upload(large)["path"]).is_relative_to(served[0].folder)
    odd = visitor.http.post("/gradio_api/upload", files={"files": ("../../odd.png", b"0")}).json()
    assert Path(odd[0]).resolve().is_relative_to(served[0].folder.resolve())


@pytest.mark.parametrize("label", ["Image", "Video"])
def test_no_other_file_is_looked_at(visitor, photo, label):
    for path in (photo, Path("setup.py").resolve(), "http://127.0.0.1:9/a.png", "//example.com/a"):
        file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        with pytest.raises(AssertionError, match="'success': False"):
            visitor.find(label, file, *CHOSEN)


def test_no_other_file_is_served(visitor, photo):
    for path in (
        photo,
        Path("setup.py").resolve(),
        "http://127.0.0.1:9/a",
        "https://example.com/a",
    ):
        assert visitor.http.get(f"/gradio_api/file={path}").status_code in (403, 404)
    assert visitor.http.get("/gradio_api/proxy=https://example.com/a").status_code == 403


def test_other_pages_are_refused_and_every_answer_forbids_loading_from_elsewhere(visitor):
    assert visitor.http.get("/", headers={"host": "evil.example"}).status_code == 403
    files = {"files": ("a.png", b"0")}
    evil = {"origin": "https://evil.example"}
    assert visitor.http.post("/gradio_api/upload", files=files, headers=evil).status_code == 403
    policy = visitor.http.get("/").headers["content-security-policy"]
    assert policy == app_server.POLICY and "http" not in policy and "*" not in policy


def test_the_page_says_what_runs_and_names_nothing_outside_that_is_loaded(visitor):
    page = visitor.http.get("/").text
    assert "Detector: a test&#x27;s" in json.dumps(visitor.config) and NETWORK in page
    loaded = r"""<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=["']?([^"'\s>]+)"""
    starts = [address for address in re.findall(loaded, page) if "://" in address]
    assert all(address.startswith(str(visitor.http.base_url)) for address in starts), starts
    style = visitor.http.get("/theme.css").text
    outside = set(re.findall(r"@import.*|url\((?!['\"]data:).*", style))
    assert not outside, "no fonts from anywhere"


def test_gradio_is_told_to_keep_to_itself(served, visitor):
    from gradio import analytics, utils

    assert not analytics.analytics_enabled()
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "True"
    assert utils.get_upload_folder() == str(served[0].folder)
    assert not visitor.config.get("is_space") and not visitor.config.get("mcp_server")


# What stands for `pose app` in a process of its own.
PROGRAM = """
import socket, sys
connect = socket.socket.connect
def guarded(self, address):
    assert address[0] in ("127.0.0.1", "::1"), f"connects to {address}"
    return connect(self, address)
def lookup(host, *rest, **others):
    raise AssertionError(f"asks for {host}")
socket.socket.connect, socket.getaddrinfo = guarded, lookup
import pose.build_detector, pose.build_predictor
from tests.commands import test_app_command as test
pose.build_detector.detector_of = lambda *given: test.detect
pose.build_predictor.build_predictor = lambda *given, **others: (test.PREDICTOR, test.CFG)
test.cli.COMMANDS["app"] = "Use"
sys.exit(test.run("--port", "0", *sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_program_talks_to_nobody_and_ends_clean(sent, tmp_path):
    pytest.importorskip("gradio")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "GRADIO_SHARE": "True"}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    try:
        address = re.match(r"page: (http://127\.0\.0\.1:\d+) ", program.stdout.readline())[1]
        visitor = Visitor(address)
        assert "pose" in visitor.http.get("/").text
        assert list(tmp_path.glob("pose-app-*")), "uploads have their folder"
        with visitor.http.stream("GET", "/gradio_api/heartbeat/me") as page:
            next(page.iter_raw())  # an open page: it hears from the program until that ends
            program.send_signal(sent)
            _, errors = program.communicate(timeout=20)
    finally:
        program.kill()
    assert program.returncode == 0
    assert errors.splitlines() == ["device: cpu"]
    assert not list(tmp_path.iterdir()), "nothing stays behind"


CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"),
    *("disable-background-networking", "disable-component-update", "window-size=1280,1000"),
    *("use-fake-ui-for-media-stream", "use-fake-device-for-media-stream"),
    "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Browser:
    """Chromium without a window, which finds no machine but this one; `downloads` is where it puts
    files."""

    def __init__(self, folder):
        webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
        paths = [shutil.which(name) for name in CHROMIUM]
        chromium, driver = next(filter(None, paths), None), shutil.which("chromedriver")
        if not chromium or not driver:
            pytest.skip("Chromium or its driver is not installed")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in (*FLAGS, f"user-data-dir={folder / 'profile'}"):
            options.add_argument(f"--{flag}")
        self.downloads = folder / "downloads"
        options.add_experimental_option(
            "prefs", {"download.default_directory": str(self.downloads)}
        )
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        service = webdriver.ChromeService(executable_path=driver)
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_script_timeout(HANG_SECONDS)

    def wait(self, condition):
        from selenium.common.exceptions import StaleElementReferenceException

        deadline = time.monotonic() + HANG_SECONDS
        while time.monotonic() < deadline:
            with suppress(StaleElementReferenceException):  # the page draws its parts anew
                if found := condition():
                    return found
            time.sleep(0.1)
        raise TimeoutError

    def seen(self, selector, text=""):
        """The visible parts of the page with that text (or label)."""
        return [
            part
            for part in self.driver.find_elements("css selector", selector)
            if part.is_displayed() and text in (part.text or part.get_attribute("aria-label") or "")
        ]

    def press(self, text):
        def pressed():
            parts = [part for part in self.seen("button", text) if part.is_enabled()]
            for part in parts[:1]:
                part.click()
            return parts

        self.wait(pressed)

    def give(self, path):
        panel = self.wait(lambda: self.seen("[role=tabpanel]"))[0]
        panel.find_element("css selector", "input[type=file]").send_keys(str(path))

    def line(self, start=""):
        """The line below the pictures, once it begins so."""

        def found():
            texts = [part.text for part in self.seen(".pose-line") if part.text]
            return next((text for text in texts if text.startswith(start)), None)

        return self.wait(found)

    def downloaded(self, name):
        self.wait((self.downloads / name).is_file)
        return self.downloads / name


@pytest.fixture(scope="module")
def browser(served, tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    browser.driver.get(served[1])
    yield browser
    browser.driver.quit()


@pytest.mark.slow
def test_a_browser_from_upload_to_download(browser, photo, tmp_path):
    browser.give(photo)
    assert browser.line("1 person found in ")
    browser.press("Download image")
    browser.press("Download JSON")
    came = json.loads(browser.downloaded("photo-poses.json").read_text())
    assert came == json.loads(PREDICTOR(photo).to_json())
    write_image(tmp_path / "expected.jpg", draw_poses(read_image(photo), PREDICTOR(photo)))
    drawn = browser.downloaded("photo-poses.jpg")
    assert drawn.read_bytes() == (tmp_path / "expected.jpg").read_bytes()


@pytest.mark.slow
def test_a_browser_plays_the_drawn_video(browser, tmp_path):
    browser.press("Video")
    browser.give(clip(tmp_path / "clip.mp4"))
    browser.wait(lambda: browser.seen("video"))
    browser.press("Find poses")
    assert browser.line("9 frames: 1 person found in ")
    videos = browser.wait(lambda: len(videos := browser.seen("video")) == 2 and videos)
    ready = "return arguments[0].readyState >= 2 && !arguments[0].error && arguments[0].duration"
    assert all(
        browser.wait(lambda video=video: browser.driver.execute_script(ready, video))
        for video in videos
    )
    browser.press("Download video")
    assert len(list(read_frames(browser.downloaded("clip-poses.mp4")))) == 9
    assert not browser.seen("[aria-label*='Trim']"), "would be fetched from elsewhere"


@pytest.mark.slow
def test_a_browser_s_camera_is_looked_at_and_leaves_no_files(browser, served):
    before = set(served[0].folder.rglob("*"))
    browser.press("Webcam")
    browser.press("Click to Access Webcam")
    browser.press("Record")
    assert browser.line("1 person found in ")
    (picture,) = browser.wait(lambda: browser.seen(".pose-frame img"))
    assert picture.size["width"] > 100
    browser.press("Stop")
    assert set(served[0].folder.rglob("*")) == before


@pytest.mark.slow
def test_a_browser_asks_nobody_else(browser, served):
    """After all of the above: the page is complete, though no other machine can be found."""
    messages = [json.loads(entry["message"]) for entry in browser.driver.get_log("performance")]
    asked = [
        message["message"]["params"]["request"]["url"]
        for message in messages
        if message["message"]["method"] == "Network.requestWillBeSent"
    ]
    assert f"{served[1]}/" in asked and len(asked) > 20
    elsewhere = {
        address
        for address in asked
        if not address.startswith((f"{served[1]}/", "data:", "blob:", "chrome:"))
    }
    assert not elsewhere
    wrong = [entry for entry in browser.driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not wrong


@pytest.mark.slow
def test_a_browser_obeys_the_policy(browser):
    """Even a script of the page could not reach another server, were it on this machine."""
    with serving() as other:
        other.files["a.js"] = b"1"
        program = "fetch(arguments[0]).then(() => arguments[1](1), () => arguments[1](0))"
        assert browser.driver.execute_async_script(program, other.url("a.js")) == 0
        assert not other.ranges
