"""Scoring: predictions for a whole validation set -> COCO's ten figures.

Re-scoring, OKS-NMS and COCO's evaluation, with the labels in memory: those of the user's COCO file
where `data.root` says so, else as many people at random as val2017 has.
"""

import contextlib
import io
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from easydict import EasyDict

from pose.benchmarks.drawn import has_own_data
from pose.benchmarks.measure import PUBLISHED, Row, side_by_side
from pose.benchmarks.settings import Settings
from pose.build_data import data_path, evaluator_of, load_people, write_results
from pose.config import plain, resolve
from pose.metrics.coco import CocoEvaluator
from pose.metrics.coco_score import score_results
from pose.metrics.coco_scorers import installed_scorer
from pose.records import write_json
from pose.references import scoring
from pose.skeleton import COCO_17, skeleton_to_category
from pose.structures import People

IMAGES, PEOPLE, DETECTIONS = 2_693, 6_352, 104_000
"""Of val2017: images with labelled people, those people, and boxes of a published detection file.
Other labels get as many detections a person."""

ROUNDS = 3
"""The published way takes a minute."""

Ways = dict[str, Callable[[], list[float]]]
"""Each gives the ten figures, nan without members."""


def measure(settings: Settings) -> list[Row]:
    """The published scoring, and ours by each scorer that is there."""
    settings = with_labels(settings)
    people = load_people(settings.cfg, "val")
    evaluator = evaluator_with_predictions(settings.cfg, people)
    ways = ways_of(settings.cfg, evaluator, settings.folder)
    alone = {name: in_own_process(settings, name) for name in ways}
    published, _ = alone[PUBLISHED]
    agreements = {
        name: f"{apart(figures, published)}, {memory}" for name, (figures, memory) in alone.items()
    }
    count = len(evaluator.people)
    return side_by_side(
        f"OKS-NMS and scoring of {count:,} detections against {len(people):,} people",
        "detection",
        ways,
        count=count,
        rounds=ROUNDS,
        least_seconds=0,
        agreements=agreements,
    )


def with_labels(settings: Settings) -> Settings:
    """The settings with labels that are on this machine: those of the config, which must be there
    where data.root is named, else drawn ones below the settings' folder.

    ValueError for another format than COCO's.
    """
    layer = plain(settings.cfg)
    data = layer["data"]
    if not has_own_data(settings.cfg):
        write_json(settings.folder / "labels.json", drawn_labels(IMAGES, PEOPLE))
        drawn = {"root": str(settings.folder), "val_annotations": "labels.json", "format": "coco"}
        data = {**data, **drawn}
    if data["format"] != "coco":
        raise ValueError(f"data.format is {data['format']}: scoring is measured on coco's alone")
    return replace(settings, cfg=resolve({**layer, "data": data}, "data"))


def drawn_labels(num_images: int, num_people: int) -> dict[str, Any]:
    """People at random in COCO's form, a fifth of their keypoints not labelled."""
    rng = np.random.default_rng(0)
    heights = np.exp(rng.uniform(np.log(40), np.log(320), num_people))
    boxes = np.column_stack([rng.uniform(0, 400, (num_people, 2)), heights / 2, heights]).round(2)
    points = boxes[:, None, :2] + rng.random((num_people, 17, 2)) * boxes[:, None, 2:]
    visibility = rng.choice([0, 1, 2], (num_people, 17), p=[0.2, 0.2, 0.6])
    visibility[:, 0] = 2
    triplets = np.dstack([points.round(), visibility]) * (visibility > 0)[..., None]
    images = np.sort(rng.integers(1, num_images + 1, num_people))
    return {
        "images": [
            {"id": image_id, "file_name": f"{image_id}.jpg", "width": 640, "height": 640}
            for image_id in range(1, num_images + 1)
        ],
        "categories": [skeleton_to_category(COCO_17)],
        "annotations": [
            {
                "id": number + 1,
                "image_id": int(images[number]),
                "category_id": 1,
                "keypoints": triplets[number].astype(int).ravel().tolist(),
                "num_keypoints": int((visibility[number] > 0).sum()),
                "area": float(boxes[number, 2:].prod() * 0.6),
                "bbox": boxes[number].tolist(),
                "iscrowd": 0,
            }
            for number in range(num_people)
        ],
    }


