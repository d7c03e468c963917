"""Scores that mean something: curves from a network's scores to what they are worth, fitted on
results whose truth is known.

A keypoint's score becomes the probability that its own similarity, exp(-d^2 / (2 (2 s)^2 A)), is at
least 0.5, if the box shows a person who has that keypoint; a person's becomes the OKS to be
expected, which is 0 for a detection of nobody. The curve is logistic in the score itself: two
numbers, strictly rising, so that the order of people, and with it AP, stays (Platt, Probabilistic
Outputs for Support Vector Machines, 1999; for poses Gu et al., On the Calibration of Human Pose
Estimation, ICML 2024).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

from pose.metrics.keypoint_errors import LOCALISED, NEAR, best_partners
from pose.metrics.matches import Found, Labelled, Pairs, similarities
from pose.records import finite, read_json, require
from pose.structures import person_scores

FOLDS = 10
"""Parts of the images; what is said of one is by a curve fitted on the others."""

BINS = 10
"""Of equal width, from 0 to 1, over which the calibration error is taken."""

OVERLAP = 0.3
"""The IoU of a pose's bound with a person's box from which on it was looked for there, however
wrong it is."""

RIDGE = 1e-3
"""Keeps the curve finite where scores part right from wrong without exception."""

Apply = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Curve:
    """1 / (1 + exp(-(slope * score + offset)))."""

    slope: float
    offset: float

    def __call__(self, scores: np.ndarray | float) -> np.ndarray:
        return expit(self.slope * np.asarray(scores, np.float64) + self.offset)

    def inverse(self, value: float) -> float:
        """The score that is worth `value`, in [0, 1]; of 0 it is -inf, of 1 inf."""
        return (float(logit(value)) - self.offset) / self.slope


@dataclass(frozen=True)
class Calibration:
    """What a network's scores are worth."""

    keypoints: Curve
    people: Curve

    def __call__(
        self, box_scores: np.ndarray, keypoint_scores: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The network's scores (N,), (N, K) -> probabilities (N, K) float32 and the expected OKS
        (N,) of the people, which is of the score that `person_scores` gives."""
        expected = self.people(person_scores(box_scores, keypoint_scores))
        return self.keypoints(keypoint_scores).astype(np.float32), expected


@dataclass(frozen=True, eq=False)
class Evidence:
    """N scores and what came of each."""

    scores: np.ndarray
    """(N,)."""
    outcomes: np.ndarray
    """(N,) in [0, 1]: right or not, or an OKS."""
    images: np.ndarray
    """(N,) int64."""


def evidence_of(
    found: Found, labelled: Labelled, pairs: Pairs, sigmas: np.ndarray
) -> tuple[Evidence, Evidence]:
    """That of the keypoints and that of the people.

    A prediction is of the person whom the assignment of highest total OKS gives it, where that OKS
    is 0.1 or it was looked for in that person's box. Keypoints without a label, and predictions on
    crowds or on people without labels, say nothing.
    """
    partners, oks = best_partners(found, labelled, pairs)
    overlap = _overlap(found.keypoints, labelled.boxes[partners])
    is_of = (partners >= 0) & ((oks >= LOCALISED) | (overlap >= OVERLAP))
    told = is_of[:, None] & (labelled.visibility[partners] > 0)
    places, areas = labelled.keypoints[partners], labelled.areas[partners]
    right = similarities(found.keypoints, places, areas, sigmas) >= NEAR
    images = np.broadcast_to(found.images[:, None], told.shape)
    on_ignored = np.zeros(len(partners))
    ignored = labelled.ignored[pairs.people]
    np.maximum.at(on_ignored, pairs.predictions[ignored], pairs.oks[ignored])
    counts = is_of | (on_ignored < LOCALISED)
    return (
        Evidence(found.keypoint_scores[told].astype(np.float64), right[told] * 1.0, images[told]),
        Evidence(found.scores[counts], np.where(is_of, oks, 0.0)[counts], found.images[counts]),
    )


def fit_logistic(scores: np.ndarray, outcomes: np.ndarray) -> Curve:
    """The curve of highest likelihood; its slope is not below 0."""
    slope, offset = _regression(scores[:, None], outcomes)
    return Curve(float(slope), float(offset))


def fit_log_odds(scores: np.ndarray, outcomes: np.ndarray) -> Apply:
    """Logistic in the log-odds of the score: Platt's curve for scores that are probabilities."""
    weights = _regression(_log_odds(scores), outcomes)
    return lambda values: expit(_log_odds(values) @ weights[:-1] + weights[-1])


def fit_beta(scores: np.ndarray, outcomes: np.ndarray) -> Apply:
    """Logistic in both logarithms (Kull et al., Beta calibration, AISTATS 2017)."""
    weights = _regression(_two_logs(scores), outcomes)
    return lambda values: expit(_two_logs(values) @ weights[:-1] + weights[-1])


def fit_isotonic(scores: np.ndarray, outcomes: np.ndarray) -> Apply:
    """The rising function of least squares, straight between the scores."""
    order = np.argsort(scores, kind="stable")
    known, values = scores[order], isotonic_regression(outcomes[order]).x
    return lambda given: np.interp(given, known, values)


FITS: Mapping[str, Callable[[np.ndarray, np.ndarray], Apply]] = {
    "logistic": fit_logistic,
    "log-odds": fit_log_odds,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
}
"""The first is the one that is used."""


def fold_of(images: np.ndarray, num_images: int) -> np.ndarray:
    """(N,) the fold of each image's number: all that is of one image is in one fold."""
    return np.random.default_rng(0).permutation(num_images)[images] % FOLDS


def cross_fitted(
    fit: Callable[[np.ndarray, np.ndarray], Apply],
    evidence: Evidence,
    folds: np.ndarray,
    scores: np.ndarray,
    score_folds: np.ndarray,
) -> np.ndarray:
    """(M, ...) of scores (M, ...) in folds (M,), each by a curve fitted on the evidence, in folds
    (N,), of the other folds alone."""
    values = np.zeros(scores.shape)
    for fold in np.unique(score_folds):
        others = folds != fold
        apply = fit(evidence.scores[others], evidence.outcomes[others])
        values[score_folds == fold] = apply(scores[score_folds == fold])
    return values


def reliability(values: np.ndarray, outcomes: np.ndarray) -> list[dict[str, float]]:
    """For each of `BINS` how many values (N,) lie in it, their mean, and that of the outcomes; nan
    where there are none. The last bin holds 1."""
    bins = np.clip((values * BINS).astype(np.int64), 0, BINS - 1)
    rows = []
    for number in range(BINS):
        inside = bins == number
        some = inside.any()
        rows.append(
            {
                "number": int(inside.sum()),
                "score": float(values[inside].mean()) if some else float("nan"),
                "outcome": float(outcomes[inside].mean()) if some else float("nan"),
            }
        )
    return rows


def measures(values: np.ndarray, outcomes: np.ndarray) -> dict[str, float]:
    """How far values (N,) are from outcomes: the expected calibration error, the mean over all
    values of how far its bin's mean is from that of the outcomes; the Brier score; the log loss."""
    values = np.clip(values, 0.0, 1.0)
    rows = reliability(values, outcomes)
    apart = [r["number"] * abs(r["score"] - r["outcome"]) for r in rows if r["number"]]
    sure = np.clip(values, 1e-6, 1 - 1e-6)
    loss = outcomes * np.log(sure) + (1 - outcomes) * np.log(1 - sure)
    return {
        "ECE": sum(apart) / len(values),
        "Brier": float(np.mean((values - outcomes) ** 2)),
        "log loss": float(-loss.mean()),
    }


def read_calibration(path: Path) -> tuple[Calibration, str | None]:
    """The curves in a file of `pose calibrate`, and the SHA-256 of the weights that they are of,
    None where it names none. ValueError of one line for another file."""
    content = read_json(path)
    require(content, ("curves", "weights"), str(path))
    curves = {}
    for name in ("keypoints", "people"):
        require(content["curves"], (name,), f"{path}: curves")
        where = f"{path}: curves: {name}"
        require(content["curves"][name], ("slope", "offset"), where)
        slope, offset = (
            finite(content["curves"][name][key], f"{where}: {key}") for key in ("slope", "offset")
        )
        if slope <= 0:
            raise ValueError(f"{where}: slope is {slope:g}, expected one above 0")
        curves[name] = Curve(slope, offset)
    weights: Any = content["weights"]
    sha256 = weights.get("sha256") if isinstance(weights, dict) else None
    return Calibration(**curves), sha256 if isinstance(sha256, str) else None


def _overlap(keypoints: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(N,) the IoU of the bound of keypoints (N, K, 2) with boxes (N, 4), each with its own."""
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)
    common = np.minimum(high, boxes[:, 2:]) - np.maximum(low, boxes[:, :2])
    inside = common.clip(0).prod(axis=1)
    areas = (high - low).prod(axis=1) + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return inside / np.maximum(areas - inside, 1e-9)


def _regression(features: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """(F + 1,) the weights of features (N, F), none below 0, and the offset, that make outcomes
    (N,) in [0, 1] likeliest."""
    columns = np.column_stack([features, np.ones(len(features))])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        reached = columns @ weights
        losses = np.logaddexp(0, reached) - outcomes * reached
        value = losses.sum() + RIDGE / 2 * weights @ weights
        return float(value), columns.T @ (expit(reached) - outcomes) + RIDGE * weights

    num = columns.shape[1]
    bounds = [(0, None)] * (num - 1) + [(None, None)]
    found = minimize(loss, np.zeros(num), jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x


def _two_logs(scores: np.ndarray) -> np.ndarray:
    """log(s) and -log(1 - s) as the last axis, of scores (...) kept off 0 and 1."""
    inside = np.clip(scores, 1e-4, 1 - 1e-4)
    return np.stack([np.log(inside), -np.log1p(-inside)], axis=-1)


def _log_odds(scores: np.ndarray) -> np.ndarray:
    return _two_logs(scores).sum(axis=-1, keepdims=True)
