"""How far AP and AR move with the images: the ten figures of images drawn anew, from the matches.

A figure measured on other images of the same kind would be another one. How far off it may be is
told by drawing as many images with replacement and scoring those, again and again (Efron, Bootstrap
Methods: Another Look at the Jackknife, 1979). Nothing is matched anew: an image that stands in the
sample n times counts n times. R ranges of areas, T thresholds, D predictions, I images, S samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from pose.metrics.coco_score import FIGURES
from pose.metrics.matches import RECALLS, Matches

SAMPLES = 1000

SHARE = 0.95
"""Of the samples, how many lie within an interval."""

AT_ONCE = 64
"""Samples that are counted in one go: what a processor's cache holds."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of the predictions that count, best first; of equal scores in the images' order.

    The ranges are those of COCO: all people, medium ones, large ones.
    """

    image_ids: np.ndarray
    """(I,) int64, rising."""
    people: np.ndarray
    """(R, I) int64: so many are to be found in each image."""
    images: np.ndarray
    """(D,) int32: the place in `image_ids`."""
    scores: np.ndarray
    """(D,) float64, falling."""
    right: np.ndarray
    """(R, T, D) bool: it is of a person who counts."""
    wrong: np.ndarray
    """(R, T, D) bool: it is of nobody. What is neither does not count."""


@dataclass(frozen=True, eq=False)
class _Events:
    """Outcomes in the order in which a sample counts them."""

    rows: np.ndarray
    """(E,) the prediction."""
    weights: np.ndarray
    """(E,) the row of `table` that says how often it counts."""
    table: np.ndarray
    """(W, S) float64, whole numbers."""


def outcomes_of(by_area: Sequence[Matches], image_ids: Sequence[int]) -> Outcomes:
    """Those of one result file matched for `ALL`, `MEDIUM` and `LARGE`; image_ids (I,) are those
    of the annotations."""
    found, counted = by_area[0].found, np.flatnonzero(by_area[0].counted)
    order = counted[np.lexsort((found.images[counted], -found.scores[counted]))]
    taken = [matches.partners[:, order] >= 0 for matches in by_area]
    judged = [~matches.ignored[:, order] for matches in by_area]
    wanted = [matches.images[~matches.unwanted] for matches in by_area]
    return Outcomes(
        image_ids=np.array(sorted(image_ids), np.int64),
        people=np.stack([np.bincount(images, minlength=len(image_ids)) for images in wanted]),
        images=found.images[order].astype(np.int32),
        scores=found.scores[order],
        right=np.stack([t & j for t, j in zip(taken, judged, strict=True)]),
        wrong=np.stack([~t & j for t, j in zip(taken, judged, strict=True)]),
    )


def drawn_images(num_images: int, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """(I, S) int16: how often each image stands in each sample of `num_images`. Two result files
    are compared on the same samples."""
    rng = np.random.default_rng(seed)
    counts = np.empty((num_images, samples), np.int16)
    for sample in range(samples):
        drawn = rng.integers(0, num_images, size=num_images)
        counts[:, sample] = np.bincount(drawn, minlength=num_images)
    return counts


def sampled_figures(outcomes: Outcomes, counts: np.ndarray | None = None) -> np.ndarray:
    """(10, S) the `FIGURES` of the samples counts (I, S), nan where nobody is to be found; None
    is the one sample in which every image stands once: pycocotools' figures."""
    if counts is None:
        counts = np.ones((len(outcomes.image_ids), 1), np.int64)
    parts = np.split(counts, np.arange(AT_ONCE, counts.shape[1], AT_ONCE), axis=1)
    return np.concatenate([_figures(outcomes, part.astype(np.int64)) for part in parts], axis=1)


