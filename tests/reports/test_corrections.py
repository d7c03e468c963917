"""What comes back from a labelling tool: unchanged the same, changed as it was changed, and every
mistake told."""

import copy
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pose.data.coco import load_coco
from pose.data.labelling import LabelledImage
from pose.records import write_json
from pose.reports.corrections import CHANGES, read_corrected
from pose.reports.doctor import Set, examine
from pose.reports.doctor_file import read_labels
from pose.reports.doctor_kinds import KINDS
from pose.skeleton import COCO_17
from tests.corrected_labels import (
    HAND,
    cvat_export,
    label_studio_export,
    poses,
    suggest,
    two_hands,
)

TOOLS = {
    "label_studio": lambda began: label_studio_export(began.parent),
    "cvat": cvat_export,
}


def read_back(export, began):
    path = began.with_name("export.json")
    path.write_text(json.dumps(export))
    return read_corrected(path, began)


def counted(corrected):
    """The changes that are not 0."""
    return {name: corrected.changes[name] for name in CHANGES if corrected.changes[name]}


@pytest.fixture
def began(tmp_path):
    return suggest(tmp_path, two_hands())


@st.composite
def suggestions(draw):
    """Up to three images of any size with up to three people anywhere, some of them outside, none
    smaller than a few pixels."""
    images = []
    for number in range(draw(st.integers(1, 3))):
        width, height = draw(st.integers(20, 9000)), draw(st.integers(20, 9000))
        count = draw(st.integers(0, 3))
        places = arrays.arrays(np.float32, (count, 5, 2), elements=st.floats(-0.25, 1.25, width=32))
        points = draw(places) * [width, height]
        scores = draw(arrays.arrays(np.float32, (count, 3), elements=st.floats(0, 1, width=32)))
        corners = points[:, 3:]
        boxes = np.concatenate([corners.min(axis=1) - 4, corners.max(axis=1) + 4], axis=1)
        name = f"{draw(st.text('ab /ü%&', max_size=3)).strip('/')}{number}.jpg"
        people = poses(points[:, :3], boxes, scores=scores)
        images.append(LabelledImage(3 * number + 1, name, (width, height), people))
    return images


@pytest.mark.parametrize("tool", TOOLS)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(images=suggestions())
def test_unchanged_is_unchanged(tool, images, tmp_path):
    """Label Studio keeps places to far less than a thousandth of a pixel, CVAT to a hundredth."""
    began = suggest(tmp_path, images)
    before = json.loads(began.read_text())
    corrected = read_back(TOOLS[tool](began), began)
    people = len(before["annotations"])
    labelled = sum(entry["num_keypoints"] for entry in before["annotations"])
    kept = {"people kept": people, "keypoints kept in place": labelled}
    assert counted(corrected) == {name: number for name, number in kept.items() if number}
    now = corrected.content
    assert now["images"] == before["images"] and now["categories"] == before["categories"]
    tolerance = {"label_studio": 1e-3, "cvat": 0.0051}[tool]
    for was, entry in zip(before["annotations"], now["annotations"], strict=True):
        score = was.pop("score")
        assert 0 <= score <= 1
        assert np.abs(np.subtract(was["keypoints"], entry["keypoints"])).max() <= tolerance
        assert np.abs(np.subtract(was["bbox"], entry["bbox"])).max() <= 2e-3
        for exact in ("id", "image_id", "category_id", "num_keypoints", "iscrowd"):
            assert was[exact] == entry[exact]
    if labelled:
        assert corrected.changes["mean OKS of the people kept"] > 0.9


@pytest.mark.parametrize("tool", TOOLS)
def test_what_comes_back_trains_and_satisfies_the_doctor(tool, began, tmp_path):
    corrected = read_back(TOOLS[tool](began), began)
    path = tmp_path / "corrected.json"
    write_json(path, corrected.content)
    people = load_coco(path, box_rule="mmpose")
    assert people.skeleton.keypoints == HAND.keypoints
    assert people.skeleton.sigmas == HAND.sigmas
    assert people.images[people.image_index].tolist() == ["a/one.jpg"] * 2
    assert people.image_ids.tolist() == [7, 7]
    assert corrected.changes["AP of the suggestions"] == 1
    _, findings = examine(Set(read_labels(path)))
    assert not [found for found in findings if KINDS[found.kind].severity == "error"]


