"""Other libraries are kept from talking about their own affairs while they export."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def quiet() -> Iterator[None]:
    """Meanwhile no warnings, no progress on stdout, no lines through Python's root logger.

    Errors pass. A line sent to a root logger without a handler would also give it one for good,
    through which every later line of ours came twice.
    """
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(handler)


@contextmanager
def only_errors_of(name: str) -> Iterator[None]:
    """Meanwhile no lines below errors from a library's logger, whose handlers stay as they are."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