def interval(
    values: np.ndarray, samples: np.ndarray, share: float = SHARE
) -> tuple[np.ndarray, np.ndarray]:
    """The bounds (F,) of the basic interval for `values` (F,) from their samples (F, S); nan where
    a figure has none.

    What lies below the value in `share` of the samples lies above it here, and the other way round:
    AP is too high where there are few images, since it takes the best precision at any higher
    recall, and higher still in samples of them, so that the samples' own middle is off twice.
    """
    bounds = np.full((2, len(values)), np.nan)
    some = ~np.isnan(samples).all(axis=-1)
    tails = [50 * (1 + share), 50 * (1 - share)]
    bounds[:, some] = 2 * values[some] - np.nanpercentile(samples[some], tails, axis=-1)
    return bounds[0], bounds[1]


def _figures(outcomes: Outcomes, counts: np.ndarray) -> np.ndarray:
    events = _events(outcomes, counts)
    num_ranges, num_thresholds = outcomes.right.shape[:2]
    precision = np.empty((num_ranges, num_thresholds, counts.shape[1]))
    recall = np.empty_like(precision)
    for r in range(num_ranges):
        total = (outcomes.people[r] @ counts).astype(np.float64)
        total[total == 0] = np.nan
        for t in range(num_thresholds):
            right, wrong = outcomes.right[r, t, events.rows], outcomes.wrong[r, t, events.rows]
            precision[r, t], recall[r, t] = _curve(events, right, wrong, total)
    figures = []
    for every, medium, large in (precision, recall):
        figures += [every.mean(axis=0), every[0], every[5], medium.mean(axis=0), large.mean(axis=0)]
    assert len(figures) == len(FIGURES)
    return np.stack(figures)


def _curve(
    events: _Events, right: np.ndarray, wrong: np.ndarray, total: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(S,) each: precision, none lower than at a higher recall, as mean over `RECALLS`, and the
    recall that is reached; right, wrong (E,), total (S,) people, nan for none."""
    places, others = np.flatnonzero(right), np.flatnonzero(wrong)
    nobody = np.where(np.isnan(total), np.nan, 0.0)
    if not len(places):
        return nobody, nobody
    # Precision rises at a right one only, so it is looked at nowhere else.
    before = np.searchsorted(places, others)
    others, before = others[before < len(places)], before[before < len(places)]
    size = (len(places), len(events.table))
    sums = csr_array((np.ones(len(others)), (before, events.weights[others])), shape=size)
    num_right = np.cumsum(events.table[events.weights[places]], axis=0)
    num_wrong = np.cumsum(sums @ events.table, axis=0)
    precision = num_right / (num_wrong + num_right + np.spacing(1))
    highest = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    highest = np.concatenate([highest, np.zeros((1, len(total)))])
    recall = np.ascontiguousarray((num_right / total).T)
    read = [highest[np.searchsorted(row, RECALLS), s].mean() for s, row in enumerate(recall)]
    return np.array(read) + nobody, recall[:, -1]


def _events(outcomes: Outcomes, counts: np.ndarray) -> _Events:
    """Every prediction once, and as often as an image stands in any sample where it matters: equal
    scores in an image of which one is right and another not, which its copies take in turn."""
    images, scores = outcomes.images, outcomes.scores
    tied = (np.diff(images) == 0) & (np.diff(scores) == 0)
    group = np.concatenate([[0], np.cumsum(~tied)]) if len(images) else np.zeros(0, np.int64)
    differs = np.zeros(len(tied), bool)
    for outcome in (outcomes.right, outcomes.wrong):
        differs[tied] |= (outcome[..., 1:][..., tied] != outcome[..., :-1][..., tied]).any((0, 1))
    mixed = np.isin(group, group[:-1][differs])
    times = np.where(mixed, counts.max(initial=1), 1)
    rows = np.repeat(np.arange(len(images)), times)
    copies = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
    order = np.lexsort((rows, copies, group[rows]))
    rows, copies = rows[order], copies[order]
    weights = images[rows].astype(np.int64)
    in_turn = np.flatnonzero(mixed[rows])
    weights[in_turn] = len(counts) + np.arange(len(in_turn))
    there = counts[images[rows[in_turn]]] > copies[in_turn, None]
    return _Events(rows, weights, np.concatenate([counts, there]).astype(np.float64))
