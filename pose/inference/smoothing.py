"""Keypoints of tracked people made steady: live, from the past alone, or afterwards, without lag.

Both take each keypoint of each track by itself, change nothing but `keypoints`, begin anew after a
gap, and pass on as they are people without an id.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import make_smoothing_spline

from pose.structures import KEYPOINT_SCORE_THRESHOLD, Poses

GAP = 0.5
"""Seconds without a person, or offline without a keypoint, after which filters begin anew."""

MIN_CUTOFF = 1.0
"""Hz: the cutoff of the live filter for a person who stands still."""
BETA = 15.0
"""Hz by which the cutoff rises for each length of the person a second. With a tenth of it lag costs
more than smoothing wins (`test_smoothing_brings_people_nearer_to_the_truth`)."""
SPEED_CUTOFF = 1.0
"""Hz: the cutoff of the speed that this goes by, as in the paper."""

CUTOFF = 6.0
"""Hz: the cutoff of the filter afterwards; what people do lies below (Winter, Biomechanics and
Motor Control of Human Movement, 2009)."""

LEAST_FRAMES = 5
"""scipy's smoothing spline takes no fewer."""
LEAST_STEP = 1e-5
"""Seconds: frames that are no further apart are at one time."""

WINDOW, OVERLAP = 512, 64
"""Frames that are filtered together, and those beside them on each side that are looked at too."""

Timed = tuple[float, Poses]


@dataclass(frozen=True, eq=False)
class _State:
    """Of one track."""

    time: float
    keypoints: np.ndarray
    """(K, 2) filtered."""
    speeds: np.ndarray
    """(K, 2) filtered, pixels a second."""


class OneEuro:
    """The One Euro filter (Casiez, Roussel, Vogel, CHI 2012): steady at rest, quick in motion.

    Speeds count in lengths of the person, so the same parameters fit people of every size. A
    keypoint moves its filter the less the lower its score, as a noisier measurement would.
    """

    def __init__(self, *, min_cutoff: float = MIN_CUTOFF, beta: float = BETA) -> None:
        """min_cutoff in Hz, beta in Hz for each length of the person a second, that being the
        longer side of the box."""
        self.min_cutoff = min_cutoff
        self.beta = beta
        self._states: dict[int, _State] = {}

    def update(self, poses: Poses, time: float) -> Poses:
        """The poses of the frame at `time` seconds, filtered by those of the frames before."""
        if poses.track_ids is None:
            return poses
        keypoints = poses.keypoints.astype(np.float64)
        for i, track_id in enumerate(poses.track_ids.tolist()):
            state = self._states.get(track_id)
            state = self._next(state, keypoints[i], poses.scores[i], poses.boxes[i], time)
            self._states[track_id] = state
            keypoints[i] = state.keypoints
        self._states = {n: s for n, s in self._states.items() if time - s.time <= GAP}
        return replace(poses, keypoints=keypoints.astype(np.float32))

    def _next(
        self,
        state: _State | None,
        keypoints: np.ndarray,
        scores: np.ndarray,
        box: np.ndarray,
        time: float,
    ) -> _State:
        if state is None or time - state.time > GAP:
            return _State(time, keypoints, np.zeros_like(keypoints))
        step = time - state.time
        if step <= 0:
            return state
        length = max(float((box[2:] - box[:2]).max()), 1.0)
        weights = scores.clip(0, 1)[:, None]
        raw = (keypoints - state.keypoints) / step
        speeds = _blend(state.speeds, raw, smoothing_factor(SPEED_CUTOFF, step), weights)
        pace = np.linalg.norm(speeds, axis=1, keepdims=True) / length
        factor = smoothing_factor(self.min_cutoff + self.beta * pace, step)
        return _State(time, _blend(state.keypoints, keypoints, factor, weights), speeds)


def smoothing_factor(cutoff: np.ndarray | float, step: float) -> np.ndarray | float:
    """The share of a new value in an exponential filter of `cutoff` Hz, `step` seconds after the
    last one (the paper's alpha)."""
    angle = 2 * np.pi * cutoff * step
    return angle / (angle + 1)


