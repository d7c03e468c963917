"""Configs, annotations and results that name objects, swell, nest or lead elsewhere."""

import io
import json
import pickle
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pose.skeletons import POSETRACK_17
from tests.trust.hostile import Case, Place

DEEP = 100_000
TRUNK = "resnet50_imagenet"


def yaml_texts(place: Place) -> dict[str, str]:
    """YAML that names objects of Python's, or grows."""
    touch = f"touch {place.canary}"
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    merged = [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}" for n in range(1, 9)]
    return {
        "apply": f"train: !!python/object/apply:os.system ['{touch}']",
        "apply with state": f"!!python/object/apply:subprocess.Popen {{args: [[touch, "
        f"'{place.canary}']]}}",
        "new": f"train: !!python/object/new:os.system ['{touch}']",
        "object": "train: !!python/object:pathlib.Path {}",
        "name": "train: !!python/name:os.system",
        "module": "train: !!python/module:antigravity",
        "tuple": "model: {input_size: !!python/tuple [64, 64]}",
        "key": f"? !!python/object/apply:os.system ['{touch}']\n: 1",
        "own tag": f"train: !include {place.outside / 'secret.txt'}",
        "long tag": f"train: !<tag:yaml.org,2002:python/object/apply:os.system> ['{touch}']",
        "directive": f"%TAG !x! tag:yaml.org,2002:python/\n---\n!x!object/apply:os.system "
        f"['{touch}']",
        "second document": f"{{}}\n---\n!!python/object/apply:os.system ['{touch}']",
        "laughs": "\n".join(["a0: &a0 [1, 1]", *levels, "train: *a9"]),
        "laughs as a value": "train: {lr: [&a0 [1, 1], "
        + ", ".join(text.partition(" ")[2] for text in levels) + "]}",
        "laughs as a text": "padding: [&a0 [1, 1], "
        + ", ".join(text.partition(" ")[2] for text in levels) + "]",
        "laughs by merging": "\n".join(["m0: &m0 {a: 1}", *merged, "train: *m8"]),
        "itself": "train: &a [*a]",
        "itself as a section": "train: &a {train: *a}",
        "deep": "[" * DEEP,
        "deep sections": "\n".join(" " * n + "a:" for n in range(1500)),
        "many keys": "\n".join(f"k{n}: 1" for n in range(20_000)),
        "key of keys": "? {a: 1}\n: 1",
        "binary": "train: {lr: !!binary 'gASVJAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOULg=='}",
        "set": "train: !!set {a, b}",
        "huge number": "train: {epochs: " + "9" * 5000 + "}",
        "sexagesimal": "train: {epochs: " + "1:" * 5000 + "1}",
        "dunder": "__class__: {__init__: {__globals__: 1}}",
        "method": "keys: 1\nitems: 2\nupdate: 3",
        "nul": "train: {lr: \"a\\0b\"}\n\0",
    }  # fmt: skip


def yamls(place: Place) -> Iterator[Case]:
    folder = place.folder("yaml")
    readers = {"config": ".yaml", "description": ".yml"}
    for number, (name, text) in enumerate(yaml_texts(place).items()):
        # the first ones, which name objects, as everything that is read as YAML
        for reader, suffix in list(readers.items()) if number < 3 else [
            list(readers.items())[number % 2]
        ]:  # fmt: skip
            path = folder / f"{name}-{reader}{suffix}".replace(" ", "-")
            path.write_text(text, encoding="utf-8")
            # YAML 1.1 counts in sixties; such a number is a number
            harmless = name == "sexagesimal"
            yield Case(f"yaml: {name}: {reader}", reader, str(path), harmless)
        if number < 2:
            path = folder / f"{name}-key.txt"
            path.write_text(f"train.lr={text.removeprefix('train: ')}", encoding="utf-8")
            yield Case(f"yaml: {name}: key", "key", str(path))
    for name, text in {
        "config.py": f"import os\nos.system('touch {place.canary}')\n",
        "config.json": '{"py/object/apply": "os.system", "model": {"__reduce__": 1}}',
        "config.toml": "[train]\nlr = 1\n",
        "config.ini": f"[a]\nx = !!python/object/apply:os.system ['touch {place.canary}']",
    }.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        yield Case(f"config: {name}", "config", str(path))


