"""The composition root's part for data: the files a config names, read and scored by its format.

A format is a loader of labelled people, an evaluator and a file of results; all else is shared.
`FORMATS` chooses.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from easydict import EasyDict

from pose.data.aic import read_aic
from pose.data.coco import (
    BoxRule,
    Reader,
    labelled_skeleton,
    load_coco,
    load_detections,
    read_annotations,
)
from pose.data.columns import kept_people
from pose.data.forms import read_crowdpose, read_halpe
from pose.data.merge import ImageFolders, merge_people, shared_keypoints
from pose.data.mpii import load_mpii
from pose.data.posetrack import read_posetrack
from pose.files import cache_folder
from pose.geometry import box_center_extent
from pose.images import ImageFolder
from pose.metrics.coco import CocoEvaluator, Score
from pose.metrics.coco_files import write_results as write_coco
from pose.metrics.coco_score import score_results
from pose.metrics.crowdpose import score_crowdpose
from pose.metrics.mpii import MpiiEvaluator
from pose.metrics.mpii_files import write_predictions as write_mpii
from pose.metrics.posetrack import score_posetrack
from pose.metrics.posetrack_files import write_sequences
from pose.skeleton import MPII_16, Skeleton, skeleton_to_category
from pose.structures import People

logger = logging.getLogger(__name__)

GROUND_TRUTH = "gt"
"""What stands for the boxes of the annotations wherever a detection file could be named."""

Evaluator = CocoEvaluator | MpiiEvaluator


@dataclass(frozen=True)
class Format:
    """How the files of one kind become people, figures and results."""

    skeleton: Callable[[Path], Skeleton | None]
    """Of an annotation file; None where it lists no keypoints (a test split)."""
    load: Callable[[Path, Skeleton | None, BoxRule], People]
    evaluator: Callable[[EasyDict, Path, People], Evaluator]
    write: Callable[[Path, Any], None]
    """(path, evaluator): what it collected, as the format's own server or toolkit reads it."""
    results_name: str
    truth: Callable[[Path], Path] = lambda annotations: annotations
    """The file that figures are taken against."""
    read: Reader | None = None
    """The annotations as COCO's; None where they are not, and no boxes but theirs are taken."""
    score: Score = score_results


def in_coco_form(
    read: Reader,
    score: Score = score_results,
    results_name: str = "results.json",
    write: Callable[[Path, Any], None] = lambda path, found: write_coco(path, found.results()),
) -> Format:
    """A format whose files `read` gives as COCO's, with COCO's figures unless another `score`."""

    def load(path: Path, skeleton: Skeleton | None, box_rule: BoxRule) -> People:
        reading = f"{read.__name__} {box_rule} {skeleton and skeleton_to_category(skeleton)}"
        folder = cache_folder("annotations")
        parse = partial(load_coco, path, skeleton, box_rule=box_rule, read=read)
        return kept_people(path, folder, reading, parse)

    def evaluator(cfg: EasyDict, annotations: Path, people: People) -> CocoEvaluator:
        _, extents = box_center_extent(people.boxes, tuple(cfg.model.input_size))
        return CocoEvaluator(
            annotations,
            people,
            extents.prod(axis=1),
            keypoint_score_threshold=cfg.test.keypoint_score_threshold,
            nms_threshold=cfg.test.nms_threshold,
            soft_nms=cfg.test.soft_nms,
            read=read,
            score=score,
        )

    skeleton = partial(labelled_skeleton, read=read)
    return Format(skeleton, load, evaluator, write, results_name, read=read, score=score)


def mpii_truth(annotations: Path) -> Path:
    return annotations.with_name(f"gt_{annotations.stem}.mat")


FORMATS = {
    "coco": in_coco_form(read_annotations),
    "mpii": Format(
        skeleton=lambda path: MPII_16,
        load=lambda path, skeleton, box_rule: load_mpii(path),
        evaluator=lambda cfg, path, people: MpiiEvaluator(mpii_truth(path), people),
        write=lambda path, found: write_mpii(path, found.results()),
        results_name="pred.mat",
        truth=mpii_truth,
    ),
    "crowdpose": in_coco_form(read_crowdpose, score_crowdpose),
    "aic": in_coco_form(read_aic),
    "halpe": in_coco_form(read_halpe),
    "posetrack": in_coco_form(
        read_posetrack,
        score_posetrack,
        "results",
        lambda path, found: write_sequences(path, found.results(), found.dataset),
    ),
}

