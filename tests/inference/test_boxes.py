"""Where people are looked for: boxes typed in, of an annotation file, of a detection file."""

from pathlib import Path, PurePath

import numpy as np
import pytest

from pose.inference.boxes import parse_boxes, read_boxes


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
        ("1,2,3,4,5", "'1,2,3,4,5' is not x1,y1,x2,y2"),
        ("1,2,1e999,4", "'1,2,1e999,4'"),
    ],
)
def test_a_mistyped_box_is_shown(text, part):
    with pytest.raises(ValueError, match=r"^--boxes: ") as error:
        parse_boxes(text)
    assert part in str(error.value)


def test_other_text_is_a_files_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"boxes\.json: no such file"):
        parse_boxes(str(tmp_path / "boxes.json"))
    for text in ("nan,1,2,3", "a,b,c,d", "1 2 3 4"):
        with pytest.raises(FileNotFoundError, match=f"^{text}: no such file"):
            parse_boxes(text)


def test_a_files_name_is_read_as_the_file(save):
    path = save([entry()])
    assert parse_boxes(str(path)).of_frame(1).boxes.tolist() == [[10, 20, 40, 60]]


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


def test_the_first_category_of_an_annotation_file_counts(save):
    """As in training: people of one's own need not have COCO's number."""
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 7, "name": "person"}, {"id": 1, "name": "dog"}],
        "annotations": [entry(category_id=7), entry(bbox=[1, 2, 3, 4])],
    }
    source = read_boxes(save(content))
    assert source.of_image(Path("a.jpg")).boxes.tolist() == [[10, 20, 40, 60]]


def test_a_picture_that_nobody_names_has_no_boxes(save):
    source = read_boxes(save([entry(), entry(file_name="a.jpg")]))
    for given in (source.of_image(Path("b.jpg")), source.of_image(Path("2.jpg"))):
        assert given.boxes.shape == (0, 4) and given.scores.shape == (0,)
        assert given.boxes.dtype == given.scores.dtype == np.float32
    nobody = read_boxes(save([])).of_frame(0)
    assert nobody.boxes.shape == (0, 4) and nobody.scores.shape == (0,)


def test_boxes_of_a_file_are_float32_columns(save):
    given = read_boxes(save([entry(score=1), entry(bbox=[0.5, 1, 2, 3])])).of_frame(1)
    assert given.boxes.shape == (2, 4) and given.scores.shape == (2,)
    assert given.boxes.dtype == given.scores.dtype == np.float32


def test_a_detection_without_a_score_counts_fully(save):
    content = [{"image_id": 0, "bbox": [0, 0, 5, 5]}]
    assert read_boxes(save(content)).of_frame(0).scores.tolist() == [1]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("boxes", "expected a list of detections"),
        (5, "expected a list of detections"),
        ({"annotations": []}, "'images' is missing"),
        ({"images": [{"id": [1]}], "annotations": []}, "id is [1], expected an integer"),
        ([5], "entry 0: is a int, expected an object"),
        ([entry(bbox=None)], "entry 0: bbox is None, expected a list of 4 numbers"),
        ([entry(bbox=[1, float("nan"), 3, 4])], "entry 0: bbox[1] is nan, expected a finite"),
        ({"images": []}, "'annotations' is missing"),
        ([{"image_id": 1}], "entry 0: has no 'bbox'"),
        ([entry(), entry(bbox=[1, 2, 3])], "entry 1: bbox has 3 values, expected 4"),
        ([entry(bbox=[1, 2, 3, "4"])], "entry 0: bbox is not a flat list of numbers"),
        ([entry(bbox=[1, 2, 0, 4])], "entry 0: bbox [1.0, 2.0, 0.0, 4.0] has no area"),
        ([entry(score="high")], "entry 0: score is 'high', expected a finite number"),
        ([entry(image_id="one")], "entry 0: image_id is 'one', expected an integer"),
        ([{"bbox": [1, 2, 3, 4]}], "entry 0: has neither file_name nor image_id"),
        ([entry(category_id="1")], "entry 0: category_id is '1', expected an integer"),
        ([entry(iscrowd="0")], "entry 0: iscrowd is '0', expected an integer"),
        ([entry(file_name=5)], "entry 0: file_name is 5, expected a file's name"),
        ([entry(bbox=[1e30, 2, 3, 4])], "entry 0: bbox holds 1e+30, which is no pixel's"),
        ([entry(bbox=[100, 2, 1e-9, 4])], "entry 0: bbox [100.0, 2.0, 1e-09, 4.0] has no area"),
        ([entry(score=1e300)], "entry 0: score is 1e+300, which no detector gives"),
    ],
)
def test_a_broken_file_is_named_with_entry_and_field(save, content, part):
    path = save(content)
    with pytest.raises(ValueError) as error:
        read_boxes(path)
    assert str(error.value).startswith(f"{path}: ") and part in str(error.value)


def test_our_own_results_are_boxes_too(save):
    entry = {"image_id": 3, "category_id": 1, "box": [5, 6, 25, 46], "box_score": 0.7, "score": 0.2}
    boxes = read_boxes(save([entry])).of_frame(3)
    assert boxes.boxes.tolist() == [[5, 6, 25, 46]] and boxes.scores == pytest.approx([0.7])
    with pytest.raises(ValueError, match=r"entry 0: box .* has no area; expected \[x1, y1, x2, y2"):
        read_boxes(save([{**entry, "box": [5, 6, 5, 46]}]))


def test_pictures_of_one_name_in_two_folders_are_told_apart(save):
    entries = [
        {"file_name": name, "bbox": [x, 0, 10, 10]} for name, x in (("a/x.jpg", 1), ("b/x.jpg", 2))
    ]
    entries.append({"file_name": "val/y.jpg", "bbox": [3, 0, 10, 10]})
    source = read_boxes(save(entries))
    assert source.of_image(PurePath("b/x.jpg")).boxes[0, 0] == 2
    assert source.of_image(PurePath("y.jpg")).boxes[0, 0] == 3, "the bare name, where it is enough"
    assert len(source.of_image(PurePath("x.jpg")).boxes) == 0, "whose would they be?"
