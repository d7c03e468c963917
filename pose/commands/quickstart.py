"""`pose quickstart`: the whole job on drawn people, from nothing to figures and pictures."""

import argparse
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pose.commands.common import (
    add_device_argument,
    add_out_argument,
    check_own,
    output_folder,
)
from pose.devices import choose_device

if TYPE_CHECKING:
    import torch
    from easydict import EasyDict

    from pose.build import Network
    from pose.engine.distributed import Ranks
    from pose.engine.evaluation import Predictions
    from pose.structures import People

HELP = "draw a data set, train a small network, evaluate it, see poses"

CONFIG = "synthetic/quickstart"
SHIPPED = "hrnet_small"
NUM_IMAGES = {"train": 4000, "val": 300}
SEED = 0
CLIP_SECONDS, CLIP_FPS, CLIP_SIZE = 6, 15, (640, 480)
CLIP_SEED = 32
SHEET_IMAGES, SHEET_COLUMNS, SHEET_CELL = 16, 4, (400, 300)
SHOWN_SCORE = 0.3
"""Poses of a lower person score are left out of the pictures (never out of the figures)."""

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_out_argument(parser, default=Path("runs/quickstart"), help="folder for everything it makes")
    add_device_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Data, training, evaluation, pictures; a second call goes on where the first stopped."""
    from pose.build import load_network
    from pose.commands.tables import ap_table
    from pose.commands.train import train_in
    from pose.config import load_config
    from pose.data.synthetic.writing import MARKER, write_synthetic
    from pose.engine.checkpoints import BEST_WEIGHTS, newest
    from pose.engine.distributed import Ranks

    data, folder = args.out / "synthetic", args.out / "run"
    check_own(args.out, begun=(data / MARKER).is_file())
    out = output_folder(args.out, what="the quickstart")
    ranks = Ranks(choose_device(args.device))
    cfg = load_config(CONFIG, [f"data.root={data}"])
    with timed("1/4 draw people"):
        write_synthetic(data, NUM_IMAGES, SEED, progress=True)
    with timed("2/4 train"):
        train_in(cfg, folder, ranks, resume=newest(folder) is not None)
    boxes = str(data / cfg.data.val_boxes)
    with timed("3/4 evaluate with the detection file"):
        rows = figures_of_all(cfg, folder / BEST_WEIGHTS, boxes, out, ranks)
    with timed("4/4 draw poses"):
        network = load_network(folder / BEST_WEIGHTS)
        draw_pictures(out, cfg, network)
        draw_video(out, network, ranks.device)
    print(ap_table(rows))
    print(next_steps(out, folder / BEST_WEIGHTS, boxes))
    return 0


@contextmanager
def timed(title: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    logger.info("%s ...", title)
    start = time.perf_counter()
    yield
    logger.info("%s: %.0f s", title, time.perf_counter() - start)


def figures_of_all(
    cfg: "EasyDict", weights: Path, boxes: str, out: Path, ranks: "Ranks"
) -> dict[str, dict[str, float]]:
    """The figures of the network just trained, of the one that ships, and of what bounds both."""
    from pose.commands.evaluate import evaluate

    figures = evaluate(cfg, weights, boxes, out / "evaluation", ranks)
    assert figures is not None  # the synthetic set has labels
    return {
        "trained just now": figures,
        f"{SHIPPED}, as it ships": figures_of_shipped(cfg, boxes, ranks),
        "ceiling (perfect heatmaps)": ceiling(cfg, boxes),
    }


def figures_of_shipped(cfg: "EasyDict", boxes: str, ranks: "Ranks") -> dict[str, float]:
    """The figures of the network that comes with the package, by its own input and codec, in the
    precision that `pose predict` would choose."""
    from pose.build import load_network
    from pose.build_data import load_boxes
    from pose.build_evaluation import found_people
    from pose.build_network import decoder_of
    from pose.build_runtime import FIXED, precision_of
    from pose.config import plain, resolve
    from pose.published import find_weights

    network = load_network(find_weights(SHIPPED))
    own = {section: network.cfg[section] for section in FIXED}
    precision, _ = precision_of(cfg.predict.precision, ranks.device)
    own["test"] = {**cfg.test, "precision": precision}
    cfg = resolve({**plain(cfg), **plain(own)}, SHIPPED)
    people = load_boxes(cfg, boxes)
    decode = decoder_of(cfg, network.model, network.codec, network.skeleton, ranks.device)
    return figures_of(cfg, people, found_people(cfg, decode, people, ranks))


def ceiling(cfg: "EasyDict", boxes: str) -> dict[str, float]:
    """The figures of perfect heatmaps through the same boxes, crop, codec and NMS."""
    from pose.build import model_of
    from pose.build_data import load_boxes, load_people
    from pose.engine.evaluation import perfect_predictions

    people, labelled = load_boxes(cfg, boxes), load_people(cfg, "val")
    _, codec = model_of(cfg, people.skeleton)
    return figures_of(cfg, people, perfect_predictions(codec, people, labelled))


def figures_of(cfg: "EasyDict", people: "People", found: "Predictions") -> dict[str, float]:
    import numpy as np

    from pose.build_data import evaluator_of

    evaluator = evaluator_of(cfg, people)
    evaluator.update(np.arange(len(people)), found.keypoints, found.scores)
    return evaluator.compute()


def draw_pictures(out: Path, cfg: "EasyDict", network: "Network") -> None:
    """poses.jpg: held-out images with what was found in the detected boxes."""
    from pose.build_data import RESULTS, data_path
    from pose.data.coco import image_names
    from pose.images import ImageFolder, write_image
    from pose.inference.draw import contact_sheet, draw_poses
    from pose.records import read_json
    from pose.structures import Poses

    entries: dict[int, list[dict[str, Any]]] = {}
    for entry in read_json(out / "evaluation" / RESULTS["coco"]):
        if entry["score"] >= SHOWN_SCORE:
            entries.setdefault(entry["image_id"], []).append(entry)
    images = ImageFolder(data_path(cfg, "val_images"))
    names = image_names(data_path(cfg, "val_annotations"))
    pictures = [
        draw_poses(images.read(names[i]), Poses.from_coco(entries.get(i, []), network.skeleton))
        for i in sorted(names)[:SHEET_IMAGES]
    ]
    write_image(out / "poses.jpg", contact_sheet(pictures, SHEET_COLUMNS, SHEET_CELL))


def draw_video(out: Path, network: "Network", device: "torch.device") -> None:
    """poses.mp4: drawn people who move, and the poses found in the boxes around them."""
    import numpy as np

    from pose.build import predictor_of
    from pose.data.synthetic import draw_clip
    from pose.inference.draw import draw_poses
    from pose.video import VideoWriter

    predictor = predictor_of(network, device)
    scenes = draw_clip(CLIP_SEED, CLIP_SECONDS * CLIP_FPS, CLIP_FPS, CLIP_SIZE)
    with VideoWriter(out / "poses.mp4", CLIP_FPS) as writer:
        for scene in scenes:
            boxes = np.array([person.box for person in scene.people if person.area])
            writer.write(draw_poses(scene.image, predictor(scene.image, boxes)))


def next_steps(out: Path, weights: Path, boxes: str) -> str:
    """What lies where, and what to do with it."""
    return f"""
pictures: {out / "poses.jpg"}  {out / "poses.mp4"}
figures:  {out / "evaluation" / "receipt.json"}
run:      {out / "run"}  (weights, curves.png, sheets)

next:
  pose predict PHOTO.jpg --weights {weights} --boxes x1,y1,x2,y2 --out poses
  pose evaluate {CONFIG} --weights {weights} --boxes {boxes} data.root={out / "synthetic"}
  docs/own-data.md: the same config trained on people of your own"""
