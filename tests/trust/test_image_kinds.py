"""Every kind of image file: read as the picture it means, or one line; nothing is filled in, and no
header costs memory."""

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pose.data.dataset import PoseDataset
from pose.images import ImageFolder, read_image, write_image
from pose.skeleton import COCO_17
from pose.structures import People
from tests.patience import HANG_SECONDS

MOST_MEGABYTES = 50


def photo(height: int = 120, width: int = 160) -> np.ndarray:
    """A smooth picture, red in its first corner."""
    noise = np.random.default_rng(0).integers(60, 200, (height, width, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 3)
    image[: height // 3, : width // 3] = (250, 20, 10)
    return image


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photo()).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def with_alpha(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    alpha = np.full((120, 160, 1), 255, np.uint8)
    Image.fromarray(np.dstack([photo(), alpha])).save(buffer, kind, **options)
    return buffer.getvalue()


def deep(suffix: str) -> bytes:
    return cv2.imencode(suffix, photo()[..., ::-1].astype(np.uint16) * 257)[1].tobytes()


WHOLE = {
    "baseline.jpg": encoded("JPEG", quality=95),
    "progressive.jpg": encoded("JPEG", quality=95, progressive=True),
    "grey.jpg": encoded("JPEG", "L", quality=95),
    "cmyk.jpg": encoded("JPEG", "CMYK", quality=95),
    "colour.png": encoded("PNG"),
    "grey.png": encoded("PNG", "L"),
    "palette.png": encoded("PNG", "P"),
    "alpha.png": with_alpha("PNG"),
    "deep.png": deep(".png"),
    "one_bit.png": encoded("PNG", "1"),
    "colour.webp": encoded("WEBP", quality=95),
    "lossless.webp": encoded("WEBP", lossless=True),
    "alpha.webp": with_alpha("WEBP", lossless=True),
    "palette.gif": encoded("GIF", "P"),
    "colour.tiff": encoded("TIFF", compression="tiff_lzw"),
    "cmyk.tiff": encoded("TIFF", "CMYK"),
    "deep.tiff": deep(".tiff"),
    "colour.bmp": encoded("BMP"),
}
"""Name -> a whole file of that kind, whatever its suffix says."""


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("upright", [True, False])
def test_every_kind_is_the_same_picture(tmp_path: Path, name: str, upright: bool) -> None:
    (tmp_path / name).write_bytes(WHOLE[name])
    image = read_image(tmp_path / name) if upright else ImageFolder(tmp_path).read(name)
    assert image.shape == (120, 160, 3) and image.dtype == np.uint8
    red, green, blue = image[5:30, 5:40].reshape(-1, 3).mean(axis=0)
    if any(word in name for word in ("grey", "one_bit")):
        assert red == green == blue
    else:
        assert red > 200 and green < 90 and blue < 90
        rough = 30 if "palette" in name or "cmyk" in name else 6
        assert np.abs(image.astype(float) - photo()).mean() < rough


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "no such image file"),
        (b"", "empty file, expected an image"),
        (b"\n <!DOCTYPE html><html>404</html>", "a web page, not an image"),
        (b"<html><body>sign in</body></html>", "a web page, not an image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "not a JPEG, PNG"),
        (bytes(5000), "not a JPEG, PNG"),
        (b"\xff\xd8\xff\xe0" + bytes(5000), "JPEG"),
        (zlib.compress(WHOLE["baseline.jpg"]), "not a JPEG, PNG"),
    ],
)
@pytest.mark.parametrize("upright", [True, False])
def test_what_is_no_image_is_one_line(
    tmp_path: Path, data: bytes | None, message: str, upright: bool
) -> None:
    path = tmp_path / "photo.jpg"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises((ValueError, FileNotFoundError)) as raised:
        _ = read_image(path) if upright else ImageFolder(tmp_path).read(path.name)
    line = str(raised.value)
    assert line.startswith(f"{path}: ") and message in line and "\n" not in line


CUTS = [10, pytest.param(100, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.soak)]


