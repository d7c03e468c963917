"""`pose compare`: the figures of two evaluations side by side, if they were measured alike."""

import argparse
import logging
from pathlib import Path

HELP = "the figures of two evaluations side by side, if measured alike"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    for name in ("A", "B"):
        parser.add_argument(
            name.lower(),
            metavar=name,
            type=Path,
            help="a receipt.json of `pose evaluate`, or the folder that holds one",
        )


def run(args: argparse.Namespace) -> int:
    """ValueError, which says in what the protocols differ, instead of a ranking."""
    from pose.commands.tables import format_table
    from pose.reports.compare import circumstances, protocol_differences, read_receipt

    first, second = read_receipt(args.a), read_receipt(args.b)
    differences = protocol_differences(first, second)
    if differences:
        raise ValueError(
            f"{args.a} and {args.b} were not measured alike and are not ranked: "
            f"{'; '.join(differences)}"
        )
    rows = []
    for name in dict.fromkeys([*first["figures"], *second["figures"]]):
        a, b = first["figures"].get(name), second["figures"].get(name)
        rows.append([name, a, b, None if a is None or b is None else b - a])
    for which, receipt in (("A", first), ("B", second)):
        print(f"{which}: {receipt['weights']['file']} ({receipt['network']})")
    print(format_table(["", "A", "B", "B - A"], rows))
    for difference in circumstances(first, second):
        logger.info("differs, and may move the last digits: %s", difference)
    return 0
