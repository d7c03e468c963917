"""`pose predict`: poses of the people in pictures and videos, drawn and written down."""

import argparse
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
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

if TYPE_CHECKING:
    from easydict import EasyDict

    from pose.commands.sources import Sources
    from pose.data.labelling import LabelledImage
    from pose.inference.boxes import BoxSource
    from pose.inference.frames import Frame
    from pose.inference.predictor import Predictor
    from pose.skeleton import Skeleton

HELP = "poses of the people on images, videos, streams or a camera"

POSES = "poses.json"
ANNOTATIONS = "annotations.json"
OUT = Path("poses")
WEIGHTS = "hrnet_w32"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "sources",
        metavar="SOURCE|key=value",
        nargs="+",
        help="images, folders, patterns such as 'photos/*.jpg', videos, stream addresses or "
        "camera:0; key=value sets a key of the config, as in predict.person_threshold=0.5",
    )
    add_network_arguments(parser)
    parser.add_argument(
        "--track", action="store_true", help="give people in videos ids that stay; smooths them"
    )
    parser.add_argument(
        "--show", action="store_true", help="show what is found in a window; q or Esc ends it"
    )
    add_out_argument(parser, default=OUT, help="folder for drawn pictures and poses")
    add_overwrite_argument(parser)
    add_device_argument(parser)


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """--weights, and --detector or --boxes: what looks at people, and what says where they are."""
    parser.add_argument(
        "--weights",
        metavar="FILE|NAME",
        default=WEIGHTS,
        help="weights, a checkpoint, an .onnx or OpenVINO .xml file, or a name of "
        f"`pose weights list` (default: {WEIGHTS})",
    )
    parser.add_argument(
        "--detector",
        metavar="NAME|FILE",
        help="what finds the people: docs/detectors.md (default: the one for the device)",
    )
    parser.add_argument(
        "--boxes",
        metavar="FILE|x1,y1,x2,y2[;...]",
        help="where the people are, instead of a detector: a COCO annotation or detection file, or "
        "boxes in pixels that hold for every image or frame",
    )
    parser.add_argument(
        "--engine",
        choices=("auto", "torch", "onnxruntime", "openvino", "ray"),
        default="auto",
        help="what executes the network (default: by the kind of the weights file); ray: all "
        "machines of a cluster, for millions of files: docs/scale.md",
    )


def run(args: argparse.Namespace) -> int:
    """Predict, draw, write; what an interrupt leaves is what was done."""
    from pose.build_predictor import build_predictor
    from pose.commands.shard_output import predict_on_ray
    from pose.commands.sources import drawn_name, find_sources, split_keys
    from pose.commands.video_output import VideoJob, predict_video
    from pose.commands.window import show_window
    from pose.inference.boxes import parse_boxes
    from pose.video import probe

    if args.engine == "ray":
        return predict_on_ray(args)
    names, keys = split_keys(args.sources)
    sources = find_sources(names)
    if args.boxes is not None and args.detector is not None:
        raise ValueError("--boxes and --detector both say where the people are; give one of them")
    if args.track and not sources.videos:
        raise ValueError("--track follows people through videos; there is none among the sources")
    if args.out.resolve() in {path.resolve() for path in sources.folders()}:
        raise ValueError(f"--out {args.out}: is a folder of the sources; name another")
    check_new(args.out, overwrite=args.overwrite)
    boxes = None if args.boxes is None else parse_boxes(args.boxes)
    detector = None if boxes else args.detector or "default"
    predictor, cfg = build_predictor(
        args.weights, detector=detector, device=args.device, engine=args.engine, keys=keys
    )
    output_folder(args.out, what="the drawn pictures")
    status = 0
    with show_window(args.show) as show:
        if sources.pictures:
            status = predict_images(predictor, cfg, sources, boxes, args.out, show)
        for video in sources.videos:
            if status != INTERRUPTED:
                out = args.out / drawn_name(sources.name(video), ".mp4")
                watch = show if args.show else None
                job = VideoJob(video, probe(video), out, boxes, args.track, watch)
                status = max(status, predict_video(predictor, cfg, job))
    return status