def objects_in_json(place: Place) -> dict[str, Any]:
    """What json_tricks and jsonpickle turn into objects."""
    touch = f"touch {place.canary}"
    return {
        "instance": {"__instance_type__": ["os", "system"], "attributes": {"command": touch}},
        "instance of a script": {
            "__instance_type__": [None, "Popen"],
            "attributes": {"args": [touch]},
            "slots": {},
        },
        "enum": {"__enum__": {"__enum_instance_type__": ["signal", "Signals"], "name": "SIGKILL"}},
        "array": {"__ndarray__": [1, 2], "dtype": "object", "shape": [10**6, 10**6]},
        "packed array": {"__ndarray__": "b64.gz:H4sI", "dtype": "O", "shape": [10**9], "Corder": 1},
        "pickle": {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": [touch]}]},
        "path": {"__pathlib__": str(place.outside / "secret.txt")},
        "slice": {"__slice__": {"start": 0, "stop": 10**12, "step": 1}},
    }


def coco(name: Any = "a.png", **more: Any) -> dict[str, Any]:
    """An annotation file of one person in an image called so."""
    keypoints = [v for k in range(17) for v in (2 + k, 3 + k, 2)]
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [1, 1, 30, 30]}
    return {
        "images": [{"id": 1, "file_name": name, "width": 64, "height": 48}],
        "categories": [
            {"id": 1, "name": "person", "keypoints": list(POSETRACK_17.keypoints), "skeleton": []}
        ],
        "annotations": [{**person, "area": 900.0, "keypoints": keypoints, **more}],
    }


def json_files(evil: Any) -> dict[str, tuple[str, Any]]:
    """Reader -> the name and content of a file with `evil` where a value of its own stands."""
    receipt = {"annotations": {}, "boxes": {}, "protocol": {}, "figures": evil}
    entry = {"image": evil, "center": [9.0, 9.0], "scale": 1.0}
    return {
        "coco": ("annotations.json", coco(keypoints=evil)),
        "crowdpose": ("crowdpose.json", {**coco(), "images": evil}),
        "halpe": ("halpe.json", coco(bbox=evil)),
        "aic": ("aic.json", [{"image_id": evil, "human_annotations": evil}]),
        "posetrack": ("posetrack.json", coco(area=evil, image_id=evil)),
        "sequences": ("sequence.json", {**coco(), "annotations": [evil]}),
        "boxes": ("boxes.json", [{"image_id": 1, "bbox": evil, "score": 1.0}]),
        "mpii": ("mpii.json", [entry]),
        "receipt": ("receipt.json", {**receipt, "annotations": evil, "figures": {}}),
        "detections": ("found.json", [{"image_id": 1, "category_id": 1, "bbox": evil, "score": 1}]),
        "shard": ("part-0.parquet", evil),
    }


def jsons(place: Place) -> Iterator[Case]:
    folder = place.folder("json")
    (folder / "annotations.json").write_text(json.dumps(coco()))
    texts = {name: json.dumps(value) for name, value in objects_in_json(place).items()}
    files = list(json_files("EVIL"))
    for number, (name, text) in enumerate(texts.items()):
        for reader in (files if number == 0 else files[number % 5 :: 5]):  # fmt: skip
            file, content = json_files("EVIL")[reader]
            path = place.folder(f"json/{name}-{reader}".replace(" ", "-")) / file
            if reader == "detections":
                path.with_name("annotations.json").write_text(json.dumps(coco()))
            path.write_text(json.dumps(content).replace('"EVIL"', text), encoding="utf-8")
            yield Case(f"json: {name}: {reader}", reader, str(path))
    whole = {
        "deep": "[" * DEEP,
        "deep objects": '{"a":' * DEEP,
        "huge number": "[" + "9" * 5000 + "]",
        "huge float": '{"images": [{"id": 1e999}]}',
        "not text": "\udcff",
        "itself": '{"$ref": "#"}',
        "python": f"__import__('os').system('touch {place.canary}')",
    }
    readers = ("coco", "boxes", "mpii", "receipt", "sequences")
    for number, (name, text) in enumerate(whole.items()):
        path = folder / f"{name}.json".replace(" ", "-")
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        yield Case(f"json: {name}", readers[number % 5], str(path))


