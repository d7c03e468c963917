"""JSON files at the border: read, written, and what stands in their fields checked.

Every error is a ValueError (FileNotFoundError for no file) of one line that begins with `where`:
the file and, for a field, the entry and the field's name. What passed needs no second check.
"""

import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from pose.files import replacing

MAX_PIXEL = 2.0**24
"""Coordinates further out are refused: float32 holds whole pixels exactly up to here."""

MAX_NAME = 1024
"""Characters of a file's name; a column of names takes for each as much as for the longest."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 40


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    path = existing(path, "JSON")
    return parsed(path.read_bytes(), str(path))


def parsed(data: bytes, where: str) -> Any:
    """What the bytes of a JSON file say."""
    try:
        return json.loads(data)
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not UTF-8 text at byte {error.start}; save it so") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not whole, valid JSON ({error})") from None


def shown(value: Any) -> str:
    """A value as messages show it: one line of 40 characters at most, however deep or long."""
    return f"{' '.join(_SHORT.repr(value).split()):.40}"


def shown_text(text: str) -> str:
    """Text out of a file as messages show it: one line of 200 characters at most."""
    return "".join(c if c.isprintable() else "?" for c in text[:200])


def file_name(value: Any, where: str) -> str:
    """A file's name, of at most MAX_NAME characters and such as a file can have."""
    fits = isinstance(value, str) and 0 < len(value) <= MAX_NAME and "\0" not in value
    if fits and value.encode(errors="ignore").decode() == value:
        return value
    raise ValueError(f"{where} is {shown(value)}, expected a file's name")


def write_json(path: Path, content: Any, *, indent: int | None = None) -> None:
    """Write a JSON file whole or not at all; ValueError for a nan, which JSON does not have.

    Arrays become lists; numbers read back bit for bit. `indent` is for files that people read.
    """
    text = json_text(content, path, indent=indent)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def json_text(content: Any, path: Path, *, indent: int | None = None) -> str:
    """What `write_json` writes into the file at `path`."""
    import json_tricks

    try:
        return json_tricks.dumps(content, primitives=True, allow_nan=False, indent=indent)
    except ValueError as error:
        raise ValueError(f"{path}: not written, a number is not finite ({error})") from None


def objects(content: Any, key: str, where: str) -> list[dict[str, Any]]:
    """The list of objects that an object holds under `key`; it may be empty."""
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError(f"{where}: '{key}' is missing or not a list of objects")
    return value


def category_ids(content: Any, where: str) -> list[int]:
    """The ids of a COCO file's categories, no two alike; the first is the one that counts."""
    categories = objects(content, "categories", where)
    if not categories:
        raise ValueError(f"{where}: 'categories' is empty; expected one that lists keypoints")
    ids: list[int] = []
    for number, category in enumerate(categories):
        here = f"{where}: categories[{number}]"
        require(category, ("id",), here)
        ids.append(whole(category["id"], f"{here}: id"))
        first = ids.index(ids[-1])
        if first < number:
            raise ValueError(f"{here}: id {ids[-1]} is that of categories[{first}] too")
    return ids


def named_images(content: Any, where: str, *, all_named: bool) -> dict[int, str]:
    """Image id -> file name, of the images of a COCO file that have one: all of them if
    `all_named`. No two names have one id."""
    names: dict[int, str] = {}
    for number, image in enumerate(objects(content, "images", where)):
        here = f"{where}: images[{number}]"
        require(image, ("id", "file_name") if all_named else ("id",), here)
        image_id = whole(image["id"], f"{here}: id")
        if "file_name" in image:
            name = file_name(image["file_name"], f"{here}: file_name")
            if names.setdefault(image_id, name) != name:
                other = shown_text(names[image_id])
                raise ValueError(f"{here}: id {image_id} is that of {other} too")
    return names


def require(entry: Any, keys: Sequence[str], where: str) -> None:
    """Checks that `entry` is an object with all of `keys`."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: is a {type(entry).__name__}, expected an object")
    missing = [key for key in keys if key not in entry]
    if missing:
        has = ", ".join(map(str, islice(entry, 20)))
        raise ValueError(f"{where}: has no '{missing[0]}' (it has: {shown_text(has)})")


def whole(value: Any, where: str) -> int:
    """An integer of 64 bits; it may be written as 7.0, as some tools do."""
    if isinstance(value, Integral) or (isinstance(value, float) and value.is_integer()):
        number = int(value)
        if -(2**63) <= number < 2**63:
            return number
    raise ValueError(f"{where} is {shown(value)}, expected an integer")


def finite(value: Any, where: str) -> float:
    """A number that is neither nan nor infinite."""
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ValueError(f"{where} is {shown(value)}, expected a finite number")


def numbers_of_any(values: Any, where: str) -> np.ndarray:
    """(N,) float64, all finite, however many they are."""
    return numbers(values, len(values) if isinstance(values, list) else 1, where)


def numbers(values: Any, size: int, where: str) -> np.ndarray:
    """(size,) float64, all finite."""
    if not isinstance(values, list | tuple | np.ndarray):
        raise ValueError(f"{where} is {shown(values)}, expected a list of {size} numbers")
    if len(values) != size:
        raise ValueError(f"{where} has {len(values)} values, expected {size}")
    # numpy would make numbers of truths, and gigabytes of a long text among them
    flat = isinstance(values, np.ndarray) or all(map(_is_number, set(map(type, values))))
    array = np.array(values if flat else None)
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


def _is_number(kind: type) -> bool:
    return issubclass(kind, Real) and kind is not bool


def existing(path: Path, kind: str) -> Path:
    """The path, where a file lies there; `kind` says of which kind it should be."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected a {kind} file")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    return path
