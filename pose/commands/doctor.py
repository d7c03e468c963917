"""`pose doctor`: what is wrong with a data set, before anyone trains on it."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose.commands.common import (
    add_device_argument,
    add_out_argument,
    add_overwrite_argument,
    check_has_images,
    check_new,
    check_same_keypoints,
    output_folder,
)

if TYPE_CHECKING:
    from pose.inference.predict import Runtime
    from pose.reports.doctor_file import Labels

HELP = "what is wrong with a data set: files, labels, boxes, twins; a page with examples"

NAME = "doctor"

FAULTY = 1
"""The exit status where there are errors; 2 stays that of a mistake in the command."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "annotations", type=Path, metavar="ANNOTATIONS", help="COCO's annotation file"
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder or .zip of its images: look at them too"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="OTHER",
        help="annotation file of another split, which should share no image",
    )
    parser.add_argument(
        "--against-images",
        type=Path,
        metavar="DIR",
        help="folder or .zip of the other split's images (default: that of --images)",
    )
    parser.add_argument(
        "--detections", type=Path, metavar="FILE", help="boxes of a detector: do they belong here?"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE|NAME",
        help="a network for these keypoints: which labels it disputes (needs --images)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="warnings count as errors for the exit status"
    )
    add_out_argument(parser, default=Path(NAME))
    add_overwrite_argument(parser)
    add_device_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Examine and write both files; 1 where errors were found, 0 where none were."""
    from pose.images import ImageFolder
    from pose.reports.doctor import Set, examine
    from pose.reports.doctor_cards import cards
    from pose.reports.doctor_file import read_labels
    from pose.reports.doctor_page import doctor_page
    from pose.reports.page import write_report

    check_has_images(args)
    if args.against_images and not (args.against and args.images):
        raise ValueError("--against-images: needs --against and --images")
    check_new(args.out, overwrite=args.overwrite)
    images = ImageFolder(args.images) if args.images else None
    own = Set(read_labels(args.annotations), images)
    against = None
    if args.against:
        others = ImageFolder(args.against_images) if args.against_images else images
        against = Set(read_labels(args.against), others)
    runtime = runtime_for(own.labels, args.weights, args.device) if args.weights else None
    content, findings = examine(own, against=against, detections=args.detections, runtime=runtime)
    examples = cards(findings, own.labels, images, against.images if against else None)
    output_folder(args.out, what="the examination")
    report(content)
    for path in write_report(args.out, NAME, doctor_page(content, examples), content):
        print(f"{path.suffix[1:]:4} {path}")
    grave = content["severities"]
    return FAULTY if grave["error"] or (args.strict and grave["warning"]) else 0


def runtime_for(labels: "Labels", weights: Path, device: str) -> "Runtime":
    """The network; ValueError where its keypoints are others than those of the labels."""
    from pose.build_runtime import runtime_of

    runtime, _ = runtime_of(weights, device=device)
    check_same_keypoints(runtime.skeleton, labels.skeleton, weights, labels.path)
    return runtime


def report(content: Mapping[str, Any]) -> None:
    """The counts, one row a kind of finding, and what else was measured."""
    from pose.commands.tables import format_table

    counts = content["counts"]
    print(format_table(list(counts), [list(counts.values())]))
    rows = [
        [row["severity"], row["kind"], row["number"], _example(row["findings"][0])]
        for row in content["verdicts"]
    ]
    if rows:
        print(format_table(["severity", "finding", "number", "the first"], rows))
    if study := content.get("detections"):
        recall = {t: study["recall"][t] for t in ("0.50", "0.75", "0.90")}
        print(format_table(["box recall at IoU", *recall], [["", *recall.values()]]))
    study = content["sigmas"]
    if study and (study["from"] == "repeated annotations" or None in study["set"]):
        print(f"sigmas, from {study['from']}: {study['sigmas']}")
    grave = content["severities"]
    print(", ".join(f"{name}s: {number}" for name, number in grave.items()))


def _example(finding: Mapping[str, str]) -> str:
    text = f"{finding['where']}: {finding['says']}"
    return text if len(text) <= 90 else f"{text[:87]}..."
