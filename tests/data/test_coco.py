"""COCO files become people by the published rules; what is wrong in them is one clear line."""

import copy
import json
import logging
import math

import numpy as np
import pytest

from pose.data.coco import image_names, labelled_skeleton, load_coco, load_detections
from pose.skeleton import COCO_17, Skeleton

PERSON = {"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}
HAND = Skeleton("hand", tuple(f"tip_{i}" for i in range(5)))


def annotation(number=7, keypoints=None, k=17, **changes):
    """A person of whom every keypoint is seen, in image 5 (100x80)."""
    triplets = [v for i in range(k) for v in (20 + i, 30 + i, 2)]
    entry = {
        "id": number,
        "image_id": 5,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [10.0, 20.0, 30.0, 40.0],
        "area": 600.0,
        "keypoints": triplets if keypoints is None else keypoints,
    }
    return entry | changes


def dataset(*annotations, category=PERSON):
    images = [
        {"id": 9, "file_name": "other.jpg", "width": 64, "height": 48},
        {"id": 5, "file_name": "folder/first.jpg", "width": 100, "height": 80},
    ]
    return {"images": images, "categories": [category], "annotations": list(annotations)}


@pytest.fixture
def load(save):
    def write_and_load(*annotations, **options):
        return load_coco(save(dataset(*annotations)), **options)

    return write_and_load


def fault(read, *arguments, **options):
    """The one line of the ValueError that a call ends in."""
    with pytest.raises(ValueError) as raised:
        read(*arguments, **options)
    line = str(raised.value)
    assert "\n" not in line and len(line) < 400
    return line


# Labelled people


def test_a_person_is_read_as_it_stands(load):
    people = load(annotation())
    assert people.skeleton is COCO_17 and len(people) == 1
    person = people[0]
    assert (person.image, person.image_id, person.annotation_id) == ("folder/first.jpg", 5, 7)
    assert (person.area, person.score) == (600.0, 1.0)
    assert person.keypoints.tolist() == [[20 + i, 30 + i] for i in range(17)]
    assert person.visibility.tolist() == [2] * 17
    assert people.image_sizes[people.image_index[0]].tolist() == [100, 80]


@pytest.mark.parametrize(
    ("bbox", "box"),
    [
        ([10, 20, 30, 40], [10, 20, 39, 59]),  # an ordinary one loses one pixel
        ([10.5, 20.25, 30.5, 40], [10.5, 20.25, 40, 59.25]),
        ([-5, -6, 30, 40], [0, 0, 29, 39]),  # moved inside first, then measured
        ([90, 70, 30, 40], [90, 70, 99, 79]),
        ([0, 0, 100, 80], [0, 0, 99, 79]),
        ([0, 0, 1000, 1000], [0, 0, 99, 79]),
    ],
)
def test_boxes_lose_a_pixel_and_are_clipped(load, bbox, box):
    assert load(annotation(bbox=bbox))[0].box.tolist() == box


@pytest.mark.parametrize(
    ("bbox", "box"),
    [
        ([10, 20, 30, 40], [10, 20, 40, 60]),
        ([-5, -6, 30, 40], [0, 0, 25, 34]),
        ([90, 70, 30, 40], [90, 70, 99, 79]),
    ],
)
def test_boxes_as_mmpose_reads_them(load, bbox, box):
    assert load(annotation(bbox=bbox), box_rule="mmpose")[0].box.tolist() == box


def test_boxes_are_not_clipped_where_the_image_size_is_unknown(save):
    content = dataset(annotation(bbox=[90, 70, 30, 40]))
    content["images"] = [{"id": 5, "file_name": "a.jpg"}]
    people = load_coco(save(content))
    assert people[0].box.tolist() == [90, 70, 119, 109]
    assert people.image_sizes.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    "bbox", [[10, 20, 1, 40], [10, 20, 30, 1], [10, 20, 0, 0], [10, 20, -3, 9], [200, 20, 30, 40]]
)
def test_boxes_without_area_are_left_out_with_a_warning(load, bbox, caplog):
    with caplog.at_level(logging.WARNING):
        people = load(annotation(1, bbox=bbox), annotation(2))
    assert people.annotation_ids.tolist() == [2]
    assert "1 people left out whose box has no area inside the image" in caplog.text


