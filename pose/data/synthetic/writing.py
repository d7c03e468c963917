"""The synthetic set on disk: pictures, COCO annotations and a person detector's boxes.

    folder/images/{split}/000000000001.jpg
    folder/annotations/person_keypoints_{split}.json
    folder/person_detection_results/detections_{split}.json
    folder/synthetic.json           what the set was made with; written last

Scene i of a split is a function of (seed, split, i) alone, so the set is the same whatever the
number of processes, and a longer split begins with the shorter one.
"""

import json
import logging
import multiprocessing
import os
import shutil
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from pose.data.synthetic.scene import DrawnPerson, draw_scene
from pose.geometry import Size
from pose.images import write_image
from pose.skeleton import COCO_17

logger = logging.getLogger(__name__)

EDITION = 2
"""Raised with every change that alters the pictures; part of the marker."""
MARKER = "synthetic.json"
JITTER, MISSED, FALSE_RATE = 0.05, 0.05, 0.25
"""Of detections: each side's standard deviation in box sizes, the share of people that have none,
the mean number of boxes in an image that hold no person or only a piece of one."""
_CHUNK = 50
_MIN_PARALLEL = 200


class _Job(NamedTuple):
    """Scenes first..last-1 of a split, whose pictures go to `images`."""

    images: str
    seed: int
    first: int
    last: int
    size: Size


class _Part(NamedTuple):
    """What a job hands back: entries by image, annotation ids still missing."""

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    detections: list[dict[str, Any]]


def write_synthetic(
    folder: Path,
    num_images: dict[str, int],
    seed: int = 0,
    size: Size = (320, 240),
    progress: bool = False,
    num_processes: int | None = None,
) -> None:
    """Writes the splits {name: number of images} in the standard COCO layout, ids from 1.

    A folder that holds this very set is used as it is; one that holds anything else is refused
    with ValueError and not touched. The set is made beside the folder and moved there when it is
    whole. `num_processes`: None takes two where there are two cores and enough to draw.
    """
    folder = Path(folder)
    _check_request(folder, num_images, seed, size)
    made_with = {"edition": EDITION, "seed": seed, "size": list(size), "num_images": num_images}
    if _holds_set(folder, made_with):
        logger.info("%s: holds this synthetic set already", folder)
        return
    if num_processes is None:
        enough = sum(num_images.values()) >= _MIN_PARALLEL
        num_processes = min(2, os.cpu_count() or 1) if enough else 1
    partial = folder.absolute().with_name(f".{folder.absolute().name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        with tqdm(
            total=sum(num_images.values()), unit="image", disable=None if progress else True
        ) as bar:
            for split, count in num_images.items():
                _write_split(partial, split, count, seed, size, num_processes, bar)
        _write_json(partial / MARKER, made_with)
        if folder.is_dir():
            folder.rmdir()  # an empty one: everything else was refused above
        partial.replace(folder)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)


def split_seed(seed: int, split: str) -> int:
    """The seed of a split's scenes, another one for every name."""
    entropy = np.random.SeedSequence([seed, zlib.crc32(split.encode())])
    return int(entropy.generate_state(1, np.uint64)[0])


def draw_detections(
    people: tuple[DrawnPerson, ...], seed: int, index: int, size: Size
) -> list[tuple[np.ndarray, float]]:
    """Boxes (4,) xyxy and scores as a person detector of middling skill finds them in a scene."""
    rng = np.random.default_rng([seed, index, 2])
    limits = np.array([*size, *size], float)
    found = []
    for person in people:
        extent = np.tile(person.box[2:] - person.box[:2], 2)
        box = person.box + extent * rng.normal(0, JITTER, 4)
        smallness = 0.25 * np.exp(-person.area / (0.02 * size[0] * size[1]))
        score = 0.98 - 0.45 * (1 - person.seen) - smallness - abs(rng.normal(0, 0.14))
        if rng.random() >= MISSED:
            found.append((box, score))
    for _ in range(rng.poisson(FALSE_RATE)):
        if people and rng.random() < 0.4:  # a piece of somebody
            person = people[rng.integers(len(people))]
            extent = person.box[2:] - person.box[:2]
            corner = person.box[:2] + extent * rng.uniform(-0.1, 0.6, 2)
            box = np.concatenate([corner, corner + extent * rng.uniform(0.3, 0.6, 2)])
        else:
            height = size[1] * rng.uniform(0.15, 0.8)
            extent = np.array([height * rng.uniform(0.25, 0.9), height])
            corner = rng.uniform(-0.1, 0.9, 2) * size
            box = np.concatenate([corner, corner + extent])
        found.append((box, 0.06 + 0.85 * rng.beta(1.2, 2.4)))
    clipped = [
        (np.clip(box, 0, limits), float(np.clip(score, 0.02, 0.999))) for box, score in found
    ]
    whole = [(box, score) for box, score in clipped if (box[2:] - box[:2] >= 4).all()]
    return sorted(whole, key=lambda pair: -pair[1])


