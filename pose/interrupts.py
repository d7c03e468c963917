"""Ctrl-C and SIGTERM that wait for the end of a step, so that nothing is left half done."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_interrupt(request: Callable[[], None]) -> Iterator[None]:
    """Meanwhile the first Ctrl-C or SIGTERM calls `request`; a Ctrl-C after it interrupts at once.

    Outside the main thread signals are left to whoever runs it.
    """
    requested = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        requested = True
        request()

    try:
        former = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        former = {}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def interrupt_flag() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a Ctrl-C after it interrupts at once."""
    asked = threading.Event()
    with on_interrupt(asked.set):
        yield asked