def test_who_does_not_count_is_left_out(load):
    people = load(
        annotation(1, iscrowd=1),
        annotation(2, keypoints=[0] * 51),
        annotation(3, keypoints=[5, 5, 0] * 17),  # coordinates without visibility label nothing
        annotation(4, category_id=2),
        annotation(5, area=0),
        annotation(6, keypoints=[0] * 48 + [5, 6, 1]),
        annotation(7),
    )
    assert people.annotation_ids.tolist() == [6, 7]


def test_entries_that_do_not_count_may_lack_what_people_need(load):
    crowd = {"id": 1, "image_id": 5, "category_id": 1, "iscrowd": 1}
    car = {"id": 2, "image_id": 5, "category_id": 3, "bbox": None}
    assert len(load(crowd, car, annotation())) == 1


def test_the_order_is_the_file_s_and_images_are_listed_once(load):
    people = load(annotation(30), annotation(10, image_id=9), annotation(20))
    assert people.annotation_ids.tolist() == [30, 10, 20]
    assert people.image_ids.tolist() == [5, 9, 5]
    assert [person.image for person in people] == [
        "folder/first.jpg",
        "other.jpg",
        "folder/first.jpg",
    ]
    assert people.images.tolist() == ["other.jpg", "folder/first.jpg"]


def test_the_image_comes_from_file_name_not_from_the_id(save):
    content = dataset(annotation(image_id=5.0))
    content["images"][1]["file_name"] = "000000000123.jpg"
    person = load_coco(save(content))[0]
    assert (person.image, person.image_id) == ("000000000123.jpg", 5)


def test_every_listed_image_has_its_name(save):
    assert image_names(save(dataset())) == {9: "other.jpg", 5: "folder/first.jpg"}


def test_an_area_that_is_missing_is_the_box_s(load):
    entry = annotation()
    del entry["area"]
    assert load(entry)[0].area == 30 * 40


@pytest.mark.parametrize("content", [dataset(), {**dataset(), "images": []}])
def test_nobody_is_an_answer(save, content):
    people = load_coco(save(content))
    assert len(people) == 0 and list(people) == []
    assert people.keypoints.shape == (0, 17, 2) and people.boxes.shape == (0, 4)


@pytest.mark.parametrize("num_keypoints", [1, 5, 14])
def test_other_skeletons_come_from_the_category(save, num_keypoints):
    names = [f"left_{i}" if i % 2 else f"right_{i - i % 2 + 1}" for i in range(num_keypoints)]
    category = {"id": 4, "name": "thing", "keypoints": names}
    content = dataset(annotation(k=num_keypoints, category_id=4), category=category)
    people = load_coco(save(content))
    assert people.skeleton.keypoints == tuple(names)
    assert people.keypoints.shape == (1, num_keypoints, 2)
    assert labelled_skeleton(save(content)) == people.skeleton


def test_test_splits_have_images_and_no_labels(save):
    content = dataset(category={"id": 1, "name": "person"})
    del content["annotations"]
    path = save(content)
    assert labelled_skeleton(path) is None
    assert len(load_coco(path, COCO_17)) == 0
    assert "has no list of keypoint names" in fault(load_coco, path)
    boxes = save([detection()], "boxes.json")
    people = load_detections(boxes, path, skeleton=HAND)
    assert people.skeleton is HAND and people.keypoints.shape == (1, 5, 2)


def test_people_are_shared_columns(load):
    people = load(annotation(1), annotation(2))
    person = people[1]
    assert np.shares_memory(person.keypoints, people.keypoints)
    assert np.shares_memory(person.visibility, people.visibility)
    assert np.shares_memory(person.box, people.boxes)
    assert [p.annotation_id for p in people] == [1, 2]
    assert (people.keypoints.dtype, people.visibility.dtype) == (np.float32, np.uint8)


