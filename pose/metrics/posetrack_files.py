"""PoseTrack18's results: one json a sequence, as its evaluation program (poseval) reads them."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pose.records import (
    finite,
    numbers,
    numbers_of_any,
    objects,
    read_json,
    require,
    whole,
    write_json,
)

TRACKED = "tracked"
"""A key of ours beside the lists of a file: false where nobody was followed. The program needs
track ids all the same."""


def sequence_of(image: Mapping[str, Any]) -> str:
    """A frame's sequence: the folder that it lies in (`003418_mpii_test`)."""
    return PurePosixPath(str(image["file_name"])).parent.name


def write_sequences(
    folder: Path, results: Sequence[Mapping[str, Any]], dataset: Mapping[str, Any]
) -> None:
    """Write `<sequence>.json` for every sequence of the ground truth's content `dataset`.

    Each lists all frames of its sequence, found people or not. A person has keypoints (x, y, 1) in
    image pixels, or 0, 0, 0 if not there, `scores` of the K keypoints and the entry's `track_id`;
    unless all have one, nobody was followed, `TRACKED` says so and the ids count from 0 in every
    frame.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sequences: dict[str, list[Mapping[str, Any]]] = {}
    for image in dataset["images"]:
        sequences.setdefault(sequence_of(image), []).append(image)
    found: dict[int, list[Mapping[str, Any]]] = {}
    for entry in results:
        found.setdefault(entry["image_id"], []).append(entry)
    tracked = all("track_id" in entry for entry in results)
    category = dataset["categories"][0]
    kept = ("id", "name", "keypoints", "skeleton")
    for name, images in sequences.items():
        annotations = [
            _person(entry, entry["track_id"] if tracked else number)
            for image in images
            for number, entry in enumerate(found.get(int(image["id"]), []))
        ]
        content = {
            "images": [{"id": int(i["id"]), "file_name": i["file_name"]} for i in images],
            "annotations": [
                {"id": number, **annotation} for number, annotation in enumerate(annotations)
            ],
            "categories": [{key: category[key] for key in kept if key in category}],
            TRACKED: tracked,
        }
        write_json(folder / f"{name}.json", content)


def read_sequences(path: Path) -> list[dict[str, Any]]:
    """Result entries in COCO's form of one sequence's file, or of a folder of them, with `track_id`
    where people were followed.

    FileNotFoundError for a folder without any; ValueError names file, entry and field.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.glob("*.json"))
    if not files:
        raise FileNotFoundError(f"{path}: holds no .json of a sequence")
    entries: list[dict[str, Any]] = []
    untracked, seen = "", set[tuple[int, int]]()
    for file in files:
        content = read_json(file)
        for number, person in enumerate(objects(content, "annotations", f"{file}")):
            where = f"{file}: annotation {number}"
            entry = _entry(person, where)
            if "track_id" in person and content.get(TRACKED, True):
                entry["track_id"] = _track_id(person, seen, where)
            else:
                untracked = untracked or where
            entries.append(entry)
    if untracked and seen:
        raise ValueError(
            f"{untracked}: was not followed, but others have a track_id; give one to all or to none"
        )
    return entries


def _entry(person: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A person of a file in COCO's form; keypoints that are not there are 0, 0, 0."""
    require(person, ("image_id", "keypoints", "scores"), where)
    scores = numbers_of_any(person["scores"], f"{where}: scores")
    keypoints = numbers(person["keypoints"], 3 * len(scores), f"{where}: keypoints").reshape(-1, 3)
    keypoints[:, 2] = np.where(keypoints.any(axis=1), scores, 0)
    return {
        "image_id": whole(person["image_id"], f"{where}: image_id"),
        "category_id": whole(person.get("category_id", 1), f"{where}: category_id"),
        "score": finite(person.get("score", 1.0), f"{where}: score"),
        "keypoints": keypoints.ravel().tolist(),
    }


def _track_id(person: Mapping[str, Any], seen: set[tuple[int, int]], where: str) -> int:
    """Its id, which is then `seen` in its image."""
    track_id = whole(person["track_id"], f"{where}: track_id")
    key = whole(person["image_id"], f"{where}: image_id"), track_id
    if key in seen:
        raise ValueError(f"{where}: track_id {track_id} stands twice in image {key[0]}")
    seen.add(key)
    return track_id


def _person(entry: Mapping[str, Any], track_id: int) -> dict[str, Any]:
    triplets = np.reshape(entry["keypoints"], (-1, 3))
    there = triplets.any(axis=1)
    return {
        "image_id": int(entry["image_id"]),
        "category_id": int(entry["category_id"]),
        "track_id": int(track_id),
        "keypoints": np.column_stack([triplets[:, :2], there]).ravel().tolist(),
        "scores": triplets[:, 2].tolist(),
        "score": float(entry["score"]),
    }
