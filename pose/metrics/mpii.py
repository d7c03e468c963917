"""The MPII evaluator: from predictions person by person to `pred.mat` and PCKh.

Our pixels count from 0, MPII's from 1: one is added here, and nowhere else.
"""

from pathlib import Path

import numpy as np

from pose.metrics.mpii_files import MpiiTruth, read_predictions, read_truth
from pose.metrics.pckh import pckh_figures
from pose.metrics.predictions import Collected
from pose.structures import People

FIRST_PIXEL = 1.0
"""The coordinate of the first pixel in MPII's files."""


class MpiiEvaluator:
    """Collects predictions for `people` and scores them against a `gt_valid.mat`.

    Used as `CocoEvaluator` is: predictions are filed by the person's index, and several processes
    merge by sending each other `predictions()`. The keypoints' scores do not count in PCKh.
    """

    def __init__(self, truth: Path, people: People) -> None:
        """people are those of the same split in the order of its published json: PCKh goes by it.

        ValueError for a file that is not MPII's or has another number of people.
        """
        self.people = people
        self.truth = read_truth(truth)
        if len(self.truth) != len(people):
            raise ValueError(
                f"{truth}: has {len(self.truth)} people, the annotations have {len(people)}; "
                "evaluate against the file of the same split"
            )
        self._collected = Collected(people)

    @property
    def has_labels(self) -> bool:
        """Whether there is anything to score: always, the ground truth is what this was made of."""
        return True

    def reset(self) -> None:
        """Forget all predictions, as before the next epoch."""
        self._collected.reset()

    def update(self, index: np.ndarray, keypoints: np.ndarray, scores: np.ndarray) -> None:
        """Predictions for people[index]; arguments and errors are those of `Collected.update`."""
        self._collected.update(index, keypoints, scores)

    def predictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All that came, by rising index: what `update` takes."""
        return self._collected.predictions()

    def results(self) -> np.ndarray:
        """(N, 16, 2) float64 in 1-based image pixels, for `write_predictions`; nan for people who
        never came."""
        index, keypoints, _ = self.predictions()
        found = np.full((len(self.people), *keypoints.shape[1:]), np.nan)
        found[index] = keypoints.astype(np.float64) + FIRST_PIXEL
        return found

    def compute(self) -> dict[str, float]:
        """PCKh as fractions; "PCKh@0.5" comes first and decides which checkpoint is best.

        People who never came count as missed.
        """
        return _figures(self.results(), self.truth)


def score_predictions(results: Path, truth: Path) -> dict[str, float]:
    """PCKh, as `MpiiEvaluator.compute` has it, of a MATLAB file of predictions."""
    labels, keypoints = read_truth(truth), read_predictions(results)
    if len(keypoints) != len(labels):
        raise ValueError(
            f"{results}: holds predictions for {len(keypoints)} people, {truth} has {len(labels)}"
        )
    return _figures(keypoints, labels)


def _figures(keypoints: np.ndarray, truth: MpiiTruth) -> dict[str, float]:
    """The figures of keypoints (N, 16, 2) in 1-based image pixels."""
    return pckh_figures(keypoints, truth.keypoints, truth.labelled, truth.head_sizes)
