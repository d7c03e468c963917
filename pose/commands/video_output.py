"""One video for `pose predict`: as many frames out as in, drawn, a line of JSON for each."""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pose.commands.common import INTERRUPTED

if TYPE_CHECKING:
    from easydict import EasyDict

    from pose.inference.boxes import BoxSource
    from pose.inference.frames import Found, Frame
    from pose.inference.pipeline import StageTimes
    from pose.inference.predictor import Predictor
    from pose.structures import Poses
    from pose.video import VideoInfo

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoJob:
    """A video and what is to become of it."""

    source: str | Path
    out: Path
    """The mp4; the lines stand beside it as .jsonl."""
    boxes: "BoxSource | None"
    track: bool
    show: Callable[[np.ndarray], bool]

    @property
    def lines(self) -> Path:
        return self.out.with_suffix(".jsonl")


@dataclass
class Account:
    """What became of a video, for the table at its end."""

    frames: int = 0
    people: int = 0
    most_id: int = 0

    def add(self, poses: "Poses") -> None:
        self.frames += 1
        self.people += len(poses)
        if poses.track_ids is not None:
            self.most_id = max(self.most_id, *poses.track_ids.tolist())


def predict_video(predictor: "Predictor", cfg: "EasyDict", job: VideoJob) -> int:
    """Both files appear whole, also where Ctrl-C or the window's q ended the video early."""
    from pose.inference.draw import draw_poses
    from pose.inference.frames import with_times
    from pose.inference.pipeline import StageTimes, ahead
    from pose.video import probe

    info = probe(job.source)
    times = StageTimes()
    threshold = cfg.predict.keypoint_threshold

    draw = times.call("draw", partial(draw_poses, score_threshold=threshold))
    found = find_in_video(with_times(predictor, times), cfg, job, info, times)
    drawn = ahead((entry, draw(entry[0].image, entry[1])) for entry in found)
    account, status = write_video(job, info, drawn, times)
    report(job, account, times)
    return status


def find_in_video(
    predictor: "Predictor", cfg: "EasyDict", job: VideoJob, info: "VideoInfo", times: "StageTimes"
) -> Iterator["Found"]:
    """The frames with their poses, tracked and smoothed where that is wanted."""
    from pose.inference.frames import follow_through, look_through
    from pose.inference.pipeline import ahead
    from pose.inference.tracker import NEW_SCORE, Tracker

    given = job.boxes
    boxes_of = None if given is None else lambda frame: given.of_frame(frame.number)
    frames = ahead(times.of("read", numbered_frames(job.source)))
    if not job.track:
        yield from look_through(predictor, frames, boxes_of)
        return
    tracker = Tracker(
        predictor.runtime.skeleton,
        # A given box is always looked at, and who is in it has an id at once.
        new_score=0.0 if boxes_of else NEW_SCORE,
        person_threshold=-1.0 if boxes_of else predictor.person_threshold,
        keypoint_threshold=cfg.predict.keypoint_threshold,
    )
    interval = cfg.predict.detector_interval
    yield from follow_through(predictor, frames, tracker, boxes_of, interval)


def numbered_frames(source: str | Path) -> Iterator["Frame"]:
    from pose.inference.frames import Frame
    from pose.video import read_frames

    for number, (image, time) in enumerate(read_frames(source)):
        yield Frame(number, time, image)


def write_video(
    job: VideoJob,
    info: "VideoInfo",
    drawn: Generator[tuple["Found", np.ndarray]],
    times: "StageTimes",
) -> tuple[Account, int]:
    """The mp4 and its lines; exit status 130 where Ctrl-C came."""
    from tqdm import tqdm

    from pose.files import replacing
    from pose.inference.frames import line_of
    from pose.interrupts import interrupt_flag
    from pose.video import VideoWriter

    account, status = Account(), 0
    audio = job.source if isinstance(job.source, Path) else None
    with ExitStack() as stack:
        lines = stack.enter_context(replacing(job.lines)).open("w", encoding="utf-8")
        stack.enter_context(lines)
        writer = stack.enter_context(VideoWriter(job.out, info.fps, audio))
        write = times.call("write", writer.write)
        bar = stack.enter_context(tqdm(total=info.num_frames, unit="frame", disable=None))
        interrupted = stack.enter_context(interrupt_flag())
        stack.callback(drawn.close)  # ends the threads that work ahead
        for (frame, poses), picture in drawn:
            write(picture, frame.time)
            lines.write(line_of(frame.number, frame.time, poses) + "\n")
            account.add(poses)
            bar.update()
            if interrupted.is_set() or not job.show(picture):
                break
    if interrupted.is_set():
        logger.warning("interrupted after %d frames; what is done is written", account.frames)
        status = INTERRUPTED
    return account, status


def report(job: VideoJob, account: Account, times: "StageTimes") -> None:
    """Frames, people, rate; how busy each stage was; where the files lie."""
    from pose.commands.tables import format_table

    elapsed = times.elapsed()
    counts = {"frames": str(account.frames), "people": str(account.people)}
    if job.track:
        counts["ids"] = str(account.most_id)
    counts["frames/s"] = f"{account.frames / elapsed:.1f}"
    for stage, seconds in times.seconds.items():
        counts[stage] = f"{seconds / elapsed:.0%}"
    print(format_table(list(counts), [list(counts.values())]))
    print("(the last columns: how much of the time each stage was busy; they overlap)")
    print(f"video: {job.out}")
    print(f"poses: {job.lines}")
