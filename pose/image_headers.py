"""What the header of an image file states, and whether the rest of the file is there.

Decoders fill what a truncated file lacks with grey or with nothing at all, and would unpack a few
kilobytes into gigabytes; so the parts of a file are walked before one of them sees it.
"""

import mmap
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pose.geometry import Size

Bytes = bytes | mmap.mmap

FORMATS = "JPEG, PNG, WebP, GIF, TIFF or BMP"
MAX_PIXELS = 2**28
"""Larger pictures are refused before they are decoded (268 megapixels, 0.8 GB)."""


class HeaderError(ValueError):
    """Why the bytes are no image of the kind they begin as."""


@dataclass(frozen=True)
class ImageHeader:
    """What a file states of its picture."""

    format: str
    size: Size
    """(width, height) as stored; of a TIFF, whose orientation is always applied, as it is shown."""
    whole: bool
    """Whether all parts of the file are there, to the last byte."""
    num_frames: int = 1
    """Pictures shown one after the other; of a cut file, those found."""
    has_alpha: bool = False


def read_header(data: Bytes) -> ImageHeader:
    """The header of an image file; HeaderError, without the file's name, where it is none."""
    if not len(data):
        raise HeaderError("empty file, expected an image")
    for magic, reader in _READERS.items():
        if data[: len(magic)] == magic:
            try:
                header = reader(data)
            except (struct.error, IndexError):
                raise HeaderError("truncated image; fetch the file again") from None
            if header.size[0] < 1 or header.size[1] < 1:
                raise HeaderError("damaged image without width or height")
            return header
    head = data[:256].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise HeaderError("a web page, not an image; its download failed, fetch the file again")
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        raise HeaderError(f"a HEIC or AVIF image, which is not read; convert it to {FORMATS}")
    raise HeaderError(f"not a {FORMATS} image")


def check_size(size: Size, name: str) -> None:
    """ValueError, which begins with `name`, for a picture of more than MAX_PIXELS."""
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(
            f"{name}: {size[0]} x {size[1]} pixels are more than the limit of {MAX_PIXELS}; "
            "scale it down"
        )


def header_of(path: Path) -> ImageHeader:
    """The header of image file `path`; HeaderError, without the file's name, where it is none."""
    with path.open("rb") as file:
        if not file.read(1):
            raise HeaderError("empty file, expected an image")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return read_header(data)


def is_animation(path: Path) -> bool:
    """Whether file `path` is a GIF, PNG or WebP of several frames, cut or whole."""
    try:
        return header_of(path).num_frames > 1
    except HeaderError:
        return False


# Behind a scan header come compressed bytes, in which FF is followed by 00 or a restart marker.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _jpeg_header(data: Bytes) -> ImageHeader:
    """Walks the markers (ITU T.81, annex B) up to the end-of-image marker.

    A search for the last two bytes would be fooled by an embedded thumbnail's end or by padding.
    """
    size, at = None, 2
    while (found := _NEXT_MARKER.search(data, at)) is not None:
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
        raise HeaderError("truncated JPEG without a picture; fetch the file again")
    return ImageHeader("JPEG", size, whole=found is not None)


def _png_header(data: Bytes) -> ImageHeader:
    """Walks the chunks up to IEND; acTL counts the frames of an animation (PNG 3, 11.3.6)."""
    size, num_frames, at, kind = struct.unpack_from(">II", data, 16), 1, 8, b""
    has_alpha = data[25] in (4, 6)
    while at + 12 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"acTL":
            num_frames = max(struct.unpack_from(">I", data, at + 8)[0], 1)
        has_alpha = has_alpha or (kind == b"tRNS" and data[24] <= 8)  # 16-bit keys are ignored
        at += 12 + length
    whole = kind == b"IEND" and at <= len(data)
    return ImageHeader("PNG", size, whole, num_frames, has_alpha)


def _webp_header(data: Bytes) -> ImageHeader:
    """Walks the chunks of the RIFF file; each ANMF is a frame of an animation (RFC 9649)."""
    length, form, kind = struct.unpack_from("<I4s4s", data, 4)
    if form != b"WEBP":
        raise HeaderError(f"not a {FORMATS} image")
    whole = 8 + length <= len(data)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        size = ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        return ImageHeader("WebP", size, whole, has_alpha=bool(bits >> 28 & 1))
    if kind != b"VP8X":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader("WebP", (width & 0x3FFF, height & 0x3FFF), whole)
    canvas = struct.unpack_from("<6s", data, 24)[0]
    size = (int.from_bytes(canvas[:3], "little") + 1, int.from_bytes(canvas[3:], "little") + 1)
    num_frames, at = 0, 12
    while at + 8 <= min(len(data), 8 + length):
        kind, size_of_chunk = struct.unpack_from("<4sI", data, at)
        num_frames += kind == b"ANMF"
        at += 8 + size_of_chunk + size_of_chunk % 2
    return ImageHeader("WebP", size, whole, max(num_frames, 1), has_alpha=bool(data[20] & 0x10))


