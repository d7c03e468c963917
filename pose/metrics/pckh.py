"""PCKh: the share of labelled keypoints that lie within a part of the head size of their label.

As published (Andriluka et al. 2014; the evaluation of the HRNet authors): the distance itself
still counts, hidden keypoints count, and the mean leaves out pelvis and thorax.
"""

import numpy as np

from pose.skeleton import MPII_16

GROUPS = {
    "Head": ("head_top",),
    "Shoulder": ("left_shoulder", "right_shoulder"),
    "Elbow": ("left_elbow", "right_elbow"),
    "Wrist": ("left_wrist", "right_wrist"),
    "Hip": ("left_hip", "right_hip"),
    "Knee": ("left_knee", "right_knee"),
    "Ankle": ("left_ankle", "right_ankle"),
}
"""The keypoints of each published column, a plain average over left and right."""

OUTSIDE_MEAN = ("pelvis", "thorax")

FURTHER_THRESHOLDS = {"PCKh@0.1": 0.1, "PCKh@0.11 (published as 0.1)": 0.11}
"""The published code takes its "Mean@0.1" at 0.11."""


def pckh(errors: np.ndarray, labelled: np.ndarray, threshold: float) -> np.ndarray:
    """(K,) shares in [0, 1] of labelled keypoints whose error is at most `threshold`.

    errors (N, K) are in head sizes, labelled (N, K) is bool; a keypoint nobody has is nan.
    """
    correct = ((errors <= threshold) & labelled).sum(axis=0)
    counts = labelled.sum(axis=0)
    return np.where(counts > 0, correct / np.maximum(counts, 1), np.nan)


def pckh_figures(
    keypoints: np.ndarray, truth: np.ndarray, labelled: np.ndarray, head_sizes: np.ndarray
) -> dict[str, float]:
    """The published figures as fractions; "PCKh@0.5", the mean, comes first.

    keypoints and truth (N, 16, 2) are in the same pixels, `MPII_16`'s order; labelled (N, 16) is
    bool; head_sizes (N,) are pixels. A predicted nan counts as missed; a figure without labels
    is nan.
    """
    errors = np.linalg.norm(keypoints - truth, axis=-1) / head_sizes[:, None]
    counts = labelled.sum(axis=0)
    counts[[MPII_16.index(name) for name in OUTSIDE_MEAN]] = 0

    def mean(threshold: float) -> float:
        shares = np.nan_to_num(pckh(errors, labelled, threshold))
        return float(shares @ counts / counts.sum()) if counts.any() else float("nan")

    each = pckh(errors, labelled, 0.5)
    return {
        "PCKh@0.5": mean(0.5),
        **{
            group: float(each[[MPII_16.index(name) for name in names]].mean())
            for group, names in GROUPS.items()
        },
        **{name: mean(threshold) for name, threshold in FURTHER_THRESHOLDS.items()},
    }