def test_a_million_people_are_arrays(load):
    """What a person weighs: indices, a box, and nine bytes a keypoint."""
    people = load(annotation())
    weight = sum(
        getattr(people, name).nbytes
        for name in ("image_index", "image_ids", "boxes", "keypoints", "visibility")
    )
    assert weight <= 8 + 8 + 16 + 17 * 9


# What is wrong in an annotation file


def broken(**changes):
    return dataset(annotation(1), annotation(**changes))


def without(key):
    entry = annotation()
    del entry[key]
    return dataset(annotation(1), entry)


NAN, FIFTY = [math.nan, *[1] * 50], [1] * 50


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without("keypoints"), "has no 'keypoints'; is this a person_keypoints_*.json file?"),
        (broken(keypoints=[1] * 48), "keypoints has 48 values, expected 51"),
        (broken(keypoints=None, k=14), "keypoints has 42 values, expected 51"),
        (broken(keypoints="nose"), "keypoints is 'nose', expected a list of 51 numbers"),
        (broken(keypoints=[*FIFTY, "1"]), "keypoints is not a flat list of numbers"),
        (broken(keypoints=[*FIFTY, None]), "keypoints is not a flat list of numbers"),
        (broken(keypoints=[[1, 1, 2]] * 51), "keypoints is not a flat list of numbers"),
        (broken(keypoints=NAN), "keypoints[0] is nan, expected a finite number"),
        (broken(keypoints=[1e12, *FIFTY]), "keypoints holds 1e+12, which is no pixel's coordinate"),
        (broken(keypoints=[*FIFTY, 3]), "keypoints has a visibility other than 0, 1 or 2"),
        (broken(keypoints=[*FIFTY, 0.5]), "keypoints has a visibility other than 0, 1 or 2"),
        (without("bbox"), "has no 'bbox'"),
        (broken(bbox=None), "bbox is None, expected a list of 4 numbers"),
        (broken(bbox=[1, 2, 3]), "bbox has 3 values, expected 4"),
        (broken(bbox=[1, 2, 3, "4"]), "bbox is not a flat list of numbers"),
        (broken(bbox=[1, 2, math.inf, 4]), "bbox[2] is inf, expected a finite number"),
        (broken(bbox=[1e39, 2, 3, 4]), "bbox holds 1e+39, which is no pixel's coordinate"),
        (broken(area="big"), "area is 'big', expected a finite number"),
        (broken(area=math.nan), "area is nan, expected a finite number"),
        (broken(iscrowd="no"), "iscrowd is 'no', expected an integer"),
        (without("image_id"), "has no 'image_id'"),
        (broken(image_id="5"), "image_id is '5', expected an integer"),
        (broken(image_id=[5]), "image_id is [5], expected an integer"),
        (broken(image_id=None), "image_id is None, expected an integer"),
        (without("category_id"), "has no 'category_id'"),
        (broken(category_id="1"), "category_id is '1', expected an integer"),
    ],
)
def test_a_broken_annotation_is_named(save, content, message):
    path = save(content)
    line = fault(load_coco, path)
    assert line.startswith(f"{path}: annotation 7: ") and message in line


def test_people_in_unlisted_images_are_left_out_with_a_warning(save, caplog):
    """As the scorer does: both read the same files."""
    assert len(load_coco(save(broken(image_id=6)))) == len(load_coco(save(broken(image_id=5)))) - 1
    assert "1 people left out that lie in images the file does not list" in caplog.text


@pytest.mark.parametrize("number", ["seven", None, 7.5, [7], 2**70])
def test_an_id_that_is_none_is_refused(save, number):
    assert ": id is " in fault(load_coco, save(broken(number=number)))


def test_an_annotation_without_id_is_named_by_its_place(save):
    content = without("id")
    content["annotations"][1]["area"] = None
    assert ": annotation number 1: area is None" in fault(load_coco, save(content))


def changed(**changes):
    return {**dataset(annotation()), **changes}


