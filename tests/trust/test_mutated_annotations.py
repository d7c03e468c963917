"""Damaged annotation, detection and result files: each is read as it stands, by an independent slow
reading, or ends in one line that names file, entry and field; figures are those of pycocotools."""

import contextlib
import faulthandler
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose.data.coco import load_coco, load_detections
from pose.inference.boxes import read_boxes
from pose.metrics.coco_score import score_results
from pose.metrics.coco_scorers import SCORERS, installed_scorer
from pose.skeleton import COCO_17
from tests.trust import slow_reading
from tests.trust.mutations import Damage, damaged

COUNTS = [40, pytest.param(300, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.soak)]
SECONDS = 20
"""Longer than this nothing takes, however damaged."""

PERSON = {"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}


def person(rng: np.random.Generator, number: int, image_id: int, **changes: Any) -> dict[str, Any]:
    x, y, w, h = (float(v) for v in rng.uniform(5, 60, 4).round(2))
    points = np.column_stack([rng.uniform(x, x + w, 17), rng.uniform(y, y + h, 17)]).round(1)
    triplets = np.column_stack([points, rng.integers(0, 3, 17)])
    triplets[0, 2] = 2
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": triplets.ravel().tolist(),
        "num_keypoints": int((triplets[:, 2] > 0).sum()),
        "bbox": [x, y, w, h],
        "area": round(w * h * 0.6 * 9, 3),
    } | changes


def labels(rng: np.random.Generator) -> dict[str, Any]:
    """Four images of six people, one of them a crowd, one without a labelled keypoint."""
    images = [
        {"id": 10 + i, "file_name": f"{i:06d}.jpg", "width": 120 + i, "height": 110}
        for i in range(4)
    ]
    people = [person(rng, 101 + i, 10 + i % 3) for i in range(6)]
    people[3] |= {"iscrowd": 1}
    people[4] |= {"keypoints": [0] * 51, "num_keypoints": 0}
    categories = [PERSON, {"id": 3, "name": "car"}]
    return {"images": images, "annotations": people, "categories": categories}


def results(rng: np.random.Generator, truth: dict[str, Any]) -> list[dict[str, Any]]:
    """People found near the labelled ones, and two more."""
    entries = []
    for label in [*truth["annotations"], person(rng, 0, 13), person(rng, 0, 10)]:
        triplets = np.reshape(label["keypoints"], (17, 3)).astype(float)
        triplets[:, :2] += rng.normal(0, 1.5, (17, 2)).round(2)
        triplets[:, 2] = rng.uniform(0.1, 1, 17).round(3)
        entry = {"image_id": label["image_id"], "category_id": 1, "keypoints": triplets.ravel()}
        entries.append(entry | {"keypoints": triplets.ravel().tolist(), "score": rng.random()})
    return entries


