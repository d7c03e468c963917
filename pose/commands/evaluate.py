"""`pose evaluate`: a network's figures on a validation set, with the boxes that are named."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pose.commands.common import (
    add_config_arguments,
    add_device_argument,
    add_out_argument,
    add_overwrite_argument,
    check_new,
    output_folder,
)

if TYPE_CHECKING:
    from easydict import EasyDict

    from pose.engine.distributed import Ranks
    from pose.metrics.coco import CocoEvaluator
    from pose.metrics.mpii import MpiiEvaluator
    from pose.reports.spread import Intervals

HELP = "the figures of a network, with ground-truth or detected boxes"

logger = logging.getLogger(__name__)

RECEIPT = "receipt.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_config_arguments(parser)
    parser.add_argument(
        "--weights",
        metavar="FILE|NAME",
        type=Path,
        required=True,
        help="weights, a checkpoint, a name of `pose weights list`, or an .onnx or .xml file",
    )
    parser.add_argument(
        "--boxes",
        metavar="gt|DETECTIONS.json",
        required=True,
        help="where people are looked for: gt for the annotations' boxes, or a detection file",
    )
    add_out_argument(
        parser,
        help="folder to write to (default: evaluation/ beside the weights, or in runs/NAME/)",
    )
    add_overwrite_argument(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare with the config's published figure; exit status 1 if it is another",
    )
    add_device_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table, write result file and receipt."""
    from pose.build_runtime import device_for, engines_of
    from pose.config import load_config
    from pose.engine.distributed import join_ranks
    from pose.published import find_weights

    cfg = load_config(args.config, args.overrides)
    if args.check:
        check_expected(cfg)
    beside = args.weights.parent if args.weights.is_file() else Path("runs") / args.weights
    folder = args.out or beside / "evaluation"
    check_new(folder, overwrite=args.overwrite)
    device = device_for(engines_of(args.weights)[0], args.device)
    with join_ranks(device) as ranks:
        weights = ranks.main_first(lambda: find_weights(args.weights))
        figures = evaluate(cfg, weights, args.boxes, folder, ranks)
        if not ranks.is_main:
            return 0
        report(cfg, figures, weights, folder)
        return 0 if not args.check or compare_with_expected(cfg, figures) else 1


def evaluate(
    cfg: "EasyDict", weights: Path, boxes: str, folder: Path, ranks: "Ranks"
) -> dict[str, float] | None:
    """The figures, None for a split without labels; results and receipt in `folder`."""
    import numpy as np

    from pose.build import versions
    from pose.build_data import (
        data_path,
        evaluator_of,
        format_of,
        load_boxes,
        val_skeleton,
        write_results,
    )
    from pose.build_evaluation import candidate_of, found_people
    from pose.config import plain
    from pose.metrics.coco_scorers import described_scorer
    from pose.records import write_json
    from pose.reports.receipt import evaluation_receipt

    annotations = data_path(cfg, "val_annotations")
    skeleton = val_skeleton(cfg)
    candidate = candidate_of(cfg, weights, skeleton, ranks.device)
    people = load_boxes(cfg, boxes, candidate.skeleton)
    logger.info("%d boxes (%s) in %s", len(people), boxes, annotations)
    found = found_people(cfg, candidate.decode, people, ranks)
    if not ranks.is_main:
        return None
    evaluator = evaluator_of(cfg, people)
    evaluator.update(np.arange(len(people)), found.keypoints, found.scores)
    figures = evaluator.compute() if evaluator.has_labels else None
    output_folder(folder, what="the evaluation")
    write_results(cfg, evaluator, folder)
    intervals = None if figures is None else keep_matches(evaluator, folder)
    receipt = evaluation_receipt(
        config=plain(cfg),
        weights=weights,
        annotations=annotations,
        truth=format_of(cfg).truth(annotations),
        boxes=boxes,
        num_boxes=len(people),
        figures=figures,
        intervals=intervals,
        recipe=candidate.recipe,
        versions={**versions(), "scorer": described_scorer()},
        execution=candidate.execution,
    )
    write_json(folder / RECEIPT, receipt, indent=2)
    return figures


def keep_matches(evaluator: "CocoEvaluator | MpiiEvaluator", folder: Path) -> "Intervals | None":
    """Write what `pose compare` draws images anew from, and the figures' intervals by it; None, and
    nothing written, where the figures are not COCO's."""
    from pose.metrics.coco import CocoEvaluator
    from pose.metrics.coco_score import score_results
    from pose.reports.spread import MATCHES, intervals_of, outcomes_from, write_outcomes

    (folder / MATCHES).unlink(missing_ok=True)  # of an evaluation before this one
    if not isinstance(evaluator, CocoEvaluator) or evaluator.score is not score_results:
        return None
    assert evaluator.truth is not None
    outcomes = outcomes_from(evaluator.found(), evaluator.truth)
    write_outcomes(folder / MATCHES, outcomes)
    return intervals_of(outcomes)


def report(cfg: "EasyDict", figures: dict[str, float] | None, weights: Path, folder: Path) -> None:
    """The table, and where everything lies."""
    from pose.build_data import RESULTS
    from pose.commands.tables import bounds_of, figures_table
    from pose.records import read_json

    if figures is None:
        print("the annotations hold no keypoints (a test split): there is nothing to score")
    else:
        intervals = read_json(folder / RECEIPT).get("intervals")
        print(figures_table({weights.name: figures, **bounds_of(intervals)}))
    print(f"results: {folder / RESULTS[cfg.data.format]}")
    print(f"receipt: {folder / RECEIPT}")


def check_expected(cfg: "EasyDict") -> None:
    """ValueError where nobody published a figure to compare with."""
    if cfg.expected.value is None:
        raise ValueError(
            "--check: this config has no published figure (expected.value); leave --check out"
        )


def compare_with_expected(cfg: "EasyDict", figures: dict[str, float] | None) -> bool:
    """Say whether the published figure was reached, to the digits it was published with."""
    expected = cfg.expected
    reached = (figures or {}).get(expected.figure)
    if reached is None:
        raise ValueError(f"--check: there is no figure '{expected.figure}' here to compare")
    agrees = round(reached, expected.digits) == expected.value
    print(
        f"published: {expected.figure} {expected.value:.{expected.digits}f} ({expected.source}; "
        f"{expected.boxes}), here {reached:.4f}: {'the same' if agrees else 'not the same'}"
    )
    return agrees
