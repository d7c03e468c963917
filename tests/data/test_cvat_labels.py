"""The skeleton that a CVAT task is set up with has our keypoints and limbs, and a person's form."""

from xml.etree import ElementTree

import numpy as np

from pose.data.cvat_labels import cvat_labels
from pose.data.labelling import LabelledImage
from tests.corrected_labels import HAND, poses, suggest, two_hands


def drawn(began):
    [label] = cvat_labels(began)
    svg = ElementTree.fromstring(f"<svg>{label['svg']}</svg>")
    return label, svg.findall("circle"), svg.findall("line")


def test_the_label_is_the_skeleton(tmp_path):
    label, nodes, edges = drawn(suggest(tmp_path, two_hands()))
    assert (label["name"], label["type"], label["attributes"]) == ("person", "skeleton", [])
    sublabels = [(point["name"], point["type"]) for point in label["sublabels"]]
    assert sublabels == [(name, "points") for name in HAND.keypoints]
    assert [node.get("data-label-name") for node in nodes] == list(HAND.keypoints)
    assert [node.get("data-node-id") for node in nodes] == ["1", "2", "3"]
    limbs = [(edge.get("data-node-from"), edge.get("data-node-to")) for edge in edges]
    assert limbs == [("1", "2"), ("1", "3")]
    for edge, (start, end) in zip(edges, HAND.limb_index, strict=True):
        ends = [nodes[i].get(key) for i in (start, end) for key in ("cx", "cy")]
        assert [edge.get(key) for key in ("x1", "y1", "x2", "y2")] == ends


def test_the_template_is_the_median_person(tmp_path):
    _, nodes, _ = drawn(suggest(tmp_path, two_hands()))
    first = [[0.2, 1 / 6], [0.6, 1 / 6], [0.6, 2 / 3]]
    second = [[0.25, 1 / 7], [0.625, 2 / 7], [0.75, 5 / 7]]
    expected = 10 + 80 * np.median([first, second], axis=0)
    places = [[float(node.get(key)) for key in ("cx", "cy")] for node in nodes]
    assert np.allclose(places, expected, atol=0.01)


def test_without_people_the_points_are_apart(tmp_path):
    image = LabelledImage(1, "a.jpg", (99, 99), poses([], []))
    _, nodes, _ = drawn(suggest(tmp_path, [image]))
    places = np.array([[float(node.get(key)) for key in ("cx", "cy")] for node in nodes])
    assert ((places >= 10) & (places <= 90)).all()
    assert np.linalg.norm(places[:, None] - places, axis=-1)[np.triu_indices(3, 1)].min() > 40
