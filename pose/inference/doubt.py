"""Two looks at every person, one of them in the mirror, and how far they differ.

A network that has learned what it sees finds the same pose in a picture and in its mirror image.
Where it does not, it was guessing. The two looks cost what the flip test does, which averages
the same two before anyone can compare them; so the runtime must come without the flip test.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pose.inference.boxes import Boxes
from pose.inference.predict import calibrated, find_poses
from pose.inference.predictor import Predictor, people_only
from pose.structures import KEYPOINT_SCORE_THRESHOLD, Poses

AGREE = 0.5
"""The similarity of two looks at a keypoint from which on it is taken from both, below from the
surer one."""


@dataclass(frozen=True, eq=False)
class Looks:
    """The people of one image, and how far the two looks at them differ."""

    poses: Poses
    """What both looks come to; with scores as they are handed out."""
    disagreement: np.ndarray
    """(N, K) 1 - the similarity, exp(-d^2 / (2 (2 s)^2 A)) with the box's area A, of the two places
    of each keypoint; nan for one that neither look is sure enough of to count."""

    def of_people(self) -> np.ndarray:
        """(N,) the mean over the keypoints that count; 1 where none does."""
        counts = np.isfinite(self.disagreement)
        total = np.where(counts, self.disagreement, 0.0).sum(axis=1)
        number = counts.sum(axis=1)
        return np.where(number > 0, total / np.maximum(number, 1), 1.0)


def look_twice(
    predictor: Predictor,
    images: Sequence[np.ndarray],
    boxes: Sequence[Boxes] | None,
    sigmas: np.ndarray,
) -> list[Looks]:
    """The people in images (H, W, 3) uint8 RGB that are held in memory, each looked at as it is and
    mirrored; `sigmas` (K,) are those of OKS.

    Without `boxes` the detector says where to look. A box of score 1 was given by somebody and
    gives a pose whatever is in it; of the others those who show nobody, and second poses of one
    person, are left out, as `Predictor` does with what its detector finds.
    """
    given = predictor.detect(images) if boxes is None else boxes
    pictures = [*images, *(np.ascontiguousarray(image[:, ::-1]) for image in images)]
    widths = [image.shape[1] for image in images]
    there = [
        Boxes(mirrored_boxes(own.boxes, width), own.scores)
        for own, width in zip(given, widths, strict=True)
    ]
    found = find_poses(predictor.runtime, pictures, [*given, *there], predictor.batch_size)
    firsts, seconds = found[: len(images)], found[len(images) :]
    return [
        _merged(predictor, first, mirrored_poses(second, width), sigmas)
        for first, second, width in zip(firsts, seconds, widths, strict=True)
    ]


def mirrored_boxes(boxes: np.ndarray, width: int) -> np.ndarray:
    """Boxes (N, 4) where they lie in the mirror image of an image that is `width` pixels wide."""
    there = np.array(boxes)
    there[:, [0, 2]] = width - 1 - boxes[:, [2, 0]]
    return there


def mirrored_poses(poses: Poses, width: int) -> Poses:
    """The same people in the mirror image: left and right are exchanged with the places."""
    flip_index = poses.skeleton.flip_index
    keypoints = poses.keypoints[:, flip_index]
    keypoints[..., 0] = width - 1 - keypoints[..., 0]
    return replace(
        poses,
        keypoints=keypoints,
        scores=poses.scores[:, flip_index],
        boxes=mirrored_boxes(poses.boxes, width),
    )


def _merged(predictor: Predictor, first: Poses, second: Poses, sigmas: np.ndarray) -> Looks:
    """What two looks in the same boxes come to, and how far they differ."""
    similarity = similarities(first, second, sigmas)
    a, b = first.scores, second.scores
    # Where the looks differ the mean of two maps has two peaks of half the height each: the score
    # that the flip test would give, by which networks are calibrated.
    scores = (np.maximum(a, b) + similarity * np.minimum(a, b)) / 2
    share = (a / np.maximum(a + b, 1e-9))[..., None]
    blend = share * first.keypoints + (1 - share) * second.keypoints
    surer = np.where((a >= b)[..., None], first.keypoints, second.keypoints)
    keypoints = np.where((similarity >= AGREE)[..., None], blend, surer)
    poses = replace(first, keypoints=keypoints.astype("f4"), scores=scores.astype("f4"))
    counts = np.maximum(a, b) > KEYPOINT_SCORE_THRESHOLD
    disagreement = np.where(counts, 1 - similarity, np.nan)
    kept = np.flatnonzero(poses.box_scores >= 1)
    others = np.flatnonzero(poses.box_scores < 1)
    kept = np.concatenate([kept, others[people_only(predictor, poses[others], sigmas)]])
    return Looks(calibrated(poses[kept], predictor.runtime.calibration), disagreement[kept])


def similarities(first: Poses, second: Poses, sigmas: np.ndarray) -> np.ndarray:
    """(N, K) of the keypoints of two looks in the same boxes, by the boxes' areas."""
    sides = first.boxes[:, 2:].astype(np.float64) - first.boxes[:, :2]
    distance2 = ((first.keypoints.astype(np.float64) - second.keypoints) ** 2).sum(axis=-1)
    return np.exp(-distance2 / (2 * sigmas) ** 2 / (sides.prod(axis=1)[:, None] + 1e-9) / 2)
