"""Images in and out: RGB uint8 (H, W, 3) inside the package, whatever the file holds.

JPEG, PNG, WebP and BMP are read. Their headers are looked at first: OpenCV fills what a truncated
file lacks with grey or with nothing at all, and would unpack a few kilobytes into gigabytes.
The EXIF orientation is ignored for data sets, whose annotations are in stored coordinates, and
applied for a user's own photo.
"""

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

import cv2
import numpy as np

from pose.files import replacing
from pose.geometry import Size

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MAX_PIXELS = 2**28
"""Larger pictures are refused before they are decoded (268 megapixels, 0.8 GB)."""
MAX_BYTES = 2**30
"""Larger files are refused before they are read."""


class _HeaderError(Exception):
    """Why the bytes are no whole image of the kind they begin as."""


def read_image(path: str | os.PathLike[str], *, apply_exif: bool = True) -> np.ndarray:
    """A user's own photo as (H, W, 3) uint8 RGB, turned upright by its EXIF orientation.

    FileNotFoundError where there is none, ValueError where it is no whole image.
    """
    return decode_image(_read_file(Path(path)), str(path), apply_exif=apply_exif)


def decode_image(data: bytes, name: str, *, apply_exif: bool = False) -> np.ndarray:
    """An encoded image as (H, W, 3) uint8 RGB: grey is repeated, alpha dropped, 16 bits cut to 8.

    ValueError, which begins with `name`, where `data` is empty, no image, truncated, damaged or
    larger than MAX_PIXELS.
    """
    try:
        width, height = _image_size(data)
    except _HeaderError as error:
        raise ValueError(f"{name}: {error}") from None
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{name}: {width} x {height} pixels are more than the limit of {MAX_PIXELS}; "
            "scale the image down"
        )
    flags = cv2.IMREAD_COLOR if apply_exif else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise ValueError(f"{name}: damaged image, it cannot be decoded; fetch the file again")
    return _swap_red_blue(image)


def write_image(path: str | os.PathLike[str], image: np.ndarray, *, quality: int = 92) -> None:
    """Writes (H, W, 3) uint8 RGB in the format of the suffix; `quality` is for JPEG and WebP.

    The file appears whole or not at all, its folder is made if need be. ValueError for a suffix
    that is not in IMAGE_SUFFIXES.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f"{path}: cannot write '{suffix}'; use one of {', '.join(IMAGE_SUFFIXES)}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"{path}: expected (H, W, 3) uint8, got {image.shape} {image.dtype}")
    jpeg, webp = cv2.IMWRITE_JPEG_QUALITY, cv2.IMWRITE_WEBP_QUALITY
    option = {".jpg": jpeg, ".jpeg": jpeg, ".webp": webp}.get(suffix)
    options = [] if option is None else [option, quality]
    done, data = cv2.imencode(suffix, _swap_red_blue(image), options)
    if not done:
        raise ValueError(f"{path}: OpenCV cannot encode {image.shape} as '{suffix}'")
    with replacing(path, durable=False) as temporary:
        data.tofile(temporary)  # OpenCV's own writer knows no other scripts on Windows


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The images right in `folder`, sorted by name; hidden files are left out."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of images")
    found = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


class ImageFolder:
    """The images of a data set: a folder or a .zip file, read by relative name.

    Members of a zip are found by their name, or below its one top folder (train2017.zip holds
    train2017/000000000009.jpg). Names are confined to the folder: ValueError for an absolute one,
    for `..` and for a link that leads outside. Each process opens the zip for itself, so the
    object may be pickled or forked into the workers of a loader.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        self._zip_process = -1
        self._top = ""
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path}: no such image folder or .zip file")
        self._root = None if self.path.is_file() else self.path.resolve()
        if self._root is None:
            self._open_zip()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_zip": None, "_zip_process": -1}

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.path)!r})"

    def exists(self, name: str) -> bool:
        """Whether there is an image `name`; ValueError where the name leads outside."""
        if self._root is None:
            return self._member(name) is not None
        return self._file(name).is_file()

    def read(self, name: str) -> np.ndarray:
        """Image `name` as (H, W, 3) uint8 RGB as stored, its EXIF orientation ignored.

        FileNotFoundError or ValueError in one line that names folder (or zip) and image.
        """
        return decode_image(self.read_bytes(name), self._describe(name), apply_exif=False)

    def read_bytes(self, name: str) -> bytes:
        """Image `name` as it is stored, still encoded; errors as of `read`."""
        if self._root is not None:
            return _read_file(self._file(name))
        member = self._member(name)
        if member is None:
            raise FileNotFoundError(f"{self._describe(name)}: no such image in the zip file")
        if member.file_size > MAX_BYTES:
            raise ValueError(f"{self._describe(name)}: larger than {MAX_BYTES} bytes")
        try:
            return self._open_zip().read(member)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError, EOFError) as error:
            # RuntimeError: a password is wanted, or (NotImplementedError) an unknown compression
            raise ValueError(f"{self._describe(name)}: cannot be unpacked ({error})") from None

    def _describe(self, name: str) -> str:
        return f"{self.path}: {name}" if self._root is None else str(self.path / name)

    def _file(self, name: str) -> Path:
        assert self._root is not None
        _check_relative(name, self.path)
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root):
            raise ValueError(f"{self.path}: image '{name}' is a link that leads outside the folder")
        return path

    def _member(self, name: str) -> zipfile.ZipInfo | None:
        _check_relative(name, self.path)
        members = self._open_zip().NameToInfo
        plain = PurePosixPath(name).as_posix()
        return members.get(plain) or members.get(self._top + plain)

    def _open_zip(self) -> zipfile.ZipFile:
        """This process's own handle: a forked one would share its place in the file."""
        if self._zip is None or self._zip_process != os.getpid():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except FileNotFoundError:
                raise FileNotFoundError(f"{self.path}: no such .zip file") from None
            except (zipfile.BadZipFile, OSError) as error:
                raise ValueError(f"{self.path}: neither folder nor whole .zip ({error})") from None
            self._zip_process = os.getpid()
            tops = {name.partition("/")[0] for name in self._zip.NameToInfo if "/" in name}
            tops.discard("__MACOSX")
            self._top = f"{tops.pop()}/" if len(tops) == 1 else ""
        return self._zip


