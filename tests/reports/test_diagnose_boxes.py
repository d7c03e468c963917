"""AP lost to boxes against AP lost to the pose, with a network that is right in the right box."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pose.data.coco import load_coco, load_detections
from pose.images import ImageFolder, write_image
from pose.inference.predict import Runtime
from pose.inference.predictor import Predictor
from pose.reports.diagnosis import read_case
from pose.reports.diagnosis_boxes import box_losses, pose_against_boxes
from pose.reports.network_study import (
    SCALES,
    SHIFTS,
    divided,
    found_in,
    look,
    matching,
    network_study,
    sample_of,
)
from pose.skeleton import COCO_17

SIZE = (48, 64)
PLACES = np.stack([np.arange(17) % 5 / 4, np.arange(17) // 5 / 3], axis=1) * 0.8 + 0.1
"""Where keypoints lie in their person's box, as shares of its sides."""


def find(crops):
    """Keypoints where they lie in a box that the crop was made for, which adds a quarter."""
    points = (PLACES - 0.5) / 1.25 * SIZE + np.array(SIZE) / 2
    points = torch.tensor(points, dtype=torch.float32).repeat(len(crops), 1, 1)
    return points, torch.full(points.shape[:2], 0.9)


RUNTIME = Runtime(find, SIZE, "published", COCO_17, "a test")


