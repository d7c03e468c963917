"""What is opened in a folder, by native libraries too: Linux's inotify by its two calls."""

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ACCESS, MODIFY, OPEN, CREATE, DELETE = 0x1, 0x2, 0x20, 0x100, 0x200
IS_FOLDER = 0x40000000
EVENT = struct.Struct("iIII")


@contextmanager
def touched(folder: Path) -> Iterator[list[str]]:
    """After the block the list holds each file in `folder` that was opened, made or removed.

    Elsewhere than on Linux it stays empty.
    """
    names: list[str] = []
    if sys.platform != "linux":
        yield names
        return
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(os.O_NONBLOCK)
    assert handle >= 0, os.strerror(ctypes.get_errno())
    try:
        events = ACCESS | MODIFY | OPEN | CREATE | DELETE
        assert libc.inotify_add_watch(handle, os.fsencode(folder), events) >= 0
        yield names
        while True:
            try:
                data = os.read(handle, 1 << 16)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                _, mask, _, length = EVENT.unpack_from(data, at)
                name = data[at + EVENT.size : at + EVENT.size + length].rstrip(b"\0")
                if not mask & IS_FOLDER:
                    names.append(os.fsdecode(name))
                at += EVENT.size + length
    finally:
        os.close(handle)
