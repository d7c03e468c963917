"""PoseTrack18's results: one json a sequence, as its evaluation program (poseval) reads them."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pose.records import numbers, objects, read_json, require, write_json


def sequence_of(image: Mapping[str, Any]) -> str:
    """A frame's sequence: the folder that it lies in (`003418_mpii_test`)."""
    return PurePosixPath(str(image["file_name"])).parent.name


def write_sequences(
    folder: Path, results: Sequence[Mapping[str, Any]], dataset: Mapping[str, Any]
) -> None:
    """Write `<sequence>.json` for every sequence of the ground truth's content `dataset`.

    Each lists all frames of its sequence, found people or not. A person has keypoints (x, y, 1) in
    image pixels, `scores` of the K keypoints and, since nobody was followed, a `track_id` that
    counts from 0 in every frame.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sequences: dict[str, list[Mapping[str, Any]]] = {}
    for image in dataset["images"]:
        sequences.setdefault(sequence_of(image), []).append(image)
    found: dict[int, list[Mapping[str, Any]]] = {}
    for entry in results:
        found.setdefault(entry["image_id"], []).append(entry)
    category = dataset["categories"][0]
    kept = ("id", "name", "keypoints", "skeleton")
    for name, images in sequences.items():
        annotations = [
            _person(entry, number)
            for image in images
            for number, entry in enumerate(found.get(int(image["id"]), []))
        ]
        content = {
            "images": [{"id": int(i["id"]), "file_name": i["file_name"]} for i in images],
            "annotations": [
                {"id": number, **annotation} for number, annotation in enumerate(annotations)
            ],
            "categories": [{key: category[key] for key in kept if key in category}],
        }
        write_json(folder / f"{name}.json", content)


def read_sequences(folder: Path) -> list[dict[str, Any]]:
    """Result entries in COCO's form of a folder that `write_sequences` wrote.

    FileNotFoundError for a folder without any; ValueError names file, entry and field.
    """
    files = sorted(Path(folder).glob("*.json"))
    if not files:
        raise FileNotFoundError(f"{folder}: holds no .json of a sequence")
    entries = []
    for file in files:
        for number, person in enumerate(objects(read_json(file), "annotations", f"{file}")):
            where = f"{file}: annotation {number}"
            require(person, ("image_id", "keypoints", "scores"), where)
            scores = numbers(person["scores"], len(person["scores"]), f"{where}: scores")
            keypoints = numbers(person["keypoints"], 3 * len(scores), f"{where}: keypoints")
            keypoints[2::3] = scores
            one = {"category_id": person.get("category_id", 1), "score": person.get("score", 1.0)}
            entries.append({"image_id": person["image_id"], **one, "keypoints": keypoints.tolist()})
    return entries


def _person(entry: Mapping[str, Any], track_id: int) -> dict[str, Any]:
    keypoints = list(entry["keypoints"])
    scores = keypoints[2::3]
    keypoints[2::3] = [1] * len(scores)
    return {
        "image_id": int(entry["image_id"]),
        "category_id": int(entry["category_id"]),
        "track_id": track_id,
        "keypoints": keypoints,
        "scores": scores,
        "score": float(entry["score"]),
    }
