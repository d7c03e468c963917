"""Inputs of every kind and a predictor of plain rules, for the tests of runs over many."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import torch

from pose.data.synthetic import draw_scene
from pose.images import read_image, write_image
from pose.inference.boxes import Boxes
from pose.inference.predict import Runtime
from pose.inference.predictor import Predictor
from pose.inputs import list_inputs
from pose.shards import COLUMNS
from pose.skeleton import Skeleton
from pose.video import VideoWriter, read_frames
from tests.patience import HANG_SECONDS

CORNERS = Skeleton("corners", ("near", "far"), sigmas=(0.05, 0.05))
PICTURES = 14
FRAMES = 5


def make_inputs(folder):
    """Drawn pictures, a clip, a broken picture, one that is not there: their paths."""
    for index in range(PICTURES):
        write_image(folder / f"{index:02d}.png", draw_scene(3, index, (64, 48)).image)
    with VideoWriter(folder / "clip.mp4", 25) as writer:
        for index in range(FRAMES):
            writer.write(draw_scene(4, index, (64, 48)).image)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    return [*list_inputs([str(folder)]), str(folder / "gone.png")]


def detect(images):
    """Nobody to three people, by the picture's mean."""
    found = []
    for image in images:
        number = int(image.mean() * 7) % 4
        left = 10.0 * np.arange(number)
        boxes = np.stack([left, left / 2, left + 25, left / 2 + 30], axis=1)
        found.append(Boxes(boxes.astype(np.float32), np.linspace(0.5, 0.9, number, dtype="f4")))
    return found


def find(images):
    points = images.float().mean((1, 2, 3))[:, None, None] / 16 + torch.tensor([[4, 6], [9, 12.0]])
    return points, torch.tensor([[0.9, 0.6]]).repeat(len(images), 1)


RUNTIME = Runtime(find, (32, 32), "published", CORNERS, "a test")


def stand_in(weights, *, detector, device, keys):
    """In the place of `pose.load`: `detector` is a folder, where each picture that is looked at is
    noted, and `weights` is what happens at the picture that is `keys`."""
    notes = Path(detector)
    if weights == "missing":
        raise FileNotFoundError(f"{notes / 'missing.pth'}: no such file")

    def watched(images):
        for image in images:
            with (notes / f"{os.getpid()}.seen").open("a") as file:
                file.write(f"{mark(image)}\n")
            if mark(image) in keys:
                happen(weights, notes)
        return detect(images)

    return Predictor(RUNTIME, watched, batch_size=5)


def mark(image):
    """What tells the pictures apart."""
    return f"{image.mean():.6f}"


def happen(what, notes):
    if what == "breaks":
        raise RuntimeError("the network is broken")
    if what == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "waits":
        deadline = time.monotonic() + HANG_SECONDS
        while len(list(notes.glob("*.seen"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        return
    try:
        (notes / "happened").touch(exist_ok=False)
    except FileExistsError:
        return
    if what == "dies once":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "interrupts":
        os.kill(int((notes / "driver").read_text()), signal.SIGINT)
        time.sleep(60)


def seen(notes):
    """The marks of all that was looked at, by whichever process."""
    return [line for file in Path(notes).glob("*.seen") for line in file.read_text().split()]


def plain_loop(paths):
    """The rows of `paths`, one picture after the other, in the most obvious way."""
    predict = Predictor(RUNTIME, detect)
    for path in paths:
        nothing = dict.fromkeys(COLUMNS) | {"path": path, "frame": 0, "error": False}
        if Path(path).name in ("broken.jpg", "gone.png"):
            yield nothing | {"error": True}
            continue
        frames = read_frames(path) if path.endswith(".mp4") else [(read_image(path), 0.0)]
        for number, (image, seconds) in enumerate(frames):
            picture = nothing | {"frame": number, "time": seconds, "width": 64, "height": 48}
            poses = predict(image)
            if len(poses) == 0:
                yield picture
            for i, entry in enumerate(poses.to_coco(0)):
                points = np.dstack([poses.keypoints[i : i + 1], poses.scores[i : i + 1]])
                yield picture | {
                    "person": i,
                    "box": poses.boxes[i].tolist(),
                    "box_score": entry["box_score"],
                    "score": entry["score"],
                    "keypoints": [float(value) for value in points.flat],
                }


def assert_rows_of(rows, paths):
    """That `rows` are those of a plain loop over `paths`, in whatever order; nothing twice."""
    expected = sorted(plain_loop(paths), key=_place)
    found = sorted(({**row, "error": bool(row["error"])} for row in rows), key=_place)
    assert found == expected


def _place(row):
    return row["path"], row["frame"], row["error"], row["person"] or 0
