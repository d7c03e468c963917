"""COCO's ten figures of keypoint results: pycocotools itself, fed with checked input.

A figure without members (no medium-sized person in the ground truth, say) is nan where
pycocotools has -1.
"""

import contextlib
import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pose.metrics.coco_files import GroundTruth, checked_results, ground_truth_from
from pose.records import read_json

FIGURES = (
    "AP",
    "AP .5",
    "AP .75",
    "AP (M)",
    "AP (L)",
    "AR",
    "AR .5",
    "AR .75",
    "AR (M)",
    "AR (L)",
)
"""In pycocotools' order; M and L are people of 32^2 to 96^2 and above 96^2 square pixels."""


def score_results(
    results: Path | list[dict[str, Any]], annotations: Path | GroundTruth
) -> dict[str, float]:
    """The ten `FIGURES` of a result file, or of its entries, against an annotation file.

    No entry at all gives zeros. FileNotFoundError and ValueError are of one line and name the
    file, the entry and the field.
    """
    truth = annotations
    if not isinstance(truth, GroundTruth):
        truth = ground_truth_from(read_json(truth), str(truth))
    values = coco_stats(entries_of(results, truth), truth)
    return dict(zip(FIGURES, values, strict=True))


def entries_of(results: Path | list[dict[str, Any]], truth: GroundTruth) -> list[dict[str, Any]]:
    """The checked entries of a result file, or of a list of them."""
    if isinstance(results, list):
        return checked_results(results, truth, "results")
    return checked_results(read_json(results), truth, str(results))


def coco_stats(
    entries: list[dict[str, Any]], truth: GroundTruth, image_ids: Collection[int] | None = None
) -> list[float]:
    """The values of `FIGURES` for checked entries, nan without members; on some images only where
    they are named."""
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        labels = _index(truth, truth.annotations)
        # loadRes cannot take an empty list
        predictions = labels.loadRes(entries) if entries else _index(truth, [])
        evaluation = COCOeval(labels, predictions, "keypoints")
        evaluation.params.catIds = [truth.category_id]
        evaluation.params.kpt_oks_sigmas = truth.sigmas
        if image_ids is not None:
            evaluation.params.imgIds = sorted(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) if value >= 0 else float("nan") for value in evaluation.stats]


def _index(truth: GroundTruth, annotations: list[dict[str, Any]]) -> Any:
    """A pycocotools COCO object of these annotations."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id} for image_id in sorted(truth.image_ids)],
        "categories": [{"id": category_id} for category_id in sorted(truth.category_ids)],
        # copies: pycocotools writes its marks into them
        "annotations": [dict(annotation) for annotation in annotations],
    }
    coco.createIndex()
    return coco