def _gif_header(data: Bytes) -> ImageHeader:
    """Walks the blocks (GIF89a, appendix A) up to the trailer, which some writers leave out."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, num_frames, has_alpha, whole = 13 + _color_table(flags), 0, False, True
    try:
        while at < len(data) and data[at] != 0x3B:
            if data[at] == 0x21:
                has_alpha = has_alpha or (data[at + 1] == 0xF9 and bool(data[at + 3] & 1))
                at = _behind_sub_blocks(data, at + 2)
            elif data[at] == 0x2C:
                at = _behind_sub_blocks(data, at + 11 + _color_table(data[at + 9]))
                num_frames += 1
            else:
                whole = False
                break
    except IndexError:
        whole = False
    return ImageHeader("GIF", (width, height), whole and num_frames > 0, num_frames, has_alpha)


def _color_table(flags: int) -> int:
    """Bytes of the colour table that follows a descriptor with these flags."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _behind_sub_blocks(data: Bytes, at: int) -> int:
    while length := data[at]:
        at += 1 + length
    return at + 1


_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Codes of TIFF's unsigned integers (TIFF 6.0, section 2; 16 is BigTIFF's)."""
_STRIPS, _TILES = (273, 279), (324, 325)
"""Tags of the offsets and the byte counts of the compressed parts."""


def _tiff_header(data: Bytes) -> ImageHeader:
    """The first directory; the file is whole where every strip or tile ends inside it."""
    tags = _tiff_tags(data)
    width, height = (tags.get(tag, (0,))[0] for tag in (256, 257))
    bits, kinds = tags.get(258, (1,)), tags.get(339, (1,))
    if max(bits) > 16 or not {1, 4}.issuperset(kinds):  # 2 is signed, 3 floating point
        raise HeaderError(
            f"a TIFF of {max(bits)}-bit samples of kind {kinds[0]}; expected unsigned integers of "
            "8 or 16 bits, save it so"
        )
    offsets, lengths = _TILES if _TILES[0] in tags else _STRIPS
    ends = (at + n for at, n in zip(tags.get(offsets, ()), tags.get(lengths, ()), strict=False))
    whole = max(ends, default=0) <= len(data)
    has_alpha = any(kind in (1, 2) for kind in tags.get(338, ()))
    turned = tags.get(274, (1,))[0] >= 5  # TIFF 6.0, section 8: rows and columns change places
    size = (height, width) if turned else (width, height)
    return ImageHeader("TIFF", size, whole, has_alpha=has_alpha)


def _tiff_tags(data: Bytes) -> dict[int, tuple[int, ...]]:
    """The unsigned integers of the first directory by tag."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    word, count = ("Q", "Q") if big else ("I", "H")
    at = struct.unpack_from(order + word, data, 8 if big else 4)[0]
    num_entries = struct.unpack_from(order + count, data, at)[0]
    at += struct.calcsize(order + count)
    tags = {}
    for _ in range(min(num_entries, 1000)):
        tag, kind, number = struct.unpack_from(order + "HH" + word, data, at)
        at += struct.calcsize(order + "HH" + word)
        if kind in _TIFF_TYPES and 0 < number <= len(data):
            layout = f"{order}{number}{_TIFF_TYPES[kind]}"
            inside = struct.calcsize(layout) <= struct.calcsize(word)
            values_at = at if inside else struct.unpack_from(order + word, data, at)[0]
            tags[tag] = struct.unpack_from(layout, data, values_at)
        at += struct.calcsize(word)
    return tags


def _bmp_header(data: Bytes) -> ImageHeader:
    length, header = struct.unpack_from("<I", data, 2)[0], struct.unpack_from("<I", data, 14)[0]
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    # a negative height stores the rows from the top
    return ImageHeader("BMP", (width, abs(height)), whole=length <= len(data))


_READERS: dict[bytes, Callable[[Bytes], ImageHeader]] = {
    b"\xff\xd8\xff": _jpeg_header,
    b"\x89PNG\r\n\x1a\n": _png_header,
    b"RIFF": _webp_header,
    b"GIF87a": _gif_header,
    b"GIF89a": _gif_header,
    b"II*\0": _tiff_header,
    b"MM\0*": _tiff_header,
    b"II+\0": _tiff_header,
    b"MM\0+": _tiff_header,
    b"BM": _bmp_header,
}
