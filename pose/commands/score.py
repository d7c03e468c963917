"""`pose score`: the ten COCO figures of a result file that already exists; no network involved."""

import argparse
import math
from pathlib import Path

HELP = "the ten COCO figures of an existing result file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "results", type=Path, metavar="RESULTS.json", help="keypoint results in COCO's form"
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        required=True,
        metavar="GT.json",
        help="COCO annotation file with the keypoint labels",
    )
    parser.add_argument(
        "--json", type=Path, metavar="OUT", help="write the figures there too (no members: null)"
    )


def run(args: argparse.Namespace) -> int:
    """Score, print, write; ValueError and FileNotFoundError are for the user to read."""
    from pose.commands.tables import ap_table
    from pose.metrics.coco_score import score_results
    from pose.records import write_json

    for given in (args.results, args.annotations):
        if args.json and args.json.exists() and given.exists() and args.json.samefile(given):
            raise ValueError(f"--json {args.json}: is an input file; name another")
    figures = score_results(args.results, args.annotations)
    print(ap_table({args.results.name: figures}))
    if args.json:
        write_json(args.json, {k: None if math.isnan(v) else v for k, v in figures.items()})
        print(f"figures: {args.json}")
    return 0
