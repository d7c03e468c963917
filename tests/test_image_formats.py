"""What cameras, scanners and editors write comes in as the picture that they mean."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pose.image_headers import HeaderError, header_of, is_animation, read_header
from pose.images import ImageFolder, decode_image, read_image
from pose.pillow_images import animation_frames


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth picture whose corners differ: red top left, blue bottom right."""
    noise = np.random.default_rng(0).integers(60, 200, (height, width, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 3)
    image[: height // 3, : width // 3] = (250, 20, 10)
    image[-height // 3 :, -width // 3 :] = (10, 20, 250)
    return image


def encoded(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def furthest(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found.astype(float) - expected).max())


def decoded(data: bytes) -> np.ndarray:
    image = decode_image(data, "x")
    assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    assert image.flags.c_contiguous and image.flags.writeable
    return image


def through_cutout(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RGBA with clear, half and full parts, and what it shows on a white page."""
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    alpha[:, :20], alpha[:, 20:40] = 0, 128
    share = alpha / 255
    return np.dstack([image, alpha]), image * share + 255 * (1 - share)


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("L", "PNG", {}),
        ("L", "TIFF", {}),
        ("L", "BMP", {}),
        ("1", "PNG", {}),
        ("1", "TIFF", {"compression": "group4"}),
        ("P", "PNG", {}),
        ("P", "GIF", {}),
        ("P", "TIFF", {}),
        ("P", "BMP", {}),
        ("RGB", "TIFF", {"compression": "tiff_lzw"}),
        ("RGB", "TIFF", {"compression": "tiff_adobe_deflate"}),
        ("RGB", "TIFF", {"compression": "packbits"}),
        ("RGB", "TIFF", {"big_tiff": True}),
        ("RGB", "WEBP", {"lossless": True}),
        ("CMYK", "TIFF", {}),
    ],
)
def test_lossless_files_of_every_mode(mode: str, kind: str, options: dict[str, object]) -> None:
    image = Image.fromarray(picture()).convert(mode)
    assert furthest(decoded(encoded(image, kind, **options)), np.array(image.convert("RGB"))) <= 1


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_of_every_mode(mode: str, progressive: bool) -> None:
    image = Image.fromarray(picture()).convert(mode)
    data = encoded(image, "JPEG", quality=95, subsampling=0, progressive=progressive)
    assert np.abs(decoded(data) - np.array(image.convert("RGB"), float)).mean() < 2


def test_adobes_other_kind_of_cmyk_jpeg() -> None:
    """The same bytes declared YCCK; Pillow is the yardstick."""
    data = encoded(Image.fromarray(picture()).convert("CMYK"), "JPEG", quality=95)
    at = data.index(b"Adobe") + 11
    assert data[at] == 0  # no transform
    data = data[:at] + b"\2" + data[at + 1 :]
    yardstick = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    assert furthest(decoded(data), yardstick) <= 2


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_are_cut_to_the_upper_8(suffix: str) -> None:
    image = picture()
    deep = image.astype(np.uint16) << 8 | 77
    for array, expected in ((deep[..., ::-1], image), (deep[..., 0], image[..., :1])):
        data = cv2.imencode(suffix, array)[1].tobytes()
        assert furthest(decoded(data), expected) <= (0 if suffix == ".png" else 1)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_what_is_transparent_shows_white(kind: str, options: dict[str, object]) -> None:
    image, shown = through_cutout(picture())
    data = encoded(image, kind, **options)
    assert read_header(data).has_alpha
    assert furthest(decoded(data), shown) <= 1


def test_transparent_grey_palettes_and_colour_keys() -> None:
    grey = picture()[..., :1].repeat(3, axis=2)
    image, shown = through_cutout(grey)
    assert furthest(decoded(encoded(Image.fromarray(image).convert("LA"), "PNG")), shown) <= 1
    palette = Image.fromarray(picture()).convert("P", palette=Image.Palette.ADAPTIVE)
    key = palette.getpixel((0, 0))
    expected = np.array(palette.convert("RGB"))
    expected[np.array(palette) == key] = 255
    for kind in ("PNG", "GIF"):
        assert furthest(decoded(encoded(palette, kind, transparency=key)), expected) == 0


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep_png(samples: np.ndarray, color_type: int, *chunks: bytes) -> bytes:
    """A PNG of 16-bit samples (H, W, C), which Pillow does not write."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body


def test_16_bits_with_alpha() -> None:
    image, shown = through_cutout(picture())
    deep = image.astype(np.uint16) << 8 | 200
    assert furthest(decoded(deep_png(deep, 6)), shown) <= 1
    grey, grey_shown = deep[..., [0, 3]], shown[..., :1]
    assert furthest(decoded(deep_png(grey, 4)), grey_shown) <= 1
    keyed = deep_png(deep[..., :1], 0, chunk(b"tRNS", struct.pack(">H", 77)))
    assert furthest(decoded(keyed), image[..., :1]) == 0  # 16-bit colour keys are ignored


UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored),
}
"""Orientation (EXIF 2.3, table 6) -> the picture as it is meant."""


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("kind", "alpha"),
    [
        ("JPEG", False),
        *((kind, alpha) for kind in ("PNG", "WEBP", "TIFF") for alpha in (False, True)),
    ],
)
def test_every_orientation_of_every_format(
    tmp_path: Path, orientation: int, kind: str, alpha: bool
) -> None:
    stored = picture(40, 64)
    exif = Image.Exif()
    exif[0x0112] = orientation
    array = through_cutout(stored)[0] if alpha else stored
    options = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 95}}.get(kind, {})
    path = tmp_path / f"x.{kind.lower()}"
    path.write_bytes(encoded(array, kind, exif=exif, **options))
    as_stored, upright = ImageFolder(tmp_path).read(path.name), read_image(path)
    assert ImageFolder(tmp_path).size(path.name) == as_stored.shape[1::-1]
    if kind == "TIFF":  # its orientation is applied always
        np.testing.assert_array_equal(as_stored, upright)
        as_stored = decode_image(encoded(array, kind), "x")
    np.testing.assert_array_equal(upright, UPRIGHT[orientation](as_stored))


