"""Poses of millions of pictures and clips: the inputs in shards, each a parquet file of rows.

The work is two plain functions, which pickle, so that any engine can drive them (`pose.scale` does
with Ray): `find_rows` turns paths into rows, `write_shard` writes those of a shard. A shard's file
gets its name when it is whole, so it is its own done-marker: what is there is not done again, what
is not there is done from its beginning.
"""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, astuple, dataclass, fields, replace
from functools import lru_cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pose import __version__
from pose.build_predictor import DEFAULT_DETECTOR, DEFAULT_WEIGHTS, calibration_by_keys, load
from pose.files import replacing, sha256_of
from pose.images import read_image
from pose.inference.frames import Frame, look_through
from pose.inference.pipeline import ahead
from pose.inference.predictor import Predictor
from pose.records import read_json, write_json
from pose.structures import Poses
from pose.video import kind_of, read_frames

logger = logging.getLogger(__name__)

SHARD_SIZE, FEW_SHARDS = 500, 64
"""Inputs a shard, so that little work is repeated and files are not too many; fewer inputs where
those would make fewer shards than this, so that many workers share what is small."""
MAX_DEATHS = 3
"""A shard on which so many workers died is not begun again."""
ROWS_AT_ONCE = 4096
"""Rows that are held in memory before they are written."""
RUN, DONE = "_run.json", "_done.json"
"""What a folder is of, and what it came to; readers of parquet pass over such names."""
INSTALL = 'pip install "ray[data]"'
COLUMNS = {
    "path": "string",
    "frame": "int64",
    "time": "float64",
    "width": "int32",
    "height": "int32",
    "person": "int32",
    "box": "floats",
    "box_score": "float32",
    "score": "float64",
    "expected_oks": "float64",
    "keypoints": "floats",
    "error": "string",
}
"""Name -> kind, in their order; their meaning stands in docs/scale.md."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What is done to every picture: arguments of `pose.load`, which travel by name."""

    weights: str = DEFAULT_WEIGHTS
    detector: str = DEFAULT_DETECTOR
    device: str = "auto"
    """No part of what a run is known by: a restart may find other machines."""
    keys: tuple[str, ...] = ()
    make: Callable[..., Predictor] = load
    """What takes them; a function of a module."""


@dataclass(frozen=True)
class Shard:
    """The file to be, and the inputs whose rows it holds."""

    name: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Account:
    """What was done: pictures are photographs and frames, errors what gave an `error`."""

    shards: int
    inputs: int
    pictures: int
    people: int
    errors: int


@dataclass(frozen=True)
class Run:
    """Everything there is to do, and where it goes."""

    folder: Path
    settings: Settings
    shards: tuple[Shard, ...]

    def unfinished(self) -> list[Shard]:
        """The shards whose files are not there."""
        finished = set(os.listdir(self.folder))
        return [shard for shard in self.shards if shard.name not in finished]