def with_image(**changes):
    content = copy.deepcopy(dataset(annotation()))
    content["images"][1].update(changes)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is a list, expected a COCO annotation file"),
        (None, "is a NoneType, expected a COCO annotation file"),
        ({}, "'images' is missing or not a list of objects"),
        (changed(images=None), "'images' is missing or not a list of objects"),
        (changed(images=["a.jpg"]), "'images' is missing or not a list of objects"),
        (changed(categories={}), "'categories' is missing or not a list of objects"),
        (changed(categories=[]), "'categories' is empty"),
        (changed(categories=[{"id": 1, "name": "cat"}]), "category 'cat' has no list of keypoint"),
        (changed(categories=[{**PERSON, "id": "1"}]), "categories[0]: id is '1'"),
        (changed(categories=[{"keypoints": ["a"]}]), "categories[0]: has no 'id'"),
        (changed(annotations=None), "'annotations' is missing or not a list of objects"),
        (changed(annotations=[[]]), "'annotations' is missing or not a list of objects"),
        (with_image(id="5"), "images[1]: id is '5', expected an integer"),
        (with_image(id=9), "images[1]: id 9 is that of other.jpg too"),
        (with_image(file_name=""), "images[1]: file_name is '', expected a file's name"),
        (with_image(file_name=5), "images[1]: file_name is 5, expected a file's name"),
        (with_image(width="wide"), "images[1]: width is 'wide', expected an integer"),
        (with_image(height=-3), "images[1]: width x height is 100 x -3, which no image is"),
        (with_image(height=2**40), "which no image is"),
    ],
)
def test_a_broken_file_is_named(save, content, message):
    path = save(content)
    line = fault(load_coco, path)
    assert line.startswith(f"{path}: ") and message in line


def test_an_image_without_a_name_is_refused(save):
    content = dataset()
    del content["images"][0]["file_name"]
    assert "images[0]: has no 'file_name'" in fault(load_coco, save(content))


def test_files_that_are_none_are_refused(tmp_path, save):
    whole = json.dumps(dataset(annotation()))
    cut = tmp_path / "cut.json"
    cut.write_text(whole[: len(whole) // 2])
    assert fault(load_coco, cut).startswith(f"{cut}: not whole, valid JSON")
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such file$"):
        load_coco(tmp_path / "none.json")
    assert fault(load_coco, tmp_path) == f"{tmp_path}: is a folder, expected a JSON file"


# Detections


def detection(bbox=(1.5, 2.5, 30.25, 40.0), score=0.9, **changes):
    return {"image_id": 5, "category_id": 1, "bbox": bbox, "score": score} | changes


@pytest.fixture
def detect(save):
    labels = save(dataset())

    def write_and_load(*detections, **options):
        return load_detections(save(list(detections), "boxes.json"), labels, **options)

    return write_and_load


def test_detections_are_raw_and_in_the_file_s_order(detect):
    people = detect(
        detection((-5, -6, 300, 400), 0.1), detection(image_id=9), detection((1, 2, 1, 1), 0.5)
    )
    assert people.boxes.tolist() == [[-5, -6, 295, 394], [1.5, 2.5, 31.75, 42.5], [1, 2, 2, 3]]
    assert people.scores.tolist() == [0.1, 0.9, 0.5]
    assert [person.image for person in people][:2] == ["folder/first.jpg", "other.jpg"]
    assert people.areas.tolist() == [120_000, 1210, 1]
    assert not people.visibility.any() and not people.annotation_ids.any()


def test_the_threshold_is_inclusive(detect):
    boxes = [detection(score=s) for s in (0.2, 0.5, 0.49, 0.9)]
    assert detect(*boxes).scores.tolist() == [0.2, 0.5, 0.49, 0.9]
    assert detect(*boxes, score_threshold=0.5).scores.tolist() == [0.5, 0.9]
    assert len(detect(*boxes, score_threshold=1.0)) == 0


def test_no_detections_are_nobody(detect):
    people = detect()
    assert len(people) == 0 and people.boxes.shape == (0, 4)


def test_other_categories_and_flat_boxes_are_left_out(detect, caplog):
    with caplog.at_level(logging.WARNING):
        people = detect(
            detection(category_id=3), detection((1, 2, 0, 4)), detection((1, 2, 3, -4)), detection()
        )
    assert people.boxes.tolist() == [[1.5, 2.5, 31.75, 42.5]]
    assert "2 boxes left out that have no area" in caplog.text


def test_single_boxes_in_other_images_are_left_out_with_a_warning(detect, caplog):
    with caplog.at_level(logging.WARNING):
        assert len(detect(detection(image_id=6), detection(), detection(image_id=7))) == 1
    assert "2 boxes left out that lie in images that" in caplog.text


def test_a_file_of_another_split_is_refused(detect):
    line = fault(detect, detection(image_id=6), detection(image_id=7))
    assert "none of its 2 boxes lies in an image of" in line and "this split" in line
    # boxes below the threshold are in the right images all the same
    assert len(detect(detection(image_id=6), detection(score=0.1), score_threshold=0.5)) == 0


def test_a_file_without_people_is_refused(detect):
    line = fault(detect, detection(category_id=0), detection(category_id=2))
    assert "none of its 2 boxes has category_id 1" in line


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": None}, "bbox is None, expected a list of 4 numbers"),
        ({"bbox": [1, 2, 3]}, "bbox has 3 values, expected 4"),
        ({"bbox": [1, 2, math.nan, 4]}, "bbox[2] is nan, expected a finite number"),
        ({"score": "high"}, "score is 'high', expected a finite number"),
        ({"score": math.nan}, "score is nan, expected a finite number"),
        ({"image_id": "5"}, "image_id is '5', expected an integer"),
        ({"image_id": {}}, "image_id is {}, expected an integer"),
        ({"category_id": None}, "category_id is None, expected an integer"),
    ],
)
def test_a_broken_detection_is_named(detect, changes, message):
    assert f"boxes.json: detection 1: {message}" in fault(detect, detection(), detection(**changes))


