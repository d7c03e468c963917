"""Videos as they come: cut, damaged, uneven, turned, of changing size; exact counts, in time."""

import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from pose import image_headers, video_decoding, video_source
from pose.video import VideoWriter, probe, read_frames
from tests.clips import frames, noise, write_clip

CONTAINERS = {
    "a.mkv": ("libx264", {"g": "12", "bf": "2"}),
    "a.ts": ("libx264", {"g": "12"}),
    "a.avi": ("mpeg4", {"g": "12"}),
    "front.mp4": ("libx264", {"g": "12"}),
    "a.webm": ("libvpx-vp9", {"g": "12", "cpu-used": "8", "deadline": "realtime"}),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A clip of 40 frames for each container."""
    folder = tmp_path_factory.mktemp("whole")
    made = {}
    for name, (codec, options) in CONTAINERS.items():
        path = write_clip(folder / name, noise(40), codec, options=options)
        made[name] = path.read_bytes()
    return made


def decodable(path: Path) -> int:
    """The frames that one decoder thread finds, counted the obvious way."""
    number = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        with suppress(IndexError):  # PyAV's, at the end, where damage made up further streams
            for packet in container.demux(stream):
                with suppress(av.FFmpegError):
                    number += len(packet.decode())
    return number


def read_in_time(path: Path) -> list[tuple[np.ndarray, float]]:
    started = time.monotonic()
    found = list(read_frames(path))
    assert time.monotonic() - started < 10
    times = [seconds for _, seconds in found]
    assert times[0] == 0 and (np.diff(times) > 0).all()
    assert len({image.shape for image, _ in found}) == 1
    return found


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_clip_cut_anywhere_gives_the_frames_it_has(
    tmp_path: Path, whole: dict[str, bytes], name: str
) -> None:
    path = tmp_path / name
    data = whole[name]
    counts = []
    for cut in np.linspace(0, len(data), 20).astype(int):
        path.write_bytes(data[:cut])
        try:
            found = read_in_time(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            counts.append(0)
            continue
        assert len(found) == decodable(path)
        counts.append(len(found))
    assert counts[0] == 0 and counts[-1] == 40 and counts == sorted(counts)
    assert len(set(counts)) > 10


def test_an_mp4_without_its_index_says_so(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", noise(20))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"a\.mp4: .*cut short or damaged, its index is missing"):
        probe(path)


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("part", [(0.3, 0.8), (0.8, 0.97)], ids=["middle", "end"])
def test_damage_costs_no_frame_that_can_be_decoded(
    tmp_path: Path, whole: dict[str, bytes], name: str, part: tuple[float, float]
) -> None:
    path = tmp_path / name
    for seed in range(12):
        rng = np.random.default_rng(seed)
        data = bytearray(whole[name])
        for at in rng.integers(int(len(data) * part[0]), int(len(data) * part[1]), 120):
            data[at] = rng.integers(256)
        path.write_bytes(data)
        assert len(read_in_time(path)) >= decodable(path)


def test_frames_are_written_as_they_were_read(tmp_path: Path, whole: dict[str, bytes]) -> None:
    """Frames in == frames out, with their times, for a damaged clip too."""
    data = bytearray(whole["a.mkv"])
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path = tmp_path / "a.mkv"
    path.write_bytes(data)
    found = read_in_time(path)
    with VideoWriter(tmp_path / "b.mp4", probe(path).fps, audio_from=path) as writer:
        for image, seconds in found:
            writer.write(image, seconds)
    again = [seconds for _, seconds in read_frames(tmp_path / "b.mp4")]
    assert again == pytest.approx([seconds for _, seconds in found], abs=1e-4)


def test_damage_is_told(
    tmp_path: Path, whole: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.avi"
    data = bytearray(whole["a.avi"])
    at = data.index(b"00dc", len(data) // 2) + 8
    data[at : at + 200] = bytes(200)
    path.write_bytes(data)
    assert len(list(read_frames(path))) == decodable(path) < 40
    assert "a.avi: 1 damaged packets were skipped" in caplog.text


def test_an_error_in_the_middle_keeps_the_frames_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_clip(tmp_path / "a.mkv", noise(30), options={"bf": "2"})
    whole = video_decoding._packets

    class Container:
        def __init__(self, container) -> None:
            self.container = container

        def demux(self, stream) -> Iterator[av.Packet]:
            for number, packet in enumerate(self.container.demux(stream)):
                if number == 20:
                    raise av.OSError(5, "Input/output error")
                yield packet

    monkeypatch.setattr(video_decoding, "_packets", lambda c, *args: whole(Container(c), *args))
    assert len(list(read_frames(path))) == 20
    assert "ends early (Input/output error)" in caplog.text


# --- times


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    times = [0.0, 0.01, 0.5, 0.54, 2.0, 2.001, 7.5, 7.6]
    for name in ("a.mp4", "a.mkv"):
        path = write_clip(tmp_path / name, frames(8), times=times)
        found = [seconds for _, seconds in read_frames(path)]
        assert found == pytest.approx(times, abs=1e-3)
        with VideoWriter(tmp_path / "b.mp4", probe(path).fps) as writer:
            for image, seconds in read_frames(path):
                writer.write(image, seconds)
        again = [seconds for _, seconds in read_frames(tmp_path / "b.mp4")]
        assert again == pytest.approx(found, abs=1e-4)


def test_times_count_from_the_first_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", frames(5), times=[7 + i / 10 for i in range(5)])
    found = [seconds for _, seconds in read_frames(path)]
    assert found == pytest.approx([i / 10 for i in range(5)], abs=1e-3)


@pytest.mark.parametrize("leap", [-50.0, 5000.0], ids=["back", "ahead"])
def test_a_clock_that_is_set_anew_leaves_no_hole(tmp_path: Path, leap: float) -> None:
    """Two broadcasts in one file: the second one's clock stands elsewhere."""
    times = [60 + i / 25 for i in range(20)]
    one = write_clip(tmp_path / "1.ts", frames(20), times=times, options={"bf": "0"})
    later = [seconds + leap for seconds in times]
    other = write_clip(tmp_path / "2.ts", frames(20), times=later, options={"bf": "0"})
    (tmp_path / "a.ts").write_bytes(one.read_bytes() + other.read_bytes())
    found = [seconds for _, seconds in read_frames(tmp_path / "a.ts")]
    assert found == pytest.approx([i / 25 for i in range(40)], abs=0.05)


def test_raw_pictures_without_a_clock(tmp_path: Path) -> None:
    """No container, no frame rate, no times: 0 frames a second."""
    path = write_clip(tmp_path / "a.h264", frames(9), kind="h264", options={"bf": "0"})
    assert len(read_in_time(path)) == 9
    assert 0 < probe(path).fps <= 1000 and probe(path).num_frames is None


def zero_rate(data: bytes) -> bytes:
    """An AVI whose headers state no time between frames and no rate."""
    changed = bytearray(data)
    at = data.index(b"avih") + 8
    changed[at : at + 4] = bytes(4)
    at = data.index(b"strh") + 8
    changed[at + 20 : at + 28] = bytes(8)  # scale and rate
    return bytes(changed)


def test_a_file_of_no_frames_a_second(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", frames(9), "mpeg4")
    path.write_bytes(zero_rate(path.read_bytes()))
    assert len(read_in_time(path)) == 9
    fps = probe(path).fps
    with VideoWriter(tmp_path / "b.mp4", fps) as writer:
        for image, seconds in read_frames(path):
            writer.write(image, seconds)
    assert len(list(read_frames(tmp_path / "b.mp4"))) == 9


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.webm"])
def test_a_clip_of_one_frame(tmp_path: Path, name: str) -> None:
    codec = {"a.avi": "mpeg4", "a.webm": "libvpx-vp9"}.get(name, "libx264")
    path = write_clip(tmp_path / name, frames(1), codec)
    assert len(read_in_time(path)) == 1
    info = probe(path)
    assert info.size == (64, 48) and 0 < info.fps <= 1000
    with VideoWriter(tmp_path / "b.mp4", info.fps, audio_from=path) as writer:
        for image, seconds in read_frames(path):
            writer.write(image, seconds)
    assert len(list(read_frames(tmp_path / "b.mp4"))) == 1


# --- sizes


@pytest.mark.parametrize("shape", [(47, 63), (1, 1), (2, 33), (33, 2), (480, 3)])
def test_odd_sizes_are_read_as_they_are(tmp_path: Path, shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), (200, 120, 40), np.uint8)
    path = write_clip(tmp_path / "a.mkv", [image] * 3, "ffv1", pixels="yuv444p")
    assert probe(path).size == (shape[1], shape[0])
    for found, _ in read_in_time(path):
        assert found.shape == image.shape
        assert np.abs(found.astype(int) - image).max() <= 3


def test_a_size_that_changes_is_fitted_into_the_first(tmp_path: Path) -> None:
    sizes = [(48, 64), (96, 128), (48, 128), (96, 64)]
    parts = []
    for i, (height, width) in enumerate(sizes):
        images = [np.full((height, width, 3), 200, np.uint8)] * 5
        part = write_clip(tmp_path / f"{i}.ts", images, times=[(5 * i + j) / 25 for j in range(5)])
        parts.append(part.read_bytes())
    (tmp_path / "a.ts").write_bytes(b"".join(parts))
    found = [image for image, _ in read_in_time(tmp_path / "a.ts")]
    assert len(found) == 20 and found[0].shape == (48, 64, 3)
    for image in found[:10]:  # the same shape, another scale
        assert np.abs(image.astype(int) - 200).max() <= 3
    for image in found[10:15]:  # twice as wide: black above and below
        assert image[:11].max() <= 3 and image[-11:].max() <= 3
        assert np.abs(image[13:-13].astype(int) - 200).max() <= 3
    for image in found[15:]:  # half as wide: black at the sides
        assert image[:, :15].max() <= 3 and image[:, -15:].max() <= 3
        assert np.abs(image[:, 17:-17].astype(int) - 200).max() <= 3
    with VideoWriter(tmp_path / "b.mp4") as writer:
        for image in found:
            writer.write(image)


def test_pictures_beyond_the_limit_are_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "a.mkv", frames(2), "ffv1", pixels="yuv444p")
    assert image_headers.MAX_PIXELS >= 7680 * 4320
    monkeypatch.setattr(image_headers, "MAX_PIXELS", 64 * 48 - 1)
    for act in (probe, lambda source: list(read_frames(source))):
        with pytest.raises(ValueError, match=r"a\.mkv: 64 x 48 pixels are more than the limit"):
            act(path)


