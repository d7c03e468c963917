"""`pose weights`: the published weights, by name or out of a file."""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from pose.commands.common import add_out_argument, add_overwrite_argument, check_new

if TYPE_CHECKING:
    from pose.models.zoo import Weights

HELP = "list published weights, fetch them, convert files of others"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "action",
        metavar="list|fetch|convert",
        choices=("list", "fetch", "convert"),
        help="list: the table, or all of one row; fetch: download and convert; "
        "convert: bring a file in another layout into ours",
    )
    parser.add_argument(
        "target", metavar="NAME|FILE", nargs="?", help="a name of the table; for convert a file"
    )
    parser.add_argument(
        "--like",
        metavar="NAME",
        help="convert: the row whose network, codec and input size the file shares",
    )
    add_out_argument(
        parser,
        help="convert: where to write (default: beside FILE, ending in .safetensors)",
        metavar="FILE",
    )
    add_overwrite_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Do the action that was named."""
    if args.action != "convert" and (args.like or args.out):
        raise ValueError(f"--like and --out belong to pose weights convert, not to {args.action}")
    if args.action == "list":
        return list_rows(args.target)
    if args.target is None:
        raise ValueError(
            f"pose weights {args.action}: needs a {'NAME' if args.action == 'fetch' else 'FILE'}"
        )
    if args.action == "fetch":
        return fetch(args.target)
    if args.like is None:
        raise ValueError("pose weights convert: say with --like NAME which network the file is of")
    source = Path(args.target)
    out = args.out or source.with_suffix(".safetensors")
    check_new(out, overwrite=args.overwrite)
    return convert(source, args.like, out)


def list_rows(name: str | None) -> int:
    """The table, or everything about one row."""
    from pose.commands.tables import format_table
    from pose.models.zoo import WEIGHTS, find_row

    if name is not None:
        row = find_row(name)
        values = {**dataclasses.asdict(row), "input_size": size_of(row)}
        print("\n".join(f"{key:<11}  {text_of(value)}" for key, value in values.items()))
        return 0
    headers = ["name", "network", "input", "codec", "data", "reported", "licence", "address"]
    rows = [
        (w.name, w.model, size_of(w), w.codec, w.data, w.reported, w.licence, state_of(w))
        for w in WEIGHTS.values()
    ]
    print(format_table(headers, [[text_of(cell) for cell in row] for row in rows]))
    return 0


def size_of(row: "Weights") -> str:
    width, height = row.input_size
    return f"{height}x{width}"


def state_of(row: "Weights") -> str:
    if row.address is None:
        return "by hand"
    return "verified" if row.verified else "unverified"


def text_of(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value or value == 0 else "-"


def fetch(name: str) -> int:
    """Download and convert; where there is only a page, say what to do by hand."""
    from pose.models.zoo import find_row
    from pose.published import by_hand, cached
    from pose.published import fetch as fetch_row

    row = find_row(name)
    if cached(row).is_file():
        print(f"already here: {cached(row)}")
        return 0
    if row.address is None:
        print(f"{name} lies behind a page and cannot be fetched; download it from")
        print(f"  {row.page}")
        print(f"and then run\n  {by_hand(row)}")
        return 1
    print(fetch_row(row))
    print(f"weights: {cached(row)}")
    return 0


def convert(source: Path, like: str, out: Path) -> int:
    """Convert one file, print what became of its names."""
    from pose.files import sha256_of
    from pose.models.zoo import find_row
    from pose.published import convert as convert_file

    row = find_row(like)
    print(convert_file(source, row, out))
    digits = sha256_of(source)
    if row.sha256:
        same = "the published file" if digits.startswith(row.sha256) else "not the published file"
        print(f"SHA-256: {digits} ({same})")
    print(f"weights: {out}")
    return 0
