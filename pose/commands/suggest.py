"""`pose suggest`: which images to label next, and what people made of the suggestion."""

import argparse
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from pose.commands.common import (
    INTERRUPTED,
    add_device_argument,
    add_out_argument,
    add_overwrite_argument,
    check_new,
    output_folder,
)
from pose.commands.predict import ANNOTATIONS, add_network_arguments, read_pictures

if TYPE_CHECKING:
    import numpy as np
    from easydict import EasyDict

    from pose.commands.sources import Sources
    from pose.inference.boxes import BoxSource
    from pose.inference.frames import Frame
    from pose.inference.predictor import Predictor
    from pose.reports.suggestions import Labels, Seen, Suggestions
    from pose.skeleton import Skeleton

HELP = "which images to label next, with poses to correct; reads corrections back"

NAME = "suggestions"
LABELS = "cvat_labels.json"
TASKS, INTERFACE = "label_studio.json", "label_studio.xml"
CORRECTED = "corrected.json"
NUMBER = 100

ONE_LOOK = "test.flip=false"
"""The flip test averages the two looks before they can be compared."""

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "sources",
        metavar="IMAGES|key=value",
        nargs="*",
        help="folders, images or patterns to choose from; key=value sets a key of the config",
    )
    add_network_arguments(parser)
    parser.add_argument(
        "--labelled",
        type=Path,
        metavar="ANNOTATIONS",
        help="COCO keypoint file of what is labelled: its images are not chosen again, and what is "
        "like its people counts for less",
    )
    parser.add_argument(
        "--number",
        type=int,
        default=NUMBER,
        metavar="N",
        help=f"images to choose (default: {NUMBER})",
    )
    parser.add_argument(
        "--corrected",
        type=Path,
        metavar="EXPORT",
        help="instead: what CVAT (COCO Keypoints 1.0, .json or .zip) or Label Studio (JSON) gave "
        f"back of the suggestion in --out; writes {CORRECTED} there",
    )
    add_out_argument(parser, default=Path(NAME), help="folder of the suggestion")
    add_overwrite_argument(parser)
    add_device_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Look, rank, choose, write; or read back."""
    from pose.build_predictor import build_predictor
    from pose.commands.sources import find_sources, split_keys
    from pose.inference.boxes import parse_boxes
    from pose.reports.suggestions import read_labels, suggest

    if args.corrected is not None:
        return take_back(args)
    names, keys = split_keys(args.sources)
    sources = find_sources(names)
    check(args, sources)
    boxes = None if args.boxes is None else parse_boxes(args.boxes)
    detector = None if boxes else args.detector or "default"
    predictor, cfg = build_predictor(
        args.weights, detector=detector, device=args.device, engine="auto", keys=[*keys, ONE_LOOK]
    )
    skeleton = predictor.runtime.skeleton
    labels = None if args.labelled is None else read_labels(args.labelled, skeleton)
    if predictor.runtime.calibration is None:
        logger.info(
            "%s: scores are the network's own, not calibrated: they rank images, but are no "
            "probabilities; docs/calibrate.md says how to calibrate them",
            args.weights,
        )
    output_folder(args.out, what="the suggestion")
    pool = look_at(predictor, sources, boxes, labels)
    found = suggest(pool.seen, skeleton, args.number, labels, pool.colours)
    write(found, pool, predictor, cfg, sources, args.out)
    unread = "unreadable" in pool.others.values()
    return INTERRUPTED if "unseen" in pool.others.values() else 2 if unread else 0


def check(args: argparse.Namespace, sources: "Sources") -> None:
    """ValueError for what cannot be meant."""
    if args.boxes is not None and args.detector is not None:
        raise ValueError("--boxes and --detector both say where the people are; give one of them")
    if args.number < 1:
        raise ValueError(f"--number {args.number}: expected 1 or more")
    if not sources.pictures:
        raise ValueError("no image among the sources; what is labelled are images, not videos")
    if sources.videos:
        logger.warning("%d videos are left out: images are labelled", len(sources.videos))
    if args.out.resolve() in {path.resolve() for path in sources.folders()}:
        raise ValueError(f"--out {args.out}: is a folder of the sources; name another")
    check_new(args.out, overwrite=args.overwrite)


@dataclass
class Pool:
    """What is known of the images so far."""

    seen: "list[Seen]" = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)
    """Those that were not looked at, name -> why (a key of `suggestions.REASONS`)."""
    colours: "dict[str, np.ndarray]" = field(default_factory=dict)
    """Of those that are labelled, by the name that the labels give them."""


def look_at(
    predictor: "Predictor", sources: "Sources", boxes: "BoxSource | None", labels: "Labels | None"
) -> Pool:
    """Every image once, as it is and mirrored; an interrupt ends it, and what was seen is kept."""
    from tqdm import tqdm

    from pose.inference.doubt import look_twice
    from pose.inference.pipeline import ahead
    from pose.interrupts import interrupt_flag
    from pose.reports.suggestions import Seen

    pool, unreadable = Pool(), list[str]()
    sigmas = predictor.runtime.skeleton.oks_sigmas()
    frames = ahead(read_pictures(sources, unreadable))
    bar = tqdm(frames, total=len(sources.pictures), unit="image", disable=None)
    fresh, at_once = unlabelled(bar, sources, labels, pool), predictor.images_at_once
    with bar, closing(frames), interrupt_flag() as interrupted:
        while not interrupted.is_set() and (chunk := list(islice(fresh, at_once))):
            paths = [PurePath(frame.name) for frame in chunk]
            given = None if boxes is None else [boxes.of_image(path) for path in paths]
            images = [frame.image for frame in chunk]
            found = look_twice(predictor, images, given, sigmas)
            pool.seen += [
                Seen.of(frame.number, frame.name, frame.image, looks)
                for frame, looks in zip(chunk, found, strict=True)
            ]
    pool.others |= dict.fromkeys(unreadable, "unreadable")
    known = {one.image.name for one in pool.seen} | set(pool.others)
    names = [sources.name(path).as_posix() for path in sources.pictures]
    pool.others |= {name: "unseen" for name in names if name not in known}
    if interrupted.is_set():
        logger.warning("interrupted after %d images: the choice is among them", len(pool.seen))
    return pool


def unlabelled(
    frames: "Iterable[Frame]", sources: "Sources", labels: "Labels | None", pool: Pool
) -> "Iterator[Frame]":
    """The frames that `labels` do not list; of the others the pool notes the colours."""
    from pose.reports.novelty import colours_of

    paths = {sources.name(path).as_posix(): path for path in sources.pictures}
    for frame in frames:
        called = labels and labels.name_of(paths[frame.name])
        if not called:
            yield frame
            continue
        pool.others[frame.name] = "labelled"
        pool.colours[called] = colours_of(frame.image)


def write(
    found: "Suggestions",
    pool: Pool,
    predictor: "Predictor",
    cfg: "EasyDict",
    sources: "Sources",
    out: Path,
) -> None:
    """The files for labelling tools, the page and its JSON; says where they lie."""
    from pose.images import read_image
    from pose.reports.page import write_report
    from pose.reports.suggest_page import cards_of, nobody_cards, suggest_page
    from pose.reports.suggestions import content_of

    runtime, threshold = predictor.runtime, cfg.predict.keypoint_threshold
    paths = {sources.name(path).as_posix(): path for path in sources.pictures}

    def read(name: str) -> "np.ndarray":
        return read_image(paths[name])

    calibrated = runtime.calibration is not None
    content = content_of(found, pool.others, runtime.skeleton, calibrated=calibrated)
    cards = cards_of(found.chosen(), content["images"], read, threshold)
    page = suggest_page(content, cards, nobody_cards(found.seen, read))
    folder = Path(sources.root).name
    write_annotations(found.chosen(), runtime.skeleton, threshold, out, folder=folder)
    report(content, write_report(out, NAME, page, content), out)


def write_annotations(
    chosen: "Sequence[Seen]", skeleton: "Skeleton", threshold: float, out: Path, *, folder: str
) -> None:
    """What CVAT and Label Studio import: the images by rank, poses to correct. `folder` is the name
    of the folder that the images' names start from."""
    from pose.data.cvat_labels import cvat_labels
    from pose.data.label_studio import growing_tasks, labelling_interface
    from pose.data.labelling import growing_annotations
    from pose.files import replacing
    from pose.records import write_json

    with (
        growing_annotations(out / ANNOTATIONS, skeleton, score_threshold=threshold) as add,
        growing_tasks(out / TASKS, skeleton, score_threshold=threshold, folder=folder) as add_task,
    ):
        for one in chosen:
            add(one.image)
            add_task(one.image)
    write_json(out / LABELS, cvat_labels(out / ANNOTATIONS), indent=1)
    with replacing(out / INTERFACE) as temporary:
        temporary.write_text(labelling_interface(skeleton), encoding="utf-8")


def report(content: dict[str, Any], pages: "Sequence[Path]", out: Path) -> None:
    """What was found and where it lies."""
    from pose.commands.tables import format_table

    counts = content["counts"]
    print(format_table(list(counts), [[str(number) for number in counts.values()]]))
    print(f"CVAT:         {out / ANNOTATIONS}, {out / LABELS}")
    print(f"Label Studio: {out / TASKS}, {out / INTERFACE}")
    for path in pages:
        print(f"{path.suffix[1:] + ':':13} {path}")


def take_back(args: argparse.Namespace) -> int:
    """What people made of the suggestion, as a file to train on, and what they changed."""
    from pose.commands.tables import format_table
    from pose.records import write_json
    from pose.reports.corrections import read_corrected

    if args.sources:
        raise ValueError(
            f"--corrected: reads {args.out} and the export, and no images; leave out "
            f"{args.sources[0]}"
        )
    target = args.out / CORRECTED
    check_new(target, overwrite=args.overwrite)
    corrected = read_corrected(args.corrected, args.out / ANNOTATIONS)
    write_json(target, corrected.content)
    rows = [[name, value] for name, value in corrected.changes.items()]
    print(format_table(["correction", "number"], rows))
    print(f"to train on: {target}")
    return 0
