"""JSON and MATLAB files at the border: read, written, and their fields checked.

Every error is a ValueError (FileNotFoundError for no file) of one line that begins with `where`:
the file and, for a field, the entry and the field's name. What passed needs no second check.
"""

import json
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from pose.files import replacing

MAX_PIXEL = 2.0**24
"""Coordinates further out are refused: float32 holds whole pixels exactly up to here."""


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    path = _existing(path, "JSON")
    try:
        return json.loads(path.read_bytes())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text at byte {error.start}; save it so") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not whole, valid JSON ({error})") from None


def write_json(path: Path, content: Any, *, indent: int | None = None) -> None:
    """Write a JSON file whole or not at all; ValueError for a nan, which JSON does not have.

    Arrays become lists; numbers read back bit for bit. `indent` is for files that people read.
    """
    import json_tricks

    try:
        text = json_tricks.dumps(content, primitives=True, allow_nan=False, indent=indent)
    except ValueError as error:
        raise ValueError(f"{path}: not written, a number is not finite ({error})") from None
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_mat(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file: arrays of two axes or more, text included.

    A struct is an object with its fields as attributes; a missing value is an empty array.
    """
    from scipy.io import loadmat

    path = _existing(path, "MATLAB")
    with path.open("rb") as file:
        try:
            content = loadmat(file, struct_as_record=False)
        except NotImplementedError:
            raise ValueError(
                f"{path}: is a MATLAB file of version 7.3 (HDF5), which is not read; save it "
                "with -v7"
            ) from None
        except Exception as error:  # scipy trips over a broken file in every way there is
            reason = " ".join(str(error).split())
            raise ValueError(f"{path}: not a whole MATLAB file ({reason:.100})") from None
    return {name: value for name, value in content.items() if not name.startswith("__")}


def write_mat(path: Path, content: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a MATLAB file (version 5), whole or not at all."""
    from scipy.io import savemat

    with replacing(path) as temporary:
        # compressed, since that brings a checksum: scipy can crash on what is damaged without one
        savemat(temporary, dict(content), appendmat=False, do_compression=True)


def objects(content: Any, key: str, where: str) -> list[dict[str, Any]]:
    """The list of objects that an object holds under `key`; it may be empty."""
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError(f"{where}: '{key}' is missing or not a list of objects")
    return value


def require(entry: Any, keys: Sequence[str], where: str) -> None:
    """Checks that `entry` is an object with all of `keys`."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: is a {type(entry).__name__}, expected an object")
    missing = [key for key in keys if key not in entry]
    if missing:
        raise ValueError(f"{where}: has no '{missing[0]}' (it has: {', '.join(map(str, entry))})")


def whole(value: Any, where: str) -> int:
    """An integer of 64 bits; it may be written as 7.0, as some tools do."""
    if isinstance(value, Integral) or (isinstance(value, float) and value.is_integer()):
        number = int(value)
        if -(2**63) <= number < 2**63:
            return number
    raise ValueError(f"{where} is {value!r:.40}, expected an integer")


def finite(value: Any, where: str) -> float:
    """A number that is neither nan nor infinite."""
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ValueError(f"{where} is {value!r:.40}, expected a finite number")


def numbers(values: Any, size: int, where: str) -> np.ndarray:
    """(size,) float64, all finite."""
    if not isinstance(values, list | tuple | np.ndarray):
        raise ValueError(f"{where} is {values!r:.40}, expected a list of {size} numbers")
    if len(values) != size:
        raise ValueError(f"{where} has {len(values)} values, expected {size}")
    try:
        array = np.array(values)
    except ValueError:
        array = np.array(values, dtype=object)
    if array.dtype.kind not in "iuf" or array.ndim != 1:
        raise ValueError(f"{where} is not a flat list of numbers")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise ValueError(f"{where}[{bad[0]}] is {float(array[bad[0]])}, expected a finite number")
    return array.astype(np.float64)


def pixels(values: Any, size: int, where: str) -> np.ndarray:
    """(size,) float64 within MAX_PIXEL."""
    array = numbers(values, size, where)
    if np.abs(array).max() > MAX_PIXEL:
        raise ValueError(f"{where} holds {np.abs(array).max():g}, which is no pixel's coordinate")
    return array


def _existing(path: Path, kind: str) -> Path:
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected a {kind} file")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    return path