def open_run(
    inputs: Iterable[str], folder: Path, settings: Settings, *, shard_size: int | None = None
) -> Run:
    """The run over images and videos, in whatever order, into `folder`; begun or taken up again.

    ValueError of one line for a folder that holds anything but the beginning of this same run.
    """
    imported("pyarrow")
    if not (paths := sorted(set(inputs))):
        raise ValueError(f"{folder}: nothing to look at; give at least one image or video")
    shard_size = shard_size or min(SHARD_SIZE, -(-len(paths) // FEW_SHARDS))
    weights, detector = _located(settings.weights), _located(settings.detector)
    calibration = calibration_by_keys(weights, settings.keys)
    work = {
        "version": __version__,
        "weights": _fingerprint(weights),
        "detector": _fingerprint(detector),
        "calibration": calibration and sha256_of(calibration),
        "keys": list(settings.keys),
        "shard_size": shard_size,
    }
    _claim(folder, {**work, "inputs": len(paths), "inputs_sha256": _digest(paths)})
    parts = [tuple(paths[i : i + shard_size]) for i in range(0, len(paths), shard_size)]
    names = [f"part-{i:06d}-{_digest([work, part])[:12]}.parquet" for i, part in enumerate(parts)]
    # By its whole path, or as none, so that no worker takes what came meanwhile or lies elsewhere.
    keys = (*settings.keys, f"predict.calibration={json.dumps(str(calibration or 'none'))}")
    settings = replace(settings, weights=weights, detector=detector, keys=keys)
    run = Run(folder.absolute(), settings, tuple(map(Shard, names, parts)))
    counts = len(paths), len(run.shards), len(run.unfinished())
    logger.info("%s: %d inputs in %d shards, %d of them to do", folder, *counts)
    return run


def finish_run(run: Run) -> Account:
    """What all shards hold, written down beside them: the mark of a whole run."""
    if left := run.unfinished():
        raise ValueError(f"{run.folder}: {len(left)} shards are not done; run it again")
    accounts = [_account_of(run.folder / shard.name) for shard in run.shards]
    total = Account(*map(sum, zip(*map(astuple, accounts), strict=True)))
    write_json(run.folder / DONE, asdict(total), indent=2)
    return total


def _claim(folder: Path, description: Mapping[str, Any]) -> None:
    """Take the folder for the run, unless it holds something else; clear what died workers left."""
    path = folder / RUN
    if path.exists() and any(folder.glob("part-*")):
        before = read_json(path)
        for key, value in description.items():
            known = before.get(key) if isinstance(before, dict) else None
            if known != value:
                raise ValueError(
                    f"{path}: the folder is of a run with {key} {known!r:.150}, this one has "
                    f"{value!r:.150}; give another folder"
                )
    elif folder.is_dir() and any(name[0] != "." and name != RUN for name in os.listdir(folder)):
        raise ValueError(f"{folder}: holds other files; give a new folder")
    else:
        write_json(path, description, indent=2)
    for left in folder.glob(".*.part-*.parquet"):
        left.unlink()


def _located(name: str) -> str:
    """FILE and NAME=FILE with the whole path, for workers who stand elsewhere; else `name`."""
    head, equals, file = name.rpartition("=")
    return head + equals + os.path.abspath(file) if os.path.exists(file) else name


def _fingerprint(name: str) -> str:
    """What tells FILE and NAME=FILE from others: the content, not where it lies."""
    head, equals, file = name.rpartition("=")
    if not os.path.isfile(file):
        return name
    return f"{head}{equals}{os.path.basename(file)} ({sha256_of(file)[:16]})"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def find_rows(settings: Settings, paths: Iterable[str]) -> Iterator[Row]:
    """The rows of images and videos: one a person, and one for each picture without people.

    What cannot be read gives a row with its `error`, behind all the others.
    """
    unreadable: list[Row] = []
    with closing(ahead(_frames(paths, unreadable))) as frames:
        for frame, poses in look_through(_predictor(settings), frames):
            yield from _rows(frame, poses)
    yield from unreadable


@lru_cache(maxsize=1)
def _predictor(settings: Settings) -> Predictor:
    """Built once in each process."""
    return settings.make(
        settings.weights, detector=settings.detector, device=settings.device, keys=settings.keys
    )


def _frames(paths: Iterable[str], unreadable: list[Row]) -> Iterator[Frame]:
    for path in paths:
        number = 0
        try:
            file = Path(path)
            is_image = kind_of(file) == "image"
            for image, time in [(read_image(file), 0.0)] if is_image else read_frames(file):
                yield Frame(number, time, image, path)
                number += 1
        except (ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            unreadable.append(_row(path=path, frame=number, error=reason))


def _rows(frame: Frame, poses: Poses) -> Iterator[Row]:
    height, width = frame.image.shape[:2]
    picture = _row(path=frame.name, frame=frame.number, time=frame.time, width=width, height=height)
    if len(poses) == 0:
        yield picture
    totals = poses.person_scores()
    triplets = np.concatenate([poses.keypoints, poses.scores[..., None]], axis=-1)
    for i in range(len(poses)):
        yield picture | {
            "person": i,
            "box": poses.boxes[i].tolist(),
            "box_score": float(poses.box_scores[i]),
            "score": float(totals[i]),
            "expected_oks": None if poses.expected_oks is None else float(totals[i]),
            "keypoints": triplets[i].ravel().tolist(),
        }


def _row(**values: Any) -> Row:
    return dict.fromkeys(COLUMNS) | values


def write_shard(settings: Settings, folder: Path, shard: Shard) -> Account:
    """Write a shard's file, whole or not at all; one that is there is only accounted for.

    ValueError where worker after worker died on it; those of `pose.load`.
    """
    pyarrow, parquet = imported("pyarrow"), imported("pyarrow.parquet")
    path = folder / shard.name
    if path.exists():
        return _account_of(path)
    if len(list(folder.glob(f".*.{shard.name}"))) >= MAX_DEATHS:  # what `replacing` began
        raise ValueError(
            f"{path}: {MAX_DEATHS} workers died on it; there is too little memory, or one of "
            f"{shard.paths[0]} ... {shard.paths[-1]} kills them: put an empty file in its place"
        )
    kinds = {"floats": pyarrow.list_(pyarrow.float32())}
    schema = pyarrow.schema(
        [(name, kinds.get(kind) or pyarrow.type_for_alias(kind)) for name, kind in COLUMNS.items()]
    )
    counts = Counter(pictures=0, people=0, errors=0)
    with replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        rows = find_rows(settings, shard.paths)
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            for row in chunk:
                counts["errors"] += row["error"] is not None
                counts["people"] += row["person"] is not None
                counts["pictures"] += row["error"] is None and row["person"] in (None, 0)
            writer.write_table(pyarrow.Table.from_pylist(chunk, schema))
        account = Account(shards=1, inputs=len(shard.paths), **counts)
        skeleton = _predictor(settings).runtime.skeleton
        about = {"skeleton": skeleton.name, "keypoints": skeleton.keypoints, **asdict(account)}
        writer.add_key_value_metadata({"pose": json.dumps(about)})
    return account


def _account_of(path: Path) -> Account:
    """The account at the end of a shard's file; ValueError where it is no whole one."""
    parquet = imported("pyarrow.parquet")
    try:
        about = json.loads(parquet.read_metadata(path).metadata[b"pose"])
        return Account(**{field.name: about[field.name] for field in fields(Account)})
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: no whole shard; remove it and run again") from None


def imported(module: str) -> Any:
    """A module of the extra `scale`; ValueError of one line where it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        needs = "is not installed, which predicting at scale needs"
        raise ValueError(f"{module.partition('.')[0]} {needs}; run: {INSTALL}") from None
