"""A network in a file that another library runs, whichever it is: images in, named arrays out.

A file of ours (`pose export`) takes uint8 RGB, normalises it itself and says in its metadata what
it is. A file of others takes floats.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose.geometry import Size
from pose.inference.detectors.onnx_detector import KINDS, check_input

Values = dict[str, np.ndarray]
"""What a network gives, by the names of its outputs."""

MAPS, POINTS = "maps", ("keypoints", "scores")
"""The outputs of a file of ours; of one that decodes (B, K, 2) in input pixels and (B, K)."""

TEXTS = ("config", "precision", "with_decode", "pixel_grid")
"""What a file of ours says of itself: the resolved config with the skeleton as JSON, the arithmetic
of the network, "true" where flip test and decoding are inside, and the crop's grid."""


@dataclass(frozen=True, eq=False)
class NetworkFile:
    """A network ready to run; several threads may share one."""

    path: Path
    run: Callable[[np.ndarray], Values]
    """Images (B, 3, H, W) of `dtype`, any B -> the outputs."""
    dtype: np.dtype
    shape: tuple[int | None, ...]
    """Of the input; None where the file takes any."""
    texts: Mapping[str, str]
    """Those of `TEXTS` that are in the file."""
    name: str
    """What runs it and where."""


def in_batches(run: Callable[[np.ndarray], Values], size: int | None) -> Callable:
    """The same for any number of images, where `run` takes `size` at a time (None: any).

    What is missing in the last batch repeats its last image.
    """
    if size is None:
        return run

    def run_all(images: np.ndarray) -> Values:
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            rows = np.arange(size).clip(max=len(part) - 1)
            parts.append({name: v[: len(part)] for name, v in run(part[rows]).items()})
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    return run_all


def tried(file: NetworkFile, size: Size) -> Values:
    """What the network gives for two black inputs of `size`; ValueError where it does not run."""
    width, height = size
    check_input(file.path, size)
    try:
        return file.run(np.zeros((2, 3, height, width), file.dtype))
    except Exception as error:  # onnxruntime's errors share no base class
        raise ValueError(f"{file.path}: does not run ({reason(error)})") from None


def maps_of(outputs: Values) -> np.ndarray | None:
    """The maps among the outputs of a network: (B, K, h, w), or vectors (B, K, X + Y), which may
    come as two, those over columns first. None where there are none."""
    values = list(outputs.values())
    if [v.ndim for v in values] in ([4], [3]):
        return values[0]
    if [v.ndim for v in values] == [3, 3] and values[0].shape[:2] == values[1].shape[:2]:
        return np.concatenate(values, axis=-1)
    return None


def checked_input(
    path: Path, entries: Sequence[tuple[str, str, Sequence[Any]]]
) -> tuple[int | None, ...]:
    """The shape of the one input, from (name, type, shape) of all; ValueError for another kind."""
    shape = [side if isinstance(side, int) else None for side in entries[0][2]] if entries else []
    fits = len(shape) == 4 and shape[1] in (3, None)
    if len(entries) != 1 or not fits or entries[0][1] not in KINDS:
        given = ", ".join(f"{name} {kind} {list(sides)}" for name, kind, sides in entries)
        raise ValueError(
            f"{path}: takes {given or 'nothing'}; expected one input of RGB images (B, 3, H, W), "
            "uint8 or float"
        )
    return tuple(shape)


def reason(error: Exception) -> str:
    """What the library says, in one line; not where in its sources it says so."""
    lines = [line for line in str(error).splitlines() if not line.startswith("Exception from")]
    return " ".join(" ".join(lines).split())[:200]
