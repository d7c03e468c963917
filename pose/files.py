"""Files that appear whole or not at all: the one way in which the package writes them; and the
hash that names one."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)  # the name that the user gave
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
