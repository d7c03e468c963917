"""COCO's ten figures of keypoint results: those of pycocotools, fed with checked input.

A figure without members (no medium-sized person in the ground truth, say) is nan where
pycocotools has -1.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose.metrics.coco_files import (
    GroundTruth,
    Results,
    checked_results,
    ground_truth_from,
    say_repeated,
)
from pose.metrics.coco_scorers import SCORERS, Dataset, installed_scorer
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

SCORED_PEOPLE = 20
"""Of an image, the best: COCO looks at no others."""


def score_results(
    results: Path | Sequence[dict[str, Any]],
    annotations: Path | GroundTruth,
    scorer: str | None = None,
) -> dict[str, float]:
    """The ten `FIGURES` of a result file, or of its entries, against an annotation file.

    No entry at all gives zeros. scorer is a name in `SCORERS` (None: the fastest that is there).
    FileNotFoundError and ValueError are of one line and name the file, the entry and the field.
    """
    truth = annotations
    if not isinstance(truth, GroundTruth):
        truth = ground_truth_from(read_json(truth), str(truth))
    if isinstance(results, Results) and truth.image_ids.issuperset(results.image_ids.tolist()):
        say_repeated(results.image_ids.tolist(), results.keypoints, "results")
        entries: Sequence[dict[str, Any]] = results
    else:
        entries = entries_of(results, truth)
    return dict(zip(FIGURES, coco_stats(entries, truth, scorer=scorer), strict=True))


def entries_of(
    results: Path | Sequence[dict[str, Any]], truth: GroundTruth, source: str = "results"
) -> list[dict[str, Any]]:
    """The checked entries of a result file, or of a list of them, which messages call `source`."""
    if isinstance(results, Path | str):
        return checked_results(read_json(Path(results)), truth, str(results))
    return checked_results(list(results), truth, source)


def coco_stats(
    entries: Sequence[dict[str, Any]],
    truth: GroundTruth,
    image_ids: Collection[int] | None = None,
    scorer: str | None = None,
) -> list[float]:
    """The values of `FIGURES` for checked entries, nan without members; on some images only where
    they are named."""
    found = entries if isinstance(entries, Results) else as_columns(entries, truth)
    images = truth.image_ids if image_ids is None else truth.image_ids & set(image_ids)
    # The order of the ids is that of the images, in which equal scores of several are taken.
    numbers = {image_id: number for number, image_id in enumerate(sorted(images), start=1)}
    stats = SCORERS[scorer or installed_scorer()]
    values = stats(_dataset(truth, numbers), _best(found, numbers), truth.sigmas)
    return [value if value >= 0 else float("nan") for value in values]


def as_columns(entries: Sequence[dict[str, Any]], truth: GroundTruth) -> Results:
    """Checked entries of the category that is scored."""
    scored = [entry for entry in entries if entry["category_id"] == truth.category_id]
    keypoints = [entry["keypoints"] for entry in scored]
    return Results(
        category_id=truth.category_id,
        image_ids=np.array([entry["image_id"] for entry in scored], np.int64),
        keypoints=np.array(keypoints, np.float64).reshape(-1, 3 * truth.skeleton.num_keypoints),
        scores=np.array([entry["score"] for entry in scored], np.float64),
    )


def _dataset(truth: GroundTruth, numbers: dict[int, int]) -> Dataset:
    """The annotations of the images in `numbers`, which says their new ids."""
    return {
        "images": [{"id": number} for number in numbers.values()],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                **annotation,
                "image_id": numbers[annotation["image_id"]],
                "category_id": 1,
                "num_keypoints": int(annotation["num_keypoints"] != 0),
                "iscrowd": int(annotation["iscrowd"] != 0),
            }
            for annotation in truth.annotations
            if annotation["image_id"] in numbers
        ],
    }


def _best(found: Results, numbers: dict[int, int]) -> list[dict[str, Any]]:
    """Entries of the images in `numbers`: each one's `SCORED_PEOPLE` with the highest scores, of
    equal ones the earlier."""
    images = np.array([numbers.get(i, 0) for i in found.image_ids.tolist()], np.int64)
    order = np.lexsort((-found.scores, images))
    ranked = images[order]
    place = np.arange(len(order)) - np.searchsorted(ranked, ranked)
    kept = np.sort(order[(place < SCORED_PEOPLE) & (ranked > 0)])
    columns = images[kept].tolist(), found.keypoints[kept], found.scores[kept].tolist()
    return [
        {"image_id": image, "category_id": 1, "keypoints": keypoints, "score": score}
        for image, keypoints, score in zip(*columns, strict=True)
    ]
