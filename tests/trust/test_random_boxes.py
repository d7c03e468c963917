"""Boxes of every kind: each gives finite keypoints, or is refused and said which."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pose.build import model_of
from pose.codecs import CODECS
from pose.config import load_config
from pose.data.coco import load_coco, load_detections
from pose.data.dataset import PoseDataset
from pose.images import ImageFolder, write_image
from pose.inference.boxes import parse_boxes, read_boxes
from pose.inference.predict import torch_runtime
from pose.inference.predictor import Predictor
from pose.skeleton import COCO_17

COUNTS = [
    200,
    pytest.param(2000, marks=pytest.mark.slow),
    pytest.param(10_000, marks=pytest.mark.soak),
]
SIZE = (80, 60)
ODD = [
    *(0.0, -0.0, 1.0, -1.0, 0.5, 79.0, 80.0, 1e-3, 1e-30, 1e-45, 1e-320, 59.999, 2.0**24),
    *(2.0**24 + 1, 2.0**25, 1e9, -1e9, 1e30, 3e38, 4e38, 1e300, math.nan, math.inf, -math.inf),
]


def random_box(rng: np.random.Generator) -> list[float]:
    """x1, y1, x2, y2: mostly a good one, with one or all of its numbers odd."""
    x1, y1 = rng.uniform(-30, 80), rng.uniform(-30, 60)
    box = [x1, y1, x1 + rng.exponential(30), y1 + rng.exponential(30)]
    kind = rng.integers(6)
    if kind == 0:
        box = [float(v) for v in rng.choice(ODD, 4)]
    elif kind == 1:
        box[rng.integers(4)] = float(rng.choice(ODD))
    elif kind == 2:
        box = [v * 10.0 ** rng.integers(-40, 40) for v in box]
    elif kind == 3:
        box[2:] = [box[0] + 10.0 ** rng.integers(-12, 8), box[1] + 10.0 ** rng.integers(-12, 8)]
    elif kind == 4:
        box = [box[0] + 1e4 * rng.normal(), box[1], box[0], box[3]]
    return [float(v) for v in box]


def is_good(box: list[float]) -> bool:
    """Whether somebody could stand there: the rule, written down once more."""
    single = [float(np.float32(v)) if abs(v) <= 2.0**24 else math.nan for v in box]
    return single[2] > single[0] and single[3] > single[1]


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def networks() -> dict[str, Predictor]:
    """An untrained network with each codec."""
    torch.manual_seed(0)
    found = {}
    for codec in CODECS:
        keys = ["model.input_size=[32, 32]", f"codec.name={codec}"]
        cfg = load_config("synthetic/quickstart", keys)
        model, decoder = model_of(cfg, COCO_17)
        runtime = torch_runtime(model, decoder, COCO_17, torch.device("cpu"), flip=False)
        found[codec] = Predictor(runtime)
    return found


def assert_finite(poses: object, count: int) -> None:
    assert len(poses) == count
    assert np.isfinite(poses.keypoints).all() and np.isfinite(poses.scores).all()
    json.dumps(poses.to_coco(1), allow_nan=False)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("codec", sorted(CODECS))
@pytest.mark.parametrize("count", COUNTS)
def test_a_box_gives_finite_keypoints_or_is_refused(
    networks: dict[str, Predictor], codec: str, count: int
) -> None:
    rng = np.random.default_rng(1)
    boxes = [random_box(rng) for _ in range(count // len(networks))]
    predict, image = networks[codec], picture()
    good = [box for box in boxes if is_good(box)]
    assert len(boxes) / 4 < len(good) < len(boxes)
    for start in range(0, len(good), 32):
        assert_finite(predict(image, good[start : start + 32]), len(good[start : start + 32]))
    for box in boxes:
        if not is_good(box):
            with pytest.raises(ValueError, match=r"^box \[.*\]: expected x1,y1,x2,y2 in pixels"):
                predict(image, [box])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", COUNTS)
def test_boxes_typed_or_in_a_file_are_good_or_named(tmp_path: Path, count: int) -> None:
    """--boxes on the command line, and files of boxes, entry by entry."""
    rng = np.random.default_rng(2)
    path = tmp_path / "boxes.json"
    for number in range(count):
        box = random_box(rng)
        path.write_text(json.dumps([{"image_id": 1, "box": [1, 1, 9, 9]}, entry(box, number)]))
        readers = {"entry 1: box": lambda: read_boxes(path).by_number[1].boxes[1:]}
        if np.isfinite(box).all():
            text = ",".join(map(str, box))
            readers["--boxes: "] = lambda text=text: parse_boxes(text).everywhere.boxes
        for where, read in readers.items():
            if is_good(box):
                assert read().tolist() == [np.array(box, np.float32).tolist()]
            else:
                with pytest.raises(ValueError, match=where) as raised:
                    read()
                assert "\n" not in str(raised.value)


def entry(box: list[float], number: int) -> dict[str, object]:
    return {"image_id": 1, "box": box, "box_score": number / 1e5}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", COUNTS)
def test_boxes_of_a_data_set_give_finite_crops_or_are_named(tmp_path: Path, count: int) -> None:
    """Detection files and annotations, each through the crop that evaluation takes."""
    write_image(tmp_path / "a.png", picture())
    rng = np.random.default_rng(3)
    category = {"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}
    image = {"id": 1, "file_name": "a.png", "width": SIZE[0], "height": SIZE[1]}
    truth, path, looked_at = tmp_path / "labels.json", tmp_path / "boxes.json", 0
    for _ in range(count // 2):
        x1, y1, x2, y2 = random_box(rng)
        row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        label = row | {"keypoints": [5, 6, 2] * 17, "area": 9}
        content = {"images": [image], "categories": [category], "annotations": [label]}
        truth.write_text(json.dumps(content))
        try:
            people = load_coco(truth)
        except ValueError as error:
            assert str(error).startswith(f"{truth}: annotation 1: bbox")
        else:
            looked_at += crops_are_finite(people, tmp_path)
        truth.write_text(json.dumps(content | {"annotations": []}))
        path.write_text(json.dumps([row | {"score": 0.5}]))
        try:
            people = load_detections(path, truth)
        except ValueError as error:
            assert str(error).startswith(f"{path}: detection 0: bbox")
        else:
            looked_at += crops_are_finite(people, tmp_path)
    assert looked_at > count / 5


def crops_are_finite(people: object, folder: Path) -> int:
    dataset = PoseDataset(people, ImageFolder(folder), (32, 32))
    for index in range(len(dataset)):
        sample = dataset[0, index]
        assert torch.isfinite(sample.matrices).all() and torch.isfinite(sample.keypoints).all()
        inverse = np.linalg.inv(np.vstack([sample.matrices.numpy(), [0, 0, 1]]))
        assert np.isfinite(inverse).all()
    return len(dataset)
