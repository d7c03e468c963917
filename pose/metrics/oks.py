"""Object keypoint similarity, and the suppression of people found twice by it.

OKS of a prediction against a truth of area A is the mean of exp(-d^2 / (2 (2 s)^2 A)) over
keypoints, with distance d in pixels and s the keypoint's sigma (COCO keypoint evaluation).
Suppression orders by a *reversed ascending* sort, as the published evaluation does: of equal
scores the later entry comes first. Results keep that order, and AP depends on it through ties.
"""

import numpy as np

NMS_THRESHOLD = 0.9
"""The published evaluation takes two predictions above this OKS for one person."""

SOFT_NMS_LIMIT = 20
"""Soft suppression keeps at most this many people of an image: as many as COCO scores."""


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
    distance2 = ((np.asarray(predicted, np.float64) - np.asarray(truth, np.float64)) ** 2).sum(-1)
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
) -> np.ndarray:
    """Indices of the people of *one image* that no better one resembles, in `score_order`.

    keypoints is (N, K, 2 or 3), image pixels; scores (N,) those of people; areas (N,) those of
    their padded crops in square pixels. A person goes where the OKS with a kept one is above
    `threshold`; it counts all keypoints and the mean of the two areas.
    """
    similarity = _pairwise_oks(keypoints, areas, sigmas)
    suppressed = np.zeros(len(scores), dtype=bool)
    kept = []
    for i in score_order(scores):
        if not suppressed[i]:
            kept.append(i)
            suppressed |= similarity[i] > threshold
    return np.array(kept, dtype=np.int64)


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


def _pairwise_oks(keypoints: np.ndarray, areas: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """(N, N) OKS of people (N, K, 2 or 3) with each other, by the mean of their areas (N,)."""
    points = np.asarray(keypoints, np.float64)[..., :2]
    areas = np.asarray(areas, np.float64)
    return oks(points[:, None], points[None], (areas[:, None] + areas[None]) / 2, sigmas)
