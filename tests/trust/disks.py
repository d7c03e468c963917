"""Small file systems to fill, for tests that may mount them; the others skip, visibly."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """`folder` on a file system of its own that holds so much."""
    if not sys.platform.startswith("linux") or os.geteuid():
        pytest.skip("only root on Linux may mount a small file system")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, *, leave: int = 0) -> None:
    """Takes all of a file system but `leave` bytes, with the file `filler`."""
    free = os.statvfs(folder)
    size = free.f_bavail * free.f_frsize - leave
    if size > 0:
        with (folder / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
