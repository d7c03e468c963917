"""Annotation files that differ a little from COCO's -> the content of a COCO file.

A reader takes a path and gives what `read_annotations` would: images, annotations and categories,
the first of which has the skeleton. So one loader and one ground truth serve all of them. Errors
name file, entry and field.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pose.data.coco import read_annotations
from pose.records import numbers, objects, pixels, require, shown_text
from pose.skeleton import Skeleton, skeleton_to_category
from pose.skeletons import CROWDPOSE_14, HALPE_26

CROWDPOSE_AREA = 0.53
"""Share of its box that a person fills, by CrowdPose's evaluation."""

HALPE_KEYPOINTS = 136
"""Keypoints in Halpe's files: body and feet first, then face and hands."""


def read_crowdpose(path: Path) -> dict[str, Any]:
    """A CrowdPose file: its areas are 0.53 of the boxes, its `skeleton` has numbers of COCO's 17
    and is replaced."""
    content = read_annotations(path)
    require_names(content, CROWDPOSE_14, path)
    annotations = []
    for number, entry in enumerate(_annotations(content, path)):
        where = f"{path}: annotation {number}"
        annotations.append({**entry, "area": CROWDPOSE_AREA * box_area(entry, where)})
    return as_coco(content, annotations, CROWDPOSE_14, path)


def read_halpe(path: Path) -> dict[str, Any]:
    """A Halpe file: the first 26 of its 136 keypoints, which its category does not name.

    A person without `area` gets that of the box.
    """
    content = read_annotations(path)
    annotations = []
    for number, entry in enumerate(_annotations(content, path)):
        where = f"{path}: annotation {number}"
        require(entry, ("keypoints",), where)
        triplets = numbers(entry["keypoints"], 3 * HALPE_KEYPOINTS, f"{where}: keypoints")
        body = triplets[: 3 * HALPE_26.num_keypoints]
        area = entry["area"] if "area" in entry else box_area(entry, where)
        labelled = int((body[2::3] > 0).sum())
        body_only = {"keypoints": body.tolist(), "num_keypoints": labelled, "area": area}
        annotations.append({**entry, **body_only})
    return as_coco(content, annotations, HALPE_26, path)


def as_coco(
    content: Mapping[str, Any],
    annotations: list[dict[str, Any]],
    skeleton: Skeleton,
    path: Path,
) -> dict[str, Any]:
    """`content` with these annotations, its first category being that of `skeleton`."""
    first, *others = content["categories"]
    require(first, ("id",), f"{path}: categories[0]")
    category = {**skeleton_to_category(skeleton), "id": first["id"]}
    return {**content, "categories": [category, *others], "annotations": annotations}


def require_names(content: Mapping[str, Any], skeleton: Skeleton, path: Path) -> None:
    """Checks that the first category, where it lists keypoints, lists those of `skeleton`."""
    names = content["categories"][0].get("keypoints", list(skeleton.keypoints))
    if names == list(skeleton.keypoints):
        return
    texts = names if isinstance(names, list) else []
    given = {name for name in texts if isinstance(name, str)}
    different = shown_text(", ".join(sorted(given ^ set(skeleton.keypoints)))) or "their order"
    raise ValueError(
        f"{path}: its keypoints are not those of '{skeleton.name}' (different: {different})"
    )


def box_area(entry: Mapping[str, Any], where: str) -> float:
    """Square pixels of an annotation's `bbox`."""
    require(entry, ("bbox",), where)
    _, _, width, height = pixels(entry["bbox"], 4, f"{where}: bbox")
    return float(width * height)


def _annotations(content: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    """The annotations; none for a test split."""
    return objects(content, "annotations", f"{path}") if "annotations" in content else []
