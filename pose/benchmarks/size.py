"""What a unit of work costs as work grows: no stage may cost more than in proportion.

People a batch and people a picture are seen by the network of the config, images by what reads
their labels and what scores them, workers by the loader of an evaluation.
"""

import os
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader

from pose.benchmarks.drawn import with_data
from pose.benchmarks.measure import Row, by_size
from pose.benchmarks.model import made_crops, wake
from pose.benchmarks.score import drawn_labels, evaluator_with_predictions
from pose.benchmarks.settings import Settings
from pose.build import evaluation_loader, model_of
from pose.build_data import load_boxes, load_people, load_val_boxes
from pose.build_network import codec_of
from pose.build_runtime import precision_of
from pose.config import plain, resolve
from pose.engine.distributed import Ranks
from pose.inference.boxes import Boxes
from pose.inference.predict import CPU_BATCH, Runtime, find_poses, torch_runtime
from pose.models.folding import DTYPES, for_inference
from pose.records import write_json
from pose.skeleton import COCO_17

BATCHES = (1, 2, 4, 8, 16, 32, 64)
PEOPLE = (1, 3, 10, 30, 100)
IMAGES = (100, 1_000, 10_000, 100_000)
DETECTIONS = 2
"""Of each of the people, of whom there are as many as images."""
WORKERS = (0, 1, 2, 4, 8)
STRIDE = 4

ROUNDS = 3


def measure(settings: Settings) -> list[Row]:
    """Each stage by the size that it can grow in."""
    runtime, crops = network(settings)
    return [
        *of_batches(runtime, crops),
        *of_people(runtime, settings.device),
        *of_images(settings),
        *of_workers(with_data(settings)),
    ]


def network(settings: Settings) -> tuple[Runtime, torch.Tensor]:
    """As `pose predict` runs it, with weights at random, and crops for it."""
    model, codec = model_of(settings.cfg, COCO_17)
    crops = made_crops(codec, max(BATCHES))
    wake(model, crops[:8])
    precision, _ = precision_of(settings.cfg.predict.precision, settings.device)
    model = for_inference(model.to(settings.device), DTYPES[precision])
    flip = settings.cfg.test.flip
    return torch_runtime(model, codec, COCO_17, settings.device, flip=flip, note=precision), crops


def of_batches(runtime: Runtime, crops: torch.Tensor) -> list[Row]:
    """Crops to keypoints."""
    sizes = {batch: partial(runtime.find, crops[:batch]) for batch in BATCHES}
    work = f"network and decoding, {runtime.name}"
    return by_size(work, "person", sizes, what="people a batch", rounds=ROUNDS)


def of_people(runtime: Runtime, device: torch.device) -> list[Row]:
    """A picture to its poses, in as many boxes."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (480, 640, 3), np.uint8)
    corners = rng.uniform(0, 300, (max(PEOPLE), 2))
    sides = rng.uniform([30, 60], [150, 300], (max(PEOPLE), 2))
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    batch = CPU_BATCH if device.type == "cpu" else max(BATCHES)
    sizes = {
        number: partial(
            find_poses,
            runtime,
            [image],
            [Boxes(boxes[:number], np.ones(number, np.float32))],
            batch,
        )
        for number in PEOPLE
    }
    work = f"a picture's crops, network and decoding, {runtime.name}"
    return by_size(work, "person", sizes, what="people a picture", rounds=ROUNDS)


def of_images(settings: Settings) -> list[Row]:
    """Labels and detections read, and found keypoints scored."""
    reading: dict[int, Callable[[], object]] = {}
    scoring: dict[int, Callable[[], object]] = {}
    for number in IMAGES:
        labels, boxes = f"labels_{number}.json", settings.folder / f"boxes_{number}.json"
        write_json(settings.folder / labels, drawn_labels(number, number))
        data = {"root": str(settings.folder), "val_annotations": labels, "format": "coco"}
        layer = plain(settings.cfg)
        cfg = resolve({**layer, "data": {**layer["data"], **data}}, "data")
        evaluator = evaluator_with_predictions(cfg, load_people(cfg, "val"), DETECTIONS)
        found = evaluator.people
        write_json(
            boxes,
            [
                {"image_id": int(image), "category_id": 1, "bbox": box.tolist(), "score": score}
                for image, box, score in zip(
                    found.image_ids, found.boxes, found.scores.tolist(), strict=True
                )
            ],
        )
        reading[number] = partial(load_boxes, cfg, str(boxes))
        scoring[number] = evaluator.compute
    grown = partial(by_size, unit="image", what="images", rounds=ROUNDS)
    return [
        *grown("labels and detections read, 1 person and 2 boxes an image", sizes=reading),
        *grown("OKS-NMS and scoring, 2 detections an image", sizes=scoring),
    ]


def of_workers(settings: Settings) -> list[Row]:
    """An evaluation's samples, from the photographs, by as many processes as there are cores."""
    cfg, ranks = settings.cfg, Ranks(settings.device)
    people, codec = load_val_boxes(cfg), codec_of(cfg, STRIDE)
    layer = plain(cfg)
    sizes: dict[int, Callable[[], object]] = {}
    for workers in WORKERS:
        if workers > (os.cpu_count() or 1):
            break
        data = {**layer["data"], "workers": workers}
        loader = evaluation_loader(resolve({**layer, "data": data}, "data"), people, codec, ranks)
        sizes[workers] = partial(_read, loader)
    counts = dict.fromkeys(sizes, len(people))
    work = "an evaluation's samples"
    return by_size(work, "sample", sizes, what="workers", rounds=ROUNDS, counts=counts)


def _read(loader: DataLoader) -> int:
    return sum(len(batch.index) for batch in loader)
