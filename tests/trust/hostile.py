"""Hostile files for the tests of trust: what one of them is, and where it may reach.

A case is a file and the reader that would meet it. What it tries is the same everywhere: to run
something (which would make the canary), to read or write below `outside`, or to call the `port`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Where hostile files lie and what they are after."""

    root: Path
    """What a reader may look into; each case has a folder below."""
    outside: Path
    """What nobody may touch: SECRETS lie there."""
    port: int
    """A port on the loopback address that nobody may call."""

    @property
    def canary(self) -> Path:
        """What a file that is run makes."""
        return self.outside / "canary"

    def folder(self, name: str) -> Path:
        """A new folder for a case."""
        path = self.root / name
        path.mkdir(parents=True)
        return path


@dataclass(frozen=True)
class Case:
    """A hostile file."""

    name: str
    reader: str
    """Of `tests.trust.readers`."""
    path: str
    harmless: bool = False
    """Whether it may also be read, since it can do nothing: its text is text."""


Kind = Callable[[Place], Iterator[Case]]

SECRETS = ("secret.jpg", "secret.mp4", "secret.bin", "secret.txt", "secret.json")


def in_turns(kinds: list[Iterator[Case]]) -> list[Case]:
    """The first of every kind, then the second of every kind, and so on: a beginning of any
    length holds something of all."""
    rounds = zip_longest(*kinds)
    return [case for case in chain.from_iterable(rounds) if case is not None]
