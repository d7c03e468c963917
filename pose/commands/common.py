"""Arguments that several commands share, spelt once, and what turns them into objects."""

import argparse
import re
from pathlib import Path

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """CONFIG and any number of key=value: `args.config` str, `args.overrides` list of str."""
    parser.add_argument(
        "config", metavar="CONFIG", help="a YAML file, or the name of a shipped one"
    )
    parser.add_argument(
        "overrides",
        metavar="key=value",
        nargs="*",
        type=override,
        help="set a key of the config, as in train.epochs=20",
    )


def override(text: str) -> str:
    """`text` as it came, if it has the form key=value; used as an argparse type."""
    if not re.match(r"[^=\s]+=", text):
        raise argparse.ArgumentTypeError(
            f"'{text}' has no '='; expected key=value, as in train.epochs=20"
        )
    return text


def add_out_argument(
    parser: argparse.ArgumentParser,
    *,
    default: Path | None = None,
    required: bool = False,
    help: str = "folder to write to",
) -> None:
    """--out DIR: `args.out` Path or None; the default is named in the help."""
    if default is not None:
        help = f"{help} (default: {default})"
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=default, required=required, help=help
    )


def output_folder(path: Path, *, what: str) -> Path:
    """Make the folder `path` for `what` ("the run", "the drawn images") and return it.

    ValueError if something that is no folder stands in its place, or in that of a parent.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(
            f"{path}: cannot hold {what}, since it or a folder above it is a file; "
            "give another folder"
        ) from None
    return path


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """--device: `args.device` str, for `pose.devices.choose_device`."""
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        default="auto",
        help="auto, cpu, cuda, cuda:N or mps (default: auto takes CUDA, else MPS, else the CPU)",
    )
