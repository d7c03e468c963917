"""Label Studio's tasks hold what the COCO file holds, in its own form."""

import json
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest

from pose.data.label_studio import growing_tasks, labelling_interface
from pose.data.labelling import LabelledImage
from pose.skeleton import COCO_17, MPII_16, Skeleton
from tests.corrected_labels import HAND, poses, suggest, two_hands


def test_tasks_are_the_annotations_in_percent(tmp_path):
    content = json.loads(suggest(tmp_path, two_hands()).read_text())
    first, second = json.loads((tmp_path / "label_studio.json").read_text())
    [prediction] = first["predictions"]
    boxes = [r for r in prediction["result"] if r["type"] == "rectanglelabels"]
    assert len(boxes) == len(content["annotations"]) == 2
    for box, entry in zip(boxes, content["annotations"], strict=True):
        assert (box["original_width"], box["original_height"]) == (200, 150)
        percents = [box["value"][key] for key in ("x", "y", "width", "height")]
        assert np.allclose(np.multiply(percents, [2, 1.5, 2, 1.5]), entry["bbox"], atol=1e-4)
        points = [r for r in prediction["result"] if r.get("parentID") == box["id"]]
        names = [point["value"]["keypointlabels"] for point in points]
        assert names == [[name] for name in HAND.keypoints]
        places = [[point["value"]["x"] * 2, point["value"]["y"] * 1.5, 2] for point in points]
        assert np.allclose(np.ravel(places), entry["keypoints"], atol=1e-4)
    assert prediction["score"] == pytest.approx(0.72)
    assert second["predictions"][0]["result"] == []
    ids = [region["id"] for region in prediction["result"]]
    assert len(set(ids)) == len(ids) == 8


def test_what_the_network_did_not_see_is_not_in_the_task(tmp_path):
    scores = np.array([[0.9, 0.1, 0.9], [0.1, 0.2, 0.1]], np.float32)
    both = poses(np.full((2, 3, 2), 50.0), [[10, 10, 90, 90]] * 2, scores=scores)
    suggest(tmp_path, [LabelledImage(1, "a.jpg", (100, 100), both)])
    [task] = json.loads((tmp_path / "label_studio.json").read_text())
    labels = [r["value"].get("keypointlabels") for r in task["predictions"][0]["result"]]
    assert labels == [None, ["thumb"], ["right_tip"]]


@pytest.mark.parametrize("name", ["plain.jpg", "a b/ü&d=x#1?+%20.jpg", "日本/人.png"])
@pytest.mark.parametrize("folder", ["", "my photos"])
def test_any_name_stands_in_the_address(name, folder, tmp_path):
    path = tmp_path / "tasks.json"
    with growing_tasks(path, HAND, folder=folder) as add:
        add(LabelledImage(1, name, (10, 10), poses([], [])))
        assert not path.exists()
    [task] = json.loads(path.read_text())
    address = urlsplit(task["data"]["image"])
    assert address.path == "/data/local-files/"
    assert parse_qs(address.query) == {"d": [f"{folder}/{name}" if folder else name]}


@pytest.mark.parametrize("skeleton", [COCO_17, MPII_16, HAND], ids=lambda s: s.name)
def test_the_interface_has_a_label_for_everything_in_a_task(skeleton):
    view = ElementTree.fromstring(labelling_interface(skeleton))
    assert view.tag == "View"
    assert view.find("Image").get("value") == "$image"
    labels = view.findall("KeyPointLabels/Label")
    assert [label.get("value") for label in labels] == list(skeleton.keypoints)
    assert [label.get("model_index") for label in labels] == [
        str(i) for i in range(skeleton.num_keypoints)
    ]
    assert [label.get("value") for label in view.findall("RectangleLabels/Label")] == ["person"]
    tags = {tag.get("name") for tag in view}
    assert tags == {"image", "box", "keypoint", "visibility"}
    assert {tag.get("toName") for tag in view} == {None, "image"}
    colours = dict(zip(skeleton.keypoints, (x.get("background") for x in labels), strict=True))
    for left, right in skeleton.mirrored:
        assert colours[left] != colours[right]


def test_names_are_escaped_in_the_interface():
    strange = Skeleton("odd", ('a"<b>&', "'"))
    labels = ElementTree.fromstring(labelling_interface(strange)).findall("KeyPointLabels/Label")
    assert [label.get("value") for label in labels] == ['a"<b>&', "'"]
