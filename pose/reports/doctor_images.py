"""The picture files of an annotation file: there, whole, of the stated size, and each but once.

A picture's hash is the signs of its 64 lowest frequencies (DCT of its 32 x 32 grey), so pictures
that differ in size, compression or brightness have nearly the same one.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

import cv2
import numpy as np
from tqdm import tqdm

from pose.image_headers import HeaderError, read_header
from pose.images import IMAGE_SUFFIXES, ImageFolder, decode_image, is_jpeg
from pose.reports.doctor_file import Labels
from pose.reports.doctor_kinds import Finding

GREY = 32
DISTANCE = 7
"""Bits of 64 by which hashes of nearly the same picture differ at most. One of eight bytes is then
the same, by which they are found."""

CORRELATION = 0.96
"""Of the greys of two pictures, from which on they are nearly the same."""

BLANK = 2.0
"""Grey levels: the standard deviation of a picture of one colour."""

THREADS = 8


@dataclass(frozen=True, eq=False)
class Look:
    """What one file is."""

    kind: str | None
    """Of what is wrong with it."""
    says: str = ""
    size: tuple[int, int] = (0, 0)
    grey: np.ndarray | None = None
    """(32, 32) uint8; None where it could not be read."""
    digest: bytes = b""


def look_at(labels: Labels, images: ImageFolder) -> list[Look]:
    """Every image once, in threads; the log of a decoder is of no use here."""
    sizes = [(int(w), int(h)) for w, h in labels.sizes]
    with ThreadPoolExecutor(THREADS) as pool:
        tasks = pool.map(lambda pair: _look(images, *pair), zip(labels.names, sizes, strict=True))
        return list(
            tqdm(tasks, total=len(sizes), desc="images", unit="image", leave=False, disable=None)
        )


def image_findings(labels: Labels, looks: Sequence[Look]) -> list[Finding]:
    """What is wrong with single files, and which are twice."""
    findings = [
        Finding(look.kind, f"images[{place}]", f"{labels.name_of(place)}: {look.says}", place)
        for place, look in enumerate(looks)
        if look.kind
    ]
    for i, j, same in twins(looks):
        if labels.names[i] == labels.names[j]:
            continue  # said of the entries already
        kind = "the same image twice" if same else "nearly the same image"
        says = f"{labels.name_of(j)} and {labels.name_of(i)}"
        findings.append(Finding(kind, f"images[{j}]", says, j, other=labels.names[i]))
    return findings


def shared_findings(
    labels: Labels, looks: Sequence[Look], others: Labels, other_looks: Sequence[Look]
) -> list[Finding]:
    """Images that are in the other split too."""
    findings = []
    for i, j, same in shared(looks, other_looks):
        kind = "image of the other split" if same else "nearly an image of the other split"
        says = f"{labels.name_of(i)} is {others.name_of(j)} of {others.path.name}"
        findings.append(Finding(kind, f"images[{i}]", says, i, other=others.names[j], across=True))
    return findings


def unlisted(labels: Labels, folder: Path) -> list[Finding]:
    """Pictures below a folder, not a zip file, that no entry names: one finding for all."""
    if not folder.is_dir():
        return []
    listed = {PurePath(name) for name in labels.names if name}
    found = sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.relative_to(folder) not in listed
    )
    if not found:
        return []
    shown = ", ".join(path.as_posix() for path in found[:3])
    return [Finding("file not listed", folder.name, f"{len(found)} of them: {shown}")]


def twins(looks: Sequence[Look]) -> Iterator[tuple[int, int, bool]]:
    """Of every picture that was there before: the place i of the one most like it before it, its
    own place j, and whether their files are the same to the bit (then i is the first such)."""
    return _twins(looks)


def shared(own: Sequence[Look], others: Sequence[Look]) -> Iterator[tuple[int, int, bool]]:
    """The same for pictures of one set that are in another: the place in each, and whether they are
    the same to the bit."""
    count = len(others)
    return ((j - count, i, same) for i, j, same in _twins([*others, *own], count))


def _twins(looks: Sequence[Look], count: int | None = None) -> Iterator[tuple[int, int, bool]]:
    """Twins of all with those before, or of those from `count` on with the first `count`."""
    first: dict[bytes, int] = {}
    alone: list[int] = []
    for place, look in enumerate(looks):
        if look.grey is None:
            continue
        before = first.get(look.digest)
        if before is not None and (count is None or place >= count):
            yield before, place, True
            continue
        if count is None or place < count:
            first.setdefault(look.digest, place)
        if look.grey.std() >= BLANK:
            alone.append(place)
    greys = np.array([looks[i].grey for i in alone], np.float32).reshape(-1, GREY, GREY)
    for i, j in _near(greys, None if count is None else sum(place < count for place in alone)):
        yield alone[i], alone[j], False


def hashes_of(greys: np.ndarray) -> np.ndarray:
    """(N, 8) uint8 of pictures (N, 32, 32)."""
    low = np.array([cv2.dct(grey)[:8, :8] for grey in greys], np.float32).reshape(-1, 64)
    low[:, 0] = 0.0  # the mean, which is brightness
    return np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)


def _near(greys: np.ndarray, count: int | None) -> Iterator[tuple[int, int]]:
    """For every picture the one before it whose grey is closest, if that and the hash are close;
    or, for those from `count` on, that among the first `count`."""
    hashes = hashes_of(greys)
    bits = np.array([bin(value).count("1") for value in range(256)], np.uint8)
    flat = greys.reshape(len(greys), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    partner, likeness = np.full(len(greys), -1), np.full(len(greys), CORRELATION)
    for column in hashes.T:
        order = np.argsort(column, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(column[order])) + 1):
            begin = 0 if count is None else int(np.searchsorted(members, count))
            for place in range(begin, len(members)):
                j = int(members[place])
                before = members[: place if count is None else begin]
                close = before[bits[hashes[before] ^ hashes[j]].sum(axis=1) <= DISTANCE]
                if len(close):
                    alike = flat[close] @ flat[j]
                    best = int(alike.argmax())
                    if alike[best] >= likeness[j]:
                        partner[j], likeness[j] = close[best], alike[best]
    for j in np.flatnonzero(partner >= 0).tolist():
        yield int(partner[j]), j


def _look(images: ImageFolder, name: str | None, stated: tuple[int, int]) -> Look:
    if name is None:
        return Look(None)
    try:
        data = images.read_bytes(name)
        header = read_header(data)
    except FileNotFoundError:
        return Look("missing image", "no such file")
    except HeaderError as error:
        cut = str(error).startswith("truncated")
        return Look("cut image" if cut else "unreadable image", str(error))
    except ValueError as error:
        return Look("unreadable image", _bare(error, images, name))
    if not header.whole:
        return Look("cut image", f"its last part is missing ({len(data):,} bytes)")
    try:
        picture = decode_image(data, name, reduction=_reduction(data, header.size))
    except ValueError as error:
        return Look("unreadable image", _bare(error, images, name))
    grey = cv2.resize(
        cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (GREY, GREY), interpolation=cv2.INTER_AREA
    )
    kind, says = None, ""
    if all(stated) and header.size != stated:
        kind = "image of another size"
        says = f"is {header.size[0]} x {header.size[1]}, the entry says {stated[0]} x {stated[1]}"
        if header.size == stated[::-1]:
            says += " (labelled on the picture turned upright by its EXIF orientation?)"
    elif picture.std() < BLANK:
        kind, says = "blank image", "one colour all over"
    return Look(kind, says, header.size, grey, hashlib.blake2b(data, digest_size=16).digest())


def _reduction(data: bytes, size: tuple[int, int]) -> int:
    """By which a JPEG is decoded and still shows what the grey needs."""
    if not is_jpeg(data):
        return 1
    return next((part for part in (8, 4, 2) if min(size) >= part * 1.5 * GREY), 1)


def _bare(error: Exception, images: ImageFolder, name: str) -> str:
    """The message without the file's name, which is said already."""
    text = str(error)
    for start in (f"{images.path / name}: ", f"{images.path}: {name}: ", f"{name}: "):
        text = text.removeprefix(start)
    return text