def _check_request(folder: Path, num_images: dict[str, int], seed: int, size: Size) -> None:
    if seed < 0:
        raise ValueError(f"{folder}: the seed must be 0 or more, got {seed}")
    for split, count in num_images.items():
        if not split or Path(split).name != split:
            raise ValueError(f"{folder}: a split's name is a plain word, got '{split}'")
        if count < 1:
            raise ValueError(f"{folder}: split '{split}' needs at least 1 image, got {count}")
    if not num_images or min(size) < 64:
        raise ValueError(
            f"{folder}: needs at least one split and images of 64x64 or larger, "
            f"got {num_images} at {size[0]}x{size[1]}"
        )


def _holds_set(folder: Path, made_with: dict[str, Any]) -> bool:
    """Whether the set is there; False where nothing is; ValueError where something else is."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    marker = folder / MARKER
    if not marker.is_file():
        raise ValueError(f"{folder}: is not empty and holds no synthetic set; name another folder")
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found != made_with:
        raise ValueError(
            f"{folder}: holds another synthetic set ({json.dumps(found)}), wanted "
            f"{json.dumps(made_with)}; name another folder or remove it"
        )
    for split, count in made_with["num_images"].items():
        files = (_annotation_path(folder, split), _detection_path(folder, split))
        there = sum(1 for _ in (folder / "images" / split).glob("*.jpg"))
        if there != count or not all(path.is_file() for path in files):
            raise ValueError(
                f"{folder}: the synthetic set is damaged ({there} of {count} images in split "
                f"'{split}', or no annotations); remove the folder and make it again"
            )
    return True


def _annotation_path(folder: Path, split: str) -> Path:
    return folder / "annotations" / f"person_keypoints_{split}.json"


def _detection_path(folder: Path, split: str) -> Path:
    return folder / "person_detection_results" / f"detections_{split}.json"


def _write_split(
    folder: Path, split: str, count: int, seed: int, size: Size, num_processes: int, bar: Any
) -> None:
    images = folder / "images" / split
    images.mkdir(parents=True)
    own_seed = split_seed(seed, split)
    jobs = [
        _Job(str(images), own_seed, first, min(first + _CHUNK, count), size)
        for first in range(0, count, _CHUNK)
    ]
    whole = _Part([], [], [])
    for part in _draw_parts(jobs, num_processes):
        for entries, more in zip(whole, part, strict=True):
            entries.extend(more)
        bar.update(len(part.images))
    for number, annotation in enumerate(whole.annotations, 1):
        annotation["id"] = number
    content = {
        "info": {"description": f"synthetic people, seed {seed}, split {split}"},
        "images": whole.images,
        "annotations": whole.annotations,
        "categories": [
            {
                "id": 1,
                "name": "person",
                "supercategory": "person",
                "keypoints": list(COCO_17.keypoints),
                "skeleton": (COCO_17.limb_index + 1).tolist(),
            }
        ],
    }
    _write_json(_annotation_path(folder, split), content)
    _write_json(_detection_path(folder, split), whole.detections)


def _draw_parts(jobs: list[_Job], num_processes: int) -> Iterator[_Part]:
    """The jobs' parts in order, drawn here or in fresh processes."""
    if num_processes <= 1:
        yield from map(_draw_part, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, context, initializer=_start_worker) as pool:
        yield from pool.map(_draw_part, jobs)


def _start_worker() -> None:
    cv2.setNumThreads(1)


def _draw_part(job: _Job) -> _Part:
    part = _Part([], [], [])
    width, height = job.size
    for index in range(job.first, job.last):
        scene, image_id = draw_scene(job.seed, index, job.size), index + 1
        name = f"{image_id:012d}.jpg"
        write_image(Path(job.images, name), scene.image)
        entry = {"id": image_id, "file_name": name, "width": width, "height": height}
        part.images.append(entry)
        part.annotations.extend(_annotation(person, image_id) for person in scene.people)
        part.detections.extend(
            {
                "image_id": image_id,
                "category_id": 1,
                "bbox": _xywh(box),
                "score": round(score, 4),
            }
            for box, score in draw_detections(scene.people, job.seed, index, job.size)
        )
    return part


def _annotation(person: DrawnPerson, image_id: int) -> dict[str, Any]:
    keypoints = [
        value
        for x, y, visibility in person.keypoints.tolist()
        for value in (round(x, 2), round(y, 2), int(visibility))
    ]
    return {
        "image_id": image_id,
        "category_id": 1,
        "keypoints": keypoints,
        "num_keypoints": int((person.keypoints[:, 2] > 0).sum()),
        "bbox": _xywh(person.box),
        "area": person.area,
        "iscrowd": 0,
    }


def _xywh(box: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = (round(float(value), 2) for value in box)
    return [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)]


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
