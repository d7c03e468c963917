"""What `pose predict` and `pose detect` are given to look at: named, found, told apart."""

import glob
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

KEY = re.compile(r"[a-z_]+(\.[a-z_]+)*=")
JPEG_SUFFIXES = (".jpg", ".jpeg")
MAX_DIGITS = 15
"""Longer numbers in file names are dates and the like, and no ids."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """Pictures and videos in the order they were named; those of a folder by name."""

    pictures: tuple[Path, ...]
    videos: tuple[str | Path, ...]
    """Files, animated images among them; addresses and cameras as text."""

    def folders(self) -> list[Path]:
        """Where the files lie, each folder once."""
        files = [*self.pictures, *(video for video in self.videos if isinstance(video, Path))]
        return list(dict.fromkeys(path.parent for path in files))

    @cached_property
    def root(self) -> str:
        """The deepest folder that holds all files, an absolute path."""
        return os.path.commonpath([os.path.abspath(folder) for folder in self.folders()])

    def name(self, source: str | Path) -> PurePath:
        """What outputs are called after: a file's path from `root`; of an address or a camera its
        letters and digits."""
        if isinstance(source, str):
            address = re.sub(r"^\w+://([^/@]*@)?", "", source)
            return PurePath(re.sub(r"[^\w.]+", "-", address).strip("-."))
        return PurePath(os.path.relpath(os.path.abspath(source), self.root))


def drawn_name(name: PurePath, suffix: str, same: Sequence[str] = ()) -> PurePath:
    """The name of what is drawn as a `suffix` file. Where that is another kind of file than `same`
    the whole name stays in it, for a.jpg and a.png are two pictures."""
    if name.suffix.lower() in (suffix, *same):
        return name
    return name.with_name(name.name + suffix)


def split_keys(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Sources and key=value apart; a file that is there is a source whatever its name."""
    keys = [text for text in texts if KEY.match(text) and not Path(text).exists()]
    sources = [text for text in texts if text not in keys]
    if not sources:
        raise ValueError("no source: name an image, folder, video, stream address or camera:0")
    return sources, keys


def find_sources(texts: Sequence[str]) -> Sources:
    """The pictures and videos that `texts` name: files, folders, patterns, addresses, cameras.

    FileNotFoundError or ValueError of one line where there is none.
    """
    from pose.video import kind_of

    pictures: list[Path] = []
    videos: list[str | Path] = []
    for text in texts:
        for source in _matching(text):
            kind = kind_of(source)
            if kind == "folder":
                _add_folder(Path(source), pictures, videos)
            elif kind == "image":
                pictures.append(Path(source))
            else:
                videos.append(Path(source) if kind == "video" else source)
    # Named twice, as by two patterns, is looked at once.
    return Sources(tuple(dict.fromkeys(pictures)), tuple(dict.fromkeys(videos)))


def _matching(text: str) -> list[str]:
    """The files of a pattern, which some shells leave to the program; else `text` itself."""
    if not glob.has_magic(text) or Path(text).exists() or "://" in text:
        return [text]
    found = sorted(glob.glob(text, recursive=True))
    if not found:
        raise FileNotFoundError(f"{text}: no file matches this pattern")
    return found


def _add_folder(folder: Path, pictures: list[Path], videos: list[str | Path]) -> None:
    from pose.images import list_images
    from pose.video import VIDEO_SUFFIXES, kind_of

    images = list_images(folder)
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    moving = [path for path in images if kind_of(path) == "video"]
    if not images and not files:
        raise ValueError(f"{folder}: holds no image or video file")
    pictures += [path for path in images if path not in moving]
    videos += [*moving, *files]


def image_ids(names: Collection[str], listed: Mapping[str, int]) -> dict[str, int]:
    """An id for each image, no two alike.

    That of the annotations; else the last number in the file's name, as COCO's files have it; where
    one has none or it is taken, running numbers above all ids that are known.
    """
    others = [name for name in names if name not in listed]
    digits = [re.findall(r"\d+", PurePath(name).stem) for name in others]
    numbers = [int(d[-1]) if d and len(d[-1]) <= MAX_DIGITS else -1 for d in digits]
    taken = set(listed.values())
    if -1 in numbers or len({*numbers, *taken}) < len(numbers) + len(taken):
        numbers = [max(taken, default=0) + i for i in range(1, len(others) + 1)]
    return {**listed, **dict(zip(others, numbers, strict=True))}


def readable(
    paths: Mapping[str, Path], unreadable: list[str], *, upright: bool = True
) -> Iterator[tuple[str, "np.ndarray"]]:
    """Images (H, W, 3) uint8 RGB by their names; of several those that cannot be read are said and
    left out, their names added to `unreadable`.

    `upright` turns photographs as their EXIF orientation says.
    """
    from pose.images import read_image

    for name, path in paths.items():
        try:
            image = read_image(path, apply_exif=upright)
        except (ValueError, OSError) as error:
            if len(paths) == 1:
                raise
            logger.warning("%s", error)
            unreadable.append(name)
        else:
            yield name, image