def test_samples_that_are_no_colours_are_refused() -> None:
    # By Pillow: OpenCV 4.10 writes floats as 16-bit integers.
    floating = encoded((picture()[..., 0] / 255).astype(np.float32), "TIFF")
    whole = encoded(np.arange(300, dtype=np.int32).reshape(15, 20), "TIFF")
    for data in (floating, whole):
        with pytest.raises(ValueError, match=r"x: a TIFF of 32-bit samples .* save it so"):
            decode_image(data, "x")


ANIMATIONS = {
    "a.gif": {},
    "a.png": {},
    "a.webp": {"lossless": True},
    "kept.gif": {"disposal": 2},
    "still_first.png": {"default_image": True},
}
SHOWN_FOR = [100, 50, 200, 40, 300, 120]
"""Milliseconds of each frame."""


def moving(number: int = 6) -> list[np.ndarray]:
    """A bright square that wanders over a grey ground."""
    frames = np.full((number, 48, 64, 3), 90, np.uint8)
    for i, frame in enumerate(frames):
        frame[8:24, 4 * i : 4 * i + 16] = (230, 60, 20)
    return list(frames)


def write_animation(path: Path, frames: list[np.ndarray], durations: list[int]) -> Path:
    options = ANIMATIONS.get(path.name, {})
    first, *rest = [Image.fromarray(frame) for frame in frames]
    if "default_image" in options:
        rest = [first, *rest]
        first = Image.new("RGB", first.size, "black")
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, **options)
    return path


