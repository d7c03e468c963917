"""Predicted poses as Label Studio's tasks, and the labelling interface that shows them.

A person is a rectangle, a keypoint a region below it (`parentID`); places are in percent of the
image. A picture's address is that of Label Studio's local files.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from pose.data.labelling import PERSON, LabelledImage, annotations_of, xml_element
from pose.growing_json import growing_list
from pose.skeleton import Skeleton
from pose.structures import KEYPOINT_SCORE_THRESHOLD

IMAGE, BOX, KEYPOINT, VISIBILITY = "image", "box", "keypoint", "visibility"
"""Names of the interface's tags; the task's picture is under the first."""

HIDDEN = "hidden"
"""The choice that makes a keypoint's visibility 1."""

LOCAL_FILES = "/data/local-files/"
"""Where Label Studio serves the files below its document root, by the parameter `d`."""

SIDES, MIDDLE = ("#1f77b4", "#d62728"), "#2ca02c"
"""The colours of keypoints on the left and on the right, and of those that are neither."""

DOT = 0.4
"""The size of a keypoint in percent of the image's width, as Label Studio draws it."""


@contextmanager
def growing_tasks(
    path: Path,
    skeleton: Skeleton,
    *,
    score_threshold: float = KEYPOINT_SCORE_THRESHOLD,
    folder: str = "",
) -> Iterator[Callable[[LabelledImage], None]]:
    """A file of tasks with predictions, as Label Studio imports it, to which the block adds images;
    it appears, whole, when the block ends.

    People and keypoints are those of `annotations_of`. `folder` leads from Label Studio's document
    root to the images' folder.
    """
    with growing_list(path) as append:

        def add(image: LabelledImage) -> None:
            people = list(annotations_of(image, score_threshold))
            prediction = {
                "model_version": "pose",
                "score": float(np.mean([p["score"] for p in people])) if people else 0.0,
                "result": [
                    region
                    for number, person in enumerate(people, start=1)
                    for region in _regions(person, image, skeleton, f"person{number}")
                ],
            }
            place = quote(f"{folder}/{image.name}" if folder else image.name)
            address = f"{LOCAL_FILES}?d={place}"
            append({"data": {IMAGE: address}, "predictions": [prediction]})

        yield add


def labelling_interface(skeleton: Skeleton) -> str:
    """The XML that a project's labelling setup takes: a rectangle for a person, a label for each
    keypoint, and the choice whether a keypoint is hidden."""
    colours = {name: c for pair in skeleton.mirrored for name, c in zip(pair, SIDES, strict=True)}
    # Its number is what Label Studio's own YOLO and COCO exports order a keypoint by
    keypoints = [
        {"value": name, "background": colours.get(name, MIDDLE), "model_index": str(number)}
        for number, name in enumerate(skeleton.keypoints)
    ]
    of_a_keypoint = {"perRegion": "true", "visibleWhen": "region-selected", "whenTagName": KEYPOINT}
    parts = [
        xml_element("Image", {"name": IMAGE, "value": f"${IMAGE}", "zoomControl": "true"}),
        xml_element(
            "RectangleLabels",
            {"name": BOX, "toName": IMAGE},
            xml_element("Label", {"value": PERSON, "background": "#ff7f0e"}),
        ),
        xml_element(
            "KeyPointLabels",
            {"name": KEYPOINT, "toName": IMAGE},
            *(f"\n    {xml_element('Label', label)}" for label in keypoints),
            "\n  ",
        ),
        xml_element(
            "Choices",
            {"name": VISIBILITY, "toName": IMAGE, **of_a_keypoint},
            xml_element("Choice", {"value": HIDDEN}),
        ),
    ]
    return xml_element("View", {}, *(f"\n  {part}" for part in parts), "\n") + "\n"


def _regions(
    person: dict[str, Any], image: LabelledImage, skeleton: Skeleton, box_id: str
) -> Iterator[dict[str, Any]]:
    """A person's rectangle and keypoints."""
    width, height = image.size
    common = {
        "to_name": IMAGE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }
    x, y, w, h = person["bbox"]
    yield {
        **common,
        "id": box_id,
        "from_name": BOX,
        "type": "rectanglelabels",
        "score": person["score"],
        "value": {
            "x": _percent(x, width),
            "y": _percent(y, height),
            "width": _percent(w, width),
            "height": _percent(h, height),
            "rotation": 0,
            "rectanglelabels": [PERSON],
        },
    }
    triplets = np.reshape(person["keypoints"], (-1, 3)).tolist()
    for number, (name, (x, y, seen)) in enumerate(zip(skeleton.keypoints, triplets, strict=True)):
        if seen:
            yield {
                **common,
                "id": f"{box_id}.{number}",
                "parentID": box_id,
                "from_name": KEYPOINT,
                "type": "keypointlabels",
                "value": {
                    "x": _percent(x, width),
                    "y": _percent(y, height),
                    "width": DOT,
                    "keypointlabels": [name],
                },
            }


def _percent(value: float, whole: int) -> float:
    """Of an image's side; to a few hundred-millionths of it, far below what anyone can place."""
    return round(100 * value / whole, 6)
