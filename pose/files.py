"""Files that appear whole or not at all: the one way in which the package writes them; the
hash that names one; and where those lie that can be made again."""

import hashlib
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY = re.compile(r"\.[0-9a-f]{8}\.")
"""How the names of files begin that are not whole yet."""


@contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[Path]:
    """A path in the folder of `path` to write to; it takes the place of `path` when the block ends.

    An error inside the block leaves `path` as it was and nothing beside it. The folder is made if
    need be, a link keeps pointing where it does, the suffix stays (some writers go by it).
    `durable` waits for the disk, so that a power cut leaves the old file or the new one; without
    it thousands of small files are quick to write. A pipe or a device is written to as it is.
    ValueError where `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected the name of a file to write")
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield temporary
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if durable:
            flush_folder(path.parent)
    except OSError as error:
        # None: of a full disk; an error in words of ours has no number
        if error.errno is not None and error.filename in (None, str(temporary)):
            error.filename = str(path)  # the name that the user gave
        raise
    finally:
        temporary.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk, where the system can: Windows cannot."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Removes from `folder` what writers left there that were killed inside `replacing`."""
    for path in folder.iterdir():
        if TEMPORARY.match(path.name):
            path.unlink(missing_ok=True)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder(kind: str) -> Path:
    """The user's folder for what can be made or fetched again, of a `kind`: in POSE_CACHE, else in
    the system's place for it."""
    if given := os.environ.get("POSE_CACHE"):
        return Path(given) / kind
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "pose" / kind
