"""What is wrong with a pose, keypoint by keypoint, and what AP would be were it right.

The taxonomy of Ronchi and Perona (Benchmarking and Error Diagnosis in Multi-Instance Pose
Estimation, ICCV 2017). The similarity of a keypoint is exp(-d^2 / (2 (2 s)^2 A)), and one of the
person whom the prediction is matched to at an OKS of 0.1 is

    good        at a similarity of 0.85 or more, within the margin of human labels
    jitter      near its place: 0.5 to 0.85
    inversion   0.5 or more, and nearest, to the place of its left or right counterpart
    swap        0.5 or more, and nearest, to a keypoint of the name, or its counterpart, of another
    miss        near none of these

Correcting moves a keypoint straight towards its place: jitter to a similarity of 0.85, a miss to
0.5, the others to as near to the right place as they are to the wrong one.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from pose.metrics.matches import PAIRS_AT_ONCE, Found, Labelled, Matches, Pairs, match, similarities

KINDS = ("good", "jitter", "inversion", "swap", "miss")
ERRORS = ("miss", "swap", "inversion", "jitter")
"""In the order in which the paper corrects them."""

LOCALISED = 0.1
"""The OKS from which on a prediction is of a person at all."""

GOOD, NEAR = 0.85, 0.5


@dataclass(frozen=True, eq=False)
class KeypointErrors:
    """What each keypoint of D predictions is."""

    partners: np.ndarray
    """(D,) int64: the person it is of, -1 for none who counts."""
    kinds: np.ndarray
    """(D, K) int8: the place in `KINDS`; -1 without a partner or its label."""
    own: np.ndarray
    """(D, K) similarity to its place; 0 where the kind is -1."""
    nearest: np.ndarray
    """(D, K) the highest similarity to any place it may have been taken for."""
    doubled: np.ndarray
    """(D,) bool: without a partner and not ignored, but on somebody: a second prediction of one."""
    background: np.ndarray
    """(D,) bool: without a partner and not ignored, on nobody."""
    missed: np.ndarray
    """(G,) bool: people whom no prediction is of."""


def keypoint_errors(
    found: Found, labelled: Labelled, pairs: Pairs, sigmas: np.ndarray, flip_index: np.ndarray
) -> KeypointErrors:
    """The errors of all predictions among the best 20 of their image; sigmas, flip_index (K,)."""
    matches = match(found, labelled, pairs, np.array([LOCALISED]))
    judged = matches.counted & ~matches.ignored[0]
    partners = np.where(judged, matches.partners[0], -1)
    own, counterpart, others = _similarities(found, labelled, pairs, partners, sigmas, flip_index)
    nearest = np.maximum(np.maximum(own, counterpart), others)
    kinds = np.select(
        [own >= GOOD, nearest < NEAR, own >= nearest, counterpart >= others],
        [KINDS.index(kind) for kind in ("good", "miss", "jitter", "inversion")],
        KINDS.index("swap"),
    )
    told = (partners >= 0)[:, None] & (labelled.visibility[partners] > 0)
    highest = np.zeros(len(partners))
    np.maximum.at(highest, pairs.predictions, pairs.oks)
    alone = judged & (partners < 0)
    missed = ~labelled.ignored
    missed[partners[partners >= 0]] = False
    return KeypointErrors(
        partners=partners,
        kinds=np.where(told, kinds, -1).astype(np.int8),
        own=np.where(told, own, 0.0),
        nearest=np.where(told, nearest, 0.0),
        doubled=alone & (highest >= LOCALISED),
        background=alone & (highest < LOCALISED),
        missed=missed,
    )


def corrected(
    found: Found,
    labelled: Labelled,
    errors: KeypointErrors,
    sigmas: np.ndarray,
    kinds: Collection[str] = ERRORS,
    keypoints: Collection[int] | None = None,
) -> Found:
    """The predictions with errors of `kinds` put right, of all keypoints or those given."""
    which = np.isin(errors.kinds, [KINDS.index(kind) for kind in kinds])
    if keypoints is not None:
        which &= np.isin(np.arange(which.shape[1]), list(keypoints))
    d, k = np.nonzero(which)
    target = np.where(
        errors.kinds[d, k] == KINDS.index("jitter"), GOOD, errors.nearest[d, k].clip(NEAR, 1.0)
    )
    person = errors.partners[d]
    place = labelled.keypoints[person, k]
    # A hair nearer: rounding must not leave it below the similarity it is given.
    radius = 2 * sigmas[k] * np.sqrt(-2 * labelled.areas[person] * np.log(target)) * (1 - 1e-9)
    away = found.keypoints[d, k] - place
    distance = np.linalg.norm(away, axis=-1)
    moved = found.keypoints.copy()
    moved[d, k] = place + away * (radius / np.maximum(distance, 1e-12))[:, None]
    return replace(found, keypoints=moved)


def best_scores(found: Found, labelled: Labelled, pairs: Pairs) -> np.ndarray:
    """(D,) the scores that order predictions perfectly: the OKS of `best_partners`."""
    return best_partners(found, labelled, pairs)[1]


def best_partners(found: Found, labelled: Labelled, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """(D,) each: the person whom each prediction has in the assignment of highest total OKS within
    its image, whatever its score, and that OKS; -1 and 0 for those left over."""
    partners, scores = np.full(len(found.scores), -1), np.zeros(len(found.scores))
    wanted = ~labelled.ignored[pairs.people]
    predictions, people, oks = (v[wanted] for v in (pairs.predictions, pairs.people, pairs.oks))
    images = found.images[predictions]
    order = np.argsort(images, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(images[order])) + 1):
        rows, row = np.unique(predictions[part], return_inverse=True)
        columns, column = np.unique(people[part], return_inverse=True)
        table = np.zeros((len(rows), len(columns)))
        table[row, column] = oks[part]
        chosen, given = linear_sum_assignment(table, maximize=True)
        partners[rows[chosen]] = columns[given]
        scores[rows[chosen]] = table[chosen, given]
    return partners, scores


def without(
    matches: Matches, predictions: np.ndarray | None = None, people: np.ndarray | None = None
) -> Matches:
    """The same matches where some predictions (D,), if unmatched, and people (G,) do not count."""
    ignored, unwanted = matches.ignored, matches.unwanted
    if predictions is not None:
        ignored = ignored | (predictions & (matches.partners < 0))
    if people is not None:
        unwanted = unwanted | people
        ignored = ignored | np.append(people, False)[matches.partners]
    return replace(matches, ignored=ignored, unwanted=unwanted)


def _similarities(
    found: Found,
    labelled: Labelled,
    pairs: Pairs,
    partners: np.ndarray,
    sigmas: np.ndarray,
    flip_index: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(D, K) each: to the own place, to that of the counterpart, and the highest to another
    person's place or its counterpart's; -1 where that is not labelled."""
    shape = (len(partners), len(sigmas))
    own, counterpart, others = (np.full(shape, -1.0) for _ in range(3))
    paired = np.flatnonzero(partners[pairs.predictions] >= 0)
    for start in range(0, len(paired), PAIRS_AT_ONCE):
        rows = paired[start : start + PAIRS_AT_ONCE]
        d, g = pairs.predictions[rows], pairs.people[rows]
        is_own = partners[d] == g
        for index, target in ((np.arange(len(sigmas)), own), (flip_index, counterpart)):
            places, shown = labelled.keypoints[g][:, index], labelled.visibility[g][:, index] > 0
            values = similarities(found.keypoints[d], places, labelled.areas[g], sigmas)
            values[~shown] = -1.0
            np.maximum.at(others, d[~is_own], values[~is_own])
            target[d[is_own]] = values[is_own]
    counterpart[:, flip_index == np.arange(len(sigmas))] = -1.0
    return own, counterpart, others