@pytest.mark.parametrize("tool", TOOLS)
def test_real_people_come_back(tool, test_data, tmp_path):
    """COCO's labels as if they were suggestions: crowds of people who overlap are told apart."""
    people = load_coco(test_data / "coco/annotations/person_keypoints_val2017.json")
    images = []
    for index, name in enumerate(people.images.tolist()):
        own = people.image_index == index
        seen = (people.visibility[own] > 0).astype(np.float32)
        found = poses(people.keypoints[own], people.boxes[own], COCO_17, seen)
        size = tuple(people.image_sizes[index].tolist())
        images.append(LabelledImage(index + 1, name, size, found))
    began = suggest(tmp_path, images, COCO_17)
    corrected = read_back(TOOLS[tool](began), began)
    assert counted(corrected) == {
        "people kept": len(people),
        "keypoints kept in place": int((people.visibility > 0).sum()),
    }
    assert corrected.changes["AP of the suggestions"] == pytest.approx(1)
    write_json(tmp_path / "corrected.json", corrected.content)
    again = load_coco(tmp_path / "corrected.json", box_rule="mmpose")
    assert np.abs(again.keypoints - people.keypoints).max() <= 0.0051
    _, findings = examine(Set(read_labels(tmp_path / "corrected.json")))
    assert not [found for found in findings if KINDS[found.kind].severity == "error"]


# What people do: the two exports, changed alike


def test_a_moved_keypoint_in_label_studio(began):
    export = label_studio_export(began.parent)
    thumb = export[0]["annotations"][0]["result"][1]
    assert thumb["value"]["keypointlabels"] == ["thumb"]
    thumb["value"]["x"] += 5  # 10 pixels
    corrected = read_back(export, began)
    assert counted(corrected) == {
        "people kept": 2,
        "keypoints kept in place": 5,
        "keypoints moved": 1,
    }
    assert corrected.content["annotations"][0]["keypoints"][:3] == [30, 30, 2]
    assert corrected.changes["mean OKS of the people kept"] < 1


def test_a_moved_keypoint_in_cvat_takes_the_box_along(began):
    export = cvat_export(began)
    export["annotations"][0]["keypoints"][:2] = [2, 30]
    corrected = read_back(export, began)
    assert counted(corrected)["keypoints moved"] == 1
    assert corrected.content["annotations"][0]["bbox"] == [2, 20, 58, 60]
    assert corrected.content["annotations"][1]["bbox"] == [100, 70, 80, 70]


def test_keypoints_hidden_removed_and_added(began):
    """CVAT: occluded is 1, outside is 0 with a place; an unlabelled one gets a place."""
    content = json.loads(began.read_text())
    content["annotations"][0]["keypoints"][6:9] = [0, 0, 0]
    content["annotations"][0]["num_keypoints"] = 2
    began.write_text(json.dumps(content))
    export = cvat_export(began)
    export["annotations"][0]["keypoints"] = [20, 30, 1, 40, 30, 0, 41, 61, 2]
    corrected = read_back(export, began)
    assert counted(corrected) == {
        "people kept": 2,
        "keypoints kept in place": 4,
        "keypoints added": 1,
        "keypoints removed": 1,
        "keypoints marked hidden": 1,
    }
    entry = corrected.content["annotations"][0]
    assert entry["keypoints"] == [20, 30, 1, 0, 0, 0, 41, 61, 2]
    assert entry["num_keypoints"] == 2


