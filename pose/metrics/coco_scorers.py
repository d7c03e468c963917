"""Who computes COCO's keypoint figures: hotcoco where it is installed, pycocotools elsewhere.

Both give the same figures to the last bit, which the tests hold wherever both are there; hotcoco
takes a fraction of the time. They are given numbers from 1 for images and annotations, 0 or 1 for
flags and only what counts, so that they also take the same input: hotcoco refuses negative ids.
"""

import contextlib
import importlib.metadata
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

OLDEST_HOTCOCO = (1, 3)
"""The version that the tests compared; one before it is passed over."""

Dataset = Mapping[str, list[dict[str, Any]]]
"""Ground truth: 'images', 'categories' and 'annotations'."""


def installed_scorer() -> str:
    """The name in `SCORERS` of the fastest that is there."""
    try:
        import hotcoco
    except ImportError:
        return "pycocotools"
    version = tuple(int(part) for part in re.findall(r"\d+", hotcoco.__version__)[:2])
    return "hotcoco" if version >= OLDEST_HOTCOCO else "pycocotools"


def described_scorer() -> str:
    """Name and version of the fastest scorer that is there, for a receipt."""
    scorer = installed_scorer()
    return f"{scorer} {importlib.metadata.version(scorer)}"


def hotcoco_stats(
    dataset: Dataset, entries: Sequence[dict[str, Any]], sigmas: np.ndarray
) -> list[float]:
    """As `pycocotools_stats`."""
    from hotcoco import COCO, COCOeval

    labels = COCO(dict(dataset))
    predictions = (
        labels.load_res(list(entries)) if entries else COCO({**dataset, "annotations": []})
    )
    evaluation = COCOeval(labels, predictions, "keypoints")
    evaluation.params.kpt_oks_sigmas = sigmas.tolist()
    with warnings.catch_warnings():
        # Other keypoints than COCO's have other sigmas: whoever lacks them was warned before.
        warnings.filterwarnings("ignore", "hotcoco: kpt_oks_sigmas")
        return _stats(evaluation)


def pycocotools_stats(
    dataset: Dataset, entries: Sequence[dict[str, Any]], sigmas: np.ndarray
) -> list[float]:
    """The ten values of pycocotools for the annotations and the result entries, -1 without
    members; sigmas (K,). What is given is written into."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def indexed(annotations: list[dict[str, Any]]) -> Any:
        coco = COCO()
        coco.dataset = {**dataset, "annotations": annotations}
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):
        labels = indexed(dataset["annotations"])
        # loadRes cannot take an empty list
        predictions = labels.loadRes(list(entries)) if entries else indexed([])
    evaluation = COCOeval(labels, predictions, "keypoints")
    evaluation.params.kpt_oks_sigmas = sigmas
    return _stats(evaluation)


def _stats(evaluation: Any) -> list[float]:
    """The same three steps of both programs, which print as they go."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


SCORERS = {"hotcoco": hotcoco_stats, "pycocotools": pycocotools_stats}
