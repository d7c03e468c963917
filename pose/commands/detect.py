"""`pose detect`: the boxes of the people in images, as a detection file in COCO's form."""

import argparse
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from pose.commands.common import (
    add_device_argument,
    add_out_argument,
    add_overwrite_argument,
    check_new,
)
from pose.commands.sources import readable

if TYPE_CHECKING:
    from pose.inference.boxes import Boxes
    from pose.inference.detectors import PersonDetector
    from pose.metrics.box_ap import BoxTruth

HELP = "boxes of the people in images, as a COCO detection file"

IMAGES_AT_ONCE = 8

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "sources",
        metavar="IMAGE|FOLDER",
        nargs="+",
        help="images, folders, patterns such as 'photos/*.jpg'",
    )
    parser.add_argument(
        "--detector",
        metavar="NAME|FILE|NAME=FILE",
        default="default",
        help="a name of docs/detectors.md, an .onnx file, weights (default: one for the device)",
    )
    parser.add_argument(
        "--annotations",
        metavar="GT",
        type=Path,
        help="COCO annotation file that gives the image ids and the boxes to compare with",
    )
    add_out_argument(parser, default=Path("detections.json"), help="where to write", metavar="FILE")
    add_overwrite_argument(parser)
    parser.add_argument(
        "--score-threshold",
        metavar="SCORE",
        type=float,
        default=0.05,
        help="boxes below it are left out (default: 0.05, as evaluation wants; 0.3 or more shows "
        "people alone)",
    )
    add_device_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Detect, write, print; an interrupt leaves nothing behind."""
    from pose.build_detector import detector_of
    from pose.commands.sources import image_ids
    from pose.commands.tables import ap_table
    from pose.devices import choose_device
    from pose.metrics.box_ap import box_figures, read_box_truth
    from pose.records import write_json

    if not 0 <= args.score_threshold < 1:
        raise ValueError(f"--score-threshold {args.score_threshold}: expected 0 to 1")
    images = images_of(args.sources)
    inputs = [path for path in (args.annotations, *images.values()) if path]
    if any(args.out.resolve() == path.resolve() for path in inputs):
        raise ValueError(f"--out {args.out}: is an input file; name another")
    check_new(args.out, overwrite=args.overwrite)
    truth = read_box_truth(args.annotations) if args.annotations else None
    listed = listed_images(images, truth) if truth else {}
    ids = image_ids(images, listed)
    unreadable: list[str] = []
    device = choose_device(args.device)
    detector = detector_of(args.detector, device, args.score_threshold)
    found, seconds = detect(detector, images, unreadable, upright=truth is None)
    category_id = truth.category_id if truth else 1
    entries = [
        entry
        for name, boxes in found.items()
        for entry in entries_of(boxes, ids[name], name, category_id)
    ]
    write_json(args.out, entries)
    report(found, entries, unreadable)
    if truth:
        seen = [listed[name] for name in found if name in listed]
        print(ap_table({f"{len(seen)} annotated": box_figures(entries, truth, seen)}))
    print(f"boxes: {args.out}")
    print(f"speed: {speed(len(found), seconds)} in the detector on {device}")
    return 2 if unreadable else 0


def images_of(texts: Sequence[str]) -> dict[str, Path]:
    """The images that are named by file, folder or pattern, each by what tells it apart: its path
    from the deepest folder that holds all of them."""
    from pose.commands.sources import find_sources

    sources = find_sources(texts)
    if sources.videos:
        raise ValueError(f"{sources.videos[0]}: is no still image; pose predict looks at videos")
    return {sources.name(path).as_posix(): path for path in sources.pictures}


def listed_images(names: Collection[str], truth: "BoxTruth") -> dict[str, int]:
    """The ids of those images that an annotation file lists, by the file names there."""
    by_end: dict[str, list[int]] = defaultdict(list)
    for image_id, file_name in truth.names.items():
        by_end[PurePath(file_name).name].append(image_id)
    listed: dict[str, int] = {}
    taken: set[int] = set()
    for name in names:
        alike = by_end.get(PurePath(name).name, [])
        same = [i for i in alike if truth.names[i] == name] or alike
        if not same:
            continue
        if len(same) > 1 or same[0] in taken:
            raise ValueError(
                f"{truth.source}: cannot tell which of its images '{name}' is, for another has the "
                "same name; look at one folder alone"
            )
        listed[name] = same[0]
        taken.add(same[0])
    if not listed:
        raise ValueError(f"{truth.source}: lists none of the {len(names)} images by file name")
    if len(listed) < len(names):
        rest = len(names) - len(listed)
        logger.warning("%s: does not list %d of %d images", truth.source, rest, len(names))
    return listed


def detect(
    detector: "PersonDetector", paths: Mapping[str, Path], unreadable: list[str], *, upright: bool
) -> tuple[dict[str, "Boxes"], float]:
    """The people in each image by its name, and the seconds that the detector took.

    What cannot be read is left out as by `readable`. Annotations are in pixels as stored, not
    `upright`.
    """
    from tqdm import tqdm

    images = readable(paths, unreadable, upright=upright)
    found: dict[str, Boxes] = {}
    seconds = 0.0
    with tqdm(total=len(paths), unit="image", disable=None) as bar:
        while chunk := dict(islice(images, IMAGES_AT_ONCE)):
            started = time.perf_counter()
            boxes = detector(list(chunk.values()))
            seconds += time.perf_counter() - started
            found |= zip(chunk, boxes, strict=True)
            bar.update(len(chunk))
    return found, seconds


def report(
    found: Mapping[str, "Boxes"], entries: Sequence[Mapping[str, Any]], unreadable: Sequence[str]
) -> None:
    """How much was looked at and found."""
    from pose.commands.tables import format_table

    empty = sum(not len(boxes.boxes) for boxes in found.values())
    counts = {"images": len(found), "empty": empty, "boxes": len(entries)}
    if unreadable:
        counts["unreadable"] = len(unreadable)
    print(format_table(list(counts), [list(counts.values())]))


def entries_of(
    boxes: "Boxes", image_id: int, file_name: str, category_id: int
) -> list[dict[str, Any]]:
    """The entries of one image, bbox as x, y, width, height in pixels."""
    from pose.geometry import xyxy_to_xywh

    return [
        {
            "image_id": image_id,
            "category_id": category_id,
            "bbox": [round(float(value), 3) for value in box_xywh],
            "score": round(float(score), 6),
            "file_name": file_name,
        }
        for box_xywh, score in zip(xyxy_to_xywh(boxes.boxes), boxes.scores, strict=True)
    ]


def speed(count: int, seconds: float) -> str:
    """Images a second, and milliseconds an image."""
    seconds, each = max(seconds, 1e-9), 1000 * seconds / max(count, 1)
    return f"{count / seconds:.1f} images a second, {each:.0f} ms an image,"
