"""Arguments that several commands share, spelt once, and what turns them into objects."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pose.skeleton import Skeleton

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
    help: str = "folder to write to",
    metavar: str = "DIR",
) -> None:
    """--out: `args.out` Path or None; the default is named in the help."""
    if default is not None:
        help = f"{help} (default: {default})"
    parser.add_argument("--out", metavar=metavar, type=Path, default=default, help=help)


def add_overwrite_argument(parser: argparse.ArgumentParser) -> None:
    """--overwrite: `args.overwrite` bool, for `check_new`."""
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="write where something lies already: files of the same names are replaced, nothing "
        "is deleted",
    )


def check_new(*paths: Path, overwrite: bool, option: str = "--out") -> None:
    """ValueError for a file that is there, or a folder that holds anything, unless `overwrite`.

    Called before there is anything to lose but the wait. Hidden files do not count, and a pipe or a
    device may be written to.
    """
    for path in paths:
        if overwrite:
            continue
        if path.is_file():
            raise ValueError(
                f"{option} {path}: is there already; name another file, or add --overwrite to "
                "replace it"
            )
        if holds_anything(path):
            raise ValueError(
                f"{option} {path}: holds files already; name another folder, or add --overwrite "
                "to write among them (nothing is deleted)"
            )


def check_own(folder: Path, *, begun: bool) -> None:
    """ValueError for a folder that holds anything, unless this very work has `begun` there.

    For what goes on where it stopped: nothing else is ever written over.
    """
    if not begun and holds_anything(folder):
        raise ValueError(
            f"--out {folder}: holds files that are not of this run; name another folder"
        )


def holds_anything(path: Path) -> bool:
    """Whether there are files below the folder `path`, hidden ones not counted."""
    return any(entry.is_file() and entry.name[0] != "." for entry in path.rglob("*"))


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


def check_has_images(args: argparse.Namespace) -> None:
    """ValueError for --weights without --images."""
    if args.weights and not args.images:
        raise ValueError("--weights: needs --images, the folder that the network is to look at")


def check_same_keypoints(
    network: "Skeleton", labels: "Skeleton | None", weights: Path, annotations: Path
) -> None:
    """ValueError where the network of `weights` finds other keypoints than are labelled."""
    if labels is None or network.keypoints != labels.keypoints:
        raise ValueError(
            f"{weights}: its keypoints are those of '{network.name}', not those of {annotations}"
        )


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """--device: `args.device` str, for `pose.devices.choose_device`."""
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        default="auto",
        help="auto, cpu, cuda, cuda:N or mps (default: auto takes CUDA, else MPS, else the CPU)",
    )


def printable(text: str) -> str:
    """`text`, which may hold a stranger's words, without characters that steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
