"""Damaged files of the formats beside COCO's: one line, or all but the damaged entry as before."""

import json
import math
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pose.build_data import FORMATS
from pose.commands.score import score_as
from pose.data.mpii import load_mpii
from pose.skeletons import CROWDPOSE_14, POSETRACK_17
from tests.trust.mutations import damage_entry, damaged

COUNTS = [30, pytest.param(200, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.soak)]


def triplets(rng: np.random.Generator, k: int, seen: tuple[int, ...]) -> list[float]:
    points = rng.uniform(20, 90, (k, 2)).round(1)
    return np.column_stack([points, rng.choice(seen, k)]).ravel().tolist()


def in_coco_form(rng: np.random.Generator, names: tuple[str, ...], k: int) -> dict[str, Any]:
    """Three images of six people, of whom some know more than they need to."""
    images = [
        {"id": i, "file_name": f"images/val/a{i % 2}/{i:06d}.jpg", "crowdIndex": i / 3}
        for i in range(3)
    ]
    people = [
        {
            "id": i,
            "image_id": i % 3,
            "category_id": 1,
            "keypoints": triplets(rng, k, (1, 2) if k != 17 else (1,)),
            "bbox": [5.0 + i, 6.0, 80.0, 90.0],
            "area": 4000.0 + i,
            "bbox_head": [8.0, 9.0, 20.0, 20.0],
            "track_id": i,
        }
        for i in range(6)
    ]
    images[1] |= {"ignore_regions_x": [[1.0, 9.0, 9.0]], "ignore_regions_y": [[1.0, 1.0, 9.0]]}
    category = {"id": 1, "name": "person", "keypoints": list(names)}
    return {"images": images, "annotations": people, "categories": [category]}


def aic(rng: np.random.Generator) -> list[dict[str, Any]]:
    return [
        {
            "image_id": f"{i:08x}",
            "human_annotations": {"human1": [5, 6, 105, 206], "human2": [15 + i, 6, 105, 206]},
            "keypoint_annotations": {f"human{n}": triplets(rng, 14, (1, 2, 3)) for n in (1, 2)},
        }
        for i in range(4)
    ]


def mpii(rng: np.random.Generator) -> list[dict[str, Any]]:
    return [
        {
            "image": f"{i % 3:06d}.jpg",
            "center": rng.uniform(100, 200, 2).tolist(),
            "scale": float(rng.uniform(1, 4)),
            "joints": rng.uniform(10, 300, (16, 2)).tolist(),
            "joints_vis": rng.integers(0, 2, 16).tolist(),
        }
        for i in range(5)
    ]


FILES = {
    "crowdpose": lambda rng: in_coco_form(rng, CROWDPOSE_14.keypoints, 14),
    "halpe": lambda rng: in_coco_form(rng, ("nose",), 136),
    "posetrack": lambda rng: in_coco_form(rng, POSETRACK_17.keypoints, 17),
    "aic": aic,
    "mpii": mpii,
}


def load(form: str, path: Path) -> Counter[tuple]:
    """Everyone's columns, however often."""
    people = load_mpii(path) if form == "mpii" else FORMATS[form].load(path, None, "published")
    return Counter(
        (p.box.tobytes(), p.keypoints.tobytes(), p.visibility.tobytes(), p.area, p.image)
        for p in people
    )


def assert_one_line(error: ValueError, path: Path) -> None:
    line = str(error)
    assert line.startswith(f"{path}: ") and line.isprintable() and len(line) < 700, line


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("count", COUNTS)
def test_one_damaged_entry_touches_no_other(tmp_path: Path, form: str, count: int) -> None:
    path, read = tmp_path / "labels.json", 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        content = FILES[form](rng)
        path.write_text(json.dumps(content))
        before = load(form, path)
        images = isinstance(content, dict) and seed % 4 == 0
        table = (
            content["images" if images else "annotations"]
            if form in FORMATS and isinstance(content, dict)
            else content
        )
        _, what = damage_entry(rng, table)
        path.write_text(json.dumps(content))
        try:
            after = load(form, path)
        except ValueError as error:
            assert_one_line(error, path)
        else:
            of_one = 2 if images or form == "aic" else 1
            assert (before - after).total() <= of_one, (seed, what)
            read += 1
    assert read > count / 20


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("count", COUNTS)
def test_any_damage_ends_in_people_or_one_line(tmp_path: Path, form: str, count: int) -> None:
    path, refused = tmp_path / "labels.json", 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        path.write_bytes(damaged(rng, FILES[form](rng)).data)
        try:
            load(form, path)
        except ValueError as error:
            assert_one_line(error, path)
            refused += 1
    assert count / 5 < refused < count


def found_in(form: str, content: Any) -> Any:
    """Results near the labels, as the format has them."""
    k = {"crowdpose": 14, "posetrack": 17}[form]
    entries = [
        {
            "image_id": person["image_id"],
            "category_id": 1,
            "keypoints": [v + 0.5 for v in person["keypoints"][: 3 * k]],
            "score": 0.5 + 0.01 * person["id"],
        }
        for person in content["annotations"]
    ]
    if form == "crowdpose":
        return entries
    tracked = [e | {"scores": [0.7] * k, "track_id": i} for i, e in enumerate(entries)]
    return {"images": content["images"], "annotations": tracked, "tracked": True}


@pytest.mark.parametrize("form", ["crowdpose", "posetrack"])
@pytest.mark.parametrize("count", COUNTS)
def test_figures_of_damaged_files_are_numbers_or_one_line(
    tmp_path: Path, form: str, count: int
) -> None:
    truth, path, scored = tmp_path / "labels.json", tmp_path / "results.json", 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        content = FILES[form](rng)
        entries = found_in(form, content)
        bad = damaged(rng, content if seed % 2 else entries)
        truth.write_bytes(bad.data if seed % 2 else json.dumps(content).encode())
        path.write_bytes(bad.data if not seed % 2 else json.dumps(entries).encode())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                figures = score_as(form, path, truth)
        except ValueError as error:
            assert str(error).isprintable() and len(str(error)) < 700, str(error)
            named = str(error).startswith((f"{path}: ", f"{truth}: "))
            assert named, (str(error), bad.what)
        else:
            assert not any(map(math.isinf, figures.values())), figures
            scored += 1
    assert scored > count / 20
