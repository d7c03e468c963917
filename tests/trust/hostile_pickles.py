"""Pickles that run something when they are read, in all the files that hold pickles."""

import gzip
import io
import os
import pickle
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tests.trust.hostile import Case, Place


class Call:
    """What unpickles by calling `function` with `values`."""

    def __init__(self, function: Callable[..., Any], *values: Any) -> None:
        self.parts = function, values

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.parts


def payloads(place: Place) -> dict[str, Any]:
    """Ways to do something while a file is read."""
    import builtins
    import importlib
    import pathlib
    import runpy
    import shutil
    import socket
    import urllib.request
    import webbrowser

    import numpy as np

    touch = f"open({str(place.canary)!r}, 'w').close()"
    address = f"http://127.0.0.1:{place.port}/"
    secret = str(place.outside / "secret.txt")
    script = place.folder("scripts")
    (script / "payload.py").write_text(touch)
    inner = io.BytesIO()
    torch.save({"x": Call(os.system, f"touch {place.canary}")}, inner)
    objects = io.BytesIO()
    np.save(objects, np.array([Call(os.system, f"touch {place.canary}")], object))
    return {
        "os.system": Call(os.system, f"touch {place.canary}"),
        "subprocess": Call(subprocess.Popen, ["touch", str(place.canary)]),
        "exec": Call(builtins.exec, touch),
        "eval": Call(builtins.eval, touch),
        "open": Call(builtins.open, str(place.canary), "w"),
        "compile": Call(builtins.compile, touch, "x", "exec"),
        "import": Call(importlib.import_module, "antigravity"),
        "script": Call(runpy.run_path, str(script / "payload.py")),
        "write": Call(pathlib.Path.touch, place.canary),
        "copy": Call(shutil.copy, secret, str(place.canary)),
        "remove": Call(os.remove, secret),
        "socket": Call(socket.create_connection, ("127.0.0.1", place.port)),
        "fetch": Call(urllib.request.urlopen, address),
        "browser": Call(webbrowser.open, address),
        "torch.load": Call(torch.load, secret),
        "torch.load inside": Call(torch.storage._load_from_bytes, inner.getvalue()),
        "hub": Call(torch.hub.load_state_dict_from_url, address),
        "getattr": Call(builtins.getattr, torch.nn.ReLU, "__init__"),
        "network": torch.nn.ReLU(),
        "array of objects": Call(np.load, objects.getvalue(), None, True),
        "file of numpy": Call(np.fromfile, secret),
    }


def containers() -> dict[str, Callable[[Path, Any], None]]:
    """Ways to write an object so that something unpickles it."""

    def raw(protocol: int) -> Callable[[Path, Any], None]:
        return lambda path, content: path.write_bytes(pickle.dumps(content, protocol))

    def legacy(path: Path, content: Any) -> None:
        torch.save(content, path, _use_new_zipfile_serialization=False)

    def zipped(path: Path, content: Any) -> None:
        torch.save(content, path)

    def tarred(path: Path, content: Any) -> None:
        """As torch wrote before 0.1.10: a tar of pickles."""
        with tarfile.open(path, "w") as tar:
            for name in ("sys_info", "storages", "tensors", "pickle"):
                data = pickle.dumps(content, 2)
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))

    def packed(path: Path, content: Any) -> None:
        path.write_bytes(gzip.compress(pickle.dumps(content, 2)))

    return {
        "zip": zipped,
        "before 1.6": legacy,
        "tar": tarred,
        "pickle 0": raw(0),
        "pickle 2": raw(2),
        "pickle 5": raw(5),
        "gzip": packed,
    }


def places(evil: Any) -> dict[str, Any]:
    """Where in a file it may stand."""
    good = {"conv1.weight": torch.zeros(64, 3, 3, 3)}
    return {
        "alone": evil,
        "beside": {"state_dict": good, "meta": evil},
        "config": {"model": good, "config": evil, "optimizer": {}, "step": 1},
        "key": {"state_dict": good, evil: 1},
        "tensor": {"state_dict": {**good, "conv1.bias": evil}},
    }


READERS = {
    "weights": "net.pth",
    "weights and config": "net.pt",
    "convert": "published.pth",
    "network": "net.pkl",
    "checkpoint": "latest.pt",
    "detector weights": "detector.bin",
}
"""Reader -> what it finds the file as."""


def pickled(place: Place) -> Iterator[Case]:
    """Every payload, every container and every place at least once, each reader in turn."""
    ways, readers = list(containers().items()), list(READERS.items())
    for number, (name, payload) in enumerate(payloads(place).items()):
        way, write = ways[number % 2]  # those that torch itself writes
        reader, file = readers[number % len(readers)]
        spot, content = list(places(payload).items())[number % 5]
        yield _case(place, (name, way, spot), write, content, reader, file)
    call = Call(os.system, f"touch {place.canary}")
    for number, (way, write) in enumerate(ways):
        for step, (spot, content) in enumerate(list(places(call).items())[:4]):
            reader, file = readers[(number + step) % len(readers)]
            yield _case(place, ("again", way, spot), write, content, reader, file)


def _case(
    place: Place,
    names: tuple[str, ...],
    write: Callable[[Path, Any], None],
    content: Any,
    reader: str,
    file: str,
) -> Case:
    name = f"pickle: {', '.join(names)}: {reader}"
    path = place.folder(f"pickles/{'-'.join(names)}".replace(" ", "_")) / file
    write(path, content)
    return Case(name, reader, str(path))
