"""One video, for `pose predict` or `pose app`: its frames drawn, a line of JSON for each."""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from pose.commands.common import INTERRUPTED

if TYPE_CHECKING:
    from easydict import EasyDict

    from pose.inference.boxes import BoxSource
    from pose.inference.frames import Found, Frame
    from pose.inference.pipeline import StageTimes
    from pose.inference.predictor import Predictor
    from pose.skeleton import Skeleton
    from pose.structures import Poses
    from pose.video import VideoInfo

GoOn = Callable[[str, int, int | None], bool]
"""Told after each frame what is done (first "Finding", where that has a pass of its own, then
"Drawing"), for how many frames, and of how many where that is known; False ends the pass."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoJob:
    """A video and what is to become of it."""

    source: str | Path
    info: "VideoInfo"
    """What the source states of itself."""
    out: Path
    """The mp4; the lines stand beside it as .jsonl."""
    boxes: "BoxSource | None" = None
    track: bool = False
    show: Callable[[np.ndarray], bool] | None = None
    """Where somebody watches: shown each frame that is drawn; False ends the video."""
    limit: int | None = None
    """So many frames at most are taken."""
    frames: Callable[[], Iterator[tuple[np.ndarray, float]]] | None = None
    """Where somebody else decodes the source: its frames, as `read_frames` gives them."""
    sound: Path | None = None
    """The file of its sound then."""

    @property
    def lines(self) -> Path:
        return self.out.with_suffix(".jsonl")


@dataclass
class Stop:
    """Ctrl-C, taken by the pass that it ends."""

    asked: Event
    came: bool = False

    def go_on(self, stage: str, done: int, of: int | None) -> bool:
        if not self.asked.is_set():
            return True
        self.asked.clear()
        self.came = True
        return False


@dataclass
class Account:
    """What became of a video, for the table at its end."""

    times: "StageTimes"
    frames: int = 0
    people: int = 0
    most_id: int = 0

    def add(self, poses: "Poses") -> None:
        self.frames += 1
        self.people += len(poses)
        if poses.track_ids is not None:
            self.most_id = max(self.most_id, *poses.track_ids.tolist(), 0)


def predict_video(predictor: "Predictor", cfg: "EasyDict", job: VideoJob) -> int:
    """The video drawn and reported, as far as Ctrl-C lets it come; the exit status."""
    from pose.interrupts import interrupt_flag

    with interrupt_flag() as asked:
        stop = Stop(asked)
        account = draw_video(predictor, cfg, job, stop.go_on)
    report(job, account)
    if not stop.came:
        return 0
    logger.warning("interrupted after %d frames; what is done is written", account.frames)
    return INTERRUPTED


def draw_video(predictor: "Predictor", cfg: "EasyDict", job: VideoJob, go_on: GoOn) -> Account:
    """The mp4 and its lines; both appear whole, also where `go_on` or the window's q ended the
    video early."""
    from pose.inference.draw import draw_poses
    from pose.inference.frames import with_times
    from pose.inference.pipeline import StageTimes, ahead
    from pose.inference.predict import calibrated, own_threshold

    times, calibration = StageTimes(), predictor.runtime.calibration
    threshold = own_threshold(predictor.runtime, cfg.predict.keypoint_threshold)
    draw = times.call("draw", partial(draw_poses, score_threshold=threshold))
    found = find_in_video(with_times(predictor, times), cfg, job, times)
    if smoothing_of(cfg, job) == "offline":
        found = smoothed_afterwards(found, predictor.runtime.skeleton, job, times, go_on)
    drawn = ahead(
        ((frame, calibrated(poses, calibration)), draw(frame.image, poses))
        for frame, poses in found
    )
    return write_video(job, drawn, times, go_on)


def smoothing_of(cfg: "EasyDict", job: VideoJob) -> str:
    """predict.smoothing, of tracked people; auto is offline for files, live where frames are seen
    as they come."""
    if not job.track:
        return "none"
    if cfg.predict.smoothing != "auto":
        return cfg.predict.smoothing
    return "offline" if isinstance(job.source, Path) and not job.show else "live"


def find_in_video(
    predictor: "Predictor", cfg: "EasyDict", job: VideoJob, times: "StageTimes"
) -> Generator["Found"]:
    """The frames with their poses, where that is wanted tracked and smoothed as they come; with the
    network's own scores."""
    from pose.inference.frames import follow_through, look_through
    from pose.inference.pipeline import ahead
    from pose.inference.predict import own_threshold
    from pose.inference.predictor import uncalibrated
    from pose.inference.smoothing import OneEuro
    from pose.inference.tracker import NEW_SCORE, SAME_PERSON, Tracker

    given = job.boxes
    boxes_of = None if given is None else lambda frame: given.of_frame(frame.number)
    frames = ahead(times.of("read", numbered_frames(job)))
    if not job.track:
        yield from look_through(uncalibrated(predictor), frames, boxes_of)
        return
    tracker = Tracker(
        predictor.runtime.skeleton,
        # A given box is always looked at, and who is in it has an id at once.
        new_score=0.0 if boxes_of else NEW_SCORE,
        person_threshold=-1.0 if boxes_of else predictor.person_threshold,
        keypoint_threshold=own_threshold(predictor.runtime, cfg.predict.keypoint_threshold),
        same_person=1.0 if boxes_of else SAME_PERSON,
    )
    live = OneEuro() if smoothing_of(cfg, job) == "live" else None
    interval = cfg.predict.detector_interval
    for frame, poses in follow_through(predictor, frames, tracker, boxes_of, interval):
        yield frame, live.update(poses, frame.time) if live else poses


