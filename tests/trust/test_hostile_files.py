"""Files made to be opened by mistake: nothing of them runs, nothing leaves its folder."""

import json
import shutil
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose.images import write_image
from tests.clips import frames, write_clip
from tests.trust import hostile_networks, hostile_pickles, hostile_pictures, hostile_texts
from tests.trust.hostile import Case, Kind, Place, in_turns
from tests.trust.touched import touched

ROOT = Path(__file__).parents[2]
KINDS: tuple[Kind, ...] = (
    hostile_pickles.pickled,
    hostile_texts.yamls,
    hostile_texts.jsons,
    hostile_texts.matlabs,
    hostile_texts.arrays,
    hostile_texts.commands,
    hostile_pictures.named_images,
    hostile_pictures.zips,
    hostile_pictures.photos,
    hostile_pictures.videos,
    hostile_pictures.addresses,
    hostile_pictures.manifests,
    hostile_networks.torches,
    hostile_networks.safetensors_files,
    hostile_networks.onnx_files,
    hostile_networks.openvino_files,
    hostile_networks.transformers_folders,
)
MAX_MEMORY = 2 * 10**9
"""Bytes, with all libraries loaded, whatever a file claims."""


@pytest.fixture(scope="module")
def server() -> Iterator[socket.socket]:
    """A port that nobody may call."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield listening


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, server: socket.socket) -> Place:
    """Where the files lie, and what they are after."""
    for package in ("onnx", "onnxruntime", "openvino", "transformers"):
        pytest.importorskip(package)
    base = tmp_path_factory.mktemp("hostile").resolve()
    outside = base / "outside"
    outside.mkdir()
    write_image(outside / "secret.jpg", np.zeros((48, 64, 3), np.uint8))
    write_clip(outside / "secret.mp4", frames(3))
    (outside / "secret.bin").write_bytes(bytes(17 * 3 * 4))
    (outside / "secret.txt").write_text("the secret")
    (outside / "secret.json").write_text("[]")
    return Place(base / "root", outside, server.getsockname()[1])


@pytest.fixture(scope="module")
def corpus(place: Place) -> list[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kinds of tensors that torch itself gives up
        return in_turns([kind(place) for kind in KINDS])


def callers(server: socket.socket) -> list[Any]:
    """Who called the server since it listens; their calls waited."""
    server.setblocking(False)
    found = []
    with suppress(BlockingIOError):
        while True:
            connection, address = server.accept()
            connection.close()
            found.append(address)
    return found


def given_to_readers(cases: list[Case], place: Place, *before: str) -> list[dict[str, Any]]:
    """What the program of `watched` noted, a line a case; `before` is what starts it."""
    base = place.root.parent
    (base / "cases.json").write_text(json.dumps([asdict(case) for case in cases]))
    program = [*before, sys.executable, "-m", "tests.trust.watched"]
    program += [base / "cases.json", base / "notes.jsonl", place.root]
    ran = subprocess.run(list(map(str, program)), cwd=ROOT, capture_output=True, text=True)
    notes = [json.loads(line) for line in (base / "notes.jsonl").read_text().splitlines()]
    after = cases[len(notes)].name if len(notes) < len(cases) else "nothing"
    assert ran.returncode == 0, f"{after} ended the program: {ran.stderr[-2000:]}"
    return notes


@pytest.mark.parametrize("count", [60, pytest.param(320, marks=pytest.mark.slow)])
def test_hostile_files_do_nothing(
    place: Place, server: socket.socket, corpus: list[Case], count: int
) -> None:
    """0 run, 0 read or written outside, 0 called; each ends in one line, and in little memory."""
    cases = corpus[:count]
    assert len(cases) == count and len({case.name for case in corpus}) == len(corpus)
    with touched(place.outside) as files:
        notes = given_to_readers(cases, place)
    assert not place.canary.exists(), "something ran"
    assert not files and not callers(server)
    seen = {note["name"]: note["seen"] for note in notes if note["seen"]}
    assert not seen, "what a reader has no right to"
    for case, note in zip(cases, notes, strict=True):
        assert note["end"] == "refused" or (case.harmless and note["end"] == "read"), note
        assert note["line"].isprintable() and len(note["line"]) < 7000, note
    assert notes[-1]["peak"] < MAX_MEMORY


@pytest.mark.slow
def test_the_system_sees_no_calls_either(place: Place, corpus: list[Case], tmp_path: Path) -> None:
    """Also native libraries and threads open nothing outside and call nobody, not even for the
    address of a server."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    log = tmp_path / "calls"
    before = ("strace", "-fqq", "-e", "trace=%file,%network", "-o", str(log))
    given_to_readers(corpus[:150], place, *before)
    lines = log.read_text(errors="replace").splitlines()
    assert any(str(place.root) in line for line in lines), "it does look"
    assert not [line for line in lines if "AF_INET" in line and "socket(" not in line]
    opened = [line for line in lines if f'"{place.outside}' in line and "open" in line]
    assert not opened


@pytest.mark.slow
def test_what_does_something_is_seen(
    place: Place, server: socket.socket, corpus: list[Case], tmp_path: Path
) -> None:
    """The same files with readers that trust them."""
    (place.root / "address").write_text(f"http://127.0.0.1:{place.port}/a.mp4")
    (place.root / "above").write_text(str(place.outside / "secret.jpg"))
    evil = next(case.path for case in corpus if "os.system, zip, alone" in case.name)
    cases = [
        Case("runs", "careless: torch", evil),
        Case("calls", "careless: FFmpeg", str(place.root / "address")),
        Case("opens", "careless: OpenCV", str(place.root / "above")),
        Case("reads", "careless: Python", str(place.root / "above")),
    ]
    with touched(place.outside) as files:
        notes = {note["name"]: note for note in given_to_readers(cases, place)}
    ran, called = place.canary.exists(), callers(server)
    place.canary.unlink(missing_ok=True)
    assert ran and called and any("os.system" in line for line in notes["runs"]["seen"])
    assert any("secret.jpg to read" in line for line in notes["reads"]["seen"])
    assert sys.platform != "linux" or "secret.jpg" in files
