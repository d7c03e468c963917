"""What `pose app` does with a picture, a video or a camera's frame; knows nothing of the page."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from easydict import EasyDict

    from pose.commands.video_output import GoOn
    from pose.inference.predictor import Predictor
    from pose.structures import Poses
    from pose.video import VideoInfo

MAX_SECONDS = 120
"""Longer videos are refused; `pose predict` takes any length."""


@dataclass(frozen=True)
class Result:
    """What became of an upload."""

    drawn: Path
    """A picture or a video with the poses on it."""
    poses: Path
    """Their numbers: JSON, of a video a line for each frame."""
    summary: str
    """One line."""


def picture_job(predictor: "Predictor", cfg: "EasyDict", path: Path, out: Path) -> Result:
    """The poses in an image file, drawn and written below the folder `out`."""
    from pose.commands.app_decoding import decoded_picture
    from pose.images import write_image
    from pose.inference.draw import draw_poses

    image = decoded_picture(path)
    start = time.perf_counter()
    poses = predictor(image)
    seconds = time.perf_counter() - start
    result = Result(
        out / f"{path.stem}-poses.jpg",
        out / f"{path.stem}-poses.json",
        f"{counted(len(poses))} in {seconds:.2f} s ({predictor.runtime.name}).",
    )
    threshold = cfg.predict.keypoint_threshold
    write_image(result.drawn, draw_poses(image, poses, score_threshold=threshold))
    result.poses.write_text(poses.to_json(), encoding="utf-8")
    return result


def video_job(
    predictor: "Predictor", cfg: "EasyDict", path: Path, out: Path, go_on: "GoOn"
) -> Result:
    """The poses in a video file, drawn and written below the folder `out`.

    ValueError where the video is longer than MAX_SECONDS.
    """
    from pose.commands.app_decoding import decoded_frames, separated_sound
    from pose.commands.video_output import VideoJob, draw_video

    info = checked_length(path)
    # Some videos, a browser's recordings among them, do not state how long they are.
    limit = ceil((MAX_SECONDS + 1) * info.fps)
    job = VideoJob(
        path,
        info,
        out / f"{path.stem}-poses.mp4",
        track=True,
        limit=limit,
        frames=partial(decoded_frames, path),
        sound=separated_sound(path, out / "sound.mp4", MAX_SECONDS + 1),
    )
    account = draw_video(predictor, cfg, job, go_on)
    summary = (
        f"{account.frames} frames: {counted(account.most_id)} in {account.times.elapsed():.2f} s "
        f"({predictor.runtime.name})."
    )
    if account.frames == limit:
        summary += f" Only the first {MAX_SECONDS} seconds are taken here."
    return Result(job.out, job.lines, summary)


def checked_length(path: Path) -> "VideoInfo":
    """What a video states of itself; ValueError where it is longer than MAX_SECONDS."""
    from pose.commands.app_decoding import probed

    info = probed(path)
    if info.duration is not None and int(info.duration) > MAX_SECONDS:
        raise ValueError(
            f"{path}: lasts {info.duration:.0f} seconds, at most {MAX_SECONDS} are taken here; "
            "`pose predict` takes any length"
        )
    return info


class Follower:
    """The people before a camera, from frame to frame, their movement smoothed."""

    def __init__(self, predictor: "Predictor", cfg: "EasyDict") -> None:
        from pose.inference.predict import own_threshold
        from pose.inference.smoothing import OneEuro
        from pose.inference.tracker import Tracker

        self.predictor = predictor
        self.tracker = Tracker(
            predictor.runtime.skeleton,
            person_threshold=predictor.person_threshold,
            keypoint_threshold=own_threshold(predictor.runtime, cfg.predict.keypoint_threshold),
        )
        self.filter = OneEuro()

    def __call__(self, image: np.ndarray) -> "Poses":
        from pose.inference.frames import Frame, follow_through
        from pose.inference.predict import calibrated

        frames = [Frame(0, time.monotonic(), image)]
        [(frame, poses)] = follow_through(self.predictor, frames, self.tracker)
        poses = self.filter.update(poses, frame.time)
        return calibrated(poses, self.predictor.runtime.calibration)


def frame_job(
    look: "Callable[[np.ndarray], Poses]", cfg: "EasyDict", image: np.ndarray
) -> tuple[np.ndarray, str]:
    """A camera's frame (H, W, 3) uint8 RGB with the poses that `look` finds, and a line."""
    from pose.inference.draw import draw_poses

    start = time.perf_counter()
    poses = look(image)
    seconds = time.perf_counter() - start
    drawn = draw_poses(image, poses, score_threshold=cfg.predict.keypoint_threshold)
    return drawn, f"{counted(len(poses))} in {seconds:.2f} s."


def counted(people: int) -> str:
    return {0: "Nobody found", 1: "1 person found"}.get(people, f"{people} people found")
