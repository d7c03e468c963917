"""Videos: what is written comes back, frame by frame and on time; what is no video is refused."""

import signal
import threading
from fractions import Fraction
from itertools import cycle
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pose import video_decoding, video_writer
from pose.video import VideoWriter, probe, read_frames
from tests.clips import frames, noise


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
    for fps in (0, -1, 1e-5, 1001, float("nan")):
        with pytest.raises(ValueError, match=f"expected 1/3600 <= fps <= 1000, got {fps}"):
            VideoWriter(tmp_path / "a.mp4", fps)
    with pytest.raises(ValueError, match="all must have one size"):
        write(tmp_path / "a.mp4", [frames(1)[0], frames(1, 48, 66)[0]])
    with pytest.raises(ValueError, match="uint8"):
        write(tmp_path / "a.mp4", [np.zeros((4, 4), np.uint8)])


def test_frames_beyond_h264_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="20000 x 2 pixels at 25 frames a second cannot be encod"):
        write(tmp_path / "a.mp4", [np.zeros((2, 20_000, 3), np.uint8)])
    assert not list(tmp_path.iterdir())


def test_without_an_encoder_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_writer, "_ENCODERS", ("no_such_encoder",))
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


def test_a_real_clip_keeps_its_frames(test_data: Path, tmp_path: Path) -> None:
    source = test_data / "video" / "posetrack_5frames.mp4"
    with VideoWriter(tmp_path / "a.mp4", probe(source).fps) as writer:
        times = []
        for image, time in read_frames(source):
            writer.write(image, time)
            times.append(time)
    assert [t for _, t in read_frames(tmp_path / "a.mp4")] == pytest.approx(times, abs=1e-4)


@pytest.mark.parametrize("seconds", [0.001, 3600.0])
def test_quick_and_slow_frames(tmp_path: Path, seconds: float) -> None:
    path = write(tmp_path / "a.mp4", frames(4), 1 / seconds)
    times = [time for _, time in read_frames(path)]
    assert times == pytest.approx([i * seconds for i in range(4)], abs=1e-4)


def test_an_array_given_may_be_used_again(tmp_path: Path) -> None:
    shared = np.empty((48, 64, 3), np.uint8)
    levels = [10, 200, 60, 240, 120]
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for level in levels:
            shared[:] = level
            writer.write(shared)
    found = [image.mean() for image, _ in read_frames(tmp_path / "a.mp4")]
    assert found == pytest.approx(levels, abs=3)


@pytest.mark.parametrize("moment", ["convert", "submit", "encode"])
def test_an_interrupt_at_any_moment_leaves_a_video_that_plays(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path) as writer:
        for image in noise(10):
            writer.write(image)
        if moment == "convert":
            writer._reformatter = None  # stands for the signal: the call fails half way
            error = AttributeError
        elif moment == "submit":
            monkeypatch.setattr(writer._thread, "submit", lambda *_: pytest.fail("interrupted"))
            error = pytest.fail.Exception
        else:
            monkeypatch.setattr(writer, "_wait", lambda: pytest.fail("interrupted"))
            error = pytest.fail.Exception
        with pytest.raises(error):
            writer.write(noise(1)[0])
        monkeypatch.undo()
        assert writer.num_frames == 10
    assert len(list(read_frames(path))) == 10


def test_ctrl_c_while_frames_are_encoded_keeps_every_frame(tmp_path: Path) -> None:
    """A real signal, at moments that are drawn; what was counted is what can be played."""
    images = noise(10, 240, 320)
    for seed in range(4):
        path = tmp_path / f"{seed}.mp4"
        delay = np.random.default_rng(seed).uniform(0.05, 0.3)
        timer = threading.Timer(delay, signal.raise_signal, [signal.SIGINT])
        with VideoWriter(path) as writer:
            writer.write(images[0])
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                for image in cycle(images):
                    writer.write(image)
        assert writer.num_frames > 1
        assert abs(len(list(read_frames(path))) - writer.num_frames) <= 1


def test_an_error_of_the_encoder_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"), VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(frames(1)[0])
        monkeypatch.setattr(writer, "_encode", full)
        for image in frames(3):
            writer.write(image)
    assert not list(tmp_path.iterdir())


def test_a_source_that_is_no_video_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for source, what in ((tmp_path, "a folder"), (tmp_path / "a.png", "a single picture")):
        for act in (probe, read_frames):
            with pytest.raises(ValueError, match=f"a video was expected, this is {what}"):
                act(source)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_animated_images_are_videos(tmp_path: Path, suffix: str) -> None:
    made = [Image.fromarray(image) for image in frames(5)]
    shown_for = [100, 50, 200, 40, 110]
    lossless = {"lossless": True} if suffix == ".webp" else {}
    path = tmp_path / f"a{suffix}"
    made[0].save(path, save_all=True, append_images=made[1:], duration=shown_for, **lossless)
    found = list(read_frames(path))
    assert [time for _, time in found] == pytest.approx([0.0, 0.1, 0.15, 0.35, 0.39])
    for (image, _), expected in zip(found, frames(5), strict=True):
        np.testing.assert_array_equal(image, expected)
    info = probe(path)
    assert (info.size, info.num_frames) == ((64, 48), 5)
    assert info.duration == pytest.approx(0.5) and float(info.fps) == pytest.approx(10)


def test_frames_may_be_drawn_on(tmp_path: Path) -> None:
    for size in ((48, 64), (45, 61)):
        for image, _ in read_frames(write(tmp_path / "a.mp4", frames(2, *size))):
            assert image.flags.writeable and image.flags.c_contiguous


def test_whole_clips_are_decoded_once(test_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By several threads; the slower second way is for damaged ones."""
    passes = []
    decode = video_decoding._decode

    def counted(*args, **options):
        passes.append(options)
        return (yield from decode(*args, **options))

    monkeypatch.setattr(video_decoding, "_decode", counted)
    for name in ("posetrack_5frames.mp4", "street_205frames_720p.avi"):
        passes.clear()
        for _ in read_frames(test_data / "video" / name):
            pass
        assert len(passes) == 1


def test_real_clips_give_every_frame_of_their_index(test_data: Path) -> None:
    for name in ("posetrack_5frames.mp4", "street_205frames_720p.avi"):
        path = test_data / "video" / name
        info = probe(path)
        times = [time for _, time in read_frames(path)]
        assert len(times) == info.num_frames
        assert times == pytest.approx([i / float(info.fps) for i in range(len(times))], abs=1e-4)
