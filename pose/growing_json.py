"""JSON files that grow entry by entry, for runs whose results need not fit into memory."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from pose.files import replacing
from pose.records import json_text

Append = Callable[[Any], None]


@contextmanager
def growing_list(path: Path) -> Iterator[Append]:
    """A file that is one list, to which the block appends entries.

    It appears when the block ends, whole, and not at all where the block ends in an error.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("[")
        yield _appending(file, path)
        file.write("]\n")


@contextmanager
def growing_object(
    path: Path, lists: Sequence[str], others: Mapping[str, Any]
) -> Iterator[dict[str, Append]]:
    """A file that is an object of `lists`, to which the block appends entries by the list's name,
    and of `others`, which are known before; it appears as that of `growing_list` does."""
    assert others
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # Beside the file to be: the system's own folder for such files may lie in memory.
        spools = {
            name: stack.enter_context(
                tempfile.TemporaryFile("w+", encoding="utf-8", dir=path.parent)
            )
            for name in lists
        }
        yield {name: _appending(spool, path) for name, spool in spools.items()}
        temporary = stack.enter_context(replacing(path))
        with temporary.open("w", encoding="utf-8") as file:
            file.write("{")
            for name, spool in spools.items():
                file.write(f"{json_text(name, path)}: [")
                spool.seek(0)
                shutil.copyfileobj(spool, file)
                file.write("],\n")
            file.write(json_text(others, path).removeprefix("{") + "\n")


def _appending(file: IO[str], path: Path) -> Append:
    """Writes one entry after the other, with commas between them."""
    separator = ""

    def append(entry: Any) -> None:
        nonlocal separator
        file.write(separator + json_text(entry, path))
        separator = ",\n"

    return append
