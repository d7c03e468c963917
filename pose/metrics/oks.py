"""Object keypoint similarity, and the suppression of people found twice by it.

OKS of a prediction against a truth of area A is the mean of exp(-d^2 / (2 (2 s)^2 A)) over
keypoints, with distance d in pixels and s the keypoint's sigma (COCO keypoint evaluation).
Suppression orders by a *reversed ascending* sort, as the published evaluation does: of equal
scores the later entry comes first. Results keep that order, and AP depends on it through ties.
"""

from collections.abc import Iterator

import numpy as np

NMS_THRESHOLD = 0.9
"""The published evaluation takes two predictions above this OKS for one person."""

SOFT_NMS_LIMIT = 20
"""Soft suppression keeps at most this many people of an image: as many as COCO scores."""

PAIRS_AT_ONCE = 16_384
"""Pairs of people that suppression compares in one go: what a processor's cache holds."""


def oks(
    predicted: np.ndarray,
    truth: np.ndarray,
    area: np.ndarray | float,
    sigmas: np.ndarray,
    visibility: np.ndarray | None = None,
) -> np.ndarray:
    """Similarity in [0, 1] of keypoints `predicted` and `truth`, both (..., K, 2) in one frame.

    The leading axes broadcast, and with them `area` (...) in square pixels and `visibility`
    (..., K), of which keypoints at 0 do not count (None: all count). So (N, K, 2) against (K, 2)
    gives (N,), and (N, 1, K, 2) against (M, K, 2) gives (N, M). Where nothing is labelled OKS is
    undefined: nan (pycocotools then measures against the box, which this does not know).
    """
    offset = np.asarray(predicted, np.float64) - np.asarray(truth, np.float64)
    distance2 = offset[..., 0] ** 2 + offset[..., 1] ** 2
    area = np.asarray(area, np.float64)[..., None] + np.spacing(1)
    similarity = np.exp(-distance2 / (2 * np.asarray(sigmas)) ** 2 / area / 2)
    if visibility is None:
        return similarity.mean(axis=-1)
    labelled = np.broadcast_to(np.asarray(visibility) > 0, similarity.shape)
    counts = labelled.sum(axis=-1)
    total = np.where(labelled, similarity, 0.0).sum(axis=-1)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def score_order(scores: np.ndarray) -> np.ndarray:
    """(N,) indices by falling score; of equal scores the later first."""
    return np.argsort(scores, kind="stable")[::-1]


def oks_nms(
    keypoints: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
    threshold: float = NMS_THRESHOLD,
    image_ids: np.ndarray | None = None,
) -> np.ndarray:
    """Indices of the people that no better one of their image resembles, in `score_order`.

    keypoints is (N, K, 2 or 3), image pixels; scores (N,) those of people; areas (N,) those of
    their padded crops in square pixels; image_ids (N,) says who shares an image (None: all do).
    Images come in the order of their first person. A person goes where the OKS with a kept one is
    above `threshold`; it counts all keypoints and the mean of the two areas.
    """
    order, ends = _image_by_image(scores, image_ids)
    points = np.asarray(keypoints, np.float64)[order, :, :2]
    suppressed = [False] * len(order)
    pairs = _resembling(points, np.asarray(areas, np.float64)[order], sigmas, threshold, ends)
    for better, worse in pairs:
        for i, j in zip(better.tolist(), worse.tolist(), strict=True):
            # Whoever could suppress i came before: its pairs are behind us.
            if not suppressed[i]:
                suppressed[j] = True
    return order[~np.array(suppressed, dtype=bool)]


def soft_oks_nms(
    keypoints: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
    threshold: float = NMS_THRESHOLD,
) -> np.ndarray:
    """Indices of the at most 20 people of one image that stay best while resemblance costs score.

    Arguments as in `oks_nms`. Each choice multiplies the scores of the others by
    exp(-OKS^2 / threshold); this decides order and choice only, the caller's scores stand.
    """
    similarity = _pairwise_oks(keypoints, areas, sigmas)
    scores = np.array(scores, dtype=np.float64)
    left = np.arange(len(scores))
    kept: list[int] = []
    while len(left) and len(kept) < SOFT_NMS_LIMIT:
        best = int(left[score_order(scores[left])[0]])
        kept.append(best)
        left = left[left != best]
        scores[left] *= np.exp(-(similarity[best, left] ** 2) / threshold)
    return np.array(kept, dtype=np.int64)


def _image_by_image(
    scores: np.ndarray, image_ids: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Indices (N,), images by their first person, each in `score_order`; and for each place in
    them the place (N,) behind the last one of its image."""
    order = score_order(scores)
    if image_ids is None:
        return order, np.full(len(order), len(order))
    _, first, image = np.unique(image_ids, return_index=True, return_inverse=True)
    rank = first.argsort().argsort()[image]
    order = order[np.argsort(rank[order], kind="stable")]
    return order, np.searchsorted(rank[order], rank[order], side="right")


def _resembling(
    points: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
    threshold: float,
    ends: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Those of `_pairs` whose OKS is above `threshold`; points (N, K, 2), areas (N,)."""
    # A keypoint adds at most 1/K, so a few of them tell most pairs apart: two more than can be
    # far off in a pair that resembles, those with the smallest sigmas.
    num_keypoints = points.shape[1]
    few = min(max(int((1 - threshold) * num_keypoints) + 2, 1), num_keypoints)
    strictest = np.argsort(sigmas, kind="stable")[:few]
    few_points, few_sigmas = points.take(strictest, axis=1), np.take(sigmas, strictest)
    # The margin is far above rounding: nothing is told apart that the whole OKS would not.
    least = (threshold * num_keypoints - (num_keypoints - few)) / few - 1e-6
    for better, worse in _pairs(ends):
        area = (areas[better] + areas[worse]) / 2
        near = np.flatnonzero(oks(few_points[better], few_points[worse], area, few_sigmas) > least)
        better, worse, area = better[near], worse[near], area[near]
        above = np.flatnonzero(oks(points[better], points[worse], area, sigmas) > threshold)
        yield better[above], worse[above]


def _pairs(ends: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every two places i < j with j < ends[i] (N,), in lexical order, `PAIRS_AT_ONCE` or a little
    more at a time."""
    counts = ends - np.arange(1, len(ends) + 1)
    before = np.concatenate([[0], np.cumsum(counts)])
    start = 0
    while start < len(ends):
        stop = int(np.searchsorted(before, before[start] + PAIRS_AT_ONCE)) + 1
        first = np.repeat(np.arange(start, min(stop, len(ends))), counts[start:stop])
        yield first, first + 1 + np.arange(len(first)) - (before[first] - before[start])
        start = stop


def _pairwise_oks(keypoints: np.ndarray, areas: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """(N, N) OKS of people (N, K, 2 or 3) with each other, by the mean of their areas (N,)."""
    points = np.asarray(keypoints, np.float64)[..., :2]
    areas = np.asarray(areas, np.float64)
    return oks(points[:, None], points[None], (areas[:, None] + areas[None]) / 2, sigmas)
