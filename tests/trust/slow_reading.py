"""What a COCO file says, read the slow and obvious way, one rule after the other in plain Python:
the yardstick of the loaders, which shares no line with them."""

import json
import math
import struct
from typing import Any

LARGEST = 2**24


class RefusedError(Exception):
    """There is no right way to read this file."""


def parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise RefusedError("json") from None


def must(condition: object, what: str) -> None:
    if not condition:
        raise RefusedError(what)


def whole(value: Any) -> int:
    must(isinstance(value, int | float), "type")
    must(math.isfinite(value) if isinstance(value, float) else True, "finite")
    must(value == int(value) and -(2**63) <= value < 2**63, "whole")
    return int(value)


def number(value: Any) -> float:
    must(isinstance(value, int | float) and not isinstance(value, bool), "type")
    must(-1e308 * 1.7976931348623157 <= value <= 1e308 * 1.7976931348623157, "finite")
    return float(value)


def pixels(values: Any, size: int) -> list[float]:
    must(isinstance(values, list) and len(values) == size, "list")
    found = [number(value) for value in values]
    must(all(abs(value) <= LARGEST for value in found), "pixel")
    return found


def name(value: Any) -> str:
    must(isinstance(value, str) and 0 < len(value) <= 1024 and "\0" not in value, "name")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RefusedError("surrogate") from None
    return value


def objects(content: Any, key: str) -> list[dict]:
    must(isinstance(content, dict) and isinstance(content.get(key), list), key)
    must(all(isinstance(entry, dict) for entry in content[key]), key)
    return content[key]


def single(value: float) -> float:
    """Rounded to 32 bits."""
    return struct.unpack("f", struct.pack("f", value))[0]


def categories(content: Any) -> list[int]:
    found = objects(content, "categories")
    must(found and all("id" in entry for entry in found), "categories")
    ids = [whole(entry["id"]) for entry in found]
    must(len(set(ids)) == len(ids), "category twice")
    return ids


def images(content: Any) -> dict[int, tuple[str, int, int]]:
    """Id -> name, width, height."""
    found: dict[int, tuple[str, int, int]] = {}
    for entry in objects(content, "images"):
        must("id" in entry and "file_name" in entry, "image")
        sides = [0 if entry.get(k) is None else whole(entry[k]) for k in ("width", "height")]
        must(all(0 <= side <= LARGEST for side in sides), "size")
        image = (name(entry["file_name"]), *sides)
        must(found.setdefault(whole(entry["id"]), image) == image, "image twice")
    return found


def people(data: bytes, k: int = 17) -> list[tuple]:
    """(image name, id, box, keypoints, visibility, area, annotation id) of everyone who counts."""
    content = parsed(data)
    must(isinstance(content, dict), "dict")
    listed, pictures = categories(content), images(content)
    rows, nobody = [], 0
    annotations = objects(content, "annotations") if "annotations" in content else []
    for entry in annotations:
        must("image_id" in entry and "category_id" in entry, "ids")
        if whole(entry["category_id"]) != listed[0]:
            nobody += whole(entry["category_id"]) not in listed
            continue
        if whole(entry.get("iscrowd", 0)):
            continue
        must("keypoints" in entry and "bbox" in entry, "fields")
        triplets = pixels(entry["keypoints"], 3 * k)
        must(all(v in (0, 1, 2) for v in triplets[2::3]), "visibility")
        x, y, w, h = pixels(entry["bbox"], 4)
        image_id = whole(entry["image_id"])
        if image_id not in pictures:
            continue
        file_name, width, height = pictures[image_id]
        area, annotation_id = number(entry.get("area", w * h)), whole(entry.get("id", 0))
        left, top = max(0.0, x), max(0.0, y)
        right, bottom = left + max(0.0, w - 1), top + max(0.0, h - 1)
        if width and height:
            right, bottom = min(right, width - 1), min(bottom, height - 1)
        box = tuple(map(single, (left, top, right, bottom)))
        if area <= 0 or not any(triplets[2::3]) or box[2] <= box[0] or box[3] <= box[1]:
            continue
        points = tuple(single(v) for i, v in enumerate(triplets) if i % 3 < 2)
        seen = tuple(int(v) for v in triplets[2::3])
        rows.append((file_name, image_id, box, points, seen, area, annotation_id))
    must(not annotations or nobody < len(annotations), "category")
    return rows


def detections(data: bytes, labels: bytes) -> list[tuple]:
    """(image name, id, box, score) of a detection file, in the images of an annotation file."""
    listed, pictures = categories(parsed(labels)), images(parsed(labels))
    content = parsed(data)
    must(isinstance(content, list), "list")
    rows, of_people, elsewhere = [], 0, 0
    for entry in content:
        must(isinstance(entry, dict), "dict")
        must({"image_id", "category_id", "bbox", "score"} <= set(entry), "fields")
        if whole(entry["category_id"]) != listed[0]:
            continue
        of_people += 1
        x, y, w, h = pixels(entry["bbox"], 4)
        score, image_id = number(entry["score"]), whole(entry["image_id"])
        box = tuple(map(single, (x, y, x + w, y + h)))
        if image_id not in pictures:
            elsewhere += 1
        elif box[2] > box[0] and box[3] > box[1] and score >= 0:
            rows.append((pictures[image_id][0], image_id, box, score))
    must(not content or of_people, "category")
    must(not elsewhere or elsewhere < of_people, "split")
    return rows


def boxes(data: bytes) -> dict[str | int, list[tuple]]:
    """File name or number -> (box, score) of each entry, of a file in either form."""
    content = parsed(data)
    person, names = 1, {}
    if isinstance(content, dict):
        for entry in objects(content, "images"):
            must("id" in entry, "image")
            if "file_name" in entry:
                given = name(entry["file_name"])
                must(names.setdefault(whole(entry["id"]), given) == given, "image twice")
            whole(entry["id"])
        person = categories(content)[0] if "categories" in content else 1
        content = objects(content, "annotations")
    must(isinstance(content, list), "list")
    found: dict[str | int, list[tuple]] = {}
    for entry in content:
        must(isinstance(entry, dict), "dict")
        if whole(entry.get("category_id", person)) != person or whole(entry.get("iscrowd", 0)):
            continue
        corners = "box" in entry and "bbox" not in entry
        must(corners or "bbox" in entry, "box")
        a, b, c, d = pixels(entry["box" if corners else "bbox"], 4)
        box = tuple(map(single, (a, b, c, d) if corners else (a, b, a + c, b + d)))
        must(box[2] > box[0] and box[3] > box[1], "area")
        score = number(entry.get("box_score" if corners else "score", 1.0))
        must(abs(score) <= 1e30, "score")
        image_id = whole(entry["image_id"]) if "image_id" in entry else None
        if "file_name" in entry:
            key: str | int = name(entry["file_name"])
        else:
            must(image_id is not None, "image")
            key = names.get(image_id, image_id)
        found.setdefault(key, []).append((box, score))
    return found