@pytest.mark.parametrize("name", [name for name in WHOLE if "gif" not in name])
@pytest.mark.parametrize("count", CUTS)
def test_a_cut_file_is_noticed_wherever_it_is_cut(tmp_path: Path, name: str, count: int) -> None:
    """A JPEG and a PNG also where the download had reserved its space first: others have no mark at
    their end. Of a GIF the last byte may be missing: below."""
    data = WHOLE[name]
    end = len(data) - (5 if name.endswith(".png") else 2)  # behind it all colours are there
    for at in np.unique(np.linspace(1, end, count).astype(int)):
        contents = [data[:at]]
        if name.endswith((".jpg", ".png")):
            contents.append(data[:at] + bytes(len(data) - at))
        for content in contents:
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ValueError, match=rf"{name}: "):
                ImageFolder(tmp_path).read(name)


@pytest.mark.parametrize("count", CUTS)
def test_a_cut_gif_is_noticed(tmp_path: Path, count: int) -> None:
    data = WHOLE["palette.gif"]
    for at in np.unique(np.linspace(1, len(data) - 3, count).astype(int)):
        (tmp_path / "a.gif").write_bytes(data[:at])
        with pytest.raises(ValueError, match=r"a\.gif: "):
            read_image(tmp_path / "a.gif")


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("count", CUTS)
def test_flipped_bits_give_a_picture_or_one_line(tmp_path: Path, name: str, count: int) -> None:
    """A flip inside compressed colours is another picture; its form is always the file's."""
    data, path = WHOLE[name], tmp_path / name
    for seed in range(count):
        rng = np.random.default_rng(seed)
        bits = bytearray(data)
        among = len(data) if seed % 2 else min(len(data), 300)
        for at in rng.integers(0, among, size=int(rng.integers(1, 4))):
            bits[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(bits))
        for read in (lambda: read_image(path), lambda: ImageFolder(tmp_path).read(name)):
            try:
                image = read()
            except ValueError as error:
                assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            else:
                assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_data_sets_photo_is_not_turned(tmp_path: Path, orientation: int) -> None:
    """It stays as its annotations have it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG", exif=exif))
    stored = ImageFolder(tmp_path).read("a.jpg")
    assert stored.shape == (120, 160, 3) and np.abs(stored[10, 10] - [250.0, 20, 10]).max() < 30
    dataset = PoseDataset(one_person("a.jpg", (160, 120)), ImageFolder(tmp_path), (64, 64))
    assert dataset[0, 0].images.shape == (3, 64, 64)


# Headers that claim too much


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(side: int, color: int) -> bytes:
    rows = zlib.compress(bytes(10**7), 9)
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, color, 0, 0, 0))
    body = png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + body


def changed(data: bytes, at: int, layout: str, *values: int) -> bytes:
    packed = struct.pack(layout, *values)
    return data[:at] + packed + data[at + len(packed) :]


def tiff(side: int) -> bytes:
    """One strip that unpacks to nothing near to what the directory says."""
    numbers = (256, 257, 258, 259, 262, 273, 277, 278, 279)
    tags = dict(zip(numbers, (side, side, 8, 8, 1, 200, 1, side, 100), strict=True))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head.ljust(200, b"\0") + zlib.compress(bytes(10**5))[:100].ljust(100, b"\0")


JPEG, GIF = WHOLE["baseline.jpg"], WHOLE["palette.gif"]
SIDE = 40_000
BOMBS = {
    "grey.png": png(SIDE, 0),
    "colour.png": png(SIDE, 2),
    "alpha.png": png(SIDE, 6),
    "a.jpg": changed(JPEG, JPEG.index(b"\xff\xc0") + 5, ">HH", SIDE, SIDE),
    "a.bmp": changed(WHOLE["colour.bmp"], 18, "<ii", SIDE, SIDE),
    "top_down.bmp": changed(WHOLE["colour.bmp"], 18, "<ii", SIDE, -SIDE),
    "a.gif": changed(GIF, 6, "<HH", SIDE, SIDE),
    "frame.gif": changed(GIF, GIF.index(b"\x2c\0\0\0\0") + 5, "<HH", SIDE, SIDE),
    "a.tiff": tiff(SIDE),
    "a.webp": b"RIFF"
    + struct.pack("<I4s4sI", 30, b"WEBP", b"VP8X", 10)
    + struct.pack("<I", 0x10)
    + 2 * (SIDE - 1).to_bytes(3, "little")
    + WHOLE["colour.webp"][12:],
}
MEASURE = """
import re, sys
from pathlib import Path
from pose.image_headers import header_of
from pose.images import ImageFolder, read_image

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

