"""Who is who from frame to frame: ids that stay, and where to look in the next frame.

A `Tracker` is fed frame after frame, each with its time in seconds, so that frames may be missing
or unevenly spaced. Everybody is carried along with their velocity and paired with the poses of the
frame so that the sum of similarities (OKS and IoU) is highest. What was said is never taken back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from pose.geometry import BOX_PADDING, box_iou
from pose.inference.boxes import Boxes
from pose.inference.predictor import PERSON_THRESHOLD
from pose.metrics.oks import oks, oks_nms
from pose.skeleton import Skeleton
from pose.structures import KEYPOINT_SCORE_THRESHOLD, Poses

MAX_GAP = 1.5
"""Seconds that a person may be out of sight without losing the id."""
NEW_SCORE = 0.5
"""A newcomer gets an id once the person scores of its poses in a row add up to this."""
KEPT_SCORE = 0.5
"""Whoever is followed is kept down to this share of the person score that it takes to be found."""

SAME_PERSON = 0.6
"""Of two poses in a frame with a higher OKS one goes. Networks find people who hide others twice,
at an OKS of 0.6 to 0.9; hardly any two people who are labelled in COCO are so alike."""
MIN_SIMILARITY = 0.15
"""Less alike, a person and a pose are never taken for one."""

FADING_SECONDS = 2.0
"""In which the velocity of a person out of sight fades to 1/e."""
VELOCITY_SECONDS = 0.15
"""Over which velocities are averaged."""
BOX_SECONDS = 0.2
"""In which a person's box comes to 1/e of its distance from the box of the pose."""
COAST_SECONDS = 0.2
"""For which people who were not found are still looked for where they should be."""
FOLLOW_SECONDS = 1.0
"""For which people are followed without the detector finding them; for half of it unasked."""

CAMERA_PEOPLE = 3
"""From so many people in sight on, what they all do alike is the camera's movement."""

MARGIN = 0.1
"""From the outermost keypoints to the box on every side, in the longer side of their bound: of
annotated people the median is 0.06 beside, 0.12 above and 0.10 below."""
MIN_KEYPOINTS = 3
"""Fewer make neither a box nor a velocity."""
COVERED = 0.5
"""A detection that overlaps a person's expected box by more (IoU) is that person."""


@dataclass(frozen=True, eq=False)
class Track:
    """What is known of one person; everything in image pixels and seconds."""

    track_id: int
    """From 1; 0 while the person is too new for one."""
    keypoints: np.ndarray
    """(K, 2)."""
    scores: np.ndarray
    box: np.ndarray
    """(4,) xyxy."""
    velocity: np.ndarray
    """(2,) pixels a second, of the whole person."""
    box_score: float
    evidence: float
    """Sum of the person scores so far."""
    at: float
    """Time of keypoints and box; while the person is out of sight they are expected ones."""
    seen_at: float
    detected_at: float
    """When the detector last gave the box; -inf: never."""


