"""`pose predict`: poses of the people in given boxes, drawn on pictures or a video."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose.commands.common import (
    add_device_argument,
    add_out_argument,
    output_folder,
)
from pose.devices import choose_device

if TYPE_CHECKING:
    from pose.inference.boxes import BoxSource
    from pose.inference.predictor import Predictor

HELP = "poses drawn on images or a video, in the boxes that are given"

POSES = "poses.json"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("source", metavar="IMAGE|FOLDER|VIDEO", type=Path, help="what to look at")
    parser.add_argument(
        "--weights",
        metavar="FILE|NAME",
        type=Path,
        required=True,
        help="weights, a checkpoint or a name of `pose weights list`",
    )
    parser.add_argument(
        "--boxes",
        metavar="FILE|x1,y1,x2,y2[;...]",
        help="where the people are: a COCO annotation or detection file, or boxes in pixels that "
        "hold for every image or frame",
    )
    add_out_argument(parser, required=True, help="folder for drawn pictures and poses.json")
    add_device_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Predict, draw, write; an interrupted video ends with the frames that were done."""
    from pose.inference.boxes import parse_boxes
    from pose.video import VIDEO_SUFFIXES

    source: Path = args.source
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such image, folder or video")
    if args.boxes is None:
        raise ValueError(
            "no boxes: say where the people are with --boxes x1,y1,x2,y2[;...] (pixels), or with "
            "--boxes FILE, a COCO detection or annotation file"
        )
    folder = source if source.is_dir() else source.parent
    if args.out.resolve() == folder.resolve():
        raise ValueError(f"--out {args.out}: is the folder of the source; name another")
    boxes = parse_boxes(args.boxes)
    predictor = load_predictor(args.weights, args.device)
    output_folder(args.out, what="the drawn pictures")
    if source.suffix.lower() in VIDEO_SUFFIXES:
        return predict_video(predictor, source, boxes, args.out)
    return predict_images(predictor, source, boxes, args.out)


def load_predictor(weights: Path, device: str) -> "Predictor":
    from pose.build import load_network, predictor_of

    return predictor_of(load_network(weights), choose_device(device))


def predict_images(predictor: "Predictor", source: Path, boxes: "BoxSource", out: Path) -> int:
    """One image or the images of a folder; a drawn picture each, all poses in one file."""
    from tqdm import tqdm

    from pose.images import list_images, read_image, write_image
    from pose.inference.draw import draw_poses

    paths = list_images(source) if source.is_dir() else [source]
    if not paths:
        raise ValueError(f"{source}: holds no image file")
    entries: list[dict[str, Any]] = []
    empty = 0
    for image_id, path in enumerate(tqdm(paths, unit="image", disable=None), start=1):
        image, given = read_image(path), boxes.of_image(path)
        poses = predictor(image, given)
        empty += not len(poses)
        entries += [{**e, "file_name": path.name} for e in poses.to_coco(image_id)]
        # the whole name stays: a.jpg and a.png are two pictures
        name = path.name if path.suffix.lower() in (".jpg", ".jpeg") else f"{path.name}.jpg"
        write_image(out / name, draw_poses(image, poses))
    finish(entries, out, [("images", len(paths)), ("without boxes", empty)])
    return 0


def predict_video(predictor: "Predictor", source: Path, boxes: "BoxSource", out: Path) -> int:
    """A video with as many frames as the source; Ctrl-C closes it properly."""
    from tqdm import tqdm

    from pose.inference.draw import draw_poses
    from pose.video import VideoWriter, probe, read_frames

    info = probe(source)
    entries: list[dict[str, Any]] = []
    empty = 0
    interrupted = False
    with VideoWriter(out / f"{source.stem}.mp4", info.fps) as writer:
        frames = tqdm(read_frames(source), total=info.num_frames, unit="frame", disable=None)
        try:
            for number, (image, time) in enumerate(frames):
                given = boxes.of_frame(number)
                poses = predictor(image, given)
                writer.write(draw_poses(image, poses), time)
                entries += poses.to_coco(number)
                empty += not len(poses)
        except KeyboardInterrupt:
            if not writer.num_frames:
                raise
            interrupted = True
            done = writer.num_frames
            logger.warning("interrupted after %d frames; what is done is written", done)
    finish(entries, out, [("frames", writer.num_frames), ("without boxes", empty)])
    return 130 if interrupted else 0


def finish(entries: list[dict[str, Any]], out: Path, counts: Sequence[tuple[str, int]]) -> None:
    """Write the poses, print what was done and where it lies."""
    from pose.commands.tables import format_table
    from pose.records import write_json

    write_json(out / POSES, entries)
    headers = [name for name, _ in counts] + ["people"]
    print(format_table(headers, [[*(count for _, count in counts), len(entries)]]))
    print(f"pictures: {out}")
    print(f"poses:    {out / POSES}")