def _swap_red_blue(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # its own inverse; OpenCV's files are BGR


def _read_file(path: Path) -> bytes:
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected an image file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path}: larger than {MAX_BYTES} bytes, this is no image")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{path}: no such image file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def _check_relative(name: str, folder: Path) -> None:
    """Refuses names that could leave the folder on any system."""
    windows = PureWindowsPath(name)
    if not name or "\0" in name or windows.drive or windows.root or ".." in windows.parts:
        raise ValueError(
            f"{folder}: image name {name!r} leads outside the folder; expected a relative name "
            "without '..'"
        )


def _image_size(data: bytes) -> Size:
    """(width, height) as stored, from the header of a whole file."""
    if not data:
        raise _HeaderError("empty file, expected an image")
    for magic, reader in _READERS.items():
        if data.startswith(magic):
            try:
                width, height = reader(data)
            except (struct.error, IndexError):
                raise _HeaderError("truncated image; fetch the file again") from None
            if width < 1 or height < 1:
                raise _HeaderError("damaged image without width or height")
            return width, height
    head = data[:256].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise _HeaderError("a web page, not an image; its download failed, fetch the file again")
    raise _HeaderError("not a JPEG, PNG, WebP or BMP image")


# Behind a scan header come compressed bytes, in which FF is followed by 00 or a restart marker.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _jpeg_size(data: bytes) -> Size:
    """Walks the markers (ITU T.81, annex B) up to the end-of-image marker.

    A search for the last two bytes would be fooled by an embedded thumbnail's end or by padding.
    """
    size, at = None, 2
    while True:
        found = _NEXT_MARKER.search(data, at)
        if found is None:
            raise _HeaderError("truncated JPEG; fetch the file again")
        marker, at = data[found.end() - 1], found.end()
        if marker == 0xD9:
            break
        if marker == 0x01:  # the one other marker that stands without a length
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and size is None:
            height, width = struct.unpack_from(">HH", data, at + 3)
            size = (width, height)
        at += struct.unpack_from(">H", data, at)[0]
    if size is None:
        raise _HeaderError("truncated JPEG without a picture; fetch the file again")
    return size


def _png_size(data: bytes) -> Size:
    """Walks the chunks up to IEND."""
    at = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if at > len(data):
            raise _HeaderError("truncated PNG; fetch the file again")
        if kind == b"IEND":
            return struct.unpack_from(">II", data, 16)


def _webp_size(data: bytes) -> Size:
    length, form, kind = struct.unpack_from("<I4s4s", data, 4)
    if form != b"WEBP":
        raise _HeaderError("not a JPEG, PNG, WebP or BMP image")
    if 8 + length > len(data):
        raise _HeaderError("truncated WebP; fetch the file again")
    if kind == b"VP8X":
        canvas = data[24:30]
        return int.from_bytes(canvas[:3], "little") + 1, int.from_bytes(canvas[3:], "little") + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _bmp_size(data: bytes) -> Size:
    length, header = struct.unpack_from("<I", data, 2)[0], struct.unpack_from("<I", data, 14)[0]
    if length > len(data):
        raise _HeaderError("truncated BMP; fetch the file again")
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return width, abs(height)  # a negative height stores the rows from the top


_READERS: dict[bytes, Callable[[bytes], Size]] = {
    b"\xff\xd8\xff": _jpeg_size,
    b"\x89PNG\r\n\x1a\n": _png_size,
    b"RIFF": _webp_size,
    b"BM": _bmp_size,
}
