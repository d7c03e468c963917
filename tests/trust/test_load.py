"""Long runs: memory, open files and processes stay where they are after the warm-up.

Commands run as a user runs them, in processes of their own; psutil looks at them from outside.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from pose.data.synthetic import draw_clip, write_synthetic
from pose.video import VideoWriter

DRAWN = 40
"""Pictures that are drawn; a longer run sees them again under other names."""

SOME = 8
"""Files that a step may open for itself: the second pass over a video, a result that is written."""


@dataclass(frozen=True)
class Watched:
    """What a run held, sample by sample."""

    memory: np.ndarray
    """Bytes of the process and its children: what each has for itself."""
    files: np.ndarray
    """Open file descriptors, of Windows handles."""
    processes: np.ndarray

    def after_warm_up(self, values: np.ndarray) -> np.ndarray:
        return values[len(values) // 3 :]

    def growth(self) -> tuple[float, float]:
        """Bytes by which a straight line rises over the time after the warm-up, and three times
        the scatter about it."""
        memory = self.after_warm_up(self.memory)
        steps = np.arange(len(memory))
        line = np.polyfit(steps, memory, 1)
        return line[0] * len(memory), 3 * float((memory - np.polyval(line, steps)).std())


def watch(*command: str) -> Watched:
    """Runs a command of ours to its end, which must be a good one; looks four times a second."""
    environment = {**os.environ, "POSE_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "pose", *command], stdout=subprocess.DEVNULL, env=environment
    ) as process:
        samples = []
        while process.poll() is None:
            samples.append(_sample(psutil.Process(process.pid)))
            time.sleep(0.25)
    assert process.returncode == 0
    memory, files, processes = np.array([s for s in samples if s is not None]).T
    return Watched(memory, files, processes)


def _sample(process: psutil.Process) -> tuple[int, int, int] | None:
    try:
        members = [process, *process.children(recursive=True)]
        # Pages that are shared with a parent count once.
        memory = [getattr(m.memory_full_info(), "uss", 0) for m in members]
        files = [m.num_fds() if hasattr(m, "num_fds") else m.num_handles() for m in members]
    except psutil.Error:  # it ended between two looks
        return None
    return sum(memory), sum(files), len(members)


def is_flat(watched: Watched) -> None:
    """Over a run of minutes and more."""
    growth, scatter = watched.growth()
    allowed = max(scatter, 0.02 * float(np.median(watched.memory)))
    assert growth <= allowed, f"memory rises by {growth / 1e6:.1f} MB, {allowed / 1e6:.1f} allowed"
    for values in (watched.files, watched.processes):
        values = watched.after_warm_up(values)
        assert values.max() <= np.median(values) + SOME


def takes_no_more(longer: Watched, shorter: Watched) -> None:
    """Of runs of seconds, most of which is warm-up: one that does four times as much ends with what
    the other ends with, whatever the machine's pace."""
    ends = [float(np.median(w.memory[-len(w.memory) // 3 :])) for w in (longer, shorter)]
    assert ends[0] <= 1.1 * ends[1], f"{ends[0] / 1e6:.1f} MB, the shorter {ends[1] / 1e6:.1f}"
    assert longer.files.max() <= shorter.files.max() + SOME
    assert longer.processes.max() <= shorter.processes.max() + SOME


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    write_synthetic(folder, {"val": DRAWN}, seed=0)
    return folder


def repeated(drawn: Path, folder: Path, number: int, boxes_each: int = 1) -> None:
    """`number` images, hard links to the drawn ones, with their labels and detections."""
    labels = json.loads((drawn / "annotations/person_keypoints_val.json").read_text())
    detections = json.loads((drawn / "person_detection_results/detections_val.json").read_text())
    (folder / "images").mkdir(parents=True)
    images, annotations, boxes = [], [], []
    for i in range(number):
        source = labels["images"][i % DRAWN]
        image = {**source, "id": i + 1, "file_name": f"{i + 1:012}.jpg"}
        os.link(drawn / "images/val" / source["file_name"], folder / "images" / image["file_name"])
        images.append(image)
        for entry in labels["annotations"]:
            if entry["image_id"] == source["id"]:
                annotations.append({**entry, "id": len(annotations) + 1, "image_id": i + 1})
        own = [entry for entry in detections if entry["image_id"] == source["id"]]
        boxes += [{**entry, "image_id": i + 1} for entry in own] * boxes_each
    content = {**labels, "images": images, "annotations": annotations}
    (folder / "labels.json").write_text(json.dumps(content))
    (folder / "boxes.json").write_text(json.dumps(boxes))


def predicted_images(drawn: Path, folder: Path, count: int) -> Watched:
    repeated(drawn, folder / "set", count)
    images, boxes = str(folder / "set/images"), str(folder / "set/labels.json")
    arguments = ["--weights", "hrnet_small", "--boxes", boxes, "--out", str(folder / "poses")]
    watched = watch("predict", images, *arguments)
    found = json.loads((folder / "poses/annotations.json").read_text())
    assert len(found["images"]) == count
    return watched


@pytest.mark.slow
def test_images(drawn, tmp_path):
    """Of 320x240: one that is kept of each would be 138 MB."""
    runs = [predicted_images(drawn, tmp_path / str(count), count) for count in (800, 200)]
    takes_no_more(*runs)


@pytest.mark.soak
def test_many_images(drawn, tmp_path):
    is_flat(predicted_images(drawn, tmp_path, 20_000))


def predicted_video(folder: Path, seconds: int) -> Watched:
    folder.mkdir(exist_ok=True)
    with VideoWriter(folder / "clip.mp4", 15) as writer:
        scenes = list(draw_clip(3, 60, 15, (320, 240)))
        for i in range(seconds * 15):
            writer.write(scenes[i % len(scenes)].image)
    arguments = ["--weights", "hrnet_small", "--boxes", "60,20,220,230;10,10,100,200", "--track"]
    watched = watch("predict", str(folder / "clip.mp4"), *arguments, "--out", str(folder / "o"))
    lines = (folder / "o/clip.jsonl").read_text().splitlines()
    assert len(lines) == seconds * 15
    return watched


@pytest.mark.slow
def test_a_video(tmp_path):
    takes_no_more(*[predicted_video(tmp_path / str(seconds), seconds) for seconds in (60, 15)])


@pytest.mark.soak
def test_a_long_video(tmp_path):
    is_flat(predicted_video(tmp_path, 600))


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(2_000, marks=pytest.mark.slow),
        pytest.param(104_000, marks=pytest.mark.soak),
    ],
)
def test_an_evaluation(drawn, tmp_path, count):
    """`count` boxes, about 20 an image, within 3 GB; of fewer boxes within as much less as their
    results take."""
    repeated(drawn, tmp_path / "set", count // 20, boxes_each=12)
    boxes = json.loads((tmp_path / "set/boxes.json").read_text())
    assert len(boxes) >= count
    (tmp_path / "set/boxes.json").write_text(json.dumps(boxes[:count]))
    keys = {
        "root": tmp_path / "set",
        "val_annotations": "labels.json",
        "val_images": "images",
        "workers": 1,
    }
    arguments = ["--weights", "hrnet_small", "--boxes", str(tmp_path / "set/boxes.json")]
    arguments += [f"data.{key}={value}" for key, value in keys.items()]
    arguments += ["test.flip=false", "test.precision=bf16", "--out", str(tmp_path / "evaluation")]
    watched = watch("evaluate", "synthetic/hrnet_small", *arguments)
    assert watched.memory.max() < 3e9 - (104_000 - count) * 10_000
    assert len(json.loads((tmp_path / "evaluation/results.json").read_text())) > 0
