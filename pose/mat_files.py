"""MATLAB files (version 5) at the border: numbers, text, cells and structs, read and written.

Read here and not by scipy, which crashes the process on a file that is damaged: every length is
held against the bytes that are there before anything is made of them ("MAT-File Format", The
MathWorks, 2020, chapter 1).
"""

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pose.files import replacing
from pose.records import existing, shown_text

MAX_BYTES = 2**31
"""Files that unpack to more are refused; all of MPII is a tenth of it."""

_HEADER, _VERSION = 128, b"\0\1IM"
"""Bytes in front of the first element, and the last of them: version 5, little-endian."""

_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS = dict(
    zip(
        (1, 2, 3, 4, 5, 6, 7, 9, 12, 13),
        ("<i1", "<u1", "<i2", "<u2", "<i4", "<u4", "<f4", "<f8", "<i8", "<u8"),
        strict=True,
    )
)
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}
"""Kind of an element -> what its bytes are."""

_CELL, _STRUCT, _CHAR = 1, 2, 4
_CLASSES = range(6, 16)
"""Of matrices of numbers; others are objects, sparse matrices and functions."""
_COMPLEX = 0x0800
_DEEPEST = 32

Element = tuple[int, int, int]
"""Kind, and where the bytes begin and end."""


class _BrokenError(ValueError):
    """Why the bytes are no whole file."""


def read_mat(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file: arrays of two axes or more, text one axis less.

    Cells are arrays of objects; a struct is one of objects with its fields as attributes. A missing
    value is an empty array. ValueError or FileNotFoundError of one line.
    """
    path = existing(path, "MATLAB")
    data = path.read_bytes()
    if data[124:126] == b"\0\2" or data[:4] == b"\x89HDF":
        raise ValueError(
            f"{path}: is a MATLAB file of version 7.3 (HDF5), which is not read; save it with -v7"
        )
    try:
        return dict(_variables(data))
    except (_BrokenError, zlib.error, UnicodeDecodeError, struct.error) as error:
        raise ValueError(f"{path}: not a whole MATLAB file ({error!s:.100})") from None


def write_mat(path: Path, content: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a MATLAB file (version 5), whole or not at all."""
    from scipy.io import savemat

    with replacing(path) as temporary:
        # compressed, since that brings a checksum
        savemat(temporary, dict(content), appendmat=False, do_compression=True)


def _variables(data: bytes) -> Iterator[tuple[str, Any]]:
    """Name and value of each."""
    if data[124:_HEADER] != _VERSION:
        raise _BrokenError("its header is not that of version 5")
    left = MAX_BYTES
    for kind, start, stop in _elements(data, _HEADER, len(data)):
        inside = data[start:stop]
        if kind == _COMPRESSED:
            unpack = zlib.decompressobj()
            inside = unpack.decompress(inside, left)
            if not unpack.eof:
                raise _BrokenError("a variable is cut or too large")
            kind, start, stop = next(_elements(inside, 0, len(inside)), (0, 0, 0))
            inside = inside[start:stop]
        left -= len(inside)
        if kind != _MATRIX or left <= 0:
            raise _BrokenError(f"an element of kind {kind} where a variable should be")
        yield _matrix(inside, 0, len(inside), _DEEPEST)


def _elements(data: bytes, at: int, end: int) -> Iterator[Element]:
    """The elements from `at` on, each checked to lie in front of `end`."""
    while at < end:
        if at + 8 > end:
            raise _BrokenError("it is cut")
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:  # up to four bytes stand in the tag itself
            kind, size, start, behind = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            size = size if size <= 4 else end
        else:
            start = at + 8
            behind = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > end:
            raise _BrokenError("an element is cut")
        yield kind, start, start + size
        at = behind


def _next(parts: Iterator[Element], kind: int) -> tuple[int, int]:
    """Where the next element begins and ends, which must be of this kind."""
    found, start, stop = next(parts, (0, 0, 0))
    if found != kind:
        raise _BrokenError(f"an element of kind {found} where one of kind {kind} should be")
    return start, stop


def _matrix(data: bytes, at: int, end: int, deepest: int) -> tuple[str, Any]:
    """Name and value of the matrix whose elements lie between `at` and `end`."""
    parts = _elements(data, at, end)
    if at == end:
        return "", np.empty((0, 0))
    start, stop = _next(parts, _UINT32)
    if stop - start != 8:
        raise _BrokenError("a matrix without flags")
    flags = struct.unpack_from("<I", data, start)[0]
    start, stop = _next(parts, _INT32)
    shape = struct.unpack_from(f"<{(stop - start) // 4}i", data, start)
    count = math.prod(shape)
    if not 2 <= len(shape) <= 32 or min(shape) < 0 or count > end - at:
        raise _BrokenError(f"a matrix of {shown_text(str(shape))} values in {end - at} bytes")
    start, stop = _next(parts, _INT8)
    name = data[start:stop].decode("latin-1")
    which = flags & 0xFF
    if which in _CLASSES and not flags & _COMPLEX:
        return name, _numbers(data, parts, shape)
    if which == _CHAR:
        return name, _text(data, parts, shape)
    if which not in (_CELL, _STRUCT) or not deepest:
        raise _BrokenError(f"{shown_text(name)}: neither real numbers, text, cells nor structs")
    names = _field_names(data, parts) if which == _STRUCT else None

    def inner() -> Any:
        return _matrix(data, *_next(parts, _MATRIX), deepest - 1)[1]

    values = np.empty(count, object)
    for i in range(count):
        values[i] = inner() if names is None else SimpleNamespace(**{n: inner() for n in names})
    return name, values.reshape(shape, order="F")


def _numbers(data: bytes, parts: Iterator[Element], shape: tuple[int, ...]) -> np.ndarray:
    """The numbers of an array, of the kind that they are stored as."""
    kind, start, stop = next(parts, (0, 0, 0))
    dtype = np.dtype(_NUMBERS.get(kind, "V1"))
    if dtype.kind == "V" or stop - start != dtype.itemsize * math.prod(shape):
        raise _BrokenError(f"{stop - start} bytes of kind {kind} for {shape} numbers")
    return np.frombuffer(data[start:stop], dtype).reshape(shape, order="F").copy(order="F")


def _text(data: bytes, parts: Iterator[Element], shape: tuple[int, ...]) -> np.ndarray:
    """A text for each row of characters."""
    kind, start, stop = next(parts, (0, 0, 0))
    if kind not in _TEXTS:
        raise _BrokenError(f"an element of kind {kind} where text should be")
    text = data[start:stop].decode(_TEXTS[kind])
    rows = [text]
    if math.prod(shape[:-1]) != 1:
        if len(text) != math.prod(shape):
            raise _BrokenError(f"{len(text)} characters for {shape}")
        characters = np.array(list(text), "<U1").reshape(shape, order="F")
        rows = ["".join(row) for row in characters.reshape(-1, max(shape[-1], 1))]
    return np.array(rows, np.str_).reshape(shape[:-1])


def _field_names(data: bytes, parts: Iterator[Element]) -> list[str]:
    """Of a struct: texts of one length, filled up with zeros."""
    start, stop = _next(parts, _INT32)
    length = struct.unpack_from("<i", data, start)[0] if stop - start == 4 else 0
    start, stop = _next(parts, _INT8)
    if length < 1 or (stop - start) % length:
        raise _BrokenError("a struct whose names of fields have no length")
    names = (data[at : at + length] for at in range(start, stop, length))
    return [name.partition(b"\0")[0].decode("latin-1") for name in names]