def matlab_files(place: Place) -> dict[str, bytes]:
    """MATLAB files that hold objects, or more than they are long."""
    head = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + struct.pack("<HH", 0x0100, 0x4D49)

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    def matrix(flags: int, dims: tuple[int, ...], name: bytes, *rest: bytes) -> bytes:
        sides = struct.pack(f"<{len(dims)}i", *dims)
        parts = element(6, struct.pack("<II", flags, 0)), element(5, sides)
        return element(14, b"".join((*parts, element(1, name), *rest)))

    evil = element(1, pickle.dumps(["os.system"]))
    opaque = element(1, b"MCOS") + element(1, b"evil") + element(1, b"x")
    cell = matrix(1, (1, 1), b"x")
    for _ in range(3000):
        cell = matrix(1, (1, 1), b"x", cell)
    zeros = zlib.compressobj(9)
    bomb = b"".join(zeros.compress(bytes(1 << 20)) for _ in range(64)) + zeros.flush()
    return {
        "object": head + matrix(3, (1, 1), b"RELEASE", evil),
        "function": head + matrix(16, (1, 1), b"RELEASE", evil),
        "opaque": head + element(14, element(6, struct.pack("<II", 17, 0)) + opaque),
        "nested": head + cell,
        "huge": head + matrix(6, (2**30, 2**30), b"RELEASE", element(9, bytes(8))),
        "negative": head + matrix(6, (-1, -5), b"RELEASE", element(9, bytes(8))),
        "bomb": head + struct.pack("<II", 15, len(bomb)) + bomb,
        "hdf5": b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<HH", 0x0200, 0x4D49)
        + b"\x89HDF\r\n\x1a\n" + bytes(400),
        "version 4": struct.pack("<5i", 0, 2**30, 2**30, 0, 8) + b"RELEASE\0" + bytes(64),
        "numpy": pickle.dumps({"RELEASE": np.zeros(3)}, 2),
    }  # fmt: skip


def matlabs(place: Place) -> Iterator[Case]:
    folder = place.folder("matlab")
    readers = ("mpii", "mpii truth", "mpii predictions")
    for number, (name, data) in enumerate(matlab_files(place).items()):
        path = folder / f"{name}.mat".replace(" ", "-")
        path.write_bytes(data)
        yield Case(f"matlab: {name}", readers[number % 3], str(path))


def arrays(place: Place) -> Iterator[Case]:
    """numpy's own files, which may hold pickled objects."""
    from tests.trust.hostile_pickles import Call

    folder, evil = place.folder("numpy"), np.array([Call(open, str(place.canary), "w")], object)
    single, many = io.BytesIO(), io.BytesIO()
    np.save(single, evil)
    np.savez(many, evil=evil)
    for reader, name in {
        "weights": "net.npy",
        "boxes": "boxes.npy",
        "coco": "annotations.npz",
        "mpii truth": "truth.mat",
        "photo": "photo.png",
        "zip": "images.zip",
        "manifest": "list.txt",
        "config": "config.npy",
    }.items():
        path = folder / name
        path.write_bytes((single if name.endswith("y") else many).getvalue())
        yield Case(f"numpy: {reader}", reader, str(path))


def commands(place: Place) -> Iterator[Case]:
    """Hostile files as the commands meet them."""
    folder = place.folder("commands")
    evil = f"!!python/object/apply:os.system ['touch {place.canary}']"
    script = folder / "evil.py"
    script.write_text(f"open({str(place.canary)!r}, 'w')")
    for name in ("net.pth", "weights.pt", "best.pkl"):
        (folder / name).write_bytes(pickle.dumps(_opener(place), 2))
    (folder / "evil.yaml").write_text(f"train: {evil}")
    found = folder / "found.json"
    found.write_text(json.dumps(objects_in_json(place)["instance"]))
    evaluated = ["evaluate", "synthetic/quickstart", "--boxes", "gt", "--weights"]
    lines: dict[str, list[str | Path]] = {
        "train on a script": ["train", script],
        "train on tags": ["train", folder / "evil.yaml"],
        "train with a tag": ["train", "synthetic/quickstart", f"data.train={evil}"],
        "evaluate a pickle": [*evaluated, folder / "net.pth"],
        "predict by a pickle": ["predict", script, "--weights", folder / "weights.pt"],
        "export a pickle": ["export", folder / "best.pkl", "--to", "onnx"],
        "convert a pickle": ["weights", "convert", folder / "net.pth", "--like", TRUNK],
        "score objects": ["score", found, "--annotations", found],
        "compare objects": ["compare", found, found],
        "detect by a pickle": ["detect", script, "--detector", f"yolox={folder / 'net.pth'}"],
    }
    for name, line in lines.items():
        path = folder / f"{name}.json".replace(" ", "-")
        path.write_text(json.dumps(list(map(str, line))))
        yield Case(f"command: {name}", "command", str(path))


def _opener(place: Place) -> Any:
    from tests.trust.hostile_pickles import Call

    return Call(open, str(place.canary), "w")