def test_people_added_and_removed_in_cvat(began):
    export = cvat_export(began)
    added = copy.deepcopy(export["annotations"].pop(0))
    added |= {"image_id": 2, "id": 55, "keypoints": [200, 100, 2, 210, 140, 2, 0, 0, 0]}
    export["annotations"].append(added)
    nobody = {**added, "id": 56, "keypoints": [5, 5, 0] * 3}
    export["annotations"].append(nobody)
    corrected = read_back(export, began)
    assert counted(corrected)["people added"] == 1
    assert counted(corrected)["people removed"] == 1
    first, second = corrected.content["annotations"]
    assert (first["image_id"], second["image_id"]) == (7, 9)
    assert second["bbox"] == [196, 96, 18, 48], "a tenth of the longer side more on each side"
    assert 0 < corrected.changes["AP of the suggestions"] < 1


def test_a_single_point_has_a_box_too(began):
    export = cvat_export(began)
    export["annotations"][0] |= {"image_id": 2, "keypoints": [0, 240, 2, *[0] * 6]}
    corrected = read_back(export, began)
    assert corrected.content["annotations"][1]["bbox"] == [0, 239, 1, 1]


def test_people_added_by_hand_in_label_studio(began):
    """Regions drawn by hand stand below nothing: the one rectangle that holds them takes them, a
    relation or the choice hidden says more."""
    export = label_studio_export(began.parent)
    like = {"original_width": 320, "original_height": 240, "image_rotation": 0, "to_name": "image"}
    box = {"x": 50, "y": 25, "width": 25, "height": 50, "rotation": 0}

    def point(name, x, y, **more):
        value = {"x": x, "y": y, "width": 0.4, "keypointlabels": [name]}
        return {**like, "id": name, "type": "keypointlabels", "value": value, **more}

    export[1]["annotations"][0]["result"] = [
        point("thumb", 60, 50),
        {
            **like,
            "id": "k",
            "type": "rectanglelabels",
            "value": {**box, "rectanglelabels": ["person"]},
        },
        point("left_tip", 90, 50),
        {"type": "relation", "from_id": "k", "to_id": "left_tip", "direction": "right"},
        {"id": "thumb", "type": "choices", "value": {"choices": ["hidden"]}},
        {"id": "line", "type": "polygonlabels", "value": {}},
    ]
    corrected = read_back(export, began)
    assert counted(corrected)["people added"] == 1
    entry = corrected.content["annotations"][2]
    assert entry["bbox"] == [160, 60, 80, 120]
    assert entry["keypoints"] == [192, 120, 1, 288, 120, 2, 0, 0, 0]


def test_a_loose_keypoint_goes_to_the_only_person_without_it(began):
    export = label_studio_export(began.parent)
    result = export[0]["annotations"][0]["result"]
    # Both people's rectangles cover the image now, and one of them lost the tie to its thumb
    for region in result:
        if region["type"] == "rectanglelabels":
            region["value"] |= {"x": 0, "y": 0, "width": 100, "height": 100}
    del result[1]["parentID"]
    corrected = read_back(export, began)
    assert counted(corrected) == {"people kept": 2, "keypoints kept in place": 6}
    del result[5]["parentID"]
    with pytest.raises(ValueError, match=r"thumb at 20, 30 belongs to nobody.* lies in 2 that"):
        read_back(export, began)


def test_a_rectangle_without_keypoints_stays(began):
    export = label_studio_export(began.parent)
    del export[0]["annotations"][0]["result"][1:4]
    corrected = read_back(export, began)
    assert counted(corrected) == {
        "people kept": 2,
        "keypoints kept in place": 3,
        "keypoints removed": 3,
    }
    assert corrected.content["annotations"][0]["num_keypoints"] == 0


def test_a_turned_rectangle_becomes_its_bound(began):
    """About its first corner, clockwise on the screen, in pixels rather than percents."""
    export = label_studio_export(began.parent)
    box = export[0]["annotations"][0]["result"][0]
    box["value"] |= {"x": 50, "y": 20, "width": 20, "height": 10, "rotation": 90}
    corrected = read_back(export, began)
    entry = corrected.content["annotations"][0]
    assert np.allclose(entry["bbox"], [100 - 15, 30, 15, 40], atol=1e-3)