@pytest.fixture
def files(tmp_path):
    """Twelve images of two people, and boxes: for a quarter none, for a quarter one shifted by a
    third of its width, for the others the right one; six of nobody."""
    annotations, detections = [], []
    for number in range(24):
        image_id, left = number // 2 + 1, 50.0 + 300 * (number % 2)
        box = np.array([left, 40.0, 150.0, 200.0])
        points = box[:2] + PLACES * box[2:]
        annotations.append(
            {
                "id": number + 1,
                "image_id": image_id,
                "category_id": 1,
                "keypoints": np.column_stack([points, np.full(17, 2)]).ravel().tolist(),
                "num_keypoints": 17,
                "area": 15_000.0,
                "bbox": [left, 40.0, 151.0, 201.0],
                "iscrowd": 0,
            }
        )
        shift = 50.0 if number % 4 == 1 else 0.0
        if number % 4:
            detections.append({"image_id": image_id, "category_id": 1, "score": 0.8,
                               "bbox": [left + shift, 40.0, 150.0, 200.0]})  # fmt: skip
    nobody = {"category_id": 1, "score": 0.9, "bbox": [500.0, 300.0, 60.0, 80.0]}
    detections += [{"image_id": i, **nobody} for i in range(1, 7)]
    dataset = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 640, "height": 400}
                   for i in range(1, 13)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}],
        "annotations": annotations,
    }  # fmt: skip
    for name, content in (("gt", dataset), ("boxes", detections)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    for image in dataset["images"]:
        write_image(tmp_path / "images" / image["file_name"], np.full((8, 8, 3), 90, np.uint8))
    return tmp_path


def results_on(files, boxes, name):
    """A result file of the network on these boxes."""
    (files / "none.json").write_text("[]")
    case = read_case(files / "none.json", files / "gt.json")
    found = found_in(case, RUNTIME, look(Predictor(RUNTIME), boxes, ImageFolder(files / "images")))
    ids = sorted(case.truth.image_ids)
    entries = [
        {"image_id": ids[i], "category_id": 1, "score": float(score),
         "keypoints": np.column_stack([points, scores]).ravel().tolist()}
        for i, points, scores, score in zip(
            found.images, found.keypoints, found.keypoint_scores, found.scores, strict=True)
    ]  # fmt: skip
    (files / name).write_text(json.dumps(entries))
    return files / name


@pytest.fixture
def people(files):
    return load_coco(files / "gt.json")


@pytest.fixture
def detected(files):
    return load_detections(files / "boxes.json", files / "gt.json")


@pytest.fixture
def case(files, detected):
    return read_case(results_on(files, detected, "results.json"), files / "gt.json")


def test_what_the_boxes_cost_from_files_alone(case, detected):
    losses = box_losses(case, detected)
    assert losses["boxes"] == 24
    assert losses["people without a box"] == 6
    assert losses["boxes of nobody"] == pytest.approx(6 / 24)
    assert losses["recall"]["0.50"] == pytest.approx(0.75)
    assert losses["recall"]["0.75"] == pytest.approx(0.5)
    by_fit = {row["overlap"]: row for row in losses["by fit"]}
    assert {name: row["people"] for name, row in by_fit.items()} == {
        "below 0.5": 6,
        "0.5 to 0.6": 6,
        "0.9 to 1": 12,
    }
    assert by_fit["0.9 to 1"]["AR"] == 1.0
    assert by_fit["below 0.5"]["AR"] == 0.0
    assert losses["AP without those people"] > losses["AP"]


def test_two_result_files_divide_what_is_missing(files, case, people):
    on_truth = read_case(results_on(files, people, "gt-results.json"), files / "gt.json")
    losses = {row["lost to"]: row["AP"] for row in pose_against_boxes(case, on_truth)}
    assert losses["the pose"] == pytest.approx(0.0, abs=1e-9)
    assert losses["the boxes"] == pytest.approx(1 - box_losses(case, people)["AP"])


def test_the_network_on_every_kind_of_box(files, case, people, detected):
    """It is right in the right box, so all is the boxes' fault, and each part has its own share."""
    networks = {"as it is": Predictor(RUNTIME), "again": Predictor(RUNTIME)}
    study = network_study(case, networks, ImageFolder(files / "images"), people, detected)
    rows = {row["boxes"]: row for row in study["boxes"]}
    assert {name: row["number"] for name, row in rows.items()} == {
        "ground truth": 24,
        "ground truth of those detected": 18,
        "detected boxes that match": 18,
        "detected boxes": 24,
    }
    assert rows["ground truth"]["AP"] == pytest.approx(1.0)
    losses = {row["lost to"]: row["AP"] for row in divided(study["boxes"])}
    assert losses["the pose"] == pytest.approx(0.0, abs=1e-9)
    assert losses["people without a box"] == pytest.approx(0.25, abs=0.01)
    assert losses["boxes that fit badly"] > 0.1
    assert losses["false and second boxes"] > 0.05
    assert sum(losses.values()) == pytest.approx(1 - rows["detected boxes"]["AP"])


def test_ap_falls_with_shift_and_scale(files, case, people):
    seen = []
    network = Predictor(replace(RUNTIME, find=lambda crops: seen.append(len(crops)) or find(crops)))
    study = network_study(case, {"a": network}, ImageFolder(files / "images"), people, None)
    assert sum(seen) == 24 * (len(SHIFTS) + len(SCALES) - 1), "what is not moved is seen once"
    assert max(seen) == 16, "people of eight images together"
    shift, scale = ([row["AP"] for row in study[name]] for name in ("shift", "scale"))
    assert len(shift) == len(SHIFTS)
    assert shift[0] == pytest.approx(1.0)
    assert (np.diff(shift) <= 1e-9).all()
    assert shift[-1] < 0.5
    right = SCALES.index(1.0)
    assert scale[right] == pytest.approx(1.0)
    assert (np.diff(scale[: right + 1]) >= -1e-9).all()
    assert (np.diff(scale[right:]) <= 1e-9).all()
    assert study["choices"] == [{"choice": "a", "AP": shift[0]}]
    assert study["soft NMS"] == pytest.approx(1.0)
    assert [row["AP"] for row in study["NMS"]] == pytest.approx([1.0] * len(study["NMS"]))
    assert divided(study["boxes"]) == [{"lost to": "the pose", "AP": pytest.approx(0.0)}]


def test_every_person_has_one_matching_box(people, detected):
    own, theirs = matching(people, detected)
    assert len(own) == len(set(own.tolist())) == len(set(theirs.tolist())) == 18
    assert set(range(24)) - set(own.tolist()) == set(range(0, 24, 4))


def test_the_sample_is_of_whole_images(monkeypatch, case, people):
    monkeypatch.setattr("pose.reports.network_study.SAMPLE", 5)
    part, counts = sample_of(case, people)
    assert (len(part), counts.sum()) == (6, 3)
    assert set(people.image_ids[part].tolist()) == set((np.flatnonzero(counts) + 1).tolist())
