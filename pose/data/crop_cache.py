"""What training crops can show of the photographs, decoded once and kept (`data.cache`).

Regions lie raw, one after the other, in files of about a gibibyte that workers map; behind the
pixels of a file stand the CRC-32 of its regions. Where they lie follows from people and recipe
(`regions`), so no index is kept. The folder is called after a hash of all that the pixels depend
on: a cache that does not match is not found.
"""

import hashlib
import logging
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from pose.data.augment import CropPolicy
from pose.data.merge import ImageFolders
from pose.data.parts import Part, UnreadableError
from pose.data.photographs import check_size
from pose.data.regions import Regions, find_regions
from pose.files import replacing
from pose.geometry import Size
from pose.images import ImageFolder
from pose.structures import People

logger = logging.getLogger(__name__)

Images = ImageFolder | ImageFolders

Read = Callable[[int], np.ndarray | None]
"""A photograph by its place in `People.images`; None where it is left out."""

VERSION = 1
"""Of the files; raise it with every change of what stands in them."""

PHOTOGRAPHS_AT_ONCE = 64
"""So many are decoded by threads before any is written."""

UNREADABLE = 2**32 - 1
"""The checksum of a region whose photograph could not be read has all its bits turned."""

ABANDONED_SECONDS = 3600
"""What is half written and was not touched for so long, nobody writes to any more."""


class CropCache:
    """The regions of a set, mapped: `Parts` that cost no decoding."""

    def __init__(self, folder: Path, regions: Regions, people: People) -> None:
        self.folder = folder
        self.regions = regions
        self.people = people
        self._forget()

    def _forget(self) -> None:
        self._maps: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._is_sound = np.zeros(len(self.regions.files), bool)

    def __getstate__(self) -> dict[str, object]:
        """Each process maps for itself: a pickled map would be its content."""
        return {"folder": self.folder, "regions": self.regions, "people": self.people}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ |= state
        self._forget()

    def part(self, person: int) -> Part:
        """The region that shows a person; ValueError where the file is damaged there, or the
        photograph could not be read.

        A process looks at the checksum once, with the first crop of a region.
        """
        regions, row = self.regions, int(self.regions.of_person[person])
        file, start, (width, height) = regions.files[row], regions.starts[row], regions.sizes[row]
        pixels, checksums = self._map(int(file))
        pixels = pixels[start : start + width * height * 3].reshape(height, width, 3)
        if not self._is_sound[row]:
            self._check(row, zlib.crc32(pixels.data), int(checksums[row - regions.first(file)]))
            self._is_sound[row] = True
        window = regions.windows[row]
        return Part(pixels, window[:2], (window[2:] - window[:2]) / regions.sizes[row])

    def _check(self, row: int, found: int, expected: int) -> None:
        if found == expected ^ UNREADABLE:
            name = self.people.images[self.regions.photographs[row]]
            raise UnreadableError(f"{name}: could not be read when the crop cache was made")
        if found != expected:
            path = self.path(int(self.regions.files[row]))
            raise ValueError(f"{path}: damaged; delete it, the next run makes it again")

    def _map(self, file: int) -> tuple[np.ndarray, np.ndarray]:
        """The pixels of a file and its checksums, read where they lie."""
        if file not in self._maps:
            content = np.asarray(np.memmap(self.path(file), np.uint8, mode="r"))
            count = int((self.regions.files == file).sum())
            pixels, checksums = np.split(content, [len(content) - 4 * count])
            self._maps[file] = pixels, np.frombuffer(checksums.tobytes(), "<u4")
        return self._maps[file]

    def path(self, file: int) -> Path:
        return self.folder / f"{file:04d}.pixels"

    def file_bytes(self) -> np.ndarray:
        """(F,) the length of each whole file."""
        weights = self.regions.lengths + 4
        return np.bincount(self.regions.files, weights).astype(np.int64)

    def missing(self) -> list[int]:
        """The files that are not there, or not whole."""
        return [
            file
            for file, length in enumerate(self.file_bytes())
            if not self.path(file).is_file() or self.path(file).stat().st_size != length
        ]


def open_cache(
    folder: Path, people: People, policy: CropPolicy, images: Images, *, forgiving: bool = False
) -> CropCache:
    """The cache below `folder` that holds what crops of `people` can show, made if need be.

    Making goes on where it was interrupted. ValueError where the disk lacks the room, or as of
    `ImageFolder.read`; a `forgiving` cache leaves out what cannot be read.
    """

    def read(place: int) -> np.ndarray | None:
        try:
            photograph = images.read(str(people.images[place]))
            check_size(photograph, people, place)
        except (OSError, ValueError) as error:
            if not forgiving:
                raise
            logger.warning("%s; its people are left out", error)
            return None
        return photograph

    def size(place: int) -> Size:
        try:
            return images.size(str(people.images[place]))
        except (OSError, ValueError):
            if not forgiving:
                raise
            return 1, 1  # reading it will say why

    folder = folder / name_of(people, policy, images, forgiving=forgiving)
    sizes = photograph_sizes(people, size, folder)
    cache = CropCache(folder, find_regions(people, policy, sizes), people)
    if missing := cache.missing():
        check_room(cache, missing)
        fill(cache, missing, read)
    logger.info("training crops come from %s, %s", folder, size_text(cache.file_bytes().sum()))
    return cache