bomb, *small = map(Path, sys.argv[1:])
for path in small:  # the libraries themselves
    read_image(path)
before = peak()
for read in (read_image, lambda path: ImageFolder(path.parent).read(path.name)):
    try:
        read(bomb)
    except ValueError as error:
        print(str(error).replace(str(bomb), "BOMB"))
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is Linux's to tell")
@pytest.mark.parametrize("name", BOMBS)
def test_a_header_costs_no_memory(tmp_path: Path, name: str) -> None:
    bomb = tmp_path / name
    bomb.write_bytes(BOMBS[name])
    small = []
    for kind in ("baseline.jpg", "colour.png", "alpha.png", "palette.gif"):
        small.append(tmp_path / f"small_{kind}")
        small[-1].write_bytes(WHOLE[kind])
    run = [sys.executable, "-c", MEASURE, bomb, *small]
    done = subprocess.run(run, capture_output=True, text=True, timeout=HANG_SECONDS, check=True)
    *lines, megabytes = done.stdout.splitlines()
    assert len(lines) == 2 and all(line.startswith("BOMB: ") for line in lines), done.stdout
    assert float(megabytes) < MOST_MEGABYTES


# Names


NAMES = ["фото.jpg", "照片/图.png", "снимок 😀.webp", "été.jpg", "e\u0301te\u0301.jpg", "مرحبا.png"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_every_script(tmp_path: Path, name: str) -> None:
    """In a folder and in a zip, written and read; OpenCV's own reader knows few on Windows."""
    root = tmp_path / "набор 数据"
    write_image(root / name, photo())
    zip_path = tmp_path / "данные.zip"
    with zipfile.ZipFile(zip_path, "w") as target:
        target.write(root / name, name)
    image = read_image(root / name)
    assert image.shape == (120, 160, 3)
    for folder in (ImageFolder(root), ImageFolder(zip_path)):
        assert folder.exists(name)
        np.testing.assert_array_equal(folder.read(name), image)
        people = one_person(name, (160, 120))
        assert PoseDataset(people, folder, (64, 64))[0, 0].images.float().mean() > 10


# The size that annotations say


def one_person(name: str, size: tuple[int, int]) -> People:
    return People(
        skeleton=COCO_17,
        images=np.array([name]),
        image_sizes=np.array([size], np.int32),
        image_index=np.zeros(1, np.int64),
        image_ids=np.ones(1, np.int64),
        boxes=np.array([[10, 10, 100, 100]], np.float32),
        keypoints=np.full((1, 17, 2), 50, np.float32),
        visibility=np.full((1, 17), 2, np.uint8),
        areas=np.full(1, 8100.0),
        scores=np.ones(1),
        annotation_ids=np.ones(1, np.int64),
    )


@pytest.mark.parametrize("name", WHOLE)
def test_an_image_of_another_size_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(WHOLE[name])
    for size in ((160, 120), (0, 0)):  # nothing said
        PoseDataset(one_person(name, size), ImageFolder(tmp_path), (64, 64))[0, 0]
    for size in ((120, 160), (161, 120), (160, 119), (320, 240)):
        dataset = PoseDataset(one_person(name, size), ImageFolder(tmp_path), (64, 64))
        with pytest.raises(ValueError, match=rf"{name}: is 160x120 pixels, its annotation says"):
            dataset[0, 0]