def test_a_decoder_keeps_to_the_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the pictures turn out larger than the header states."""
    path = write_clip(tmp_path / "a.mp4", frames(2))
    monkeypatch.setattr(video_source, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(ValueError, match="holds no frame that can be decoded"):
        list(read_frames(path))


def test_a_decoder_that_does_not_open_is_tried_again(tmp_path: Path) -> None:
    """PyAV 19 tells each further packet for it with a ValueError that names no file."""

    class Unopened:
        def decode(self, packet: object) -> None:
            raise ValueError("cannot decode unknown codec")

    path = write_clip(tmp_path / "a.mp4", frames(2))
    container = SimpleNamespace(demux=lambda stream: iter([None]))
    assert len(list(video_decoding.decoded(container, Unopened(), path))) == 2


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_every_turn_is_undone(tmp_path: Path, quarters: int) -> None:
    image = np.zeros((32, 64, 3), np.uint8)
    image[:16, :16] = 255
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.set_display_rotation(90 * quarters)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    ((found, _),) = read_frames(path)
    upright = np.rot90(image, quarters)
    assert probe(path).size == (upright.shape[1], upright.shape[0])
    assert np.abs(found.astype(int) - upright).mean() < 5


# --- colours

COLORS = np.array(
    [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 255),
        (0, 0, 0),
        (128, 64, 200),
        (20, 200, 90),
    ]
)
SHARES = {"601": (0.299, 0.114), "709": (0.2126, 0.0722), "2020": (0.2627, 0.0593)}
"""Of red and blue in the luminance: ITU-R BT.601, BT.709, BT.2020."""
CODES = {"601": 6, "709": 1, "2020": 9, None: 2}
"""Of the matrices (ITU-T H.273); 2 is unspecified."""


def luma_and_chroma(color: np.ndarray, matrix: str, bits: int, full: bool) -> list[int]:
    """Y, Cb and Cr of an RGB colour of 8 bits (ITU-R BT.2100, table 9)."""
    red, blue = SHARES[matrix]
    r, g, b = color / 255
    y = red * r + (1 - red - blue) * g + blue * b
    parts = (y, (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red))
    scale, top = 2 ** (bits - 8), 2**bits - 1
    if full:
        values = [top * parts[0], top * parts[1] + 128 * scale, top * parts[2] + 128 * scale]
    else:
        values = [scale * (16 + 219 * parts[0]), *(scale * (128 + 224 * p) for p in parts[1:])]
    return [min(round(value), top) for value in values]


def write_colors(
    path: Path, made_by: str, said: str | None, *, pixels: str, full: bool = False, height: int = 64
) -> Path:
    """One frame a colour, Y, Cb and Cr made by our own formula; `said` is the matrix stated."""
    bits = 10 if "10" in pixels else 8
    kind = np.uint16 if bits == 10 else np.uint8
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, height, pixels
        stream.codec_context.colorspace = CODES[said]
        stream.codec_context.color_range = 2 if full else 1
        for color in COLORS:
            frame = av.VideoFrame(64, height, pixels)
            frame.colorspace, frame.color_range = CODES[said], 2 if full else 1
            for plane, value in zip(
                frame.planes, luma_and_chroma(color, made_by, bits, full), strict=True
            ):
                samples = plane.buffer_size // kind().itemsize
                plane.update(np.full(samples, value, kind).tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("matrix", SHARES)
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("full", [False, True])
def test_colours_are_those_that_the_file_states(
    tmp_path: Path, matrix: str, pixels: str, full: bool
) -> None:
    path = write_colors(tmp_path / "a.mkv", matrix, matrix, pixels=pixels, full=full)
    for (image, _), color in zip(read_frames(path), COLORS, strict=True):
        assert np.abs(image.astype(int) - color).max() <= 3


@pytest.mark.parametrize(("height", "matrix"), [(64, "601"), (480, "601"), (720, "709")])
def test_colours_without_a_statement_go_by_the_height(
    tmp_path: Path, height: int, matrix: str
) -> None:
    path = write_colors(tmp_path / "a.mkv", matrix, None, pixels="yuv420p", height=height)
    for (image, _), color in zip(read_frames(path), COLORS, strict=True):
        assert np.abs(image.astype(int) - color).max() <= 3


@pytest.mark.parametrize("pixels", ["gray", "gbrp10le", "bgr0", "rgb48le", "yuv422p", "yuva420p"])
@pytest.mark.parametrize("height", [64, 720])
def test_other_kinds_of_pixels(tmp_path: Path, pixels: str, height: int) -> None:
    color = (90, 90, 90) if pixels == "gray" else (200, 120, 40)
    image = np.full((height, 64, 3), color, np.uint8)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, height, pixels
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        matrix = {} if "yuv" not in pixels else {"dst_colorspace": 1 if height == 720 else 5}
        frame = frame.reformat(format=pixels, **matrix)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    ((found, _),) = read_frames(tmp_path / "a.mkv")
    assert np.abs(found.astype(int) - image).max() <= 4


def test_stretched_pixels_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        frame = av.VideoFrame.from_ndarray(frames(1)[0], format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 11)
    assert probe(path).size == (64, 48)


def test_interlaced_frames_are_just_decoded(tmp_path: Path) -> None:
    options = {"x264-params": "interlaced=1:tff=1", "g": "12"}
    path = write_clip(tmp_path / "a.ts", frames(20, 96, 128), options=options)
    assert len(read_in_time(path)) == 20


# --- no video


def test_sound_alone_and_its_cover_are_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match=r"a\.mp4: holds no video that can be decoded"):
        probe(path)
