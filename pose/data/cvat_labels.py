"""The label that a CVAT task needs to take our annotations: a skeleton, in the form that its label
constructor reads under "Raw"."""

from pathlib import Path
from typing import Any

import numpy as np

from pose.data.coco import load_coco
from pose.data.labelling import PERSON, xml_element
from pose.structures import People

NODE = 1.0
"""The radius of a point of the template, which is 100 wide and high."""

FRAME = (10.0, 80.0)
"""Where a person's box begins in the template, and how long its sides are."""


def cvat_labels(began: Path) -> list[dict[str, Any]]:
    """The labels of a task for the annotations that `growing_annotations` wrote.

    The template that CVAT draws for a new person has each keypoint where the median of the
    suggested people has it in the box.
    """
    people = load_coco(began, box_rule="mmpose")
    skeleton, places = people.skeleton, _places(people)
    nodes = [
        xml_element(
            "circle",
            {
                "r": f"{NODE:g}",
                "cx": f"{x:.2f}",
                "cy": f"{y:.2f}",
                "data-type": "element node",
                "data-element-id": f"{number}",
                "data-node-id": f"{number}",
                "data-label-name": name,
            },
        )
        for number, (name, (x, y)) in enumerate(
            zip(skeleton.keypoints, places.tolist(), strict=True), start=1
        )
    ]
    edges = [
        xml_element(
            "line",
            {
                **dict(zip(("x1", "y1", "x2", "y2"), map("{:.2f}".format, ends), strict=True)),
                "data-type": "edge",
                "data-node-from": f"{start + 1}",
                "data-node-to": f"{end + 1}",
            },
        )
        for (start, end), ends in zip(
            skeleton.limb_index, places[skeleton.limb_index].reshape(-1, 4).tolist(), strict=True
        )
    ]
    points = [{"name": name, "type": "points", "attributes": []} for name in skeleton.keypoints]
    label = {"name": PERSON, "type": "skeleton", "attributes": [], "sublabels": points}
    return [{**label, "svg": "".join(edges + nodes)}]


def _places(people: People) -> np.ndarray:
    """(K, 2) in the template; on a circle for keypoints that nobody has."""
    turn = np.linspace(0, 2 * np.pi, people.skeleton.num_keypoints, endpoint=False)
    places = 0.5 + 0.5 * np.stack([np.sin(turn), -np.cos(turn)], axis=1)
    corners, sides = people.boxes[:, :2], people.boxes[:, 2:] - people.boxes[:, :2]
    shares = ((people.keypoints - corners[:, None]) / sides[:, None]).clip(0, 1)
    for keypoint, labelled in enumerate((people.visibility > 0).T):
        if labelled.any():
            places[keypoint] = np.median(shares[labelled, keypoint], axis=0)
    return FRAME[0] + FRAME[1] * places
