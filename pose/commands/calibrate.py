"""`pose calibrate`: what a network's scores are worth, fitted on results whose truth is known."""

import argparse
import logging
from pathlib import Path
from typing import Any

from pose.commands.common import (
    add_out_argument,
    add_overwrite_argument,
    check_new,
    output_folder,
)

HELP = "make scores mean something: probability of a keypoint, expected OKS of a person"

NAME = "calibration"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "results",
        type=Path,
        metavar="RESULTS",
        help="keypoint results in COCO's form, with the network's own scores, made as in use: on "
        "detected boxes, not on ground truth",
    )
    parser.add_argument(
        "--annotations", type=Path, required=True, metavar="GT", help="COCO's annotation file"
    )
    parser.add_argument(
        "--weights",
        metavar="FILE|NAME",
        help="the network that made the results: the calibration is kept beside it (in the cache, "
        "where nothing may be written there), and `pose predict` and `pose.load` give calibrated "
        "scores from then on; predict.calibration=none, or deleting that file, undoes it",
    )
    add_out_argument(parser, default=Path(NAME), help="folder for the page and its JSON")
    add_overwrite_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Fit, measure, write; ValueError and FileNotFoundError are for the user to read."""
    from pose.build_predictor import calibration_path
    from pose.published import find_weights
    from pose.records import write_json
    from pose.reports.calibration import calibrate, read_raw_case
    from pose.reports.calibration_page import calibration_page
    from pose.reports.page import finite_only, write_report

    weights = find_weights(args.weights) if args.weights else None
    kept = calibration_path(weights) if weights else None
    check_new(args.out, overwrite=args.overwrite)
    if kept and kept.exists() and not args.overwrite:
        raise ValueError(f"{kept}: is there already; add --overwrite to replace it")
    case = read_raw_case(args.results, args.annotations)
    content = calibrate(case, args.results, args.annotations, weights)
    output_folder(args.out, what="the calibration")
    report(content)
    for path in write_report(args.out, NAME, calibration_page(content), content):
        print(f"{path.suffix[1:]}: {path}")
    if kept:
        write_json(kept, finite_only(content), indent=1)
        print(f"kept for {weights}: {kept}")
        print("(predict.calibration=none gives the network's own scores, and so does deleting it)")
    return 0


def report(content: dict[str, Any]) -> None:
    """Calibration errors and AP, before and after."""
    from pose.commands.tables import format_table

    rows = [
        [name, part["number"], *(part[when]["ECE"] for when in ("before", "after"))]
        for name in ("keypoints", "people")
        for part in [content["measured"][name]]
    ]
    print(format_table(["calibration error", "number", "before", "out of sample"], rows))
    shown = ("as they came", "calibrated on other images")
    ap = [[f"AP, scores {name}", content["figures"][name]["AP"]] for name in shown]
    print(format_table(["", ""], ap))
