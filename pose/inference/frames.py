"""Pictures and frames on their way through a predictor: lazily, in order, people batched across.

A line of a `.jsonl` file is one frame: frame, time in seconds, and its people with id (where they
are tracked), box, score and keypoints.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from pose.inference.boxes import Boxes
from pose.inference.pipeline import StageTimes
from pose.inference.predictor import Predictor, uncalibrated
from pose.inference.tracker import Tracker
from pose.skeleton import Skeleton
from pose.structures import Poses


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a series."""

    number: int
    """Its place in a video, from 0; of a photograph its image id."""
    time: float
    """Seconds since the first frame; 0 for a photograph."""
    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    name: str = ""
    """Of a photograph: where it lies, relative to all of them, with forward slashes."""


Found = tuple[Frame, Poses]


def look_through(
    predictor: Predictor,
    frames: Iterable[Frame],
    boxes_of: Callable[[Frame], Boxes] | None = None,
) -> Iterator[Found]:
    """Each frame with its poses, in the boxes that `boxes_of` gives or where the detector says.

    `predictor.images_at_once` frames are looked at together.
    """
    frames = iter(frames)
    while chunk := list(islice(frames, predictor.images_at_once)):
        boxes = None if boxes_of is None else [boxes_of(frame) for frame in chunk]
        found = predictor.look_at([frame.image for frame in chunk], boxes)
        yield from zip(chunk, found, strict=True)


def follow_through(
    predictor: Predictor,
    frames: Iterable[Frame],
    tracker: Tracker,
    boxes_of: Callable[[Frame], Boxes] | None = None,
    interval: int = 1,
) -> Iterator[Found]:
    """As `look_through`, one frame after the other, with people who keep their ids and always the
    network's own scores, by which they are followed.

    The detector looks at every `interval`th frame, and at others where the tracker lost somebody;
    in between people are looked for where they are expected. It is handed `images_at_once` of its
    frames together.
    """
    predictor = uncalibrated(predictor)
    for frame, detections in with_detections(predictor, frames, boxes_of, interval):
        if detections is None and tracker.needs_detector:
            [detections] = predictor.detect([frame.image])
        given = detections if boxes_of is not None else None
        boxes = given or tracker.boxes_at(frame.time, detections)
        [poses] = predictor.look_at([frame.image], [boxes])
        num_detected = 0 if detections is None else len(detections.boxes)
        yield frame, tracker.update(poses, frame.time, np.arange(len(poses)) < num_detected)


def with_detections(
    predictor: Predictor,
    frames: Iterable[Frame],
    boxes_of: Callable[[Frame], Boxes] | None,
    interval: int,
) -> Iterator[tuple[Frame, Boxes | None]]:
    """Each frame with its given boxes or, every `interval` frames, its detections."""
    frames = iter(frames)
    while chunk := list(islice(frames, predictor.images_at_once)):
        if boxes_of is not None:
            yield from ((frame, boxes_of(frame)) for frame in chunk)
            continue
        chosen = [frame for frame in chunk if frame.number % interval == 0]
        detections = iter(predictor.detect([frame.image for frame in chosen]))
        for frame in chunk:
            yield frame, next(detections) if frame.number % interval == 0 else None


def with_times(predictor: Predictor, times: StageTimes) -> Predictor:
    """A predictor like `predictor` whose detector and network count their time."""
    find = times.call("network", predictor.runtime.find)
    detector = predictor.detector and times.call("detector", predictor.detector)
    return Predictor(
        replace(predictor.runtime, find=find),
        detector,
        batch_size=predictor.batch_size,
        images_at_once=predictor.images_at_once,
        person_threshold=predictor.person_threshold,
    )


def line_of(frame: int, time: float, poses: Poses) -> str:
    """One frame as a line of JSON, without the line's end; coordinates in image pixels."""
    # Of the scores as they are written, so that the line can be told again from what it says.
    scores = poses.scores.astype(np.float64).round(4)
    totals = replace(poses, scores=scores).person_scores()
    people = [
        {
            **({} if poses.track_ids is None else {"id": int(poses.track_ids[i])}),
            "box": [round(float(v), 3) for v in poses.boxes[i]],
            "box_score": float(poses.box_scores[i]),
            "score": round(float(totals[i]), 6),
            **({} if poses.expected_oks is None else {"expected_oks": float(totals[i])}),
            "keypoints": [
                [round(float(x), 3), round(float(y), 3), float(s)]
                for (x, y), s in zip(poses.keypoints[i], scores[i], strict=True)
            ],
        }
        for i in range(len(poses))
    ]
    return json.dumps({"frame": frame, "time": round(time, 6), "people": people}, allow_nan=False)


def poses_of_line(line: str, skeleton: Skeleton) -> tuple[int, float, Poses]:
    """Frame, time and poses of a line that `line_of` wrote."""
    content = json.loads(line)
    people = content["people"]
    k = skeleton.num_keypoints
    triplets = np.array([p["keypoints"] for p in people], dtype=np.float32).reshape(-1, k, 3)
    tracked = bool(people) and all("id" in person for person in people)
    calibrated = bool(people) and all("expected_oks" in person for person in people)
    poses = Poses(
        triplets[..., :2],
        triplets[..., 2],
        np.array([p["box"] for p in people], dtype=np.float32).reshape(-1, 4),
        skeleton,
        np.array([p["box_score"] for p in people], dtype=np.float32),
        np.array([p["id"] for p in people], dtype=np.int64) if tracked else None,
        np.array([p["expected_oks"] for p in people], np.float64) if calibrated else None,
    )
    return content["frame"], content["time"], poses
