"""What is named is found: files, folders, patterns, addresses; keys told from sources; names of
outputs that never meet."""

from pathlib import Path, PurePath

import numpy as np
import pytest

from pose.commands.sources import Sources, drawn_name, find_sources, image_ids, split_keys
from pose.images import write_image
from pose.video import VideoWriter


@pytest.fixture
def folder(tmp_path):
    picture = np.full((32, 48, 3), 90, np.uint8)
    for name in ("b.jpg", "a.png", "sub/a.png"):
        write_image(tmp_path / name, picture)
    with VideoWriter(tmp_path / "clip.mp4", 25) as writer:
        writer.write(picture)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def names(sources):
    return [[Path(s).name for s in group] for group in (sources.pictures, sources.videos)]


def test_a_folder_gives_the_pictures_and_videos_right_in_it(folder):
    assert names(find_sources([str(folder)])) == [["a.png", "b.jpg"], ["clip.mp4"]]


def test_files_patterns_addresses_and_cameras(folder):
    texts = [str(folder / "b.jpg"), str(folder / "**/*.png"), "camera:1", "rtsp://10.0.0.9/live"]
    found = find_sources(texts)
    assert names(found) == [["b.jpg", "a.png", "a.png"], ["camera:1", "live"]]
    assert found.videos == ("camera:1", "rtsp://10.0.0.9/live")


def test_what_is_named_twice_is_looked_at_once(folder):
    assert len(find_sources([str(folder / "*.png"), str(folder / "a.png")]).pictures) == 1


def test_a_file_may_look_like_a_pattern(tmp_path):
    write_image(tmp_path / "a[1].png", np.zeros((4, 4, 3), np.uint8))
    assert len(find_sources([str(tmp_path / "a[1].png")]).pictures) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [("gone.jpg", "gone.jpg: no such"), ("*.gif", r"\*.gif: no file matches this pattern")],
)
def test_what_is_not_there_is_said(folder, text, message):
    with pytest.raises(FileNotFoundError, match=message):
        find_sources([str(folder / text)])


def test_a_folder_of_nothing_is_said(tmp_path):
    with pytest.raises(ValueError, match="holds no image or video file"):
        find_sources([str(tmp_path)])


def test_keys_are_told_from_sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a=b.jpg").touch()
    texts = ["test.flip=false", "a=b.jpg", "rtsp://host/live?a=b", "seed=3"]
    sources, keys = split_keys(texts)
    assert sources == ["a=b.jpg", "rtsp://host/live?a=b"]
    assert keys == ["test.flip=false", "seed=3"]
    with pytest.raises(ValueError, match="no source: name an image"):
        split_keys(["test.flip=false"])


def test_names_are_relative_to_what_all_share(tmp_path):
    sources = Sources((tmp_path / "a/x.jpg", tmp_path / "b/x.jpg"), (tmp_path / "a/c.mp4",))
    assert sources.name(tmp_path / "b/x.jpg") == PurePath("b/x.jpg")
    assert sources.name(tmp_path / "a/c.mp4") == PurePath("a/c.mp4")
    alone = Sources((tmp_path / "a/x.jpg",), ("camera:0",))
    assert alone.name(tmp_path / "a/x.jpg") == PurePath("x.jpg")
    assert alone.name("camera:0") == PurePath("camera-0")
    assert alone.name("rtsp://user:secret@10.0.0.9/live/../1") == PurePath("10.0.0.9-live-..-1")


def test_two_sources_never_share_an_output():
    assert drawn_name(PurePath("a.jpg"), ".jpg", (".jpeg",)) == PurePath("a.jpg")
    assert drawn_name(PurePath("a.JPEG"), ".jpg", (".jpeg",)) == PurePath("a.JPEG")
    assert drawn_name(PurePath("d/a.png"), ".jpg", (".jpeg",)) == PurePath("d/a.png.jpg")
    assert drawn_name(PurePath("a.mp4"), ".mp4") == PurePath("a.mp4")
    assert drawn_name(PurePath("a.avi"), ".mp4") == PurePath("a.avi.mp4")


@pytest.mark.parametrize(
    ("names", "listed", "ids"),
    [
        (["000000000139.jpg", "000000000785.jpg"], {}, [139, 785]),
        (["a1_7.jpg", "a2_7.jpg"], {}, [1, 2]),
        (["a.jpg", "7.jpg"], {}, [1, 2]),
        (["7.jpg", "8.jpg"], {"7.jpg": 20}, [20, 8]),
        (["7.jpg", "8.jpg"], {"7.jpg": 8}, [8, 9]),
        (["a.jpg", "b.jpg", "c.jpg"], {"b.jpg": 5}, [6, 5, 7]),
        (["20240101123456789.jpg"], {}, [1]),
        ([], {}, []),
    ],
)
def test_every_image_has_an_id_of_its_own(names, listed, ids):
    assert image_ids(names, listed) == dict(zip(names, ids, strict=True))
