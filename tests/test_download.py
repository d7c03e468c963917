"""A file over the net: whole and right, or not there; resumed where it was cut; https alone."""

import hashlib
import logging

import pytest

from pose.download import download
from tests.serving import serving

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def online(monkeypatch):
    monkeypatch.delenv("POSE_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server():
    with serving() as server:
        server.files["w.pth"] = CONTENT
        yield server


def fetch(address, path, sha256=SHA256, loopback=True):
    download(
        address, path, sha256, title="w (licence MIT)", remedy="do without it", loopback=loopback
    )


@pytest.mark.parametrize("sha256", [SHA256, SHA256[:8], SHA256[:8].upper(), ""])
def test_a_file_comes_whole_after_one_line(tmp_path, server, caplog, sha256):
    caplog.set_level(logging.INFO, logger="pose")
    path = tmp_path / "new" / "w.pth"
    fetch(server.url("w.pth"), path, sha256)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["w.pth"]
    said = f"fetching w (licence MIT), 0.1 MB, from {server.url('w.pth')}"
    assert [record.getMessage() for record in caplog.records] == [said]


def test_without_a_terminal_no_bar_is_drawn(tmp_path, server, capsys):
    fetch(server.url("w.pth"), tmp_path / "w.pth")
    assert capsys.readouterr() == ("", "")


def test_a_length_need_not_be_announced(tmp_path, server):
    server.sized = False
    fetch(server.url("w.pth"), tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_a_server_that_does_not_end_is_left(tmp_path, server, monkeypatch):
    monkeypatch.setattr("pose.download.MAX_BYTES", len(CONTENT) - 1)
    server.sized = False
    with pytest.raises(OSError, match=r"w\.pth: more than \d+ bytes come; not kept"):
        fetch(server.url("w.pth"), tmp_path / "w.pth")
    assert not list(tmp_path.iterdir())


def test_a_cut_file_is_said_and_resumed(tmp_path, server):
    path = tmp_path / "w.pth"
    for _ in range(2):
        server.cut = 30_000
        with pytest.raises(OSError, match=r"0000 of 102400 bytes came; run it again to go on"):
            fetch(server.url("w.pth"), path)
        assert not path.exists()
    server.cut = None
    fetch(server.url("w.pth"), path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=30000-", "bytes=60000-"]
    assert [file.name for file in tmp_path.iterdir()] == ["w.pth"]


def test_what_cannot_be_resumed_starts_over(tmp_path, server):
    part = tmp_path / "w.pth.part"
    part.write_bytes(b"?" * 50_000)
    server.resumes = False
    fetch(server.url("w.pth"), tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    part.write_bytes(b"?" * 200_000)
    server.resumes = True
    fetch(server.url("w.pth"), tmp_path / "w.pth")  # the server has no such byte
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_a_file_of_unknown_hash_is_never_resumed(tmp_path, server):
    (tmp_path / "w.pth.part").write_bytes(b"?" * 50_000)
    fetch(server.url("w.pth"), tmp_path / "w.pth", "")
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    assert server.ranges == [None]


def test_another_range_than_asked_for_is_refused(tmp_path, server):
    (tmp_path / "w.pth.part").write_bytes(CONTENT[:1000])
    server.shift = 1
    with pytest.raises(OSError, match="from 1000 on, the server sends 'bytes 1001-"):
        fetch(server.url("w.pth"), tmp_path / "w.pth")
    assert (tmp_path / "w.pth.part").read_bytes() == CONTENT[:1000]


def test_a_wrong_hash_leaves_what_was_there(tmp_path, server):
    path = tmp_path / "w.pth"
    path.write_bytes(b"mine")
    (tmp_path / "other.part").write_bytes(b"mine too")
    with pytest.raises(ValueError, match=f"expected a SHA-256 of 0123abcd..., got {SHA256}"):
        fetch(server.url("w.pth"), path, "0123abcd")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        "w.pth": b"mine",
        "other.part": b"mine too",
    }


def test_errors_of_the_net_are_one_line(tmp_path, server):
    with pytest.raises(OSError, match=r"^http.*gone: the server answers 404 Not Found$"):
        fetch(server.url("gone"), tmp_path / "w.pth")
    with pytest.raises(OSError, match=r"^http://localhost:1/w: cannot be reached \(.*\)$"):
        fetch("http://localhost:1/w", tmp_path / "w.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("http://127.0.0.1:1/w.pth", False),
        ("http://example.org/w.pth", True),
        ("http://127.0.0.1.example.org/w.pth", True),
        ("file:///etc/hostname", True),
        ("ftp://127.0.0.1/w.pth", True),
        ("https:///w.pth", False),
        ("w.pth", True),
    ],
)
def test_only_https_is_fetched(tmp_path, server, address, loopback):
    with pytest.raises(ValueError, match="only https addresses are fetched"):
        fetch(address, tmp_path / "w.pth", loopback=loopback)
    server.moved["moved"] = address
    if address != "w.pth" and loopback:
        with pytest.raises((ValueError, OSError), match=r"only https addresses|not allowed"):
            fetch(server.url("moved"), tmp_path / "w.pth")
    assert not list(tmp_path.iterdir())


def test_a_redirect_is_followed(tmp_path, server):
    server.moved["moved"] = server.url("w.pth")
    fetch(server.url("moved"), tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_offline_nothing_is_asked_for(tmp_path, server, monkeypatch):
    monkeypatch.setenv("POSE_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"^w .*POSE_OFFLINE forbids fetching it; do without it$"):
        fetch(server.url("w.pth"), tmp_path / "w.pth")
    assert server.ranges == []
    monkeypatch.setenv("POSE_OFFLINE", "0")
    fetch(server.url("w.pth"), tmp_path / "w.pth")
