"""The COCO evaluator: from predictions person by person to a result file and its ten figures.

As the published evaluation: a person's score is that of the box times the mean score of the
keypoints, and people found twice in an image are suppressed by OKS before COCO's figures are taken.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose.metrics.coco_files import GroundTruth, Results, ground_truth_from, is_labelled
from pose.metrics.coco_score import score_results
from pose.metrics.oks import NMS_THRESHOLD, oks_nms, soft_oks_nms
from pose.metrics.predictions import Collected
from pose.records import read_json
from pose.structures import KEYPOINT_SCORE_THRESHOLD, People, person_scores

Score = Callable[[Path | Sequence[dict[str, Any]], GroundTruth], dict[str, float]]
"""Results and labels -> figures, the first of which decides which checkpoint is best."""


class CocoEvaluator:
    """Collects predictions for `people` and scores them against an annotation file.

    Predictions are filed by the person's index, so their order does not matter, batches may be
    padded with people that already came, and several processes merge by sending each other
    `predictions()` and calling `update` with it.
    """

    def __init__(
        self,
        annotations: Path,
        people: People,
        areas: np.ndarray,
        *,
        keypoint_score_threshold: float = KEYPOINT_SCORE_THRESHOLD,
        nms_threshold: float = NMS_THRESHOLD,
        soft_nms: bool = False,
        read: Callable[[Path], Any] = read_json,
        score: Score = score_results,
    ) -> None:
        """people bring image ids and box scores; areas (N,) are those of their padded crops.

        read and score are those of data sets whose files or figures are not COCO's.
        A file without keypoint labels is accepted: `results` works, `compute` says so.
        ValueError for a file that is not COCO's or has other keypoints than `people`.
        """
        self.people = people
        self.areas = np.asarray(areas, dtype=np.float64)
        assert self.areas.shape == (len(people),)
        self.keypoint_score_threshold = keypoint_score_threshold
        self.nms_threshold = nms_threshold
        self.soft_nms = soft_nms
        self.annotations = Path(annotations)
        self.score = score
        self.dataset = read(self.annotations)
        self.truth = None
        self.category_id = 1
        if is_labelled(self.dataset):
            self.truth = ground_truth_from(self.dataset, str(annotations))
            self.category_id = self.truth.category_id
            if self.truth.skeleton.keypoints != people.skeleton.keypoints:
                raise ValueError(
                    f"{annotations}: its keypoints are those of '{self.truth.skeleton.name}', "
                    f"the people's those of '{people.skeleton.name}'; evaluate against a file "
                    "with the same keypoints in the same order"
                )
        # One warning is enough where a skeleton has no sigmas of its own.
        self.sigmas = self.truth.sigmas if self.truth else people.skeleton.oks_sigmas()
        self._collected = Collected(people)

    @property
    def has_labels(self) -> bool:
        """Whether there is anything to score; a test split has a result file only."""
        return self.truth is not None

    def reset(self) -> None:
        """Forget all predictions, as before the next epoch."""
        self._collected.reset()

    def update(self, index: np.ndarray, keypoints: np.ndarray, scores: np.ndarray) -> None:
        """Predictions for people[index]; arguments and errors are those of `Collected.update`."""
        self._collected.update(index, keypoints, scores)

    def predictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All that came, by rising index: what `update` takes."""
        return self._collected.predictions()

    def found(self) -> Results:
        """Results as columns: re-scored, suppressed within each image, best first.

        Images come in the order of their first person in `people`.
        """
        index, keypoints, scores = self.predictions()
        totals = person_scores(
            self.people.scores[index].astype(np.float64), scores, self.keypoint_score_threshold
        )
        image_ids, areas = self.people.image_ids[index], self.areas[index]
        suppress = _soft_oks_nms if self.soft_nms else oks_nms
        kept = suppress(keypoints, totals, areas, self.sigmas, self.nms_threshold, image_ids)
        triplets = np.concatenate([keypoints[kept], scores[kept, :, None]], axis=-1)
        num_values = 3 * self.people.skeleton.num_keypoints
        return Results(
            category_id=self.category_id,
            image_ids=image_ids[kept],
            keypoints=triplets.astype(np.float64).reshape(-1, num_values),
            scores=totals[kept],
        )

    def results(self) -> list[dict[str, Any]]:
        """The entries of a result file: those of `found`, with plain numbers."""
        return list(self.found())

    def compute(self) -> dict[str, float]:
        """The figures, COCO's ten unless another `score` was given; the first decides which
        checkpoint is best."""
        if self.truth is None:
            raise ValueError(f"{self.annotations}: no keypoint annotations, nothing to score")
        return self.score(self.found(), self.truth)


def _soft_oks_nms(
    keypoints: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
    threshold: float,
    image_ids: np.ndarray,
) -> np.ndarray:
    """`soft_oks_nms` image by image, as `oks_nms` does by itself."""
    kept = [
        members[
            soft_oks_nms(keypoints[members], scores[members], areas[members], sigmas, threshold)
        ]
        for members in _groups(image_ids)
    ]
    return np.concatenate(kept) if kept else np.zeros(0, np.int64)


def _groups(ids: np.ndarray) -> list[np.ndarray]:
    """Positions of equal ids (N,), each group ascending, groups by their first position."""
    if not len(ids):
        return []
    order = np.argsort(ids, kind="stable")
    starts = np.flatnonzero(np.diff(ids[order])) + 1
    return sorted(np.split(order, starts), key=lambda group: int(group[0]))
