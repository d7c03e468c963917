"""A program that gives files to their readers and notes what else happens meanwhile.

    python -m tests.trust.watched CASES.json NOTES.jsonl ROOT

One line of NOTES a case: how it ended, what Python's audit hooks saw that no reader has a right
to, and the peak of the memory afterwards.
"""

import collections
import dataclasses
import faulthandler
import importlib
import json
import logging
import os
import sys
import sysconfig
import tempfile
import time
import typing
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

SECONDS = 60
"""A case that takes longer ends the program; its line is missing then."""

LATE = ("torchvision", "scipy.io", "av", "onnxruntime", "openvino", "transformers")
"""What readers import when they first need it: libraries look around then."""

RUNS = {
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn"),
    *("os.startfile", "os.startfile/2", "subprocess.Popen", "pty.spawn", "webbrowser.open"),
    *("ctypes.dlopen", "pickle.find_class", "sys.addaudithook"),
}
CALLS = {
    *("socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname"),
    *("socket.sendto", "socket.sendmsg", "urllib.Request", "http.client.connect"),
    *("ftplib.connect", "smtplib.connect"),
}
CHANGES = {
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod"),
    *("os.chown", "os.truncate", "os.utime", "shutil.move", "shutil.rmtree", "shutil.copyfile"),
    *("shutil.copytree", "shutil.unpack_archive", "tempfile.mkdtemp", "tempfile.mkstemp"),
}
MAKERS = (dataclasses.__file__, collections.__file__, typing.__file__, "/attr/_make.py")
"""What makes methods of texts, for modules that are imported late."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
SYSTEM = ("/proc/", "/sys/", "/usr/share/zoneinfo", "/usr/lib/os-release", "/etc/os-release")
"""What libraries ask the system."""


class Watch:
    """What is seen while `on`."""

    def __init__(self, root: Path) -> None:
        self.on = False
        self.given = ""
        """The path of the case, which may be read."""
        self.seen: list[str] = []
        self.root = str(root) + os.sep
        program = {sys.prefix, sys.base_prefix, sysconfig.get_paths()["stdlib"], os.getcwd()}
        self.program = (*(os.path.realpath(folder) for folder in program), *program, *SYSTEM)

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in RUNS or event in CALLS:
            self.seen.append(f"{event} {given!r:.200}")
        elif event in CHANGES:
            # a conversion's own file, below the root, goes from its temporary name to its own
            if not all(self._inside(part) for part in given if isinstance(part, str | Path)):
                self.seen.append(f"{event} {given!r:.200}")
        elif event == "open":
            self._opened(*given)
        elif event == "exec":
            name, by = given[0].co_filename, sys._getframe(1).f_code.co_filename
            if not name.startswith((*self.program, "<frozen")) and not by.endswith(MAKERS):
                self.seen.append(f"exec {name} by {by}")
        elif event == "import" and given[1] and not given[1].startswith(self.program):
            self.seen.append(f"import {given[0]} from {given[1]}")

    def _inside(self, path: str | Path) -> bool:
        return os.path.realpath(path).startswith(self.root)

    def _opened(self, path: Any, mode: str | None, flags: int) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.fsdecode(path)
        name = name if "\0" in name else os.path.realpath(name)
        writes = bool(flags & WRITES) or any(c in (mode or "") for c in "wax+")
        if name.startswith(self.root) or name in (os.devnull, self.given):
            return
        if writes or not name.startswith(self.program):
            self.seen.append(f"open {name} to {'write' if writes else 'read'}")


def outcome(read: Callable[[Path], object], path: Path) -> dict[str, str]:
    """How a reader ended: it read, it refused in a line, or it failed."""
    from pose.commands.main import one_line

    try:
        read(path)
    except (ValueError, OSError) as error:
        return {"end": "refused", "line": one_line(error)}
    except BaseException as error:
        return {"end": "failed", "line": f"{type(error).__name__}: {error}"}
    return {"end": "read", "line": ""}


def peak() -> int:
    """The most memory that the program had so far, in bytes; 0 where nobody says."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(cases: Path, notes: Path, root: Path) -> None:
    from pose.telemetry import forbid_telemetry

    forbid_telemetry()
    logging.disable()
    warnings.simplefilter("ignore")
    for name in LATE:
        with suppress(ImportError):
            importlib.import_module(name)
    with suppress(ImportError):
        from transformers import AutoImageProcessor, AutoModelForObjectDetection  # noqa: F401
    from tests.trust.readers import READERS

    tempfile.tempdir = str(root)
    watch = Watch(root.resolve())
    sys.addaudithook(watch)
    with notes.open("w", encoding="utf-8") as out:
        for case in json.loads(cases.read_text(encoding="utf-8")):
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            started = time.monotonic()
            watch.seen, watch.given, watch.on = [], case["path"], True
            ended = outcome(READERS[case["reader"]], Path(case["path"]))
            watch.on = False
            faulthandler.cancel_dump_traceback_later()
            seconds = time.monotonic() - started
            note = {**ended, "seen": watch.seen, "peak": peak(), "seconds": seconds}
            out.write(json.dumps({"name": case["name"], **note}) + "\n")
            out.flush()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
