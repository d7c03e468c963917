"""Videos: what is written comes back, frame by frame and on time; what is no video is refused."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pose import video
from pose.video import VideoWriter, probe, read_frames


def frames(number: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """A bright square that wanders over a grey ground."""
    made = []
    for i in range(number):
        image = np.full((height, width, 3), 90, np.uint8)
        image[8:24, 2 * i : 2 * i + 16] = (230, 60, 20)
        made.append(image)
    return made


def write(path: Path, images: list[np.ndarray], fps: Fraction | float = 25) -> Path:
    with VideoWriter(path, fps) as writer:
        for image in images:
            writer.write(image)
    return path


@pytest.mark.parametrize("fps", [25, 12.5, 29.97, Fraction(30000, 1001), 60])
def test_frames_come_back_on_time(tmp_path: Path, fps: Fraction | float) -> None:
    made = frames(20)
    path = write(tmp_path / "new folder" / "видео.mp4", made, fps)
    found = list(read_frames(path))
    assert len(found) == 20
    for i, (image, time) in enumerate(found):
        assert time == pytest.approx(i / float(fps), abs=1e-3)
        assert np.abs(image.astype(int) - made[i]).mean() < 4
    info = probe(path)
    assert info.size == (64, 48) and info.num_frames == 20
    assert float(info.fps) == pytest.approx(float(fps), rel=1e-3)
    assert info.duration == pytest.approx(20 / float(fps), abs=0.01)
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing temporary is left


def test_uneven_and_repeated_times_keep_every_frame(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.05, 0.5, 0.5, 0.5, 2.0, 1.0]
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for image, time in zip(frames(8), times, strict=True):
            writer.write(image, time)
        assert writer.num_frames == 8
    found = [time for _, time in read_frames(tmp_path / "a.mp4")]
    assert found == pytest.approx([0.0, 0.04, 0.05, 0.5, 0.5, 0.5, 2.0, 2.0], abs=1e-3)
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("shape", [(48, 64), (47, 64), (48, 63), (47, 63), (1, 1), (33, 2)])
def test_odd_sides_are_padded_to_even(tmp_path: Path, shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), (200, 120, 40), np.uint8)
    path = write(tmp_path / "a.mp4", [image] * 3)
    height, width = (side + side % 2 for side in shape)
    assert probe(path).size == (width, height)
    for found, _ in read_frames(path):
        assert np.abs(found.astype(int) - (200, 120, 40)).max() <= 3


def test_browsers_can_play_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", frames(5))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # the index stands in front
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_range) == (1, 1)  # BT.709, limited


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)])
def test_colours_survive(tmp_path: Path, color: tuple[int, int, int]) -> None:
    path = write(tmp_path / "a.mp4", [np.full((32, 32, 3), color, np.uint8)])
    (found, time) = next(read_frames(path))
    assert time == 0 and np.abs(found.astype(int) - color).max() <= 4


def test_lying_telephone_videos_are_turned_upright(tmp_path: Path) -> None:
    image = np.zeros((32, 64, 3), np.uint8)
    image[:16, :16] = 255
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        # ISO/IEC 14496-12's matrix of a quarter turn clockwise: x' = -y, y' = x
        stream.set_display_matrix((0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30))
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    found, _ = next(read_frames(tmp_path / "a.mp4"))
    assert found.shape == (64, 32, 3) and probe(tmp_path / "a.mp4").size == (32, 64)
    assert found[4, 28].min() > 200 and found[4, 4].max() < 60 and found[60, 28].max() < 60


def test_an_error_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", frames(2))
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="mine"), VideoWriter(path) as writer:
        writer.write(frames(1)[0])
        raise RuntimeError("mine")
    with pytest.raises(RuntimeError, match="mine"), VideoWriter(path):
        raise RuntimeError("mine")
    with pytest.raises(ValueError, match="no frame was given"), VideoWriter(path):
        pass
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_wrong_frames_and_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"written as \.mp4"):
        VideoWriter(tmp_path / "a.avi")
    with pytest.raises(ValueError, match="fps"):
        VideoWriter(tmp_path / "a.mp4", 0)
    with pytest.raises(ValueError, match="all must have one size"):
        write(tmp_path / "a.mp4", [frames(1)[0], frames(1, 48, 66)[0]])
    with pytest.raises(ValueError, match="uint8"):
        write(tmp_path / "a.mp4", [np.zeros((4, 4), np.uint8)])


def test_without_an_encoder_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_ENCODERS", ("no_such_encoder",))
    with pytest.raises(ValueError, match=r"no H\.264 encoder"), VideoWriter(tmp_path / "a.mp4"):
        pass


@pytest.mark.parametrize("data", [b"", b"text\n" * 99, b"<html></html>", bytes(5000)])
def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    for act in (probe, lambda p: next(read_frames(p))):
        with pytest.raises(ValueError, match=r"a\.mp4: ") as caught:
            act(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"none\.mp4"):
        probe(tmp_path / "none.mp4")


def test_playlists_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", frames(2))
    playlists = {
        "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n",
        "a.ffconcat": "ffconcat version 1.0\nfile a.mp4\n",
    }
    for name, text in playlists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match="cannot be read as a video"):
            probe(tmp_path / name)


def test_a_cut_video_gives_the_frames_it_has(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        rng = np.random.default_rng(0)
        for image in rng.integers(0, 256, (20, 48, 64, 3), dtype=np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    whole = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(whole[: len(whole) * 2 // 3])
    assert 0 < len(list(read_frames(tmp_path / "a.avi"))) < 20


def test_a_real_clip_keeps_its_frames(test_data: Path, tmp_path: Path) -> None:
    source = test_data / "video" / "posetrack_5frames.mp4"
    with VideoWriter(tmp_path / "a.mp4", probe(source).fps) as writer:
        times = []
        for image, time in read_frames(source):
            writer.write(image, time)
            times.append(time)
    assert [t for _, t in read_frames(tmp_path / "a.mp4")] == pytest.approx(times, abs=1e-4)