def test_the_latest_annotation_counts_and_skipped_ones_do_not(began):
    export = label_studio_export(began.parent)
    [early] = export[0]["annotations"]
    late = {**early, "updated_at": "2026-05-02T10:00:00Z", "result": early["result"][:4]}
    skipped = {**early, "updated_at": "2026-05-03T10:00:00Z", "was_cancelled": True, "result": []}
    export[0]["annotations"] = [late, early, skipped]
    export[1]["annotations"] = [{**skipped}]
    corrected = read_back(export, began)
    assert counted(corrected)["people removed"] == 1
    assert [image["id"] for image in corrected.content["images"]] == [7]
    expected = {
        "images": 1,
        "images not corrected": 1,
        "tasks without annotation": 1,
        "annotations that a later one replaces": 1,
    }
    assert {name: corrected.changes[name] for name in expected} == expected


def test_a_task_that_was_imported_twice_counts_once(began):
    export = label_studio_export(began.parent)
    again = copy.deepcopy(export[0])
    again["annotations"][0] |= {"updated_at": "2027-01-01T00:00:00Z", "result": []}
    for order in ([again, *export], [*export, again]):
        corrected = read_back(order, began)
        assert corrected.content["annotations"] == []
        assert "AP of the suggestions" not in corrected.changes
        assert "mean OKS of the people kept" not in corrected.changes


def test_nothing_suggested_is_no_obstacle(tmp_path):
    began = suggest(tmp_path, [LabelledImage(1, "a.jpg", (99, 99), poses([], []))])
    corrected = read_back(cvat_export(began), began)
    assert corrected.content["annotations"] == [] and not counted(corrected)
    export = cvat_export(began)
    export["annotations"] = [
        {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [10, 10, 2, 30, 40, 2, 20, 20, 2]}
    ]
    corrected = read_back(export, began)
    assert counted(corrected) == {"people added": 1}
    assert corrected.changes["AP of the suggestions"] == 0


def test_keypoints_and_images_go_by_name(began):
    """Another order of keypoints, other ids, folders before or gone, labels without any."""
    export = cvat_export(began)
    export["categories"] = [
        {"id": 4, "name": "car", "supercategory": "", "keypoints": [], "skeleton": []},
        {**export["categories"][0], "id": 9, "keypoints": ["right_tip", "thumb", "left_tip"]},
    ]
    for entry in export["annotations"]:
        x = entry["keypoints"]
        entry |= {"category_id": 9, "keypoints": x[6:] + x[:6]}
    export["annotations"].append({"id": 8, "image_id": 2, "category_id": 4, "bbox": [0, 0, 1, 1]})
    export["images"].reverse()
    for image, name in zip(export["images"], ("photos/b.jpg", "one.jpg"), strict=True):
        image["file_name"] = name
    corrected = read_back(export, began)
    assert counted(corrected) == {"people kept": 2, "keypoints kept in place": 6}
    assert [image["file_name"] for image in corrected.content["images"]] == ["a/one.jpg", "b.jpg"]


@pytest.mark.parametrize(
    "address",
    [
        "a/one.jpg",
        "http://localhost:8080/data/local-files/?d=elsewhere/a/one.jpg",
        "s3://bucket/a/one.jpg",
        "https://example.org/x/a%2Fone.jpg?signed=1",
        "/data/local-files/?d=a%2Fone.jpg",
    ],
)
def test_addresses_of_other_forms(address, began):
    export = label_studio_export(began.parent)
    export[0]["data"]["image"] = address
    assert len(read_back(export, began).content["annotations"]) == 2


def test_a_zip_as_cvat_gives_it(began, tmp_path):
    path = tmp_path / "task.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/default/a/one.jpg", b"picture")
        archive.writestr(
            "annotations/person_keypoints_default.json", json.dumps(cvat_export(began))
        )
        archive.writestr("__MACOSX/annotations/._person_keypoints_default.json", b"\0")
    assert counted(read_corrected(path, began))["people kept"] == 2
