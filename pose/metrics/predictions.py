"""What every evaluator demands of the predictions that it collects."""

import numpy as np

from pose.structures import People


def checked_predictions(
    people: People, index: np.ndarray, keypoints: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions for people[index] (B,): keypoints (B, K, 2) and scores (B, K) as float32.

    ValueError for one that is not finite: the network that made it has diverged.
    """
    index = np.asarray(index, dtype=np.int64)
    keypoints = np.asarray(keypoints, dtype=np.float32)
    scores = np.asarray(scores, dtype=np.float32)
    finite = np.isfinite(keypoints).all(axis=(1, 2)) & np.isfinite(scores).all(axis=1)
    if not finite.all():
        person = people[int(index[~finite][0])]
        raise ValueError(
            f"the prediction for a person in {person.image} is not finite: these weights "
            "cannot be evaluated (training that diverged? try a lower learning rate)"
        )
    return index, keypoints, scores