def found_boxes(rng: np.random.Generator, truth: dict[str, Any]) -> list[dict[str, Any]]:
    keys = ("image_id", "category_id", "bbox")
    return [{k: a[k] for k in keys} | {"score": rng.random()} for a in truth["annotations"]]


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """What never ends is ended, with a word on where it was."""
    faulthandler.dump_traceback_later(900, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def outcome(read: Callable[[], Any], path: Path, damage: Damage) -> Any:
    """What a reader gives; None for one clear line, which is looked at."""
    start = time.perf_counter()
    try:
        return read()
    except ValueError as error:
        line = str(error)
        assert line.startswith(f"{path}: ") and len(line) < len(str(path)) * 2 + 400, line
        assert line.isprintable(), (line, damage.what)
        if damage.key is not None:
            assert damage.key.rstrip("s") in line, (line, damage.what)  # "keypoint 'nose' twice"
        if damage.key is not None and damage.table in ("annotations", None):
            assert any(word in line for word in ("annotation ", "detection ", "entry ")), line
        if damage.key is not None and damage.table == "images":
            assert "images[" in line or "annotation" in line, line
        return None
    finally:
        assert time.perf_counter() - start < SECONDS, damage.what


def expected(read: Callable[[], Any]) -> Any:
    """What the slow reading gives; None where it finds no right way to read the file."""
    try:
        return read()
    except slow_reading.RefusedError:
        return None


def names_kept(data: bytes) -> bool:
    """Whether the first category still has COCO's keypoints: other skeletons are other files."""
    try:
        return json.loads(data)["categories"][0]["keypoints"] == list(COCO_17.keypoints)
    except Exception:
        return False


def rows_of(people: Any) -> list[tuple]:
    return [
        (
            p.image,
            p.image_id,
            tuple(p.box.tolist()),
            tuple(p.keypoints.ravel().tolist()),
            tuple(p.visibility.tolist()),
            p.area,
            p.annotation_id,
        )
        for p in people
    ]


@pytest.mark.parametrize("count", COUNTS)
def test_annotations_are_read_as_they_stand_or_refused(tmp_path: Path, count: int) -> None:
    path, read, others = tmp_path / "labels.json", 0, 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        damage = damaged(rng, labels(rng))
        path.write_bytes(damage.data)
        people = outcome(lambda: load_coco(path), path, damage)
        if names_kept(damage.data) or people is None:
            right = expected(lambda: slow_reading.people(damage.data))  # noqa: B023
            if people is None and not names_kept(damage.data):
                continue  # refused for its skeleton, or for anything else
            assert (people is None) == (right is None), (seed, damage.what)
            assert people is None or rows_of(people) == right, (seed, damage.what)
            read += people is not None
        else:
            others += 1
    assert read > count / 5 and others < count / 10


@pytest.mark.parametrize("count", COUNTS)
def test_detections_are_read_as_they_stand_or_refused(tmp_path: Path, count: int) -> None:
    path, truth, read = tmp_path / "boxes.json", tmp_path / "labels.json", 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        whole = labels(rng)
        truth.write_text(json.dumps(whole))
        damage = damaged(rng, found_boxes(rng, whole))
        path.write_bytes(damage.data)
        people = outcome(lambda: load_detections(path, truth), path, damage)
        right = expected(lambda: slow_reading.detections(damage.data, truth.read_bytes()))  # noqa: B023
        assert (people is None) == (right is None), (seed, damage.what)
        if people is not None:
            found = [(p.image, p.image_id, tuple(p.box.tolist()), p.score) for p in people]
            assert found == right, (seed, damage.what)
            read += 1
    assert read > count / 10


@pytest.mark.parametrize("count", COUNTS)
def test_boxes_to_predict_in_are_read_as_they_stand_or_refused(tmp_path: Path, count: int) -> None:
    path, read = tmp_path / "boxes.json", 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        whole = labels(rng)
        damage = damaged(rng, whole if seed % 2 else found_boxes(rng, whole))
        path.write_bytes(damage.data)
        source = outcome(lambda: read_boxes(path), path, damage)
        right = expected(lambda: slow_reading.boxes(damage.data))  # noqa: B023
        assert (source is None) == (right is None), (seed, damage.what)
        if source is not None:
            found = {
                key: [
                    (tuple(box), score)
                    for box, score in zip(b.boxes.tolist(), b.scores.tolist(), strict=True)
                ]
                for key, b in [*source.by_name.items(), *source.by_number.items()]
            }
            rounded = {
                Path(key).as_posix() if isinstance(key, str) else key: [
                    (box, float(np.float32(score))) for box, score in rows
                ]
                for key, rows in right.items()
            }
            assert found == rounded, (seed, damage.what)
            read += 1
    assert read > count / 10


def pycocotools_figures(truth: bytes, found: bytes) -> list[float]:
    """The ten values of the files by pycocotools itself, -1 without members.

    Annotations are numbered from 1 first: it takes one with id 0 for unmatched. Only the first
    category counts. A missing `num_keypoints` or `iscrowd` is derived, as its own files have it.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    content, entries = json.loads(truth), json.loads(found)
    first = content["categories"][0]["id"]
    kept = [a for a in content["annotations"] if a["category_id"] == first]
    content["annotations"] = [
        {
            "iscrowd": 0,
            "num_keypoints": sum(v > 0 for v in a["keypoints"][2::3]),
            **a,
            "id": number,
        }
        for number, a in enumerate(kept, start=1)
    ]
    entries = [{k: e[k] for k in e if k != "bbox"} for e in entries if e["category_id"] == first]
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        labelled, predicted = COCO(), COCO()
        labelled.dataset = content
        labelled.createIndex()
        predicted.dataset = {**content, "annotations": []}
        predicted.createIndex()
        evaluation = COCOeval(
            labelled, labelled.loadRes(entries) if entries else predicted, "keypoints"
        )
        evaluation.params.catIds = [first]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def same_figures(found: list[float], yardstick: list[float]) -> bool:
    return all(b < 0 if math.isnan(a) else a == b for a, b in zip(found, yardstick, strict=True))


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("which", ["labels", "results"])
@pytest.mark.parametrize("count", COUNTS)
def test_no_figure_is_silently_wrong(tmp_path: Path, which: str, scorer: str, count: int) -> None:
    if scorer == "hotcoco" and installed_scorer() != scorer:
        pytest.skip("hotcoco is not installed")
    truth, path, scored = tmp_path / "labels.json", tmp_path / "results.json", 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        whole = labels(rng)
        entries = results(rng, whole)
        damage = damaged(rng, whole if which == "labels" else entries)
        truth.write_bytes(damage.data if which == "labels" else json.dumps(whole).encode())
        path.write_bytes(damage.data if which == "results" else json.dumps(entries).encode())
        file = truth if which == "labels" else path
        reading = lambda: score_results(path, truth, scorer)  # noqa: E731
        try:
            figures = outcome(reading, file, damage)
        except AssertionError as fault:
            # Entries may lie in images that the damaged labels no longer list.
            if which == "labels" and f"{path}: entry" in str(fault):
                continue
            raise
        if figures is not None and names_kept(truth.read_bytes()):
            right = pycocotools_figures(truth.read_bytes(), path.read_bytes())
            assert same_figures(list(figures.values()), right), (seed, damage.what)
            scored += 1
    assert scored > count / 10