RESULTS = {name: form.results_name for name, form in FORMATS.items()}
"""The file (PoseTrack: the folder) of results of each format."""


def format_of(cfg: EasyDict) -> Format:
    """That of the validation set and of the first training set."""
    return FORMATS[cfg.data.format]


def data_path(cfg: EasyDict, name: str) -> Path:
    """The path that `data.<name>` stands for: relative ones start at data.root."""
    return Path(cfg.data.root) / cfg.data[name]


def val_skeleton(cfg: EasyDict) -> Skeleton | None:
    """Of the validation annotations; None where they list no keypoints (a test split)."""
    return format_of(cfg).skeleton(data_path(cfg, "val_annotations"))


def load_people(cfg: EasyDict, split: str, skeleton: Skeleton | None = None) -> People:
    """The labelled people of 'train', further sets included, or of 'val'."""
    path = data_path(cfg, f"{split}_annotations")
    people = format_of(cfg).load(path, skeleton, cfg.data.box_rule)
    return _with_further_sets(cfg, path, people) if split == "train" else people


def training_images(cfg: EasyDict) -> ImageFolder | ImageFolders:
    """What reads the images of the training people, by the names that `load_people` gave them."""
    first, further = data_path(cfg, "train_images"), cfg.data.more_images
    if not cfg.data.more_annotations:
        return ImageFolder(first)
    return ImageFolders([first, *(Path(cfg.data.root) / name for name in further)])


def _with_further_sets(cfg: EasyDict, path: Path, people: People) -> People:
    """The training people and those of data.more_annotations, by the names of the first set."""
    data = cfg.data
    formats = data.more_formats or [data.format] * len(data.more_annotations)
    if not len(data.more_annotations) == len(data.more_images) == len(formats):
        raise ValueError(
            f"data.more_annotations, more_images and more_formats list {len(data.more_annotations)}"
            f", {len(data.more_images)} and {len(formats)}; give one of each for a further set"
        )
    if not data.more_annotations:
        return people
    skeleton, sets = people.skeleton, [people]
    logger.info("%s: %d people, all %d keypoints", path, len(people), skeleton.num_keypoints)
    for name, form in zip(data.more_annotations, formats, strict=True):
        further = Path(data.root) / name
        found = FORMATS[form].load(further, None, data.box_rule)
        shared = len(shared_keypoints(found, skeleton))
        if not shared:
            raise ValueError(
                f"{further}: none of its keypoints ({', '.join(found.skeleton.keypoints)}) is one "
                f"of {path} ({', '.join(skeleton.keypoints)})"
            )
        logger.info(
            "%s: %d people, %d of the %d keypoints (of its own %d)",
            *(further, len(found), shared, skeleton.num_keypoints, found.skeleton.num_keypoints),
        )
        sets.append(found)
    return merge_people(sets, skeleton)


def load_boxes(cfg: EasyDict, boxes: str | Path, skeleton: Skeleton | None = None) -> People:
    """The validation people to look at: labelled ones for 'gt', else those of a detection file."""
    if str(boxes) == GROUND_TRUTH:
        return load_people(cfg, "val", skeleton)
    read = format_of(cfg).read
    if read is None:
        raise ValueError(
            f"{boxes}: MPII is evaluated at its annotated centres and scales; give gt as the boxes"
        )
    return load_detections(
        Path(boxes),
        data_path(cfg, "val_annotations"),
        score_threshold=cfg.test.box_score_threshold,
        skeleton=skeleton,
        read=read,
    )


def load_val_boxes(cfg: EasyDict) -> People:
    """The validation people in the boxes that `data.val_boxes` names."""
    boxes = cfg.data.val_boxes
    return load_boxes(cfg, boxes if boxes == GROUND_TRUTH else data_path(cfg, "val_boxes"))


def evaluator_of(cfg: EasyDict, people: People) -> Evaluator:
    """The figures of the validation annotations for the people looked at."""
    return format_of(cfg).evaluator(cfg, data_path(cfg, "val_annotations"), people)


def write_results(cfg: EasyDict, evaluator: Any, folder: Path) -> Path:
    """What an evaluator collected, as its format's file or folder; returns the path."""
    form = format_of(cfg)
    path = folder / form.results_name
    form.write(path, evaluator)
    return path
