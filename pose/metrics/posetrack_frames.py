"""A frame of PoseTrack, people labelled and found, and what of it is followed: each kind of
keypoint for itself, as PoseTrack does, or whole people."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pose.metrics.tracking import TrackedFrame, people_frame

UNTRACKED = -1
"""The id of everyone where nobody was followed."""

NOTHING_FOUND = TrackedFrame(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros((1, 1)))
"""What the evaluation program makes of a frame without labels or without predictions."""


@dataclass(frozen=True, eq=False)
class Frame:
    """P predictions and G people of one frame, with K keypoints of which some may be absent."""

    sequence: str
    predicted: np.ndarray
    """(P, K, 2) image pixels."""
    scores: np.ndarray
    """(P, K)."""
    has_predicted: np.ndarray
    """(P, K) bool."""
    predicted_ids: np.ndarray
    """(P,) int64."""
    ignored: np.ndarray
    """(P,) bool: most of the keypoints lie where nobody knows who is there."""
    truth: np.ndarray
    """(G, K, 2) image pixels."""
    has_truth: np.ndarray
    """(G, K) bool."""
    truth_ids: np.ndarray
    """(G,) int64."""
    head_sizes: np.ndarray
    """(G,) pixels."""
    areas: np.ndarray
    """(G,) square pixels."""


def by_sequence(frames: Sequence[Frame]) -> list[list[Frame]]:
    """The frames of each sequence, in their order."""
    sequences: dict[str, list[Frame]] = {}
    for frame in frames:
        sequences.setdefault(frame.sequence, []).append(frame)
    return list(sequences.values())


def followed_keypoints(frames: Sequence[Frame], k: int) -> list[TrackedFrame]:
    """Keypoint k through a sequence; similarity is 1 less the distance in head sizes, 0 at least.

    As in the evaluation program the last frame is left out, and a frame without any prediction
    (or label) is `NOTHING_FOUND`.
    """
    return [
        _keypoints(frame, k)
        if frame.has_truth.any() and frame.has_predicted.any()
        else NOTHING_FOUND
        for frame in frames[:-1]
    ]


def followed_people(frames: Sequence[Frame], sigmas: np.ndarray) -> list[TrackedFrame]:
    """The people of a sequence by OKS, with sigmas (K,)."""
    return [
        people_frame(
            frame.predicted,
            frame.predicted_ids,
            frame.ignored,
            frame.truth,
            frame.truth_ids,
            frame.has_truth,
            frame.areas,
            sigmas,
        )
        for frame in frames
    ]


def _keypoints(frame: Frame, k: int) -> TrackedFrame:
    there, found = frame.has_truth[:, k], frame.has_predicted[:, k]
    apart = frame.truth[there, k][:, None] - frame.predicted[found, k][None]
    # a head without size is found by what lies exactly on it
    sizes = np.maximum(frame.head_sizes[there, None], np.finfo(np.float64).tiny)
    similarity = np.maximum(1 - np.linalg.norm(apart, axis=-1) / sizes, 0)
    return TrackedFrame(frame.truth_ids[there], frame.predicted_ids[found], similarity)