class Tracker:
    """Gives the people of one video ids, from 1, none of them twice.

    A copy by `copy.copy` goes on by itself. Times that do not grow count as no time passed.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        *,
        max_gap: float = MAX_GAP,
        new_score: float = NEW_SCORE,
        person_threshold: float = PERSON_THRESHOLD,
        keypoint_threshold: float = KEYPOINT_SCORE_THRESHOLD,
        same_person: float = SAME_PERSON,
    ) -> None:
        """max_gap, new_score, same_person (1: no pose goes): see the constants of these names.

        Poses with a person score up to `person_threshold` show nobody; keypoints with a score up to
        `keypoint_threshold` do not count. All scores are the network's own, not calibrated.
        """
        if not 0 <= max_gap < np.inf:
            raise ValueError(f"tracker: max_gap is {max_gap}; expected seconds, 0 or more")
        self.max_gap = max_gap
        self.new_score = new_score
        self.person_threshold = person_threshold
        self.keypoint_threshold = keypoint_threshold
        self.same_person = same_person
        self.tracks: tuple[Track, ...] = ()
        self.time, self.num_ids = -np.inf, 0
        """Of the last frame; given so far."""
        self.needs_detector = True
        """Whether the detector should look at the next frame, whenever it last did: somebody was
        lost just now, or has been followed without it for half a second."""
        self._sigmas = skeleton.oks_sigmas()

    def update(self, poses: Poses, time: float, detected: np.ndarray | bool = True) -> Poses:
        """The people of the frame at `time`, in the order of `poses`, with their `track_ids`.

        Left out are poses that show nobody, second poses of one person, and newcomers who have not
        yet earned an id (in the first frame everybody gets one). `detected` (N,), or one bool for
        all, says whose box the detector gave; other poses make no newcomers.
        """
        if not np.isfinite(time):
            raise ValueError(f"tracker: the frame's time is {time}; expected seconds")
        rows, sightings = self._sightings(poses, time, np.broadcast_to(detected, len(poses)))
        expected = [foresee(track, time) for track in self.tracks]
        similarity = compare(expected, sightings, self._sigmas, self.keypoint_threshold)
        # Who has long been out of sight comes back by a pose that shows somebody, no lesser one.
        away = np.array([time - track.seen_at > COAST_SECONDS for track in self.tracks], bool)
        weak = np.array([s.evidence <= self.person_threshold for s in sightings], bool)
        possible = (similarity >= MIN_SIMILARITY) & ~(away[:, None] & weak)
        partners = assign(np.where(possible, similarity, 0))
        seen: dict[int, Track] = {}
        for i, (row, sighting) in enumerate(zip(rows, sightings, strict=True)):
            if i in partners:
                seen[row] = follow(expected[partners[i]], sighting, self.keypoint_threshold)
            elif sighting.detected_at == time and sighting.evidence > self.person_threshold:
                seen[row] = sighting
        self._give_ids(seen)
        unseen = [t for j, t in enumerate(expected) if j not in partners.values()]
        lost = any(t.track_id and t.seen_at == self.time for t in unseen)
        stale = any(t.track_id and time - t.detected_at > FOLLOW_SECONDS / 2 for t in seen.values())
        self.needs_detector = lost or stale
        pairs = [(expected[j], seen[rows[i]]) for i, j in partners.items()]
        waiting = [t for t in unseen if t.track_id and time - t.seen_at <= self.max_gap]
        self.tracks = (*seen.values(), *drift(waiting, pairs, time - self.time))
        self.time = time
        known = [row for row, track in seen.items() if track.track_id]
        track_ids = np.array([seen[row].track_id for row in known], np.int64)
        return replace(poses[np.array(known, np.int64)], track_ids=track_ids)

    def boxes_at(self, time: float, detections: Boxes | None = None) -> Boxes:
        """Where to look for people in the coming frame, at `time`: the boxes of the detector, if it
        ran, and after them those of the people followed whom it did not find.

        Theirs are the boxes of their last poses, carried along.
        """
        followed = [
            foresee(track, time)
            for track in self.tracks
            if (track.seen_at == self.time or time - track.seen_at <= COAST_SECONDS)
            and time - track.detected_at <= FOLLOW_SECONDS
        ]
        boxes = np.array([t.box for t in followed], np.float32).reshape(-1, 4)
        scores = np.array([t.box_score for t in followed], np.float32)
        if detections is None:
            return Boxes(boxes, scores)
        overlap = box_iou(boxes, detections.boxes)
        found = assign(np.where(overlap > COVERED, overlap, 0)).values()
        missed = [j for j in range(len(boxes)) if j not in found]
        return Boxes(
            np.concatenate([detections.boxes, boxes[missed]]),
            np.concatenate([detections.scores, scores[missed]]),
        )

    def _sightings(
        self, poses: Poses, time: float, detected: np.ndarray
    ) -> tuple[np.ndarray, list[Track]]:
        """The poses that show somebody, each person once: rows, ascending, and what is known from
        this frame alone. Of two poses of one person the detector's stays, then the better."""
        totals = poses.person_scores(self.keypoint_threshold)
        people = np.flatnonzero(totals > self.person_threshold * KEPT_SCORE)
        boxes = pose_boxes(poses, self.keypoint_threshold)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * BOX_PADDING**2
        rank = totals + 2 * detected  # totals are at most 1
        points, rank, areas = poses.keypoints[people], rank[people], areas[people]
        rows = np.sort(people[oks_nms(points, rank, areas, self._sigmas, self.same_person)])
        return rows, [
            Track(
                track_id=0,
                keypoints=poses.keypoints[i].astype(np.float64),
                scores=poses.scores[i],
                box=boxes[i],
                velocity=np.zeros(2),
                box_score=float(poses.box_scores[i]),
                evidence=float(totals[i]),
                at=time,
                seen_at=time,
                detected_at=time if detected[i] else -np.inf,
            )
            for i in rows
        ]

    def _give_ids(self, seen: dict[int, Track]) -> None:
        """Ids to those who have earned one now, from left to right, whatever the poses' order."""
        enough = -np.inf if np.isinf(self.time) else self.new_score
        for row in sorted(seen, key=lambda row: tuple(seen[row].box)):
            if seen[row].track_id == 0 and seen[row].evidence >= enough:
                self.num_ids += 1
                seen[row] = replace(seen[row], track_id=self.num_ids)


