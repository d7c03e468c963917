"""The diagnosis of a result file: what AP is lost to which error, as plain numbers.

`diagnose` gives what the report shows and its JSON holds; nan stands where there is nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pose.metrics.coco_files import GroundTruth, ground_truth_from
from pose.metrics.coco_score import as_columns, entries_of
from pose.metrics.keypoint_errors import (
    ERRORS,
    KeypointErrors,
    best_scores,
    corrected,
    keypoint_errors,
    without,
)
from pose.metrics.matches import (
    ALL,
    LARGE,
    MEDIUM,
    RECALLS,
    THRESHOLDS,
    Found,
    Labelled,
    Matches,
    Pairs,
    average_precision,
    found_of,
    labelled_of,
    match,
    match_by_area,
    pairs_again,
    pairs_of,
    precision_recall,
    ten_figures,
)
from pose.records import read_json

STEPS = (*ERRORS, "score", "false positives", "missed people")
"""What is put right, in the paper's order; of the last two nothing counts any more."""

AREAS = {"AP": ALL, "AP (M)": MEDIUM, "AP (L)": LARGE}


@dataclass(frozen=True, eq=False)
class Case:
    """A result file beside its ground truth, matched once."""

    truth: GroundTruth
    labelled: Labelled
    found: Found
    pairs: Pairs
    by_area: tuple[Matches, ...]
    """For the areas of `AREAS`."""
    errors: KeypointErrors

    @property
    def matches(self) -> Matches:
        """Those for people of any area."""
        return self.by_area[0]


def read_case(results: Path, annotations: Path) -> Case:
    """The case of two files; ValueError or FileNotFoundError of one line, as of `pose score`."""
    truth = ground_truth_from(read_json(annotations), str(annotations))
    labelled = labelled_of(truth)
    if labelled.ignored.all():
        raise ValueError(f"{annotations}: holds no person with labelled keypoints to be found")
    found = found_of(as_columns(entries_of(results, truth), truth), truth)
    return case_of(truth, labelled, found)


def case_of(truth: GroundTruth, labelled: Labelled, found: Found) -> Case:
    """Predictions beside a ground truth."""
    pairs = pairs_of(found, labelled, truth.sigmas)
    flip_index = truth.skeleton.flip_index
    return Case(
        truth=truth,
        labelled=labelled,
        found=found,
        pairs=pairs,
        by_area=match_by_area(found, labelled, pairs),
        errors=keypoint_errors(found, labelled, pairs, truth.sigmas, flip_index),
    )


def diagnose(case: Case) -> dict[str, Any]:
    """Figures, curves and what each error costs."""
    errors = case.errors
    judged = (errors.partners >= 0) | errors.doubled | errors.background
    precision, _ = precision_recall(case.matches)
    return {
        "counts": {
            "images": len(case.truth.image_ids),
            "people": int((~case.labelled.ignored).sum()),
            "predictions": len(case.found.scores),
            "of a person": int((errors.partners >= 0).sum()),
            "second of a person": int(errors.doubled.sum()),
            "of nobody": int(errors.background.sum()),
            "on crowds or beyond 20": int((~judged).sum()),
            "missed people": int(errors.missed.sum()),
        },
        "figures": ten_figures(case.by_area),
        "curves": {
            "recall": RECALLS.tolist(),
            "precision": {
                f"{t:.2f}": p.tolist() for t, p in zip(THRESHOLDS, precision, strict=True)
            },
        },
        "in turn": corrected_in_turn(case),
        "alone": corrected_alone(case),
        "scores": score_errors(case),
    }


def corrected_alone(case: Case) -> list[dict[str, Any]]:
    """For each error AP with that alone put right, and what it gains: all, medium and large."""
    before = [average_precision(matches) for matches in case.by_area]
    rows = []
    for step in STEPS:
        after = [average_precision(put_right(case, [step], areas)) for areas in AREAS.values()]
        gains = {f"gain{name[2:]}": b - a for name, a, b in zip(AREAS, before, after, strict=True)}
        rows.append({"error": step, **dict(zip(AREAS, after, strict=True)), **gains})
    return rows


def corrected_in_turn(case: Case) -> list[dict[str, Any]]:
    """AP as one error after the other is put right, the earlier ones staying so; what is then left
    to 1 is the inexactness of what stands within the margin of human labels."""
    rows = [{"error": "as found", "AP": average_precision(case.matches)}]
    for number, step in enumerate(STEPS, start=1):
        rows.append({"error": step, "AP": average_precision(put_right(case, STEPS[:number]))})
    return rows


def put_right(case: Case, steps: tuple[str, ...] | list[str], areas: tuple = ALL) -> Matches:
    """The matches with the errors named put right."""
    labelled, found, pairs = case.labelled, case.found, case.pairs
    sigmas = case.truth.sigmas
    kinds = [step for step in steps if step in ERRORS]
    if kinds:
        found = corrected(found, labelled, case.errors, sigmas, kinds)
        pairs = _pairs_after(case, found)
    if "score" in steps:
        found = replace(found, scores=best_scores(found, labelled, pairs))
    matches = match(found, labelled, pairs, areas=areas)
    errors = case.errors
    if {"false positives", "missed people"} & set(steps) and (kinds or "score" in steps):
        errors = keypoint_errors(found, labelled, pairs, sigmas, case.truth.skeleton.flip_index)
    if "false positives" in steps:
        matches = without(matches, predictions=errors.doubled | errors.background)
    if "missed people" in steps:
        matches = without(matches, people=errors.missed)
    return matches


def keypoint_gains(case: Case, tick: Callable[[], Any] = lambda: None) -> list[float]:
    """The AP gained were all errors of one keypoint put right, for each of K."""
    before, sigmas = average_precision(case.matches), case.truth.sigmas
    gains = []
    for keypoint in range(case.truth.skeleton.num_keypoints):
        found = corrected(case.found, case.labelled, case.errors, sigmas, keypoints=[keypoint])
        pairs = _pairs_after(case, found)
        gains.append(average_precision(match(found, case.labelled, pairs)) - before)
        tick()
    return gains


def _pairs_after(case: Case, found: Found) -> Pairs:
    """The case's pairs once some of its predictions have moved."""
    moved = (found.keypoints != case.found.keypoints).any(axis=(1, 2))
    return pairs_again(case.pairs, found, case.labelled, case.truth.sigmas, moved)


def score_errors(case: Case) -> dict[str, Any]:
    """What the order of the predictions costs: people of whom a better prediction has a lower
    score, and how near predictions are by falling score in ten equal parts."""
    errors, pairs = case.errors, case.pairs
    best = np.zeros(len(case.found.scores))
    np.maximum.at(best, pairs.predictions, pairs.oks)
    taken = np.zeros(len(case.labelled.areas))
    own = errors.partners[pairs.predictions] == pairs.people
    taken[pairs.people[own]] = pairs.oks[own]
    better = errors.doubled[pairs.predictions] & (pairs.oks > taken[pairs.people])
    overtaken = np.unique(pairs.people[better & (taken[pairs.people] > 0)])
    judged = np.flatnonzero(case.matches.counted & ~case.matches.ignored[0])
    order = judged[np.argsort(-case.found.scores[judged], kind="stable")]
    return {
        "people whose best prediction is not the one that counts": len(overtaken),
        "tenths": [
            {
                "score": float(case.found.scores[part].mean()),
                "OKS": float(best[part].mean()),
                "right": float((case.matches.partners[0, part] >= 0).mean()),
            }
            for part in np.array_split(order, 10)
            if len(part)
        ],
    }
