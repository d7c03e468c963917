"""The people of a large annotation file, parsed once: the columns as they lie in memory, kept in a
folder and mapped from there.

The folder is called after a hash of the file and of all that its reading depends on: what does not
match is not found. Processes that map the same columns share the memory.
"""

import hashlib
import logging
import mmap
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from pose import __version__
from pose.files import replacing, sha256_of
from pose.records import read_json, write_json
from pose.skeleton import skeleton_from_category, skeleton_to_category
from pose.structures import People

logger = logging.getLogger(__name__)

VERSION = 1
"""Of the loaders; raise it with every change of what they make of a file."""

LARGE = 2**26
"""Bytes: smaller files are parsed each time, in a few seconds."""

NAMES = tuple(field.name for field in fields(People) if field.name != "skeleton")
META = "columns.json"
"""Skeleton and checksums; written last, so where it is the columns are whole."""


@dataclass(frozen=True, eq=False)
class MappedPeople(People):
    """People whose columns are mapped from a folder. Another process is sent where it lies."""

    folder: Path

    def __reduce__(self) -> tuple:
        columns = [getattr(self, name) for name in NAMES]
        if all(isinstance(column.base, mmap.mmap) for column in columns):
            return _map, (self.folder,)
        return People, (self.skeleton, *columns)  # some were replaced


def kept_people(path: Path, folder: Path, reading: str, parse: Callable[[], People]) -> People:
    """The people of annotation file `path`: `parse()`, or for a LARGE file its columns below
    `folder`, made where they are not there.

    reading says all that `parse` depends on beside the file's content.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size < LARGE:
        return parse()
    what = f"{__version__} {VERSION} {reading} {sha256_of(path)}"
    place = (folder / hashlib.sha256(what.encode()).hexdigest()[:32]).absolute()
    if not (place / META).is_file():
        start = time.perf_counter()
        people = parse()
        logger.info("%s: parsed in %.0f s, kept in %s", path, time.perf_counter() - start, place)
        try:
            write_columns(place, people)
        except OSError as error:
            logger.warning("%s: cannot keep the columns (%s)", place, error.strerror)
            return people
    logger.info("%s: read from %s", path, place)
    return open_columns(place)


def write_columns(folder: Path, people: People) -> None:
    """Write what `open_columns` reads, each file whole or not at all."""
    checksums = {}
    for name in NAMES:
        column = np.ascontiguousarray(getattr(people, name))
        checksums[name] = _checksum(column)
        with replacing(_file(folder, name)) as temporary:
            np.save(temporary, column, allow_pickle=False)
    skeleton = skeleton_to_category(people.skeleton)
    write_json(folder / META, {"skeleton": skeleton, "checksums": checksums})


def open_columns(folder: Path) -> People:
    """The people kept in a folder; ValueError where a column is not as it was written."""
    checksums = read_json(folder / META)["checksums"]
    try:
        people = _map(folder)
        wrong = [name for name in NAMES if _checksum(getattr(people, name)) != checksums[name]]
    except (ValueError, OSError, EOFError, KeyError):
        wrong = ["one of its files"]
    if wrong:
        raise ValueError(f"{folder}: {wrong[0]} is damaged; delete the folder, it is made again")
    return people


def _map(folder: Path) -> MappedPeople:
    """The columns where they lie, read as they are used; nothing can be written to them."""
    columns = {
        name: np.load(_file(folder, name), mmap_mode="r", allow_pickle=False) for name in NAMES
    }
    skeleton = skeleton_from_category(read_json(folder / META)["skeleton"], str(folder / META))
    return MappedPeople(skeleton=skeleton, folder=folder, **columns)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def _checksum(column: np.ndarray) -> int:
    return zlib.crc32(column.reshape(-1).view(np.uint8).data)
