"""MOTA, IDF1 and HOTA: how well people are found and followed; figures are fractions.

A frame says who is there, who was found and how much alike they are; ids hold within a sequence.
Of several sequences the counts are added before anything is divided, and a figure without members
is nan. A prediction is near a person from a similarity of 0.5 on, unless a threshold is given.

CLEAR MOT: Bernardin and Stiefelhagen 2008. IDF1: Ristani et al. 2016. HOTA: Luiten et al. 2021.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from pose.metrics.oks import oks

THRESHOLD = 0.5

ALPHAS = np.arange(1, 20) / 20
"""HOTA is a mean over these thresholds."""

EPSILON = np.finfo(np.float64).eps
"""A similarity this little below a threshold reaches it."""


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """G people and P predictions of one frame."""

    truth_ids: np.ndarray
    """(G,) int64."""
    predicted_ids: np.ndarray
    """(P,) int64."""
    similarity: np.ndarray
    """(G, P) in [0, 1]."""


Sequences = Sequence[Sequence[TrackedFrame]]


@dataclass(frozen=True)
class ClearCounts:
    """What CLEAR MOT counts over all frames."""

    people: int
    predictions: int
    matches: int
    switches: int
    """Matches with another id than the person's last one."""
    similarity: float
    """Sum over the matches."""

    @property
    def mota(self) -> float:
        """1 less misses, false predictions and switches a person; negative where those are many."""
        faults = self.people + self.predictions - 2 * self.matches + self.switches
        return 1 - _ratio(faults, self.people)

    @property
    def motp(self) -> float:
        """The mean similarity of matches."""
        return _ratio(self.similarity, self.matches)

    @property
    def precision(self) -> float:
        return _ratio(self.matches, self.predictions)

    @property
    def recall(self) -> float:
        return _ratio(self.matches, self.people)


def tracking_figures(sequences: Sequences) -> dict[str, float]:
    """HOTA with its two parts, IDF1, MOTA of people and the number of switches."""
    clear = clear_counts(sequences)
    return {
        **hota(sequences),
        "IDF1": idf1(sequences),
        "MOTA (people)": clear.mota,
        "ID switches": clear.switches,
    }


def clear_counts(sequences: Sequences, threshold: float = THRESHOLD) -> ClearCounts:
    """Frame by frame: matches of before stay, the rest is matched anew."""
    people = predictions = matches = switches = 0
    similarity = 0.0
    for frames in sequences:
        partners: dict[int, int] = {}
        for frame in frames:
            people += len(frame.truth_ids)
            predictions += len(frame.predicted_ids)
            for row, column in _matches(frame, partners, threshold):
                person, found = int(frame.truth_ids[row]), int(frame.predicted_ids[column])
                switches += partners.get(person, found) != found
                partners[person] = found
                matches += 1
                similarity += float(frame.similarity[row, column])
    return ClearCounts(people, predictions, matches, switches, similarity)


def idf1(sequences: Sequences, threshold: float = THRESHOLD) -> float:
    """F1 of frames in which a person is near the one track that serves the whole sequence best."""
    together, total = 0, 0
    for frames in sequences:
        truth, truth_counts = _places([frame.truth_ids for frame in frames])
        found, found_counts = _places([frame.predicted_ids for frame in frames])
        frames_near = np.zeros((len(truth_counts), len(found_counts)), dtype=np.int64)
        for frame, rows, columns in zip(frames, truth, found, strict=True):
            near = frame.similarity >= threshold - EPSILON
            np.add.at(frames_near, np.ix_(rows, columns), near)
        together += int(frames_near[linear_sum_assignment(frames_near, maximize=True)].sum())
        total += int(truth_counts.sum() + found_counts.sum())
    return _ratio(2 * together, total)


