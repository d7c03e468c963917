"""Stages that overlap: each one an iterator, made ahead of its reader in a thread of its own.

Decoding, the networks, drawing and encoding release Python's lock, so threads are enough. What is
made ahead is bounded, and with it the memory, however long a video is.
"""

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

AHEAD = 8
"""Items that a stage may be ahead of its reader."""


class _ReaderGoneError(Exception):
    pass


def ahead(items: Iterable[T], depth: int = AHEAD) -> Generator[T]:
    """The same items, made in a thread that is at most `depth` of them ahead.

    An error of the thread is raised where its item would have come. A reader that stops early ends
    the thread, which closes `items` if that is a generator.
    """
    waiting: queue.Queue[tuple[bool, object]] = queue.Queue(depth)
    gone = threading.Event()

    def put(entry: tuple[bool, object]) -> None:
        while not gone.is_set():
            try:
                return waiting.put(entry, timeout=0.1)
            except queue.Full:
                continue
        raise _ReaderGoneError

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put((True, item))
            put((False, None))
        except _ReaderGoneError:
            pass
        except BaseException as error:  # handed to the reader, who raises it
            with suppress(_ReaderGoneError):
                put((False, error))
        finally:
            getattr(iterator, "close", lambda: None)()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            more, item = waiting.get()
            if not more:
                break
            yield item  # type: ignore[misc]
        if item is not None:
            raise item  # type: ignore[misc]
    finally:
        gone.set()
        thread.join()


@dataclass
class StageTimes:
    """How long each stage was busy, in seconds; stages that overlap add up to more than passed."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    started: float = field(default_factory=time.perf_counter)

    def of(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """The same items, the time that each takes to make counted for `stage`."""
        iterator = iter(items)
        while True:
            start = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.seconds[stage] += time.perf_counter() - start
            yield item

    def call(self, stage: str, function: Callable[P, T]) -> Callable[P, T]:
        """The same function, the time of its calls counted for `stage`."""

        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[stage] += time.perf_counter() - start

        return timed

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self.started
