"""PoseTrack18's annotations -> the content of a COCO file.

A sequence is one json in COCO's form whose image names begin at the data set's folder
(`images/val/003418_mpii_test/000000.jpg`): the folder of its frames is a sequence's name. A folder
of such files is read as one file. Ignored regions are no people; the figures know of them.
"""

from pathlib import Path
from typing import Any

from pose.data.coco import read_annotations
from pose.data.forms import as_coco, box_area, require_names
from pose.records import objects, pixels, require
from pose.skeletons import POSETRACK_17

BOX_EXTENT = 1.3
"""Size of the box of a person who has none, in that of the labelled keypoints: PoseTrack's own."""


def read_posetrack(path: Path) -> dict[str, Any]:
    """The sequence of a file, or all those of a folder in the order of their names.

    A person's area is that of the box; without box and labelled keypoints both are 0.
    """
    path = Path(path)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: holds no .json of a sequence")
    contents = [_read_sequence(file) for file in files]
    merged: dict[str, Any] = {"categories": contents[0]["categories"]}
    for key in ("images", "annotations"):
        merged[key] = [entry for content in contents for entry in content[key]]
    return merged


def _read_sequence(path: Path) -> dict[str, Any]:
    """One file, with a box and an area for everyone."""
    content = read_annotations(path)
    require_names(content, POSETRACK_17, path)
    annotations = []
    entries = objects(content, "annotations", f"{path}") if "annotations" in content else []
    for number, entry in enumerate(entries):
        where = f"{path}: annotation {number}"
        boxed = entry if "bbox" in entry else {**entry, "bbox": _bound(entry, where)}
        annotations.append({**boxed, "area": box_area(boxed, where)})
    return as_coco(content, annotations, POSETRACK_17, path)


def _bound(entry: dict[str, Any], where: str) -> list[float]:
    """x, y, width, height of the labelled keypoints, widened; all 0 without any."""
    require(entry, ("keypoints",), where)
    size = 3 * POSETRACK_17.num_keypoints
    triplets = pixels(entry["keypoints"], size, f"{where}: keypoints").reshape(-1, 3)
    points = triplets[triplets[:, 2] > 0, :2]
    if not len(points):
        return [0.0] * 4
    low, high = points.min(axis=0), points.max(axis=0)
    center, extent = (low + high) / 2, BOX_EXTENT * (high - low)
    return [*(center - extent / 2).tolist(), *extent.tolist()]