def smoothed_afterwards(
    found: Generator["Found"],
    skeleton: "Skeleton",
    job: VideoJob,
    times: "StageTimes",
    go_on: GoOn,
) -> Generator["Found"]:
    """The frames once more, with poses smoothed by what came before and after them.

    A first pass writes all poses into a temporary file, so memory does not grow with the length.
    Where it is ended early, what it found is still smoothed.
    """
    from tqdm import tqdm

    from pose.inference.frames import line_of, poses_of_line
    from pose.inference.pipeline import ahead
    from pose.inference.smoothing import smooth_in_windows

    with TemporaryFile("w+", encoding="utf-8") as lines:
        total = job.info.num_frames
        bar = tqdm(found, total=total, unit="frame", desc="find", disable=None)
        with closing(found):
            for done, (frame, poses) in enumerate(bar, start=1):
                lines.write(line_of(frame.number, frame.time, poses) + "\n")
                if not go_on("Finding", done, total):
                    break
        lines.seek(0)
        entries = (poses_of_line(line, skeleton)[1:] for line in lines)
        frames = ahead(times.of("read", numbered_frames(job)))
        # The poses come first: of an interrupted pass there are fewer of them than frames.
        for (_, poses), frame in zip(smooth_in_windows(entries), frames, strict=False):
            yield frame, poses


def numbered_frames(job: VideoJob) -> Iterator["Frame"]:
    from pose.inference.frames import Frame
    from pose.video import read_frames

    frames = job.frames() if job.frames else read_frames(job.source)
    for number, (image, time) in enumerate(islice(frames, job.limit)):
        yield Frame(number, time, image)


def write_video(
    job: VideoJob,
    drawn: Generator[tuple["Found", np.ndarray]],
    times: "StageTimes",
    go_on: GoOn,
) -> Account:
    """The mp4 and its lines."""
    from tqdm import tqdm

    from pose.files import replacing
    from pose.inference.frames import line_of
    from pose.video import VideoWriter

    account, total = Account(times), job.info.num_frames
    audio = job.source if isinstance(job.source, Path) and not job.frames else job.sound
    with ExitStack() as stack:
        lines = stack.enter_context(replacing(job.lines)).open("w", encoding="utf-8")
        stack.enter_context(lines)
        writer = stack.enter_context(VideoWriter(job.out, job.info.fps, audio))
        write = times.call("write", writer.write)
        bar = stack.enter_context(tqdm(total=total, unit="frame", disable=None))
        stack.callback(drawn.close)  # ends the threads that work ahead
        for (frame, poses), picture in drawn:
            write(picture, frame.time)
            lines.write(line_of(frame.number, frame.time, poses) + "\n")
            account.add(poses)
            bar.update()
            if not go_on("Drawing", account.frames, total) or (job.show and not job.show(picture)):
                break
    return account


def report(job: VideoJob, account: Account) -> None:
    """Frames, people, rate; how busy each stage was; where the files lie."""
    from pose.commands.tables import format_table

    elapsed = account.times.elapsed()
    counts = {"frames": str(account.frames), "people": str(account.people)}
    if job.track:
        counts["ids"] = str(account.most_id)
    counts["frames/s"] = f"{account.frames / elapsed:.1f}"
    for stage, seconds in account.times.seconds.items():
        counts[stage] = f"{seconds / elapsed:.0%}"
    print(format_table(list(counts), [list(counts.values())]))
    print("(the last columns: how much of the time each stage was busy; they overlap)")
    print(f"video: {job.out}")
    print(f"poses: {job.lines}")