def hota(sequences: Sequences) -> dict[str, float]:
    """ "HOTA", "DetA" (how well people are found) and "AssA" (how well followed): means over
    `ALPHAS`."""
    matches, association, total = np.zeros(len(ALPHAS)), np.zeros(len(ALPHAS)), 0
    for frames in sequences:
        truth, truth_counts = _places([frame.truth_ids for frame in frames])
        found, found_counts = _places([frame.predicted_ids for frame in frames])
        total += int(truth_counts.sum() + found_counts.sum())
        pairs, similarity = _aligned(frames, truth, found, truth_counts, found_counts)
        for i, alpha in enumerate(ALPHAS):
            reached = pairs[similarity >= alpha - EPSILON]
            # each match counts with the Jaccard index of its two tracks
            (rows, columns), counts = np.unique(reached.T, axis=1, return_counts=True)
            either = truth_counts[rows] + found_counts[columns] - counts
            matches[i] += len(reached)
            association[i] += (counts**2 / either).sum()
    if not total:
        return dict.fromkeys(("HOTA", "DetA", "AssA"), float("nan"))
    detection, association = matches / (total - matches), association / np.maximum(matches, 1)
    values = (np.sqrt(detection * association), detection, association)
    return {name: float(v.mean()) for name, v in zip(("HOTA", "DetA", "AssA"), values, strict=True)}


def people_frame(
    predicted: np.ndarray,
    predicted_ids: np.ndarray,
    ignored: np.ndarray,
    truth: np.ndarray,
    truth_ids: np.ndarray,
    labelled: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
) -> TrackedFrame:
    """One frame of poses by OKS, predicted (P, K, 2) and truth (G, K, 2) in image pixels.

    labelled (G, K) is bool; areas (G,) are square pixels; ignored (P,) bool are predictions where
    nobody knows who is there. People without a labelled keypoint do not count, and neither does an
    ignored prediction that is near nobody.
    """
    known = labelled.any(axis=1)
    similarity = oks(
        predicted[None],
        truth[known][:, None],
        areas[known][:, None],
        sigmas,
        labelled[known][:, None],
    )
    counts = ~ignored | (similarity >= THRESHOLD - EPSILON).any(axis=0)
    return TrackedFrame(truth_ids[known], predicted_ids[counts], similarity[:, counts])


def _matches(
    frame: TrackedFrame, partners: dict[int, int], threshold: float
) -> list[tuple[int, int]]:
    """Rows and columns matched by CLEAR MOT.

    A person stays with the id matched last, however long ago, while that one is near; of two people
    with the same one it is the first. Of the others as many as possible are matched, and of all
    ways to do that the one of largest similarity is taken.
    """
    near = frame.similarity >= threshold - EPSILON
    pairs: list[tuple[int, int]] = []
    for row, person in enumerate(frame.truth_ids.tolist()):
        if person in partners:
            kept = np.flatnonzero(near[row] & (frame.predicted_ids == partners[person]))
            if len(kept):
                pairs.append((row, int(kept[0])))
                near[row], near[:, kept[0]] = False, False
    # one more match outweighs all that similarity, at most 1 each, can add
    worth = near * (min(near.shape) + frame.similarity)
    anew = zip(*linear_sum_assignment(worth, maximize=True), strict=True)
    return pairs + [(int(row), int(column)) for row, column in anew if near[row, column]]


def _aligned(
    frames: Sequence[TrackedFrame],
    truth: Sequence[np.ndarray],
    found: Sequence[np.ndarray],
    truth_counts: np.ndarray,
    found_counts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """HOTA's matching: pairs (M, 2) of places of a person and a track, and the similarity (M,) of
    each. It prefers tracks that are alike over the whole sequence."""
    alike = np.zeros((len(truth_counts), len(found_counts)))
    for frame, rows, columns in zip(frames, truth, found, strict=True):
        s = frame.similarity
        either = s.sum(axis=0)[None] + s.sum(axis=1)[:, None] - s
        share = np.divide(s, either, out=np.zeros_like(s), where=either > EPSILON)
        np.add.at(alike, np.ix_(rows, columns), share)
    alignment = alike / (truth_counts[:, None] + found_counts[None] - alike)
    pairs, similarity = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for frame, rows, columns in zip(frames, truth, found, strict=True):
        worth = alignment[np.ix_(rows, columns)] * frame.similarity
        i, j = linear_sum_assignment(worth, maximize=True)
        pairs.append(np.column_stack([rows[i], columns[j]]))
        similarity.append(frame.similarity[i, j])
    return np.concatenate(pairs), np.concatenate(similarity)


def _places(ids: Iterable[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """The ids of each frame as places among those of the sequence, and how often each occurs."""
    ids = list(ids)
    everyone, counts = np.unique(np.concatenate([np.zeros(0, np.int64), *ids]), return_counts=True)
    return [np.searchsorted(everyone, frame) for frame in ids], counts


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
