"""Keypoints of tracked people made steady: live, from the past alone, or afterwards, without lag.

Both take each keypoint of each track by itself, change nothing but `keypoints`, begin anew after a
gap, and pass on as they are people without an id.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import butter, sosfiltfilt

from pose.structures import KEYPOINT_SCORE_THRESHOLD, Poses

GAP = 0.5
"""Seconds without a person after which its filters begin anew."""

MIN_CUTOFF = 1.5
"""Hz: the cutoff of the live filter for a person who stands still."""
BETA = 1.5
"""Hz by which the cutoff rises for each height of the person a second."""
SPEED_CUTOFF = 1.0
"""Hz: the cutoff of the speed that this goes by, as in the paper."""

CUTOFF = 6.0
"""Hz: the cutoff of the filter afterwards; what people do lies below (Winter, Biomechanics and
Motor Control of Human Movement, 2009)."""

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

    Speeds count in heights of the person, so the same parameters fit people of every size. A
    keypoint moves its filter the less the lower its score, as a noisier measurement would.
    """

    def __init__(self, *, min_cutoff: float = MIN_CUTOFF, beta: float = BETA) -> None:
        """min_cutoff in Hz, beta in Hz for each height of the person a second."""
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
        height = max(float(box[3] - box[1]), 1.0)
        weights = scores.clip(0, 1)[:, None]
        raw = (keypoints - state.keypoints) / step
        speeds = _blend(state.speeds, raw, smoothing_factor(SPEED_CUTOFF, step), weights)
        lengths = np.linalg.norm(speeds, axis=1, keepdims=True)
        factor = smoothing_factor(self.min_cutoff + self.beta * lengths / height, step)
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
    """All frames of a video filtered forwards and backwards: without lag, the ends kept.

    times (F,) are seconds, growing. A Butterworth filter of second order, twice, as is usual in
    biomechanics. Keypoints that were hardly seen (score up to 0.2) stay as they are and do not
    count: the others are filtered across them.
    """
    times = np.asarray(times, dtype=np.float64)
    keypoints = [poses.keypoints.astype(np.float64) for poses in frames]
    for places in _tracks(frames).values():
        at = np.array([frame for frame, _ in places])
        for part in np.split(np.arange(len(at)), np.flatnonzero(np.diff(times[at]) > GAP) + 1):
            rows = [places[i] for i in part]
            points = np.array([keypoints[frame][i] for frame, i in rows])
            seen = np.array([frames[frame].scores[i] for frame, i in rows])
            seen = seen > KEYPOINT_SCORE_THRESHOLD
            for k in range(points.shape[1]):
                points[seen[:, k], k] = _filtered(
                    points[seen[:, k], k], times[at[part]][seen[:, k]], cutoff
                )
            for (frame, i), row in zip(rows, points, strict=True):
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


def _filtered(points: np.ndarray, times: np.ndarray, cutoff: float) -> np.ndarray:
    """Points (F, 2) at `times` (F,) filtered on an even grid of the same number of steps; too few
    of them, or too far apart for the cutoff, stay as they are."""
    if len(times) < 3:
        return points
    rate = (len(times) - 1) / (times[-1] - times[0])
    if cutoff >= 0.5 * rate:
        return points
    sections = butter(2, cutoff, fs=rate, output="sos")
    margin = min(len(times) - 1, round(3 * rate / cutoff))
    grid = np.linspace(times[0], times[-1], len(times))
    even = np.column_stack([np.interp(grid, times, column) for column in points.T])
    smooth = sosfiltfilt(sections, even, axis=0, padlen=margin)
    return np.column_stack([np.interp(times, grid, column) for column in smooth.T])
