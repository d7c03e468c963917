"""`pose diagnose`: what a result file loses AP to, as one HTML file and the same as JSON."""

import argparse
import copy
import logging
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
    from pose.inference.predictor import Predictor
    from pose.reports.diagnosis import Case

HELP = "what a result file loses AP to: errors, scores, boxes; a page with a gallery"

NAME = "diagnosis"

DECODINGS = ("gaussian", "dark")
"""Codecs that read the same maps."""

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "results", type=Path, metavar="RESULTS", help="keypoint results in COCO's form"
    )
    parser.add_argument(
        "--annotations", type=Path, required=True, metavar="GT", help="COCO's annotation file"
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder or .zip of the images, for the gallery"
    )
    parser.add_argument(
        "--detections",
        type=Path,
        metavar="FILE",
        help="the boxes that the results were made with: what they cost",
    )
    parser.add_argument(
        "--gt-results",
        type=Path,
        metavar="FILE",
        help="results of the same network on ground-truth boxes: boxes against pose (not with "
        "--weights, which looks itself)",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE|NAME",
        help="the network itself, for the same and more: box shift and scale, flip, decoding, "
        "suppression (needs --images)",
    )
    add_out_argument(parser, default=Path("diagnosis"))
    add_overwrite_argument(parser)
    add_device_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Diagnose and write both files; ValueError and FileNotFoundError are for the user to read."""
    from pose.images import ImageFolder
    from pose.reports.diagnosis import read_case
    from pose.reports.diagnosis_page import diagnosis_page
    from pose.reports.gallery import card_texts, cards_of, gallery_data, way_to
    from pose.reports.page import write_report

    check_has_images(args)
    if args.weights and args.gt_results:
        raise ValueError(
            "--gt-results and --weights both say what ground-truth boxes would give; give one of "
            "them"
        )
    check_new(args.out, overwrite=args.overwrite)
    images = ImageFolder(args.images) if args.images else None
    case = read_case(args.results, args.annotations)
    content = {
        "results": args.results.name,
        "annotations": args.annotations.name,
        **content_of(case),
        **boxes_of(case, args, images),
    }
    cards = cards_of(case)
    beside = way_to(args.out, args.images) if args.images else None
    text = diagnosis_page(content, gallery_data(case, cards, images, beside))
    output_folder(args.out, what="the diagnosis")
    everything = {**content, "gallery": card_texts(case, cards)}
    report(content)
    for path in write_report(args.out, NAME, text, everything):
        print(f"{path.suffix[1:]:4} {path}")
    return 0


def content_of(case: "Case") -> dict[str, Any]:
    """What the two files alone tell."""
    from tqdm import tqdm

    from pose.reports.diagnosis import diagnose, keypoint_gains
    from pose.reports.diagnosis_groups import by_group, by_keypoint

    names = case.truth.skeleton.keypoints
    with tqdm(
        total=len(names), desc="keypoints", unit="keypoint", disable=None, leave=False
    ) as bar:
        gains = keypoint_gains(case, bar.update)
    return {
        **diagnose(case),
        "keypoints": by_keypoint(case, gains),
        "groups": by_group(case),
    }


def boxes_of(case: "Case", args: argparse.Namespace, images: Any) -> dict[str, Any]:
    """What further files and the network tell of the boxes."""
    if not (args.detections or args.weights or args.gt_results):
        return {}
    from pose.reports.diagnosis import read_case
    from pose.reports.diagnosis_boxes import box_losses, pose_against_boxes, read_detections

    content: dict[str, Any] = {}
    detected = None
    if args.detections:
        detected = read_detections(case, args.detections, args.annotations)
        content["detections"] = box_losses(case, detected)
    if args.weights:
        from pose.data.coco import load_coco
        from pose.reports.network_study import divided, network_study

        networks = networks_of(args.weights, args.device)
        found, labelled = next(iter(networks.values())).runtime.skeleton, case.truth.skeleton
        check_same_keypoints(found, labelled, args.weights, args.annotations)
        people = load_coco(args.annotations, labelled)
        content["network"] = network_study(case, networks, images, people, detected)
        content["lost to"] = divided(content["network"]["boxes"])
    if args.gt_results:
        other = read_case(args.gt_results, args.annotations)
        content["lost to"] = pose_against_boxes(case, other)
    return content


def networks_of(weights: Path, device: str) -> "dict[str, Predictor]":
    """The network as its file says, then with the flip test the other way and with each other way
    to decode its maps, as far as it can be run so; batches are those of an evaluation."""
    from pose.build_runtime import runtime_of
    from pose.devices import choose_device
    from pose.inference.predict import people_at_once
    from pose.inference.predictor import Predictor

    precise = "predict.precision=fp32"
    runtime, cfg = runtime_of(weights, device=device, overrides=[precise])
    flip, codec = cfg.test.flip, cfg.codec.name
    runtimes = {f"{_named(flip)}, {codec}": runtime}
    try:
        keys = [precise, f"test.flip={str(not flip).lower()}"]
        runtimes[f"{_named(not flip)}, {codec}"], _ = runtime_of(
            weights, device=device, overrides=keys
        )
    except ValueError as error:  # the flip test is inside the file
        logger.info("not varied: %s", error)
    for other in DECODINGS if codec in DECODINGS else ():
        if other != codec:
            try:
                runtimes[f"{_named(flip)}, {other}"] = decoded_as(weights, other, device)
            except ValueError as error:
                logger.info("not varied: %s", error)
    size = people_at_once(cfg.test.batch_size, choose_device(device))
    return {name: Predictor(found, batch_size=size) for name, found in runtimes.items()}


def decoded_as(weights: Path, codec: str, device: str) -> "Runtime":
    """The network with its maps read by another codec; ValueError where they are read inside its
    file."""
    from pose.build import load_network
    from pose.build_network import codec_of
    from pose.build_runtime import engines_of, runtime_of
    from pose.devices import choose_device
    from pose.inference.predict import torch_runtime

    if engines_of(weights)[0] != "torch":
        return runtime_of(weights, device=device, overrides=[f"codec.name={codec}"])[0]
    network = load_network(weights)
    cfg = copy.deepcopy(network.cfg)
    cfg.codec.name = codec
    stride = network.codec.stride  # type: ignore[attr-defined]
    return torch_runtime(
        network.model,
        codec_of(cfg, stride),
        network.skeleton,
        choose_device(device),
        flip=cfg.test.flip,
    )


def _named(flip: bool) -> str:
    return "flip test" if flip else "no flip test"


def report(content: dict[str, Any]) -> None:
    """The figures and, the dearest first, what each error costs."""
    from pose.commands.tables import ap_table, format_table

    print(ap_table({content["results"]: content["figures"]}))
    rows = sorted(content["alone"], key=lambda row: -row["gain"])
    names = ("AP", "gain", "gain (M)", "gain (L)")
    print(format_table(["put right", *names], [[r["error"], *(r[n] for n in names)] for r in rows]))