@pytest.mark.parametrize("key", ["image_id", "category_id", "bbox", "score"])
def test_a_detection_that_lacks_a_field_is_named(detect, key):
    entry = detection()
    del entry[key]
    assert f"detection 1: has no '{key}' (it has: " in fault(detect, detection(), entry)


def test_a_file_of_another_kind_is_no_detection_file(save, detect):
    labels = save(dataset(annotation()))
    assert "expected a list of detections" in fault(load_detections, labels, labels)
    assert "detection 0: is a int, expected an object" in fault(detect, 1)


# Published files


def test_the_oracle_s_fixture(test_data):
    path = test_data / "coco/annotations/oracle_4images.json"
    content = json.loads(path.read_text())
    people = load_coco(path)
    assert (len(people), len(content["annotations"]), len(people.images)) == (12, 14, 4)
    entries = {a["id"]: a for a in content["annotations"]}
    for person in people:
        x, y, w, h = entries[person.annotation_id]["bbox"]
        assert person.box == pytest.approx([x, y, x + w - 1, y + h - 1], abs=1e-4)


def test_val2017_at_full_size(test_data):
    people = load_coco(test_data / "coco_scale/person_keypoints_val2017.json")
    assert len(people) == 6352 and len(set(people.image_ids.tolist())) == 2346
    assert (people.boxes[:, 2:] > people.boxes[:, :2]).all()
    assert (people.visibility > 0).any(axis=1).all()


def test_the_published_detection_file(test_data):
    coco = test_data / "coco"
    name = "COCO_val2017_detections_AP_H_56_person.json"
    path = coco / "person_detection_results" / name
    people = load_detections(path, coco / "annotations/person_keypoints_val2017.json")
    entries = json.loads(path.read_text())
    assert len(people) == len(entries) == 618
    assert people.scores.tolist() == [e["score"] for e in entries]
    boxes = np.array([e["bbox"] for e in entries])
    boxes[:, 2:] += boxes[:, :2]
    assert np.array_equal(people.boxes, boxes.astype(np.float32))


def test_fourteen_keypoints_of_athletes(test_data):
    people = load_coco(test_data / "lspet/train.json")
    assert people.skeleton.num_keypoints == 14 and people.keypoints.shape[1:] == (14, 2)
    assert len(people.skeleton.mirrored) == 6
