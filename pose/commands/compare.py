"""`pose compare`: the figures of evaluations side by side, if they were measured alike."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose.commands.common import printable

if TYPE_CHECKING:
    from pose.metrics.bootstrap import Outcomes

HELP = "two evaluations side by side, or several seeds of one recipe, if measured alike"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "receipts",
        metavar="RECEIPT",
        nargs="+",
        type=Path,
        help="receipt.json of `pose evaluate`, or folders that hold one; from three on they are "
        "taken for networks of one recipe that differ in the seed alone",
    )


def run(args: argparse.Namespace) -> int:
    """ValueError, which says in what the protocols differ, instead of a ranking."""
    from pose.reports.compare import circumstances, protocol_differences, read_receipt

    paths = args.receipts
    if len(paths) < 2:
        raise ValueError(f"{paths[0]}: nothing to compare it with; give a second receipt")
    receipts = [read_receipt(path) for path in paths]
    for path, receipt in zip(paths[1:], receipts[1:], strict=True):
        if differences := protocol_differences(receipts[0], receipt):
            raise ValueError(
                f"{paths[0]} and {path} were not measured alike and are not ranked: "
                f"{'; '.join(differences)}"
            )
    if len(paths) == 2:
        compare_two(paths, receipts)
    else:
        compare_seeds(paths, receipts)
    others = [line for other in receipts[1:] for line in circumstances(receipts[0], other)]
    for difference in dict.fromkeys(others):
        logger.info("differs, and may move the last digits: %s", difference)
    return 0


def compare_two(paths: list[Path], receipts: list[dict[str, Any]]) -> None:
    """Each figure of both, the difference, and how far it may move with the images."""
    from pose.commands.tables import format_table
    from pose.reports.compare import recipe_differences
    from pose.reports.spread import interval_of_difference

    first, second = (receipt["figures"] for receipt in receipts)
    outcomes = kept_outcomes(paths, receipts)
    intervals = interval_of_difference(*outcomes) if outcomes else {}
    rows = []
    for name in dict.fromkeys([*first, *second]):
        a, b = first.get(name), second.get(name)
        difference = None if a is None or b is None else b - a
        rows.append([name, a, b, difference, *intervals.get(name, (None, None) * bool(intervals))])
    for which, receipt in zip("AB", receipts, strict=True):
        print(printable(f"{which}: {receipt['weights']['file']} ({receipt['network']})"))
    print(format_table(["", "A", "B", "B - A", *["95 % from", "to"] * bool(intervals)], rows))
    if not recipe_differences(*receipts):
        logger.info("one recipe: A and B differ in the seed alone")


def compare_seeds(paths: list[Path], receipts: list[dict[str, Any]]) -> None:
    """Mean and spread of each figure; ValueError where more than the seed differs."""
    from pose.commands.tables import format_table
    from pose.reports.compare import over_seeds, recipe_differences, seed_of
    from pose.reports.spread import interval_of_mean

    for path, receipt in zip(paths[1:], receipts[1:], strict=True):
        if differences := recipe_differences(receipts[0], receipt):
            raise ValueError(
                f"{paths[0]} and {path} are not of one recipe: {'; '.join(differences)}; give two "
                "receipts, or several that differ in the seed alone"
            )
    outcomes = kept_outcomes(paths, receipts)
    intervals = interval_of_mean(outcomes) if outcomes else {}
    rows = [
        [name, *values, *intervals.get(name, (None, None) * bool(intervals))]
        for name, values in over_seeds([receipt["figures"] for receipt in receipts]).items()
    ]
    seeds = ", ".join(str(seed_of(receipt)) for receipt in receipts)
    print(printable(f"{receipts[0]['network']}: {len(receipts)} networks, seeds {seeds}"))
    columns = ["", "mean", "spread", "lowest", "highest"]
    print(format_table([*columns, *["95 % from", "to"] * bool(intervals)], rows))
    print("spread: the standard deviation over the seeds")
    if intervals:
        print("95 %: of the mean, over images drawn anew")


def kept_outcomes(paths: list[Path], receipts: list[dict[str, Any]]) -> "list[Outcomes]":
    """What became of the predictions of each; none at all where one evaluation did not keep it."""
    from pose.reports.spread import MATCHES, outcomes_beside

    kept = []
    for path, receipt in zip(paths, receipts, strict=True):
        outcomes = outcomes_beside(path, receipt["figures"])
        if outcomes is None:
            logger.info("no intervals: there is no %s beside %s", MATCHES, path)
            return []
        kept.append(outcomes)
    return kept
