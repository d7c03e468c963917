"""Where people are looked for: boxes typed in, of an annotation file, of a detection file."""

import json
from pathlib import Path

import numpy as np
import pytest

from pose.inference.boxes import parse_boxes, read_boxes


@pytest.fixture
def save(tmp_path):
    def write(content):
        path = tmp_path / "boxes.json"
        path.write_text(json.dumps(content))
        return path

    return write


def entry(**fields):
    return {"image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.5, **fields}


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("1,2,3,4", [[1, 2, 3, 4]]),
        (" 1.5, 2 ,30,4e1 ; -5,0,7,8 ;", [[1.5, 2, 30, 40], [-5, 0, 7, 8]]),
    ],
)
def test_typed_boxes_hold_for_every_picture(text, boxes):
    source = parse_boxes(text)
    for given in (source.of_image(Path("any.jpg")), source.of_frame(12)):
        assert given.boxes.tolist() == boxes and given.boxes.dtype == np.float32
        assert given.scores.tolist() == [1] * len(boxes)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1,2,3", "'1,2,3' is not x1,y1,x2,y2 in pixels"),
        ("1,2,3,4;5,6", "'5,6' is not x1,y1,x2,y2"),
        ("1,2,.,4", "'1,2,.,4' is not x1,y1,x2,y2"),
        ("5,2,3,4", "'5,2,3,4' has no area"),
        ("1,2,3,2", "'1,2,3,2' has no area"),
    ],
)
def test_a_mistyped_box_is_shown(text, part):
    with pytest.raises(ValueError, match=r"^--boxes: ") as error:
        parse_boxes(text)
    assert part in str(error.value)


def test_other_text_is_a_files_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"boxes\.json: no such file"):
        parse_boxes(str(tmp_path / "boxes.json"))


def test_an_annotation_files_boxes_belong_to_its_images(save):
    content = {
        "images": [
            {"id": 1, "file_name": "deep/a.jpg"},
            {"id": 2, "file_name": "000000000003.jpg"},
        ],
        "annotations": [
            entry(),
            entry(image_id=2, bbox=[1, 2, 3, 4]),
            entry(iscrowd=1),
            entry(category_id=18),
        ],
    }
    source = read_boxes(save(content))
    assert source.of_image(Path("x/a.jpg")).boxes.tolist() == [[10, 20, 40, 60]]
    assert source.of_image(Path("000000000003.jpg")).boxes.tolist() == [[1, 2, 4, 6]]
    nobody = source.of_image(Path("000000000001.jpg"))
    assert nobody.boxes.shape == (0, 4) and nobody.scores.shape == (0,)


def test_detections_belong_to_a_name_or_a_number(save):
    content = [entry(image_id=139), entry(file_name="a.jpg", score=0.25), entry(image_id=139)]
    source = read_boxes(save(content))
    assert len(source.of_image(Path("000000000139.jpg")).boxes) == 2
    assert source.of_image(Path("a.jpg")).scores.tolist() == [0.25]
    assert len(source.of_frame(139).boxes) == 2 and not len(source.of_frame(0).boxes)


def test_a_detection_without_a_score_counts_fully(save):
    content = [{"image_id": 0, "bbox": [0, 0, 5, 5]}]
    assert read_boxes(save(content)).of_frame(0).scores.tolist() == [1]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("boxes", "expected a list of detections"),
        ({"images": []}, "'annotations' is missing"),
        ([{"image_id": 1}], "entry 0: has no 'bbox'"),
        ([entry(), entry(bbox=[1, 2, 3])], "entry 1: bbox has 3 values, expected 4"),
        ([entry(bbox=[1, 2, 3, "4"])], "entry 0: bbox is not a flat list of numbers"),
        ([entry(bbox=[1, 2, 0, 4])], "entry 0: bbox [1.0, 2.0, 0.0, 4.0] has no area"),
        ([entry(score="high")], "entry 0: score is 'high', expected a finite number"),
        ([entry(image_id="one")], "entry 0: image_id is 'one', expected an integer"),
        ([{"bbox": [1, 2, 3, 4]}], "entry 0: has neither file_name nor image_id"),
    ],
)
def test_a_broken_file_is_named_with_entry_and_field(save, content, part):
    path = save(content)
    with pytest.raises(ValueError) as error:
        read_boxes(path)
    assert str(error.value).startswith(f"{path}: ") and part in str(error.value)
