"""The console script `pose`: finds the command, parses its arguments, says errors in one line.

A command is the module `pose.commands.<name>` with

    HELP: str                        one line for `pose --help`
    add_arguments(parser) -> None    options and positionals; they may be interleaved when called
    run(args) -> int                 the exit status, 0 for success

and imports what is heavy inside its functions, so that `pose --help` loads neither torch nor
OpenCV nor numpy. Exit status 2 is a mistake the user can mend, 130 an interrupt, 141 a reader
(such as `head`) that went away.
"""

import argparse
import difflib
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, Protocol, cast

from pose import __version__
from pose.commands.common import INTERRUPTED, printable

COMMANDS = {
    "quickstart": "Start here",
    "train": "Train and measure",
    "evaluate": "Train and measure",
    "score": "Train and measure",
    "compare": "Train and measure",
    "predict": "Use",
    "detect": "Use",
    "app": "Use",
    "weights": "Weights and export",
    "export": "Weights and export",
    "benchmark": "Weights and export",
    "doctor": "Know why",
    "diagnose": "Know why",
    "calibrate": "Know why",
    "suggest": "Know why",
}
"""Every command and the group under which `pose --help` shows it, in that order."""

SYSTEM_LIBRARIES = {
    "libGL.": "libgl1",
    "libxcb": "libxcb1",
    "libglib": "libglib2.0-0",
    "libgthread": "libglib2.0-0",
}
"""Shared libraries that OpenCV's wheel expects of the system -> the Debian package of each."""


class Command(Protocol):
    """What a command module holds."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


def load_command(name: str) -> Command:
    return cast(Command, importlib.import_module(f"pose.commands.{name}"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (without the program's name) and return the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in given
    try:
        with log_to_stderr(logging.DEBUG if debug else logging.INFO):
            status = dispatch([argument for argument in given if argument != "--debug"])
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # What is left to write has no reader; without this the interpreter complains at exit.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 141
    except KeyboardInterrupt:
        print("pose: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, ImportError) as error:
        remedy = missing_library(error)
        # An import that fails for another reason is a broken installation: its traceback helps.
        if debug or (isinstance(error, ImportError) and not remedy):
            raise
        print(f"pose: error: {remedy or one_line(error)}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        from pose.engine.failures import forget_workers, plain_line

        line = plain_line(error)
        if debug or not line:
            raise
        forget_workers()
        print(f"pose: error: {line}", file=sys.stderr)
        return 2


def dispatch(arguments: list[str]) -> int:
    """Run the command that `arguments` begins with; ValueError for one that is not known."""
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        print(overview())
        return 0
    if name == "--version":
        print(f"pose {__version__}")
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"unknown command '{name}'{hint} (known: {', '.join(COMMANDS)})")
    command = load_command(name)
    parser = Parser(name, command.HELP)
    command.add_arguments(parser)
    try:
        args = parser.parse_intermixed_args(arguments[1:])
    except SystemExit as stop:  # argparse has printed the help
        return int(stop.code or 0)
    return command.run(args)


class Parser(argparse.ArgumentParser):
    """A command's parser: no abbreviated options, errors as ValueError, layout of texts kept."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(
            prog=f"pose {name}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        # `main` has taken it off the line already; it stands here for the help.
        self.add_argument("--debug", action="store_true", help="show where an error arose")

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} ({self.prog} --help says more)")


def overview() -> str:
    """The text of `pose --help`: every command with its line, in groups."""
    width = max(map(len, COMMANDS))
    lines = ["usage: pose COMMAND ...", "", "Top-down human pose estimation with HRNet."]
    group = None
    for name in COMMANDS:
        if COMMANDS[name] != group:
            group = COMMANDS[name]
            lines += ["", f"{group}:"]
        lines.append(f"  {name:<{width}}  {load_command(name).HELP}")
    lines += ["", "pose COMMAND --help shows the options of a command; pose --version the version."]
    return "\n".join(lines)


@contextmanager
def log_to_stderr(level: int) -> Iterator[None]:
    """Meanwhile the package's log goes to stderr: bare lines, from warnings on with their level.

    Of several processes under torchrun only the first says what it does; all of them warn.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ShortFormatter())
    logger = logging.getLogger("pose")
    before = logger.level
    first = os.environ.get("RANK", "0") == "0"
    logger.setLevel(level if first else max(level, logging.WARNING))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class ShortFormatter(logging.Formatter):
    """The message alone, or `warning: message` from that level on."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not record.exc_info:  # a traceback has lines
            text = "\n".join(map(printable, text.split("\n")))
        return f"{record.levelname.lower()}: {text}" if record.levelno > logging.INFO else text


def one_line(error: Exception) -> str:
    """What `error` says, in one line and in the user's terms."""
    text = str(error).strip()
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{error.filename}: {error.strerror.lower()}"
    elif text.startswith("Caught ") and "Original Traceback" in text:
        # A data loader's worker sends its whole traceback; the last line holds the message.
        text = text.splitlines()[-1].partition(": ")[2]
    line = " ".join(line.strip() for line in text.splitlines())
    return printable(line) or type(error).__name__


def missing_library(error: Exception) -> str | None:
    """The line for a shared library that the system lacks, or None if `error` is another matter."""
    text = str(error)
    if "cannot open shared object file" not in text:
        return None
    for library, package in SYSTEM_LIBRARIES.items():
        if library in text:
            missing = text.partition(":")[0]
            return f"the system library {missing} is missing; run: apt-get install {package}"
    return None
