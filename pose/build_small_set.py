"""The composition root's part for the pictures of an export: those that a file is compared on, and
those that int8 is calibrated with.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from easydict import EasyDict
from torch.utils.data import DataLoader

from pose.build import evaluation_loader
from pose.build_data import GROUND_TRUTH, Evaluator, data_path, evaluator_of, format_of, load_boxes
from pose.codecs import Codec
from pose.config import plain, resolve
from pose.data.dataset import PoseDataset
from pose.data.synthetic import write_synthetic
from pose.engine.distributed import Ranks
from pose.geometry import Crop
from pose.images import ImageFolder, list_images, read_image
from pose.records import write_json
from pose.reports.receipt import hashed
from pose.skeleton import Skeleton
from pose.structures import People

logger = logging.getLogger(__name__)

NUM_IMAGES = 100
"""Pictures with people that AP before and after is taken on."""

NUM_CROPS = 256
"""To calibrate with."""

DRAWN_SEED = 1_000_003
"""Of the pictures that are drawn where there are none: no set to train on has this seed."""


@dataclass(frozen=True, eq=False)
class SmallSet:
    """Labelled people to compare on."""

    cfg: EasyDict
    """Its validation data are the set."""
    about: dict[str, Any]
    """What the certificate says of it."""
    drawn: bool

    def people(self) -> People:
        """Those with labels, in their ground-truth boxes; ValueError where there are none."""
        people = load_boxes(self.cfg, GROUND_TRUTH)
        if not len(people):
            path = data_path(self.cfg, "val_annotations")
            raise ValueError(f"{path}: no person with labelled keypoints; nothing to compare on")
        return people

    def loader(self, people: People, codec: Codec) -> DataLoader:
        return evaluation_loader(self.cfg, people, codec, Ranks(torch.device("cpu")))

    def evaluators(self, people: People, skeleton: Skeleton) -> tuple[Evaluator, Evaluator] | None:
        """Two of the same; None where the set labels other keypoints than the network's."""
        if people.skeleton.keypoints != skeleton.keypoints:
            return None
        return evaluator_of(self.cfg, people), evaluator_of(self.cfg, people)


def small_set(cfg: EasyDict, overrides: Sequence[str], folder: Path) -> SmallSet:
    """Of the config's validation set the first `NUM_IMAGES` images with people (MPII's all), or as
    many drawn in `folder` where the set is not on this machine and no key names another."""
    annotations, images = data_path(cfg, "val_annotations"), data_path(cfg, "val_images")
    if annotations.exists() and images.exists():
        return _first_images(cfg, annotations, folder)
    if any(override.startswith("data.") for override in overrides):
        missing = images if annotations.exists() else annotations
        raise FileNotFoundError(f"{missing}: no such file of a validation set (data.*)")
    logger.warning(
        "%s is not here: the file is compared on %d drawn pictures; name yours with data.root=...",
        *(annotations, NUM_IMAGES),
    )
    about = {"drawn": True, "seed": DRAWN_SEED, "images": NUM_IMAGES}
    return SmallSet(_with_data(cfg, _drawn(folder, "val")), about, drawn=True)


def _drawn(folder: Path, split: str) -> dict[str, Any]:
    """Draws a split in `folder`; the keys of `data` that name it."""
    root = folder / f"drawn-{split}"
    write_synthetic(root, {split: NUM_IMAGES}, DRAWN_SEED)
    return {
        "format": "coco",
        "root": str(root),
        f"{split}_annotations": f"annotations/person_keypoints_{split}.json",
        f"{split}_images": f"images/{split}",
    }


def _first_images(cfg: EasyDict, annotations: Path, folder: Path) -> SmallSet:
    about = {"drawn": False, "annotations": hashed(annotations)}
    read = format_of(cfg).read
    if read is None:
        return SmallSet(_with_data(cfg, {}), about, drawn=False)
    content = dict(read(annotations))
    labelled = {a.get("image_id") for a in content.get("annotations", ()) if _is_labelled(a)}
    images = [image for image in content["images"] if image.get("id") in labelled][:NUM_IMAGES]
    chosen = {image["id"] for image in images}
    content["images"] = images
    content["annotations"] = [
        a for a in content.get("annotations", ()) if a.get("image_id") in chosen
    ]
    path = folder / "small.json"
    write_json(path, content)
    data = {"format": "coco", "val_annotations": str(path.resolve())}
    about["images"] = len(images)
    return SmallSet(_with_data(cfg, data), about, drawn=False)


def _is_labelled(annotation: Any) -> bool:
    return bool(annotation.get("num_keypoints") or any(annotation.get("keypoints") or ()))


def _with_data(cfg: EasyDict, data: dict[str, Any]) -> EasyDict:
    """The config with other data, read by this process alone."""
    layer = plain(cfg)
    return resolve({**layer, "data": {**layer["data"], **data, "workers": 0}}, "data")


def calibration_crops(
    codec: Codec, small: SmallSet, cfg: EasyDict, given: Path | None, folder: Path
) -> tuple[np.ndarray, dict[str, Any]]:
    """Crops (N, 3, H, W) uint8, and what the certificate says of them.

    From the folder `given`, of pictures of one person each; else from the training set, which is
    drawn in `folder` where the small set is. ValueError where there is neither.
    """
    if given is not None:
        return _whole_pictures(given, codec)
    if small.drawn:
        cfg = _with_data(cfg, _drawn(folder, "train"))
    annotations, images = data_path(cfg, "train_annotations"), data_path(cfg, "train_images")
    if not (annotations.exists() and images.exists()):
        raise ValueError(
            f"int8 is calibrated with pictures, and {annotations} is not here; give a folder of "
            "crops with --calibration DIR, or the training set with data.root=..."
        )
    people = format_of(cfg).load(annotations, None, cfg.data.box_rule)
    crops = PoseDataset(people, ImageFolder(images), codec.input_size, grid=codec.pixel_grid)
    chosen = np.random.default_rng(0).permutation(len(people))[:NUM_CROPS]
    pictures = np.stack([crops[0, int(i)].images.numpy() for i in chosen])
    about = {"drawn": True} if small.drawn else {"annotations": hashed(annotations)}
    return pictures, {**about, "crops": len(pictures)}


def _whole_pictures(folder: Path, codec: Codec) -> tuple[np.ndarray, dict[str, Any]]:
    """Pictures of a folder, evenly chosen, each brought whole to the input."""
    paths = list_images(folder)
    if not paths:
        raise ValueError(f"{folder}: holds no image file to calibrate with")
    chosen = np.linspace(0, len(paths) - 1, min(NUM_CROPS, len(paths))).round().astype(int)
    crops = []
    for path in (paths[i] for i in chosen):
        image = read_image(path)
        box = np.array([0, 0, image.shape[1], image.shape[0]])
        crop = Crop.of_box(box, codec.input_size, padding=1.0, grid=codec.pixel_grid)
        crops.append(crop.warp(image).transpose(2, 0, 1))
    return np.stack(crops), {"folder": folder.name, "crops": len(crops)}
