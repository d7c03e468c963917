"""What every evaluator collects: predictions filed by the person's index."""

import numpy as np

from pose.structures import People


class Collected:
    """Predictions for `people`, in any order; a person that came before is overwritten."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.reset()

    def reset(self) -> None:
        """Forget all predictions, as before the next epoch."""
        n, k = len(self.people), self.people.skeleton.num_keypoints
        self._came = np.zeros(n, dtype=bool)
        self._keypoints = np.zeros((n, k, 2), dtype=np.float32)
        self._scores = np.zeros((n, k), dtype=np.float32)

    def update(self, index: np.ndarray, keypoints: np.ndarray, scores: np.ndarray) -> None:
        """Predictions for people[index] (B,): keypoints (B, K, 2) in image pixels, scores (B, K).

        All is rounded to float32. ValueError for a prediction that is not finite: the network that
        made it has diverged.
        """
        index = np.asarray(index, dtype=np.int64)
        keypoints = np.asarray(keypoints, dtype=np.float32)
        scores = np.asarray(scores, dtype=np.float32)
        finite = np.isfinite(keypoints).all(axis=(1, 2)) & np.isfinite(scores).all(axis=1)
        if not finite.all():
            person = self.people[int(index[~finite][0])]
            raise ValueError(
                f"the prediction for a person in {person.image} is not finite: these weights "
                "cannot be evaluated (training that diverged? try a lower learning rate)"
            )
        self._came[index] = True
        self._keypoints[index] = keypoints
        self._scores[index] = scores

    def predictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All that came, by rising index: what `update` takes."""
        index = np.flatnonzero(self._came)
        return index, self._keypoints[index], self._scores[index]
