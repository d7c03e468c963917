"""Single fields of an entry, read so that what is wrong is a text and not the end."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

MISSING = -1
"""An id or a place that is not there."""


def called(what: str, place: int, own_id: int) -> str:
    """An entry by its place, and its id where it has one."""
    return f"{what} {place}" if own_id == MISSING else f"{what} {place}, id {own_id}"


def attempt(
    read: Callable[..., Any], entry: Mapping[str, Any], field: str, *more: Any
) -> tuple[Any, str | None]:
    """A field's value, or None and what is wrong with it."""
    if field not in entry:
        return None, f"has no '{field}'"
    try:
        return read(entry[field], *more, field), None
    except ValueError as error:
        return None, str(error)


def repeated(ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Places whose id stood before, and where it stood first."""
    first: dict[int, int] = {}
    for place, own_id in enumerate(ids):
        if own_id != MISSING and first.setdefault(own_id, place) != place:
            yield place, first[own_id]
