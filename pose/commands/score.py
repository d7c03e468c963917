"""`pose score`: the figures of a result file that already exists; no network involved.

COCO's files give its ten figures, MPII's (.mat) PCKh, PoseTrack's mAP and, where people were
followed, MOTA, IDF1 and HOTA.
"""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from pose.commands.common import add_overwrite_argument, check_new

if TYPE_CHECKING:
    from pose.reports.spread import Intervals

FIGURES = ("coco", "crowdpose", "aic", "halpe", "posetrack")
"""Values of data.format whose results are entries in COCO's form."""

HELP = "the figures of an existing result file: COCO's ten, or MPII's PCKh"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "results",
        type=Path,
        metavar="RESULTS",
        help="keypoint results: a .json in COCO's form, a .mat with MPII's preds, or PoseTrack's "
        "folder of sequences",
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        required=True,
        metavar="GT",
        help="the keypoint labels: COCO's annotation file, MPII's gt_valid.mat, or PoseTrack's "
        "folder of sequences",
    )
    parser.add_argument(
        "--format",
        choices=FIGURES,
        default="coco",
        help="whose figures files other than MPII's give (default: coco)",
    )
    parser.add_argument(
        "--spread",
        action="store_true",
        help="also how far each figure may move with the images: its 95 %% interval (COCO's "
        "figures)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="OUT", help="write the figures there too (no members: null)"
    )
    add_overwrite_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Score, print, write; ValueError and FileNotFoundError are for the user to read."""
    from pose.commands.tables import bounds_of, figures_table
    from pose.metrics.coco_score import score_results
    from pose.metrics.mpii import score_predictions
    from pose.records import write_json

    for given in (args.results, args.annotations):
        if args.json and args.json.exists() and given.exists() and args.json.samefile(given):
            raise ValueError(f"--json {args.json}: is an input file; name another")
    if args.spread and (args.format != "coco" or _is_mpii(args.results, args.annotations)):
        raise ValueError("--spread: only COCO's figures have intervals here; leave it out")
    if args.json:
        check_new(args.json, overwrite=args.overwrite, option="--json")
    if _is_mpii(args.results, args.annotations):
        figures = score_predictions(args.results, args.annotations)
    elif args.format == "coco":
        figures = score_results(args.results, args.annotations)
    else:
        figures = score_as(args.format, args.results, args.annotations)
    intervals = intervals_from(args) if args.spread else None
    print(figures_table({args.results.name: figures, **bounds_of(intervals)}))
    if args.json:
        write_json(args.json, {k: None if math.isnan(v) else v for k, v in figures.items()})
        print(f"figures: {args.json}")
    return 0


def intervals_from(args: argparse.Namespace) -> "Intervals":
    """The interval of each of COCO's figures."""
    from pose.metrics.coco_files import ground_truth_from
    from pose.metrics.coco_score import as_columns, entries_of
    from pose.records import read_json
    from pose.reports.spread import intervals_of, outcomes_from

    truth = ground_truth_from(read_json(args.annotations), str(args.annotations))
    return intervals_of(outcomes_from(as_columns(entries_of(args.results, truth), truth), truth))


def score_as(name: str, results: Path, annotations: Path) -> dict[str, float]:
    """The figures of another format than COCO's."""
    from pose.build_data import FORMATS
    from pose.metrics.coco_files import ground_truth_from

    form = FORMATS[name]
    assert form.read is not None
    return form.score(results, ground_truth_from(form.read(annotations), str(annotations)))


def _is_mpii(results: Path, annotations: Path) -> bool:
    """Whether both are MATLAB files, as MPII's are; ValueError where only one is."""
    is_mat = [path.suffix.lower() == ".mat" for path in (results, annotations)]
    if any(is_mat) and not all(is_mat):
        raise ValueError(
            f"{results} and {annotations} do not belong together; give two .json files (COCO) or "
            "two .mat files (MPII)"
        )
    return all(is_mat)
