"""Files damaged at random, in the ways in which files are: what a hand, a script, a disk or a
download does to them."""

import copy
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np


def nested(depth: int) -> list[Any]:
    """A list in a list in a list ..."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


ODD = [
    *(None, True, False, "", "5", "1.5", "NaN", "nose", [], {}, [[]], {"id": 1}),
    *(math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-320, 2**53 + 1, 2**63, 2**70, 10**400),
    *(0, 1, 2, 3, -1, 0.5, 1.0, 7.0, 1e12, -0.0, 16777217),
    *([1, 2, 3, 4], [1.5] * 51, [1] * 48, ["1"] * 4, [None] * 51, [10**400, 1, 1, 1], [True] * 4),
    *("x" * 100_000, "a\nb\rc", "a\0b", "\ud800", "图" * 50, "../../etc/passwd", [["x" * 9999]]),
    *(nested(40), nested(200), nested(450)),
]
"""What stands in a field where something else should."""


@dataclass(frozen=True)
class Damage:
    """What was done to a file."""

    data: bytes
    """The file."""
    key: str | None = None
    """The field of the entry that was changed; None for damage that is not one field's."""
    table: str | None = None
    """The list that the entry stands in."""
    what: str = ""
    """For whoever has to repeat it."""


def damaged(rng: np.random.Generator, content: Any) -> Damage:
    """`content` as a file, after one of the kinds of damage."""
    if rng.random() < 0.25:
        return damaged_text(rng, json.dumps(content))
    content = copy.deepcopy(content)
    table = None
    if isinstance(content, dict):
        names = list(content)
        weights = np.array([5.0 if len(str(content[name])) > 2000 else 1.0 for name in names])
        table = str(rng.choice(names, p=weights / weights.sum()))
        if rng.random() < 0.05:
            change = "lost" if rng.random() < 0.3 else odd(rng)
            if change == "lost":
                del content[table]
            else:
                content[table] = change
            return Damage(encoded(content), None, table, f"{table} = {change!r:.60}")
    entries = content if table is None else content[table]
    tabular = isinstance(entries, list) and entries
    key, what = damage_entry(rng, entries) if tabular else (None, "nothing")
    return Damage(encoded(content), key, table, f"{table}: {what}")


def damage_entry(rng: np.random.Generator, entries: list[Any]) -> tuple[str | None, str]:
    """Changes one of `entries`; which field of it (None for the whole), and what was done."""
    place = int(rng.integers(len(entries)))
    entry = entries[place]
    kind = rng.random()
    if kind < 0.1:
        entries[place] = odd(rng)
        return None, f"[{place}] = {entries[place]!r:.60}"
    if kind < 0.15:
        entries.append(copy.deepcopy(entry))
        return None, f"[{place}] twice"
    if kind < 0.2:
        del entries[place]
        return None, f"[{place}] removed"
    if not isinstance(entry, dict):
        return None, "nothing"
    key = str(rng.choice(list(entry)))
    if kind < 0.3:
        del entry[key]
        return key, f"[{place}].{key} removed"
    if kind < 0.4:
        entry[key] = copy.deepcopy(entries[int(rng.integers(len(entries)))].get(key))
        return key, f"[{place}].{key} of another = {entry[key]!r:.60}"
    if isinstance(entry[key], list) and entry[key] and kind < 0.85:
        return key, f"[{place}].{key}{damage_list(rng, entry[key])}"
    number = isinstance(entry[key], int | float) and kind < 0.6
    entry[key] = scaled(rng, entry[key]) if number else odd(rng)
    return key, f"[{place}].{key} = {entry[key]!r:.60}"


def damage_list(rng: np.random.Generator, values: list[Any]) -> str:
    """Changes one of `values` or how many they are."""
    at = int(rng.integers(len(values)))
    kind = rng.random()
    if kind < 0.2:
        del values[at : at + int(rng.integers(1, 4))]
        return f"[{at}] removed"
    if kind < 0.3:
        values.insert(at, values[at])
        return f"[{at}] twice"
    if kind < 0.4 and isinstance(values[at], int | float):
        values[at] = str(values[at])
        return f"[{at}] a text"
    number = isinstance(values[at], int | float) and kind < 0.6
    values[at] = scaled(rng, values[at]) if number else odd(rng)
    return f"[{at}] = {values[at]!r:.60}"


def scaled(rng: np.random.Generator, value: float) -> float:
    """Another number, as a wrong unit or sign makes it."""
    return value * float(rng.choice([-1, 0, 1e-9, 0.01, 100, 1e6, 1e30, 1e307]))


def odd(rng: np.random.Generator) -> Any:
    return copy.deepcopy(ODD[int(rng.integers(len(ODD)))])


def encoded(content: Any) -> bytes:
    """JSON as Python writes it, nan and infinity included."""
    return json.dumps(content).encode()


def damaged_text(rng: np.random.Generator, text: str) -> Damage:
    """Damage that knows nothing of what a file means."""
    data, at = text.encode(), int(rng.integers(len(text)))
    bits = bytearray(data)
    for place in rng.integers(len(data), size=int(rng.integers(1, 4))):
        bits[place] ^= 1 << int(rng.integers(8))
    removed = data[:at] + data[at + int(rng.integers(1, 9)) :]
    kinds = {
        "cut": data[:at],
        "bits": bytes(bits),
        "removed": removed,
        "empty": b"",
        "zeros": data[:at] + bytes(len(data) - at),
        "twice": data + data,
        "utf-16": text.encode("utf-16"),
        "utf-16 cut": text.encode("utf-16")[: 2 * at + 1],
        "bom": b"\xef\xbb\xbf" + data,
        "latin-1": text.replace("jpg", "jpé").encode("latin-1"),
        "deep": b"[" * 100_000,
        "deeper": data[:-1] + b', "more": ' + b'{"a":' * 50_000,
        "long number": text.replace("0", "0" + "9" * 5000, 1).encode(),
        "zip": b"PK\x03\x04" + data,
        "page": b"<!DOCTYPE html><html>404 " + data,
        "comment": data + b" // end",
        "comma": data[:-1] + b"," + data[-1:],
        "quotes": text.replace('"', "'").encode(),
        "a line each": text.replace("}, {", "}\n{").encode(),
        "keys twice": text.replace('"id"', '"image_id"').encode(),
        "nan": text.replace("1", "NaN", 1).encode(),
    }
    name = str(rng.choice(list(kinds)))
    return Damage(kinds[name], None, None, name)
