"""`pose evaluate`: a network's figures on a validation set, with the boxes that are named."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pose.commands.common import (
    add_config_arguments,
    add_device_argument,
    add_out_argument,
    choose_device,
    output_folder,
)

if TYPE_CHECKING:
    from easydict import EasyDict

    from pose.engine.distributed import Ranks

HELP = "the figures of a network, with ground-truth or detected boxes"

logger = logging.getLogger(__name__)

RESULTS = "results.json"
RECEIPT = "receipt.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_config_arguments(parser)
    parser.add_argument(
        "--weights", metavar="FILE", type=Path, required=True, help="weights or a checkpoint"
    )
    parser.add_argument(
        "--boxes",
        metavar="gt|DETECTIONS.json",
        required=True,
        help="where people are looked for: gt for the annotations' boxes, or a detection file",
    )
    add_out_argument(parser, help="folder to write to (default: evaluation/ beside the weights)")
    add_device_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table, write result file and receipt."""
    from pose.config import load_config
    from pose.engine.distributed import join_ranks

    cfg = load_config(args.config, args.overrides)
    folder = args.out or args.weights.parent / "evaluation"
    with join_ranks(choose_device(args.device)) as ranks:
        figures = evaluate(cfg, args.weights, args.boxes, folder, ranks)
        if ranks.is_main:
            report(figures, args.weights, folder)
    return 0


def evaluate(
    cfg: "EasyDict", weights: Path, boxes: str, folder: Path, ranks: "Ranks"
) -> dict[str, float] | None:
    """The ten figures, None for a split without labels; results and receipt in `folder`."""
    import numpy as np

    from pose.build import (
        check_same_network,
        data_path,
        evaluator_of,
        found_people,
        load_boxes,
        load_network,
        versions,
    )
    from pose.config import plain
    from pose.data.coco import labelled_skeleton
    from pose.metrics.coco_files import write_results
    from pose.records import write_json
    from pose.reports.receipt import evaluation_receipt

    annotations = data_path(cfg, "val_annotations")
    skeleton = labelled_skeleton(annotations)
    network = load_network(weights, cfg, skeleton)
    check_same_network(cfg, network, skeleton or network.skeleton)
    people = load_boxes(cfg, boxes, network.skeleton)
    logger.info("%d boxes (%s) in %s", len(people), boxes, annotations)
    found = found_people(cfg, network, people, ranks)
    if not ranks.is_main:
        return None
    evaluator = evaluator_of(cfg, people)
    evaluator.update(np.arange(len(people)), found.keypoints, found.scores)
    figures = evaluator.compute() if evaluator.has_labels else None
    output_folder(folder, what="the evaluation")
    write_results(folder / RESULTS, evaluator.results())
    receipt = evaluation_receipt(
        config=plain(cfg),
        weights=weights,
        annotations=annotations,
        boxes=boxes,
        num_boxes=len(people),
        figures=figures,
        versions=versions(),
        device=str(ranks.device),
    )
    write_json(folder / RECEIPT, receipt, indent=2)
    return figures


def report(figures: dict[str, float] | None, weights: Path, folder: Path) -> None:
    from pose.commands.tables import ap_table

    if figures is None:
        print("the annotations hold no keypoints (a test split): there is nothing to score")
    else:
        print(ap_table({weights.name: figures}))
    print(f"results: {folder / RESULTS}")
    print(f"receipt: {folder / RECEIPT}")
