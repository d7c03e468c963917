"""Images: RGB in and out, orientation, whole files only, names that stay inside the folder."""

import io
import pickle
import struct
import zipfile
import zlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pose import image_headers, images
from pose.images import ImageFolder, decode_image, list_images, read_image, write_image


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """A smooth picture whose corners differ: red top left, blue bottom right."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(60, 200, (height, width, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 3)
    image[: height // 3, : width // 3] = (250, 20, 10)
    image[-height // 3 :, -width // 3 :] = (10, 20, 250)
    return image


def encoded(suffix: str) -> bytes:
    """A picture of 64 x 48 pixels; GIF by Pillow, since OpenCV writes it only from 4.11 on."""
    if suffix != ".gif":
        return cv2.imencode(suffix, picture())[1].tobytes()
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, "GIF")
    return file.getvalue()


def jpeg(image: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", image[..., ::-1], list(options))[1].tobytes()


def with_segment(data: bytes, marker: int, payload: bytes) -> bytes:
    """A JPEG with one more segment right behind its beginning."""
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + data[2:]


def exif(orientation: int, thumbnail: bytes = b"") -> bytes:
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + thumbnail


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".jpeg", ".webp", ".PNG"])
def test_written_images_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"größe 图{suffix}"
    image = picture()
    write_image(path, image, quality=95)
    tolerance = 0 if suffix.lower() in (".png", ".bmp") else 6
    assert np.abs(read_image(path).astype(int) - image).mean() <= tolerance
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing temporary is left


def test_files_hold_red_where_the_array_does(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture())
    assert tuple(cv2.imread(str(tmp_path / "a.png"))[2, 2]) == (10, 20, 250)  # OpenCV says BGR


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_only_rgb_uint8_is_written(tmp_path: Path, bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        write_image(tmp_path / "a.png", bad)
    with pytest.raises(ValueError, match=r"cannot write '\.gif'"):
        write_image(tmp_path / "a.gif", picture())
    assert not list(tmp_path.iterdir())


def test_orientation_is_applied_to_photos_and_ignored_in_data_sets(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    stored = picture(40, 64)
    path.write_bytes(with_segment(jpeg(stored), 0xE1, exif(orientation=6)))
    as_stored = ImageFolder(tmp_path).read("photo.jpg")
    assert as_stored.shape == (40, 64, 3)
    upright = read_image(path)
    assert upright.shape == (64, 40, 3)
    np.testing.assert_array_equal(upright, np.rot90(as_stored, -1))
    np.testing.assert_array_equal(read_image(path, apply_exif=False), as_stored)


@pytest.mark.parametrize(
    "options",
    [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)],
    ids=["baseline", "progressive", "restarts"],
)
def test_jpegs_cut_anywhere_are_refused(options: tuple[int, ...]) -> None:
    thumbnail = jpeg(picture(12, 16))
    whole = with_segment(jpeg(picture(), *options), 0xE1, exif(1, thumbnail))
    assert decode_image(whole, "x.jpg").shape == (48, 64, 3)
    thumbnail_end = whole.index(thumbnail) + len(thumbnail)
    cuts = {*np.linspace(1, len(whole) - 1, 60).astype(int), len(whole) - 2, thumbnail_end}
    for cut in cuts:
        for padding in (b"", bytes(4096)):  # a download that reserved its space first
            with pytest.raises(ValueError, match=r"^cut\.jpg: "):
                decode_image(whole[:cut] + padding, "cut.jpg")


def test_bytes_behind_a_whole_jpeg_do_no_harm() -> None:
    whole = jpeg(picture())
    for tail in (bytes(100), b"\n", b"\xff\xd8\xff\xe1", jpeg(picture(8, 8))):
        np.testing.assert_array_equal(
            decode_image(whole + tail, "x.jpg"), decode_image(whole, "x.jpg")
        )


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tiff", ".gif"])
def test_other_formats_cut_anywhere_are_refused(suffix: str) -> None:
    whole = encoded(suffix)
    assert decode_image(whole, "x").shape == (48, 64, 3)
    end = len(whole) - (2 if suffix == ".gif" else 1)  # some writers leave out GIF's last byte
    for cut in np.linspace(1, end, 15).astype(int):
        with pytest.raises(ValueError, match=r"^x: "):
            decode_image(whole[:cut], "x")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"GIF89a" + bytes(50), "damaged image without width"),
        (b"text", "not a JPEG, PNG, WebP, GIF, TIFF or BMP image"),
        (b"RIFF" + struct.pack("<I", 40) + b"AVI " + bytes(60), "not a JPEG, PNG, WebP, GIF"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC or AVIF image, which is not read; convert it"),
        (b"II*\0" + struct.pack("<I", 4000), "truncated image"),
        (b"MM\0*" + struct.pack(">IH", 8, 0) + bytes(40), "damaged image without width"),
        (b"\xff\xd8\xff\xd9", "without a picture"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        read_image(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.jpg: no such image"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(FileNotFoundError, match="none"):
        ImageFolder(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="none"):
        list_images(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        ImageFolder(tmp_path).read("none.png")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    suffixes = (".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif")
    files = [encoded(suffix) for suffix in suffixes]
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("was decoded"))
    monkeypatch.setattr(images, "decode_flat", lambda *_, **__: pytest.fail("was decoded"))
    with pytest.raises(ValueError, match="60000 x 60000 pixels"):
        decode_image(png, "bomb.png")
    monkeypatch.setattr(image_headers, "MAX_PIXELS", 64 * 48 - 1)
    for data in files:
        with pytest.raises(ValueError, match="64 x 48 pixels"):
            decode_image(data, "x")


def test_damage_inside_is_refused() -> None:
    png = bytearray(cv2.imencode(".png", picture())[1].tobytes())
    png[len(png) // 2] ^= 0xFF
    with pytest.raises(ValueError, match="damaged"):
        decode_image(bytes(png), "x.png")


@pytest.fixture
def folders(tmp_path: Path) -> list[ImageFolder]:
    """One data set as a folder, a flat zip and a zip with a top folder."""
    root = tmp_path / "train"
    for name in ("a.png", "sub/b.png"):
        write_image(root / name, picture(seed=len(name)))
    for zip_name, top in (("flat.zip", ""), ("train.zip", "train/")):
        with zipfile.ZipFile(tmp_path / zip_name, "w") as target:
            if top:
                target.writestr("__MACOSX/train/._a.png", b"")
                target.writestr("readme.txt", b"images")
                target.writestr("train/", b"")
            for name in ("a.png", "sub/b.png"):
                target.write(root / name, top + name)
    return [ImageFolder(tmp_path / name) for name in ("train", "flat.zip", "train.zip")]


def test_folder_and_zips_give_the_same(folders: list[ImageFolder]) -> None:
    for folder in folders[:1] + folders[2:] + folders[1:2]:
        for name in ("a.png", "sub/b.png", "./a.png"):
            assert folder.exists(name), (folder, name)
            np.testing.assert_array_equal(folder.read(name), folders[0].read(name))
        assert not folder.exists("c.png") and not folder.exists("sub")
        with pytest.raises(FileNotFoundError, match=r"c\.png"):
            folder.read("c.png")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x.png", "sub/../../x.png", "C:\\x", "..\\x", ""]
)
def test_names_stay_inside(folders: list[ImageFolder], name: str) -> None:
    for folder in folders:
        for act in (folder.read, folder.exists):
            with pytest.raises(ValueError, match="outside"):
                act(name)


def test_links_that_lead_outside_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_image(root / "in.png", picture())
    write_image(tmp_path / "secret.png", picture())
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "inside.png").symlink_to(root / "in.png")
    folder = ImageFolder(root)
    assert folder.read("inside.png").shape == (48, 64, 3)
    with pytest.raises(ValueError, match="outside"):
        folder.read("link.png")


def read_sum(folder: ImageFolder, name: str) -> int:
    return int(folder.read(name).sum())


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_folders_travel_to_other_processes(folders: list[ImageFolder], method: str) -> None:
    expected = int(folders[0].read("a.png").sum())
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        for folder in folders:
            results = pool.map(read_sum, [folder] * 8, ["a.png"] * 8)
            assert list(results) == [expected] * 8


def test_a_forked_zip_is_opened_again(
    folders: list[ImageFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folders[1]
    handle = folder._open_zip()
    assert folder._open_zip() is handle
    assert pickle.loads(pickle.dumps(folder))._zip is None
    monkeypatch.setattr(images.os, "getpid", lambda: -5)
    assert folder._open_zip() is not handle


def test_damaged_zips_name_themselves_and_the_member(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(ValueError, match=r"x\.zip: neither"):
        ImageFolder(path)
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a.png", bytes(range(256)) * 4)
        target.writestr("b.png", b"nothing")
    path.write_bytes(path.read_bytes().replace(bytes(range(9, 99)), bytes(90)))
    with pytest.raises(ValueError, match=r"x\.zip: a\.png: cannot be unpacked"):
        ImageFolder(path).read("a.png")
    with pytest.raises(ValueError, match=r"x\.zip: b\.png: not a JPEG"):
        ImageFolder(path).read("b.png")


def test_list_images_is_sorted_and_knows_its_suffixes(tmp_path: Path) -> None:
    known = ["a.png", "b.JPG", "d.webp", "f.tif", "g.TIFF", "h.gif", "i.bmp", "j.apng"]
    for name in (*known, "c.txt", "._a.png"):
        (tmp_path / name).touch()
    (tmp_path / "e.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == known


def test_real_photographs_pass_the_header_check(test_data: Path) -> None:
    paths = list_images(test_data / "coco" / "images" / "val2017")
    assert paths
    for path in paths[:20]:
        data = path.read_bytes()
        height, width = decode_image(data, path.name).shape[:2]
        header = image_headers.read_header(data)
        assert header.size == (width, height) and header.whole and not header.has_alpha
