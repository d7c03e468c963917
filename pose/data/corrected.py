"""What people made of pre-annotations in a labelling tool, read at the border: the file that a tool
exports, and the images it speaks of, which are found by their names and never by a number."""

import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pose.data.coco import read_annotations
from pose.geometry import Size
from pose.records import existing, file_name, parsed, read_json, require, shown_text, whole
from pose.skeleton import Skeleton, skeleton_from_category

MAX_EXPORT = 2**29
"""Bytes of the file in a .zip when unpacked: COCO's own 150,000 labelled people take half of it."""

UNPACKING = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(NotImplementedError, RuntimeError),
)
"""What zipfile raises of damaged archives; the last two of an unknown method and of a password."""

BEYOND = 1.0
"""Pixels by which a point may lie outside its image: rounding. It is put on the border."""


@dataclass(frozen=True, eq=False)
class Began:
    """The annotations that labelling began with."""

    path: Path
    content: Mapping[str, Any]
    """As a COCO file."""
    skeleton: Skeleton
    images: Mapping[str, tuple[int, Size]]
    """File name -> id, (width, height)."""

    @cached_property
    def _by_last_part(self) -> dict[str, list[str]]:
        last: dict[str, list[str]] = {}
        for name in self.images:
            last.setdefault(PurePosixPath(name).name, []).append(name)
        return last

    def named(self, given: str, where: str) -> str:
        """The image that a tool calls `given`: the same name, one with folders before it, or one
        that lost its folders where no two share the rest; ValueError for any other."""
        parts = [part for part in given.replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts or ".." in parts:
            raise ValueError(f"{where} is {shown_text(given)}, expected the name of an image")
        same_end = self._by_last_part.get(parts[-1], [])
        longer = {"/".join(parts[start:]) for start in range(len(parts))}
        found = [name for name in same_end if name in longer]
        if found:
            return max(found, key=len)
        found = [name for name in same_end if name.endswith("/" + "/".join(parts))]
        if len(found) == 1:
            return found[0]
        several = f"may be any of {len(found)} of" if found else "is none of"
        raise ValueError(
            f"{where}: {shown_text(given)} {several} the {len(self.images)} images of {self.path}; "
            "give the export of the images that were suggested there"
        )


@dataclass(frozen=True, eq=False)
class CorrectedImage:
    """The people of one image, N of them, as they stand in an export."""

    name: str
    """A key of `Began.images`."""
    triplets: np.ndarray
    """(N, K, 3) float64 x, y in pixels and visibility, in the skeleton's order."""
    boxes: np.ndarray
    """(N, 4) float64 xyxy in pixels; nan where the tool keeps no boxes of people."""


def read_began(path: Path) -> Began:
    """The file that `growing_annotations` wrote, checked for what reading back needs."""
    content = read_annotations(path)
    skeleton = skeleton_from_category(content["categories"][0], f"{path}")
    images: dict[str, tuple[int, Size]] = {}
    for number, entry in enumerate(content["images"]):
        where = f"{path}: images[{number}]"
        require(entry, ("id", "file_name", "width", "height"), where)
        name = file_name(entry["file_name"], f"{where}: file_name")
        size = whole(entry["width"], f"{where}: width"), whole(entry["height"], f"{where}: height")
        if min(size) < 1:
            raise ValueError(f"{where}: is {size[0]} x {size[1]}, expected the size of an image")
        if name in images:
            raise ValueError(f"{where}: {shown_text(name)} is listed twice")
        images[name] = whole(entry["id"], f"{where}: id"), size
    return Began(Path(path), content, skeleton, images)


def read_export(path: Path) -> Any:
    """The JSON of an export: of the file itself or of the only one in a .zip."""
    path = existing(path, "JSON or .zip")
    if not zipfile.is_zipfile(path):
        return read_json(path)
    try:
        with zipfile.ZipFile(path) as archive:
            member = _annotation_file(archive, path)
            where = f"{path}: {shown_text(member.filename)}"
            if member.file_size > MAX_EXPORT:
                raise ValueError(
                    f"{where} is {member.file_size / 2**20:,.0f} MB unpacked, expected at most "
                    f"{MAX_EXPORT / 2**20:,.0f} MB"
                )
            data = archive.read(member)
    except UNPACKING as error:
        raise ValueError(f"{path}: cannot be unpacked ({shown_text(str(error))})") from None
    return parsed(data, where)


def inside(points: np.ndarray, size: Size, where: str) -> np.ndarray:
    """Points (..., 2) that lie in the image; ValueError for one that lies clearly outside."""
    kept = np.clip(points, 0, size)
    if np.abs(kept - points).max(initial=0) > BEYOND:
        x, y = points.reshape(-1, 2)[np.abs(kept - points).max(axis=-1).argmax()]
        raise ValueError(
            f"{where} lies at {x:.1f}, {y:.1f}, outside its image of {size[0]} x {size[1]}"
        )
    return kept


def _annotation_file(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """The one JSON file of an archive; macOS puts files of its own beside it."""
    files = [member for member in archive.infolist() if not member.is_dir()]
    found = [
        member
        for member in files
        if member.filename.lower().endswith(".json") and "__MACOSX" not in member.filename
    ]
    if len(found) == 1:
        return found[0]
    names = shown_text(", ".join(member.filename for member in (found or files)[:5]))
    what = f"holds {len(found)} annotation files" if found else "holds no annotation file"
    raise ValueError(
        f"{path}: {what} ({names or 'it is empty'}); expected one .json, as one task gives"
    )


def join_rows(rows: Sequence[np.ndarray], *shape: int) -> np.ndarray:
    """(N, *shape) float64 of N arrays, of none too."""
    return np.array(rows, np.float64).reshape(-1, *shape)
