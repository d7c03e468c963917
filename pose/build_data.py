"""The composition root's part for data: the files a config names, read and scored by its format.

A format is a loader of labelled people, an evaluator and a file of results; all else is shared.
"""

from pathlib import Path
from typing import Any

from easydict import EasyDict

from pose.data.coco import labelled_skeleton, load_coco, load_detections
from pose.data.mpii import load_mpii
from pose.geometry import box_center_extent
from pose.metrics.coco import CocoEvaluator
from pose.metrics.coco_files import write_results as write_coco
from pose.metrics.mpii import MpiiEvaluator
from pose.metrics.mpii_files import write_predictions as write_mpii
from pose.skeleton import MPII_16, Skeleton
from pose.structures import People

GROUND_TRUTH = "gt"
"""What stands for the boxes of the annotations wherever a detection file could be named."""

RESULTS = {"coco": "results.json", "mpii": "pred.mat"}
"""The file of results of each format, as its own server or toolkit reads it."""

Evaluator = CocoEvaluator | MpiiEvaluator


def data_path(cfg: EasyDict, name: str) -> Path:
    """The path that `data.<name>` stands for: relative ones start at data.root."""
    return Path(cfg.data.root) / cfg.data[name]


def val_skeleton(cfg: EasyDict) -> Skeleton | None:
    """Of the validation annotations; None where they list no keypoints (a test split)."""
    if cfg.data.format == "mpii":
        return MPII_16
    return labelled_skeleton(data_path(cfg, "val_annotations"))


def load_people(cfg: EasyDict, split: str, skeleton: Skeleton | None = None) -> People:
    """The labelled people of 'train' or 'val'."""
    path = data_path(cfg, f"{split}_annotations")
    if cfg.data.format == "mpii":
        return load_mpii(path)
    return load_coco(path, skeleton, box_rule=cfg.data.box_rule)


def load_boxes(cfg: EasyDict, boxes: str | Path, skeleton: Skeleton | None = None) -> People:
    """The validation people to look at: labelled ones for 'gt', else those of a detection file."""
    if str(boxes) == GROUND_TRUTH:
        return load_people(cfg, "val", skeleton)
    if cfg.data.format == "mpii":
        raise ValueError(
            f"{boxes}: MPII is evaluated at its annotated centres and scales; give gt as the boxes"
        )
    return load_detections(
        Path(boxes),
        data_path(cfg, "val_annotations"),
        score_threshold=cfg.test.box_score_threshold,
        skeleton=skeleton,
    )


def evaluator_of(cfg: EasyDict, people: People) -> Evaluator:
    """The figures of the validation annotations for the people looked at."""
    annotations = data_path(cfg, "val_annotations")
    if cfg.data.format == "mpii":
        return MpiiEvaluator(annotations.with_name(f"gt_{annotations.stem}.mat"), people)
    _, extents = box_center_extent(people.boxes, tuple(cfg.model.input_size))
    return CocoEvaluator(
        annotations,
        people,
        extents.prod(axis=1),
        keypoint_score_threshold=cfg.test.keypoint_score_threshold,
        nms_threshold=cfg.test.nms_threshold,
        soft_nms=cfg.test.soft_nms,
    )


def write_results(cfg: EasyDict, evaluator: Any, folder: Path) -> Path:
    """What an evaluator collected, as its format's file; returns the path."""
    path = folder / RESULTS[cfg.data.format]
    write = write_mpii if cfg.data.format == "mpii" else write_coco
    write(path, evaluator.results())
    return path