def name_of(people: People, policy: CropPolicy, images: Images, *, forgiving: bool) -> str:
    """24 hexadecimal digits that change with all that the pixels depend on: photographs, people,
    recipe, and the form of the files. FileNotFoundError for a missing photograph, unless
    `forgiving`."""

    def stamp(name: str) -> tuple[int, int]:
        try:
            return images.stamp(name)
        except (OSError, ValueError):
            if not forgiving:
                raise
            return -1, -1

    shown = np.unique(people.image_index)
    names = people.images[shown].tolist()
    digest = hashlib.sha256(repr((VERSION, [(name, stamp(name)) for name in names])).encode())
    for array in (people.image_index, people.image_sizes[shown], *policy.reach(people)):
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:24]


def photograph_sizes(people: People, size: Callable[[int], Size], folder: Path) -> np.ndarray:
    """(I, 2) width and height of each photograph with people in it.

    Where the annotations do not tell, `size` does; what was found is kept in `folder`.
    """
    sizes, path = people.image_sizes.astype(np.int64), folder / "sizes"
    unknown = np.intersect1d(np.flatnonzero((sizes <= 0).any(axis=1)), people.image_index)
    if not len(unknown):
        return sizes

    kept = np.fromfile(path, "<i8") if path.is_file() else np.zeros(0, "<i8")
    if len(kept) != 2 * len(unknown) + 1 or kept[-1] != zlib.crc32(kept[:-1].tobytes()):
        with ThreadPoolExecutor() as pool:
            found = pool.map(size, unknown.tolist())
            bar = tqdm(found, "sizes", len(unknown), unit="image", disable=None, leave=False)
            kept = np.array(list(bar), "<i8").ravel()
        kept = np.append(kept, zlib.crc32(kept.tobytes()))
        with replacing(path) as temporary:
            kept.tofile(temporary)
    sizes[unknown] = kept[:-1].reshape(-1, 2)
    return sizes


def check_room(cache: CropCache, missing: Sequence[int]) -> None:
    """ValueError where the disk lacks the room for files that are still to be made."""
    needed = int(cache.file_bytes()[list(missing)].sum())
    cache.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache.folder).free
    if needed > free:
        raise ValueError(
            f"{cache.folder}: the crop cache needs {size_text(needed)}, {size_text(free)} are "
            "free; name a folder on a larger disk in POSE_CACHE, or leave out data.cache"
        )


def size_text(length: float) -> str:
    return f"{length / 1e9:.1f} GB" if length >= 1e9 else f"{length / 1e6:.1f} MB"


def fill(cache: CropCache, missing: Sequence[int], read: Read) -> None:
    """Makes the missing files, each whole or not at all."""
    length = int(cache.file_bytes()[list(missing)].sum())
    logger.info("making the crop cache, %s, in %s", size_text(length), cache.folder)
    for path in cache.folder.glob(".*.pixels"):
        if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
            path.unlink(missing_ok=True)
    bar = tqdm(
        total=length, desc="crop cache", unit="B", unit_scale=True, disable=None, leave=False
    )
    with bar, ThreadPoolExecutor() as pool:
        for file in missing:
            checksums = []
            with replacing(cache.path(file)) as temporary, temporary.open("wb") as stream:
                for pixels, checksum in cut_regions(cache.regions, file, read, pool):
                    stream.write(pixels.data)
                    checksums.append(checksum)
                    bar.update(pixels.nbytes)
                stream.write(np.array(checksums, "<u4").tobytes())


def cut_regions(
    regions: Regions, file: int, read: Read, pool: ThreadPoolExecutor
) -> Iterator[tuple[np.ndarray, int]]:
    """The regions of a file in their order, (h, w, 3) uint8 each, with their checksums."""
    rows = np.flatnonzero(regions.files == file)
    groups = np.split(rows, np.flatnonzero(np.diff(regions.photographs[rows])) + 1)

    def cut(rows: np.ndarray) -> list[tuple[np.ndarray, int]]:
        photograph = read(int(regions.photographs[rows[0]]))
        if photograph is None:
            blanks = [np.zeros((*regions.sizes[row, ::-1], 3), np.uint8) for row in rows]
            return [(pixels, zlib.crc32(pixels.data) ^ UNREADABLE) for pixels in blanks]
        found = [cut_region(photograph, regions.windows[row], regions.sizes[row]) for row in rows]
        return [(pixels, zlib.crc32(pixels.data)) for pixels in found]

    for start in range(0, len(groups), PHOTOGRAPHS_AT_ONCE):
        for found in pool.map(cut, groups[start : start + PHOTOGRAPHS_AT_ONCE]):
            yield from found


def cut_region(photograph: np.ndarray, window: np.ndarray, size: np.ndarray) -> np.ndarray:
    """A window (4,) of a photograph at `size` (2,): as it is, or each pixel the mean of those that
    it covers."""
    left, top, right, bottom = window
    pixels = photograph[top:bottom, left:right]
    if pixels.shape[1::-1] != tuple(size):
        pixels = cv2.resize(pixels, tuple(map(int, size)), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(pixels)