def _blend(
    old: np.ndarray, new: np.ndarray, factor: np.ndarray | float, weights: np.ndarray
) -> np.ndarray:
    """factor of `new`; for weights below 1 the less, as when its variance were 1 / weight."""
    share = factor * weights / (factor * weights + 1 - factor)
    return old + share * (new - old)


def smooth_offline(
    frames: Sequence[Poses], times: np.ndarray, *, cutoff: float = CUTOFF
) -> list[Poses]:
    """All frames of a video filtered by what is before and after them, so without lag.

    times (F,) are seconds, evenly spaced or not; one that does not grow counts as the one before,
    and of frames at one time the first decides. On even frames it is, but for their ends, the
    Butterworth filter of second order run forwards and backwards, as is usual in biomechanics.
    Keypoints weigh as much as their scores; those that were hardly seen (score up to 0.2) stay as
    they are and count for nothing.
    """
    times = np.maximum.accumulate(np.asarray(times, dtype=np.float64))
    keypoints = [poses.keypoints.astype(np.float64) for poses in frames]
    for places in _tracks(frames).values():
        when = times[[frame for frame, _ in places]]
        points = np.array([keypoints[frame][i] for frame, i in places])
        scores = np.array([frames[frame].scores[i] for frame, i in places], np.float64)
        for k in range(points.shape[1]):
            seen = np.flatnonzero(scores[:, k] > KEYPOINT_SCORE_THRESHOLD)
            for part in np.split(seen, np.flatnonzero(np.diff(when[seen]) > GAP) + 1):
                points[part, k] = _filtered(points[part, k], when[part], scores[part, k], cutoff)
        for (frame, i), row in zip(places, points, strict=True):
            keypoints[frame][i] = row
    return [
        replace(poses, keypoints=smooth.astype(np.float32))
        for poses, smooth in zip(frames, keypoints, strict=True)
    ]


def smooth_in_windows(
    entries: Iterable[Timed],
    *,
    cutoff: float = CUTOFF,
    window: int = WINDOW,
    overlap: int = OVERLAP,
) -> Iterator[Timed]:
    """`smooth_offline` of a stream of any length, of which only a window is held."""
    held: list[Timed] = []
    done = 0

    def smoothed() -> list[Timed]:
        times = np.array([time for time, _ in held])
        found = smooth_offline([poses for _, poses in held], times, cutoff=cutoff)
        return list(zip(times.tolist(), found, strict=True))

    for entry in entries:
        held.append(entry)
        if len(held) == done + window + overlap:
            yield from smoothed()[done : done + window]
            held, done = held[done + window - overlap :], overlap
    yield from smoothed()[done:]


def _tracks(frames: Sequence[Poses]) -> dict[int, list[tuple[int, int]]]:
    """Track id -> (frame, place in it) of every pose."""
    places: dict[int, list[tuple[int, int]]] = {}
    for frame, poses in enumerate(frames):
        if poses.track_ids is not None:
            for i, track_id in enumerate(poses.track_ids.tolist()):
                places.setdefault(track_id, []).append((frame, i))
    return places


def _filtered(
    points: np.ndarray, times: np.ndarray, scores: np.ndarray, cutoff: float
) -> np.ndarray:
    """Points (F, 2) at `times` (F,) on a cubic smoothing spline; too few for one stay as they are.

    It minimises sum w (x - y)^2 + r integral x''^2. With w the seconds that a frame stands for and
    r = (2 pi cutoff)^-4 it passes the share 1 / (1 + (f / cutoff)^4) of a frequency f.
    """
    apart = np.flatnonzero(np.diff(times, prepend=-np.inf) > LEAST_STEP)
    if len(apart) < LEAST_FRAMES:
        return points
    knots, roughness = times[apart], (2 * np.pi * cutoff) ** -4
    weights = scores[apart] * np.gradient(knots)
    columns = points[apart].T
    return np.column_stack(
        [make_smoothing_spline(knots, column, weights, roughness)(times) for column in columns]
    )