def evaluator_with_predictions(
    cfg: EasyDict, labelled: People, share: float | None = None
) -> CocoEvaluator:
    """So many detections of each of the people (val2017's unless told), image by image, with
    keypoints that are near, further or far, and scores at random."""
    if not len(labelled):
        raise ValueError(f"{data_path(cfg, 'val_annotations')}: labels nobody, nothing to score")
    count = round(len(labelled) * (share or DETECTIONS / PEOPLE))
    chosen = np.argsort(labelled.image_ids, kind="stable")[
        np.sort(np.arange(count) % len(labelled))
    ]
    rng = np.random.default_rng(0)
    people = replace(
        labelled,
        image_index=labelled.image_index[chosen],
        image_ids=labelled.image_ids[chosen],
        boxes=labelled.boxes[chosen],
        keypoints=labelled.keypoints[chosen],
        visibility=labelled.visibility[chosen] * 0,
        areas=labelled.areas[chosen],
        scores=rng.random(count),
        annotation_ids=labelled.annotation_ids[chosen] * 0,
    )
    spread = np.sqrt(people.areas) * rng.choice([0.01, 0.05, 0.2], count)
    noise = spread[:, None, None] * rng.normal(size=people.keypoints.shape)
    evaluator = evaluator_of(cfg, people)
    assert isinstance(evaluator, CocoEvaluator)
    keypoint_scores = rng.random(people.visibility.shape)
    evaluator.update(np.arange(count), people.keypoints + noise, keypoint_scores)
    return evaluator


def ways_of(cfg: EasyDict, evaluator: CocoEvaluator, folder: Path) -> Ways:
    """The published one, ours by pycocotools and by the fastest scorer, and with the result file
    that `pose evaluate` writes; files come to lie below `folder`."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO(str(evaluator.annotations))
    fastest = installed_scorer()

    def with_file() -> list[float]:
        write_results(cfg, evaluator, folder)
        return _ours(evaluator, fastest)

    return {
        PUBLISHED: partial(_published, cfg, evaluator, labels, folder / "published.json"),
        **{name: partial(_ours, evaluator, name) for name in ("pycocotools", fastest)},
        f"{fastest}, and the result file written": with_file,
    }


def in_own_process(settings: Settings, way: str) -> tuple[list[float], str]:
    """The figures, and the most memory of a process that does this and nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        figures, peak = pool.submit(_figures_and_peak, settings, way).result()
    return figures, "memory unknown" if peak is None else f"at most {peak / 1e6:.0f} MB"


def apart(figures: list[float], others: list[float]) -> str:
    """The largest difference; a figure without members counts as -1."""
    distance = np.nan_to_num(figures, nan=-1) - np.nan_to_num(others, nan=-1)
    return f"figures within {np.abs(distance).max():.2g}"


def _published(cfg: EasyDict, evaluator: CocoEvaluator, labels: Any, path: Path) -> list[float]:
    index, keypoints, scores = evaluator.predictions()
    stats = scoring.evaluate(
        labels,
        np.concatenate([keypoints, scores[..., None]], axis=-1),
        evaluator.people.scores[index],
        evaluator.areas[index],
        evaluator.people.image_ids[index],
        path,
        sigmas=evaluator.sigmas,
        category_id=evaluator.category_id,
        keypoint_threshold=cfg.test.keypoint_score_threshold,
        nms_threshold=cfg.test.nms_threshold,
    )
    return [value if value >= 0 else float("nan") for value in stats]


def _ours(evaluator: CocoEvaluator, scorer: str) -> list[float]:
    assert evaluator.truth is not None
    return list(score_results(evaluator.found(), evaluator.truth, scorer).values())


def _figures_and_peak(settings: Settings, way: str) -> tuple[list[float], int | None]:
    evaluator = evaluator_with_predictions(settings.cfg, load_people(settings.cfg, "val"))
    return ways_of(settings.cfg, evaluator, settings.folder)[way](), _peak_memory()


def _peak_memory() -> int | None:
    """Bytes that this process held at most; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not what getrusage says: on Linux that starts from what the parent process held.
        [line] = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
