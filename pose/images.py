"""Images in and out: RGB uint8 (H, W, 3) inside the package, whatever the file holds.

JPEG, PNG, WebP, GIF, TIFF and BMP are read, of an animation the first frame. The EXIF orientation
is ignored for data sets, whose annotations are in stored coordinates, and applied for a user's own
photo.
"""

import itertools
import os
import re
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

import cv2
import numpy as np

from pose.files import replacing
from pose.geometry import Size
from pose.image_headers import HeaderError, ImageHeader, check_size, read_header
from pose.pillow_images import decode_flat

WRITTEN_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
IMAGE_SUFFIXES = (*WRITTEN_SUFFIXES, ".tif", ".tiff", ".gif", ".apng")
_REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
"""OpenCV's bits for a part of the size; the colour's bit goes with them."""

_RGB = getattr(cv2, "IMREAD_COLOR_RGB", None)
"""From OpenCV 4.11 on it decodes into RGB; older versions give BGR, which is turned."""

_PLAIN_NAME = re.compile(r"\w+(/\w+)*\.\w+")
"""What most images are called; nothing of it leads anywhere."""

MAX_BYTES = 2**30
"""Larger files are refused before they are read."""


def read_image(path: str | os.PathLike[str], *, apply_exif: bool = True) -> np.ndarray:
    """A user's own photo as (H, W, 3) uint8 RGB, turned upright by its EXIF orientation.

    FileNotFoundError where there is none, ValueError where it is no whole image.
    """
    return decode_image(_read_file(Path(path)), str(path), apply_exif=apply_exif)


def decode_image(
    data: bytes, name: str, *, apply_exif: bool = False, reduction: int = 1
) -> np.ndarray:
    """An encoded image as (H, W, 3) uint8 RGB: grey is repeated, 16 bits are cut to the upper 8.

    What is transparent shows white. A TIFF's orientation is applied always. A JPEG may come at
    1/reduction of its size (2, 4 or 8), rounded up. ValueError, which begins with `name`, where
    `data` is empty, no image, truncated, damaged or larger than MAX_PIXELS.
    """
    header = _checked_header(data, name)
    turned_webp = apply_exif and header.format == "WebP"  # whose orientation OpenCV 4.10 ignores
    if header.has_alpha or header.num_frames > 1 or header.format == "GIF" or turned_webp:
        return decode_flat(data, name, apply_exif=apply_exif)
    flags = cv2.IMREAD_COLOR if _RGB is None else _RGB
    flags |= _REDUCED[reduction] | (0 if apply_exif else cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise ValueError(f"{name}: damaged image, it cannot be decoded; fetch the file again")
    return swap_red_blue(image) if _RGB is None else image


def _checked_header(data: bytes, name: str) -> ImageHeader:
    """That of a whole image of at most MAX_PIXELS; else ValueError."""
    try:
        header = read_header(data)
    except HeaderError as error:
        raise ValueError(f"{name}: {error}") from None
    check_size(header.size, name)
    if not header.whole:
        raise ValueError(f"{name}: truncated {header.format}; fetch the file again")
    return header


def is_jpeg(data: bytes) -> bool:
    """Whether encoded `data` begin as a JPEG does."""
    return data.startswith(b"\xff\xd8\xff")


def write_image(path: str | os.PathLike[str], image: np.ndarray, *, quality: int = 92) -> None:
    """Writes (H, W, 3) uint8 RGB in the format of the suffix; `quality` is for JPEG and WebP.

    The file appears whole or not at all, its folder is made if need be. ValueError for a suffix
    that is not in WRITTEN_SUFFIXES.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in WRITTEN_SUFFIXES:
        known = ", ".join(WRITTEN_SUFFIXES)
        raise ValueError(f"{path}: cannot write '{suffix}'; use one of {known}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"{path}: expected (H, W, 3) uint8, got {image.shape} {image.dtype}")
    jpeg, webp = cv2.IMWRITE_JPEG_QUALITY, cv2.IMWRITE_WEBP_QUALITY
    option = {".jpg": jpeg, ".jpeg": jpeg, ".webp": webp}.get(suffix)
    options = [] if option is None else [option, quality]
    done, data = cv2.imencode(suffix, swap_red_blue(image), options)
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

    def size(self, name: str) -> Size:
        """Width and height of image `name` as `read` gives it, by its header alone; errors as of
        `read`, but for damage to what is behind."""
        return _checked_header(self.read_bytes(name), self._describe(name)).size

    def read_reduced(self, name: str, reduction: int) -> tuple[np.ndarray, int]:
        """Image `name` as `read` gives it, but a JPEG at 1/reduction of its size (2, 4 or 8),
        rounded up; and the reduction that it came with, 1 for other formats."""
        data = self.read_bytes(name)
        if not is_jpeg(data):
            reduction = 1
        return decode_image(data, self._describe(name), reduction=reduction), reduction

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

    def stamp(self, name: str) -> tuple[int, int]:
        """Two numbers that change with image `name`: its bytes, and when it was written last (of a
        zip's member its checksum). FileNotFoundError where it is not there."""
        if self._root is not None:
            try:
                status = self._file(name).stat()
            except OSError:
                raise FileNotFoundError(f"{self._describe(name)}: no such image file") from None
            return status.st_size, status.st_mtime_ns
        member = self._member(name)
        if member is None:
            raise FileNotFoundError(f"{self._describe(name)}: no such image in the zip file")
        return member.file_size, member.CRC

    def _describe(self, name: str) -> str:
        return f"{self.path}: {name}" if self._root is None else str(self.path / name)

    def _file(self, name: str) -> Path:
        assert self._root is not None
        _check_relative(name, self.path)
        path = self._root / name
        # Resolving walks down from the system's root; only links below our own can lead outside.
        below = itertools.takewhile(lambda part: part != self._root, (path, *path.parents))
        if any(map(_is_link, below)) and not _leads_below(path, self._root):
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


def swap_red_blue(image: np.ndarray) -> np.ndarray:
    """RGB of OpenCV's BGR and the other way round."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # its own inverse


def _read_file(path: Path) -> bytes:
    try:
        with open(path, "rb", buffering=0, opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{path}: is a pipe or a device, expected an image file")
            if status.st_size > MAX_BYTES:
                raise ValueError(f"{path}: larger than {MAX_BYTES} bytes, this is no image")
            return file.readall()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{path}: no such image file") from None
    except OSError as error:
        if path.is_dir():
            raise ValueError(f"{path}: is a folder, expected an image file") from None
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def _open_at_once(path: str, flags: int) -> int:
    """As `os.open`, but a pipe is not waited for until somebody writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _is_link(path: Path) -> bool:
    """Whether `path` itself leads elsewhere: a symbolic link, or a junction of Windows."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISLNK(status.st_mode) or bool(getattr(status, "st_reparse_tag", 0))


def _leads_below(path: Path, root: Path) -> bool:
    """Whether the links in `path` end below `root`; those that lead in a circle end nowhere."""
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def _check_relative(name: str, folder: Path) -> None:
    """Refuses names that could leave the folder on any system."""
    if _PLAIN_NAME.fullmatch(name):
        return
    windows = PureWindowsPath(name)
    if not name or "\0" in name or windows.drive or windows.root or ".." in windows.parts:
        raise ValueError(
            f"{folder}: image name {name!r} leads outside the folder; expected a relative name "
            "without '..'"
        )