@pytest.mark.parametrize("name", ANIMATIONS)
def test_animations_give_their_frames_and_times(tmp_path: Path, name: str) -> None:
    path = write_animation(tmp_path / name, moving(), SHOWN_FOR)
    assert is_animation(path) and header_of(path).num_frames == 6
    found = list(animation_frames(path))
    assert [round(1000 * seconds) for _, seconds in found] == SHOWN_FOR
    for (image, _), expected in zip(found, moving(), strict=True):
        np.testing.assert_array_equal(image, expected)
    first = np.zeros_like(expected) if name == "still_first.png" else moving()[0]
    np.testing.assert_array_equal(read_image(path), first)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_transparent_animations_show_white(tmp_path: Path, suffix: str) -> None:
    image, shown = through_cutout(picture())
    image[..., 3] = np.where(image[..., 3] > 0, 255, 0)  # GIF knows no half
    shown[:, 20:40] = image[:, 20:40, :3]
    other = image[::-1].copy()
    pictures = [Image.fromarray(array) for array in (image, other)]
    lossless = {"lossless": True} if suffix == ".webp" else {}
    path = tmp_path / f"a{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], disposal=2, **lossless)
    for (found, _), expected in zip(animation_frames(path), (shown, shown[::-1]), strict=True):
        assert np.abs(found - expected).mean() < 6  # the colours of GIF's palette
        assert (found[:, :20] == 255).all()


def test_frames_that_state_no_time_are_shown_as_browsers_do(tmp_path: Path) -> None:
    path = write_animation(tmp_path / "a.gif", moving(), [0, 10, 20, 0, 0, 50])
    seconds = [seconds for _, seconds in animation_frames(path)]
    assert seconds == pytest.approx([0.1, 0.1, 0.02, 0.1, 0.1, 0.05])


def test_a_single_frame_is_no_animation(tmp_path: Path) -> None:
    for suffix in (".gif", ".png", ".webp", ".jpg", ".bmp", ".tiff"):
        Image.fromarray(picture()).save(tmp_path / f"a{suffix}")
        assert not is_animation(tmp_path / f"a{suffix}")
        assert header_of(tmp_path / f"a{suffix}").size == (64, 48)
    for data in (b"", b"text", b"GIF89a", b"RIFF"):
        (tmp_path / "x").write_bytes(data)
        assert not is_animation(tmp_path / "x")
        with pytest.raises(HeaderError):
            header_of(tmp_path / "x")


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_a_cut_animation_gives_whole_frames_or_an_error(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [np.roll(picture(), i, axis=1) for i in range(6)]
    whole = write_animation(tmp_path / name, frames, SHOWN_FOR)
    expected = [image for image, _ in animation_frames(whole)]
    data = whole.read_bytes()
    most = 0
    for cut in np.linspace(1, len(data) - 2, 20).astype(int):
        whole.write_bytes(data[:cut])
        with pytest.raises(ValueError, match=r"truncated|not a JPEG"):
            read_image(whole)
        try:
            found = list(animation_frames(whole))
        except ValueError as error:
            assert "\n" not in str(error)
            continue
        most = max(most, len(found))
        for (image, _), frame in zip(found, expected, strict=False):
            np.testing.assert_array_equal(image, frame)
    assert most >= (5 if name != "a.webp" else 0)  # libwebp takes whole files only


ENCODED = [
    encoded(picture(), "JPEG"),
    encoded(picture(), "PNG"),
    encoded(through_cutout(picture())[0], "PNG"),
    encoded(through_cutout(picture())[0], "WEBP"),
    encoded(picture(), "GIF"),
    encoded(picture(), "TIFF", compression="tiff_lzw"),
    encoded(through_cutout(picture())[0], "TIFF"),
    encoded(picture(), "BMP"),
]


@settings(max_examples=150)
@given(st.sampled_from(ENCODED), st.data())
def test_damage_gives_a_picture_or_one_line(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 6))):
        at = draw.draw(st.integers(0, min(len(data) - 1, 200)))
        damaged[at] = draw.draw(st.integers(0, 255))
    try:
        image = decode_image(bytes(damaged), "x")
    except ValueError as error:
        assert str(error).startswith("x: ") and "\n" not in str(error)
    else:
        assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
