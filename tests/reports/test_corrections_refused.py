"""Files of labelling tools that do not fit: one line each, which names the file and the place."""

import copy
import json
import zipfile

import pytest

from pose.data.labelling import LabelledImage
from pose.records import write_json
from pose.reports.corrections import read_corrected
from tests.corrected_labels import cvat_export, label_studio_export, poses, suggest, two_hands


@pytest.fixture
def began(tmp_path):
    return suggest(tmp_path, two_hands())


def line_of(path, began):
    """The message of what `read_corrected` refuses."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read_corrected(path, began)
    line = str(caught.value)
    assert "\n" not in line and line.startswith((str(path), str(began))) and len(line) < 700
    return line


def line_for(export, began):
    path = began.with_name("export.json")
    path.write_text(json.dumps(export))
    return line_of(path, began)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not whole, valid JSON"),
        ("7", "is neither Label Studio's JSON export nor CVAT's COCO Keypoints 1.0"),
        ('{"dataset": []}', "is neither Label Studio's"),
        ('{"images": [], "annotations": [], "categories": []}', "'categories' is empty"),
        ("[]", "holds no annotated image"),
        ("[1]", "not a list of objects"),
        ('[{"id": 4}]', "task 4: has no 'data'"),
        ('[{"id": 4, "image": "a.jpg"}]', "task 4: is of Label Studio's short form JSON_MIN"),
        ('[{"id": 4, "data": {"image": "b.jpg"}}]', "task 4: has no 'annotations'"),
        (
            '[{"data": {"photo": "b.jpg"}, "annotations": []}]',
            "data: has no 'image'",
        ),
        ('[{"id": 4, "data": 3, "annotations": []}]', "task 4: data: is a int"),
        ('[{"data": {"image": 3}, "annotations": []}]', "expected an image's address"),
        ('[{"data": {"image": "http://[x"}, "annotations": []}]', "which is no address"),
        ('[{"data": {"image": "?d=%ff"}, "annotations": []}]', "which is no address"),
        ('[{"data": {"image": "b.jpg"}, "annotations": 5}]', "'annotations' is missing or not"),
        ('[{"data": {"image": "b.jpg"}, "annotations": [{}]}]', "annotation: 'result' is missing"),
    ],
)
def test_files_of_other_forms(content, says, began):
    path = began.with_name("export.json")
    path.write_text(content)
    assert says in line_of(path, began)


def test_files_that_are_not_there(began, tmp_path):
    assert "no such file" in line_of(tmp_path / "nowhere.json", began)
    assert "is a folder" in line_of(tmp_path, began)
    write_json(tmp_path / "export.json", cvat_export(began))
    missing = tmp_path / "other" / "annotations.json"
    assert "no such file" in line_of(tmp_path / "export.json", missing)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("c.jpg", "is none of the 2 images of"),
        ("../../etc/passwd", "expected the name of an image"),
        ("a/../../a/one.jpg", "expected the name of an image"),
        ("..\\a\\one.jpg", "expected the name of an image"),
        ("%2e%2e%2fa%2fone.jpg", "expected the name of an image"),
        ("/", "expected the name of an image"),
        ("one.jpg\nsecond line", "is none of the 2 images of"),
    ],
)
def test_images_that_were_not_suggested(given, says, began):
    export = label_studio_export(began.parent)
    export[0]["data"]["image"] = f"/data/local-files/?d={given}"
    assert says in line_for(export, began)
    export = cvat_export(began)
    export["images"][0]["file_name"] = given
    assert "image 1" in line_for(export, began)


def test_a_name_that_lost_its_folder_must_be_of_one_image(tmp_path):
    images = [
        LabelledImage(i, f"{folder}/x.jpg", (9, 9), poses([], [])) for i, folder in enumerate("ab")
    ]
    began = suggest(tmp_path, images)
    export = cvat_export(began)
    export["images"][0]["file_name"] = "x.jpg"
    assert "x.jpg may be any of 2 of the 2 images" in line_for(export, began)


def change(export, *path_and_value):
    """A copy with one place changed; a dict, a list or a value at the end of the path."""
    *path, last, value = path_and_value
    export = place = copy.deepcopy(export)
    for key in path:
        place = place[key]
    place[last] = value
    return export


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("value", "keypointlabels"), ["nose"], "unknown keypoint 'nose' (known: thumb, left_tip,"),
        (("value", "keypointlabels"), ["thumb", "left_tip"], "expected one label"),
        (("value", "keypointlabels"), "thumb", "expected one label"),
        (("value", "keypointlabels"), ["left_tip"], "a person has two keypoints left_tip"),
        (("value", "x"), float("nan"), "value.x is nan, expected a finite number"),
        (("value", "x"), None, "value.x is None, expected a finite number"),
        (("value", "x"), 100.6, "thumb lies at 201.2, 30.0, outside its image of 200 x 150"),
        (("value", "y"), -1, "thumb lies at 20.0, -1.5, outside its image of 200 x 150"),
        (("value", "y"), 1e300, "outside its image"),
        (("value",), 3, "value: is a int, expected an object"),
        (("original_width",), 400, "original_width is 400, expected 200: another image"),
        (("image_rotation",), 90, "its image was turned"),
        (("id",), "person1", "its id is that of another region too"),
        (("parentID",), "person2", "a person has two keypoints thumb"),
    ],
)
def test_regions_of_label_studio_that_do_not_fit(path, value, says, began):
    export = label_studio_export(began.parent)
    line = line_for(change(export, 0, "annotations", 0, "result", 1, *path, value), began)
    assert says in line and "task 1" in line


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"rectanglelabels": ["car"]}, "is labelled 'car', expected 'person'"),
        ({"width": 0}, "is a rectangle without size; remove it"),
        ({"x": 80}, "a corner lies at 205.0, 40.0, outside its image"),
        ({"rotation": "much"}, "value.rotation is 'much'"),
        ({"height": None}, "value.height is None"),
    ],
)
def test_rectangles_that_do_not_fit(value, says, began):
    export = label_studio_export(began.parent)
    result = export[0]["annotations"][0]["result"]
    box = next(r for r in result if r["id"] == "person1")
    box["value"] |= {"x": 5, "y": 40 / 1.5 - 5, "width": 22.5, "height": 5, **value}
    assert says in line_for(export, began)


def test_a_choice_that_is_no_list(began):
    export = label_studio_export(began.parent)
    export[0]["annotations"][0]["result"].append(
        {"id": "person1.0", "type": "choices", "value": {"choices": "hidden"}}
    )
    assert "value.choices is 'hidden', expected a list" in line_for(export, began)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("annotations", 0, "image_id"), 9, "image_id 9 is not among the file's images"),
        (("annotations", 0, "keypoints"), [1, 2, 2], "keypoints has 3 values, expected 9"),
        (("annotations", 0, "keypoints", 2), 3, "a visibility other than 0, 1 or 2"),
        (("annotations", 0, "keypoints", 0), float("nan"), "keypoints[0] is nan"),
        (("annotations", 0, "keypoints", 0), 202, "lies at 202.0, 30.0, outside its image"),
        (("annotations", 0), {"image_id": 1}, "has no 'category_id'"),
        (("annotations", 0), {"image_id": 1, "category_id": 1}, "has no 'keypoints'"),
        (
            ("categories", 0, "keypoints"),
            ["thumb", "left_tip"],
            "lists 2 keypoints",
        ),
        (("categories", 0, "keypoints"), ["thumb", "thumb", "left_tip"], "lists 3 keypoints"),
        (("categories", 0, "keypoints", 1), "nose", "unknown keypoint nose (known: thumb,"),
        (("categories", 0, "keypoints"), "thumb", "keypoints is no list of names"),
        (("categories", 0, "keypoints"), [], "no category lists keypoints"),
        (("images", 1, "file_name"), "a/one.jpg", "a/one.jpg is listed twice"),
        (("images", 1), {"id": 2}, "has no 'file_name'"),
    ],
)
def test_exports_of_cvat_that_do_not_fit(path, value, says, began):
    assert says in line_for(change(cvat_export(began), *path, value), began)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("images", 1, "file_name"), "a/one.jpg", "a/one.jpg is listed twice"),
        (("images", 0, "width"), 0, "is 0 x 150, expected the size of an image"),
        (("annotations", 0, "image_id"), 1, "image_id 1 is not among the file's images"),
        (("annotations", 0, "keypoints"), [], "keypoints has 0 values, expected 9"),
        (("annotations", 0, "score"), "high", "score is 'high'"),
        (("annotations", 0, "bbox"), [5, 5, -1, 9], "bbox has no size"),
        (("annotations",), 3, "'annotations' is missing or not a list of objects"),
    ],
)
def test_a_beginning_that_does_not_fit(path, value, says, began):
    export = cvat_export(began)
    content = change(json.loads(began.read_text()), *path, value)
    began.write_text(json.dumps(content))
    line = line_for(export, began)
    assert says in line and line.startswith(str(began))


# Archives


def zipped(path, members, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "holds no annotation file (it is empty)"),
        (["images/a.jpg", "inner.zip"], "holds no annotation file (images/a.jpg, inner.zip)"),
        (["annotations/train.json", "annotations/val.json"], "holds 2 annotation files"),
    ],
)
def test_an_archive_holds_one_annotation_file(names, says, began, tmp_path):
    path = zipped(tmp_path / "export.zip", [(name, b"{}") for name in names])
    assert says in line_of(path, began)


def test_an_archive_does_not_grow_without_end(began, tmp_path, monkeypatch):
    text = json.dumps(cvat_export(began)) + " " * 100_000
    path = zipped(tmp_path / "export.zip", [("../../person_keypoints_default.json", text)])
    assert read_corrected(path, began).changes["people kept"] == 2
    assert not (tmp_path.parent.parent / "person_keypoints_default.json").exists()
    monkeypatch.setattr("pose.data.corrected.MAX_EXPORT", 100_000)
    assert "MB unpacked, expected at most" in line_of(path, began)


def test_an_archive_that_lies_or_is_damaged(began, tmp_path):
    """A size that is stated too small is no way around the limit: no more is unpacked than that."""
    text = json.dumps(cvat_export(began)).encode()
    path = zipped(tmp_path / "export.zip", [("a.json", text)])
    whole = path.read_bytes()
    stated = len(text).to_bytes(4, "little")
    assert whole.count(stated) == 2
    for damaged in (
        whole.replace(stated, (10).to_bytes(4, "little")),
        whole[:60] + b"\0\0\0\0\0\0\0\0" + whole[68:],
    ):
        path.write_bytes(damaged)
        assert "cannot be unpacked" in line_of(path, began)
    # The bit that says that a member asks for a password, in both of its headers
    locked = bytearray(whole)
    locked[6] |= 1
    locked[whole.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(locked)
    assert "cannot be unpacked" in line_of(path, began)
    zipped(path, [("a.json", b"\xff")])
    assert "not UTF-8 text at byte 0" in line_of(path, began)
    zipped(path, [("a.json", b"[")])
    assert "not whole, valid JSON" in line_of(path, began)


# Anything anywhere

EVIL = (None, True, -1, 1e308, 10**400, "", "x\ny" * 2000, [], [[]], {}, [None], {"x": "y"})


def places(value, path=()):
    """The paths to all that an export holds."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


@pytest.mark.parametrize("tool", ["label_studio", "cvat", "began"])
def test_whatever_stands_anywhere_is_read_or_told_in_one_line(tool, began):
    """Every place takes some of the values that do not belong there."""
    start = json.loads(began.read_text())
    export = label_studio_export(began.parent) if tool == "label_studio" else cvat_export(began)
    path = began.with_name("export.json")
    write_json(path, export)
    whole, target = (start, began) if tool == "began" else (export, path)
    told = 0
    for number, where in enumerate(list(places(whole))[1:]):
        for evil in (EVIL[number % len(EVIL)], EVIL[number * 5 % len(EVIL)]):
            target.write_text(json.dumps(change(whole, *where, evil)))
            try:
                read_corrected(path, began)
            except ValueError as error:
                assert "\n" not in str(error) and len(str(error)) < 1500, (where, evil)
                told += 1
    assert told > 50