def foresee(track: Track, time: float) -> Track:
    """`track` with keypoints and box where they should be at `time`, at a fading velocity."""
    elapsed = max(time - track.at, 0.0)
    shift = track.velocity * FADING_SECONDS * -np.expm1(-elapsed / FADING_SECONDS)
    return moved(replace(track, at=time), shift)


def follow(expected: Track, sighting: Track, threshold: float) -> Track:
    """What the track that should be at `expected` becomes by being seen as `sighting`."""
    elapsed = max(sighting.at - expected.seen_at, 0.0)
    velocity, error = expected.velocity, np.zeros(2)
    common = (expected.scores > threshold) & (sighting.scores > threshold)
    if common.sum() >= MIN_KEYPOINTS:
        # the median: limbs move by themselves, and a few keypoints may leap
        error = np.median((sighting.keypoints - expected.keypoints)[common], axis=0)
        if elapsed > 0:
            velocity = velocity - np.expm1(-elapsed / VELOCITY_SECONDS) * error / elapsed
    box = moved(expected, error).box
    return replace(
        sighting,
        track_id=expected.track_id,
        box=box - np.expm1(-elapsed / BOX_SECONDS) * (sighting.box - box),
        velocity=velocity,
        evidence=expected.evidence + sighting.evidence,
        detected_at=max(expected.detected_at, sighting.detected_at),
    )


def drift(
    waiting: Sequence[Track], pairs: Sequence[tuple[Track, Track]], elapsed: float
) -> list[Track]:
    """Those out of sight, with the others' unexpected movement: the median of `pairs` (expected,
    followed) is taken for the camera's. Their own velocity fades."""
    shift, push = np.zeros((2, 2))
    if len(pairs) >= CAMERA_PEOPLE:
        shift = np.median([(b.box - a.box).reshape(2, 2).mean(axis=0) for a, b in pairs], axis=0)
        push = np.median([b.velocity - a.velocity for a, b in pairs], axis=0)
    kept = np.exp(-max(elapsed, 0.0) / FADING_SECONDS)
    return [moved(replace(t, velocity=t.velocity * kept + push), shift) for t in waiting]


def moved(track: Track, shift: np.ndarray) -> Track:
    """`track` with keypoints and box moved by `shift` (2,)."""
    return replace(track, keypoints=track.keypoints + shift, box=track.box + np.tile(shift, 2))


def compare(
    tracks: Sequence[Track], sightings: Sequence[Track], sigmas: np.ndarray, threshold: float
) -> np.ndarray:
    """(T, N) similarity in [0, 1] of tracks with sightings: the mean of OKS and the boxes' IoU.

    OKS counts the keypoints with a score above `threshold` in both, by the mean area of both boxes;
    where there is none, IoU stands alone.
    """
    if not (tracks and sightings):
        return np.zeros((len(tracks), len(sightings)))
    points, others = (np.stack([t.keypoints for t in side]) for side in (tracks, sightings))
    shown, seen = (np.stack([t.scores for t in side]) > threshold for side in (tracks, sightings))
    boxes, found = (np.stack([t.box for t in side]) for side in (tracks, sightings))
    areas, sizes = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, found))
    mean_areas, both = (areas[:, None] + sizes) / 2, shown[:, None] & seen
    likeness = oks(points[:, None], others, mean_areas, sigmas, both)
    overlap = box_iou(boxes, found)
    return np.where(np.isnan(likeness), overlap, (likeness + overlap) / 2)


def assign(similarity: np.ndarray) -> dict[int, int]:
    """Column -> row of the pairs with the highest sum of `similarity` (T, N); none is at 0."""
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    paired = similarity[rows, columns] > 0
    return dict(zip(columns[paired].tolist(), rows[paired].tolist(), strict=True))


def pose_boxes(poses: Poses, threshold: float) -> np.ndarray:
    """(N, 4) float64 boxes of people by their keypoints with a score above `threshold`; by
    `poses.boxes` where those are too few."""
    shown = (poses.scores > threshold)[..., None]
    points = poses.keypoints.astype(np.float64)
    low = np.where(shown, points, np.inf).min(axis=1)
    high = np.where(shown, points, -np.inf).max(axis=1)
    margin = MARGIN * (high - low).max(axis=1, keepdims=True)
    bound = np.concatenate([low - margin, high + margin], axis=1)
    enough = (shown.sum(axis=1) >= MIN_KEYPOINTS) & (margin > 0)
    return np.where(enough, bound, poses.boxes.astype(np.float64))
