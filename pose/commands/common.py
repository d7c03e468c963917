"""Arguments that several commands share, spelt once, and what turns them into objects."""

from __future__ import annotations

import argparse
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch is loaded by the command that asks for a device, not by `pose --help`
    import torch

logger = logging.getLogger(__name__)

DEVICE_PATTERN = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


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
    """--device: `args.device` str, for `choose_device`."""
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        default="auto",
        help="auto, cpu, cuda, cuda:N or mps (default: auto takes CUDA, else MPS, else the CPU)",
    )


def choose_device(name: str) -> torch.device:
    """The device called `name`; "auto" takes CUDA, else MPS, else the CPU, and the log says which.

    ValueError for a name that is none, or a device that this machine lacks.
    """
    import torch

    if not DEVICE_PATTERN.fullmatch(name):
        raise ValueError(f"--device {name}: expected auto, cpu, cuda, cuda:N or mps")
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        check_cuda(device)
    if device.type == "mps" and not has_mps:
        raise ValueError(f"--device {name}: this machine or this torch has no MPS; try auto or cpu")
    label = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device
    logger.info("device: %s", label)
    return device


def check_cuda(device: torch.device) -> None:
    """ValueError if CUDA, or the device of that number, is not there."""
    import torch

    if not torch.cuda.is_available():
        raise ValueError(
            f"--device {device}: torch {torch.__version__} finds no CUDA here; try auto or cpu"
        )
    count = torch.cuda.device_count()
    if device.index is not None and device.index >= count:
        raise ValueError(f"--device {device}: there are {count} CUDA devices, numbered from 0")