def predict_images(
    predictor: "Predictor",
    cfg: "EasyDict",
    sources: "Sources",
    boxes: "BoxSource | None",
    out: Path,
    show: Any,
) -> int:
    """A drawn picture for each, all poses as a COCO result file and as annotations."""
    from tqdm import tqdm

    from pose.commands.sources import JPEG_SUFFIXES, drawn_name
    from pose.data.labelling import LabelledImage
    from pose.images import write_image
    from pose.inference.draw import draw_poses
    from pose.inference.frames import look_through
    from pose.inference.pipeline import ahead
    from pose.interrupts import interrupt_flag

    unreadable: list[str] = []
    counts: Counter[str] = Counter()
    boxes_of = None if boxes is None else lambda frame: boxes.of_image(PurePath(frame.name))
    frames = ahead(read_pictures(sources, unreadable))
    bar = tqdm(total=len(sources.pictures), unit="image", disable=None)
    with (
        written_down(predictor.runtime.skeleton, cfg, out) as write_down,
        bar,
        closing(frames),
        interrupt_flag() as interrupted,
        kept_on_failure(counts) as failures,
    ):
        for frame, poses in look_through(predictor, frames, boxes_of):
            picture = draw_poses(frame.image, poses, score_threshold=cfg.predict.keypoint_threshold)
            write_image(out / drawn_name(PurePath(frame.name), ".jpg", JPEG_SUFFIXES), picture)
            size = (frame.image.shape[1], frame.image.shape[0])
            write_down(LabelledImage(frame.number, frame.name, size, poses))
            counts.update({"images": 1, "without people": not len(poses), "people": len(poses)})
            bar.update()
            if interrupted.is_set() or not show(picture):
                break
    if interrupted.is_set() or failures:
        ended = "stopped" if failures else "interrupted"
        logger.warning("%s after %d images; what is done is written", ended, counts["images"])
    if failures:
        raise failures[0]
    report(counts, len(unreadable), out)
    return INTERRUPTED if interrupted.is_set() else 2 if unreadable else 0


@contextmanager
def kept_on_failure(counts: Mapping[str, int]) -> Iterator[list[Exception]]:
    """Puts an error of the block into the list, for what is done to be written before it is told;
    one before anything is done passes."""
    failures: list[Exception] = []
    try:
        yield failures
    except Exception as error:
        if not counts:
            raise
        failures.append(error)


def read_pictures(sources: "Sources", unreadable: list[str]) -> Iterator["Frame"]:
    """The pictures one after the other, with the names and ids that the outputs give them."""
    from pose.commands.sources import image_ids, readable
    from pose.inference.frames import Frame

    paths = {sources.name(path).as_posix(): path for path in sources.pictures}
    ids = image_ids(paths, {})
    for name, image in readable(paths, unreadable):
        yield Frame(ids[name], 0.0, image, name)


@contextmanager
def written_down(
    skeleton: "Skeleton", cfg: "EasyDict", out: Path
) -> "Iterator[Callable[[LabelledImage], None]]":
    """`poses.json`, as COCO's server reads it, and `annotations.json`, as labelling tools do; both
    appear when the block ends."""
    from pose.data.labelling import growing_annotations
    from pose.growing_json import growing_list

    threshold = cfg.predict.keypoint_threshold
    with (
        growing_list(out / POSES) as append,
        growing_annotations(out / ANNOTATIONS, skeleton, score_threshold=threshold) as add,
    ):

        def write_down(image: "LabelledImage") -> None:
            threshold = cfg.test.keypoint_score_threshold
            for entry in image.poses.to_coco(image.image_id, score_threshold=threshold):
                append({**entry, "file_name": image.name})
            add(image)

        yield write_down


def report(counts: Mapping[str, int], num_unreadable: int, out: Path) -> None:
    """What was done and where it lies."""
    from pose.commands.tables import format_table

    columns = {name: counts.get(name, 0) for name in ("images", "without people", "people")}
    if num_unreadable:
        columns["unreadable"] = num_unreadable
    print(format_table(list(columns), [[str(count) for count in columns.values()]]))
    print(f"pictures:    {out}")
    print(f"poses:       {out / POSES}")
    print(f"annotations: {out / ANNOTATIONS}")
