"""Timing several ways of one piece of work side by side.

The ways take turns, so that a machine whose speed drifts slows all of them alike, and ratios are
taken turn by turn. Seconds belong to one machine in one hour; ratios are what is claimed.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

PUBLISHED = "published"
"""The way that the others are compared with."""

ROUNDS = 9
"""Turns of each way, unless told otherwise."""

LEAST_SECONDS = 0.2
"""A turn repeats its work until this long has passed, so that the clock's grain does not count."""


@dataclass(frozen=True)
class Spread:
    """The median of some turns, and their quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        low, median, high = np.percentile(values, [25, 50, 75])
        return cls(float(median), float(low), float(high))


@dataclass(frozen=True)
class Row:
    """What one way of a piece of work took, and how it compares with the published way."""

    work: str
    """What is done, and with what sizes."""
    unit: str
    """What is counted: "person", "image", "sample"."""
    way: str
    seconds: Spread
    """For one unit."""
    ratio: Spread
    """Times as fast as the published way, turn by turn."""
    warm_up: float
    """Seconds of the first call, which the others leave out: compilation, first allocations."""
    agreement: str = ""
    """How far what it gives lies from what the published way gives."""
    size: int | None = None
    """How much at once, where that is what differs; then the ratio is to the smallest size."""


def side_by_side(
    work: str,
    unit: str,
    ways: Mapping[str, Callable[[], object]],
    *,
    count: int,
    rounds: int = ROUNDS,
    least_seconds: float = LEAST_SECONDS,
    agreements: Mapping[str, str] | None = None,
) -> list[Row]:
    """A row for each way of doing `count` units of `work`; `PUBLISHED` must be one of the ways.

    Each way is called once before anything counts. agreements says of each way how far it agrees.
    """
    warm_up, seconds = take_turns(work, ways, rounds, least_seconds)
    return [
        Row(
            work=work,
            unit=unit,
            way=name,
            seconds=Spread.of(seconds[name] / count),
            ratio=Spread.of(seconds[PUBLISHED] / seconds[name]),
            warm_up=warm_up[name],
            agreement=(agreements or {}).get(name, ""),
        )
        for name in ways
    ]


def by_size(
    work: str,
    unit: str,
    sizes: Mapping[int, Callable[[], object]],
    *,
    what: str,
    rounds: int = ROUNDS,
    counts: Mapping[int, int] | None = None,
) -> list[Row]:
    """A row for each size of `what` ("people a batch"), the smallest first: what a unit costs as
    work grows. Their ratio is to a unit of the smallest.

    A call of size n does n units, or counts[n].
    """
    counts = counts or {size: size for size in sizes}
    names = {size: f"{size:,} {what}" for size in sizes}
    warm_up, seconds = take_turns(
        work, {names[size]: way for size, way in sizes.items()}, rounds, LEAST_SECONDS
    )
    each = {size: seconds[name] / counts[size] for size, name in names.items()}
    return [
        Row(
            work=work,
            unit=unit,
            way=name,
            seconds=Spread.of(each[size]),
            ratio=Spread.of(each[min(sizes)] / each[size]),
            warm_up=warm_up[name],
            size=size,
        )
        for size, name in names.items()
    ]


def take_turns(
    work: str, ways: Mapping[str, Callable[[], object]], rounds: int, least_seconds: float
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Of each way the seconds of its first call, and (rounds,) those of a call in its turns."""
    warm_up, repeats = {}, {}
    for name, way in ways.items():
        warm_up[name] = _seconds_of(way, 1)
        once = _seconds_of(way, 1)
        repeats[name] = max(1, round(least_seconds / max(once, 1e-9)))
    seconds = {name: np.empty(rounds) for name in ways}
    order = list(ways)
    for turn in tqdm(range(rounds), desc=work, unit="turn", disable=None, leave=False):
        # Whoever comes first finds other caches than whoever comes last.
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            seconds[name][turn] = _seconds_of(ways[name], repeats[name]) / repeats[name]
    return warm_up, seconds


def _seconds_of(way: Callable[[], object], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        way()
    return time.perf_counter() - started
