"""What a network's scores are worth: the curves, and how right they are on images that had no part
in them.

`calibrate` gives what the report shows and its JSON holds; `pose predict` reads the curves in it.
"""

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from pose.metrics.calibration import (
    BINS,
    FITS,
    FOLDS,
    Calibration,
    Curve,
    Evidence,
    cross_fitted,
    evidence_of,
    fit_logistic,
    fold_of,
    measures,
    reliability,
)
from pose.metrics.coco_files import ground_truth_from
from pose.metrics.coco_score import as_columns, entries_of
from pose.metrics.matches import Found, found_of, labelled_of, match_by_area, ten_figures
from pose.records import read_json
from pose.reports.diagnosis import Case, case_of
from pose.reports.receipt import hashed
from pose.structures import KEYPOINT_SCORE_THRESHOLD

logger = logging.getLogger(__name__)

CALIBRATED = "expected_oks"
"""The key of a result entry whose scores are calibrated already."""

FEW = 200
"""Fewer images than this leave a curve uncertain."""


def read_raw_case(results: Path, annotations: Path) -> Case:
    """The case of two files whose scores are the network's own; ValueError of one line else."""
    truth = ground_truth_from(read_json(annotations), str(annotations))
    labelled = labelled_of(truth)
    if labelled.ignored.all():
        raise ValueError(f"{annotations}: holds no person with labelled keypoints")
    content = read_json(results)
    if isinstance(content, list) and any(isinstance(e, dict) and CALIBRATED in e for e in content):
        raise ValueError(
            f"{results}: its scores are calibrated already; predict with predict.calibration=none"
        )
    entries = entries_of(content if isinstance(content, list) else results, truth, str(results))
    return case_of(truth, labelled, found_of(as_columns(entries, truth), truth))


def calibrate(
    case: Case, results: Path, annotations: Path, weights: Path | None = None
) -> dict[str, Any]:
    """The curves for the scores of the case, which was read from the two files, and what they
    improve; `weights` is the file that they are for. ValueError where they cannot be fitted."""
    keypoints, people = evidence_of(case.found, case.labelled, case.pairs, case.truth.sigmas)
    num_images = len(np.unique(people.images))
    if num_images < FOLDS or not len(keypoints.scores):
        raise ValueError(
            f"{results}: has people to learn from in {num_images} images, expected {FOLDS} or more"
        )
    if num_images < FEW:
        logger.warning("%s: people in %d images: few to calibrate with", results, num_images)
    curves = {
        "keypoints": _curve(keypoints, f"{results}: keypoint scores"),
        "people": _curve(people, f"{results}: scores of people"),
    }
    images = len(case.truth.image_ids)
    return {
        "weights": None if weights is None else hashed(weights),
        "annotations": hashed(annotations),
        "results": hashed(results),
        "curves": {name: asdict(curve) for name, curve in curves.items()},
        "measured": {
            "images": num_images,
            "folds": FOLDS,
            "bins": BINS,
            "keypoints": out_of_sample(keypoints, images),
            "people": out_of_sample(people, images),
        },
        "figures": rescored(case, Calibration(**curves), people),
    }


def _curve(evidence: Evidence, what: str) -> Curve:
    curve = fit_logistic(evidence.scores, evidence.outcomes)
    if curve.slope <= 1e-6:
        raise ValueError(f"{what} do not rise with what is right: there is nothing to calibrate")
    return curve


def out_of_sample(evidence: Evidence, num_images: int) -> dict[str, Any]:
    """Scores as they came and calibrated by curves fitted on other images, of each kind."""
    folds, outcomes = fold_of(evidence.images, num_images), evidence.outcomes
    after = {
        name: cross_fitted(fit, evidence, folds, evidence.scores, folds)
        for name, fit in FITS.items()
    }
    used = next(iter(FITS))
    return {
        "number": len(outcomes),
        "before": measures(evidence.scores, outcomes),
        "after": measures(after[used], outcomes),
        "curves": {name: measures(values, outcomes) for name, values in after.items()},
        "reliability": {
            "before": reliability(evidence.scores.clip(0, 1), outcomes),
            "after": reliability(after[used], outcomes),
        },
    }


def rescored(case: Case, calibration: Calibration, people: Evidence) -> dict[str, dict[str, float]]:
    """The figures by the scores as they came, by the people's curve as it is kept, by curves each
    fitted on other images, and by the mean of the calibrated keypoint scores in their place."""
    found, num_images = case.found, len(case.truth.image_ids)
    folds = fold_of(people.images, num_images)
    mean = means_of_calibrated(found, calibration)
    scores = {
        "as they came": found.scores,
        "calibrated": calibration.people(found.scores),
        "calibrated on other images": cross_fitted(
            fit_logistic, people, folds, found.scores, fold_of(found.images, num_images)
        ),
        "by calibrated keypoints": mean,
    }
    return {name: figures_by(case, values) for name, values in scores.items()}


def means_of_calibrated(found: Found, calibration: Calibration) -> np.ndarray:
    """(D,) people's scores with calibrated keypoint scores where the network's own entered."""
    own = found.keypoint_scores
    counts = own > KEYPOINT_SCORE_THRESHOLD
    before = np.where(counts, own, 0.0).sum(axis=1)
    after = np.where(counts, calibration.keypoints(own), 0.0).sum(axis=1)
    return found.scores * after / np.where(before > 0, before, 1.0)


def figures_by(case: Case, scores: np.ndarray) -> dict[str, float]:
    """COCO's ten figures with other scores (D,) of people."""
    found = replace(case.found, scores=scores)
    return ten_figures(match_by_area(found, case.labelled, case.pairs))
