"""The gallery: every prediction beside its label, the worst first, as data that the page draws.

The worst few hundred bring a picture each, the others name their image beside the file. A point
counts in thousandths of the card's crop, so that a person of any size is drawn as exactly.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from pose.images import ImageFolder, swap_red_blue
from pose.metrics.keypoint_errors import KINDS
from pose.metrics.matches import LARGE, MEDIUM
from pose.reports.diagnosis import Case
from pose.reports.markup import picture_address

PICTURES, PICTURE_BYTES = 300, 8_000_000
"""So many cards bring a picture, as long as these stay below so many bytes in all."""

KEYPOINTS = 170_000
"""Of all cards together: 10,000 cards of COCO's people. More would make the file heavy."""

CROP = (240, 320)
"""Pixels of a card's picture, wide and high."""

FARTHEST = 1e5
"""Pixels; a crop that is wider, of a pose that lies nowhere, has no picture."""

MARGIN = 0.12
"""Of the crop's sides around what it shows."""

WHAT = ("pose", "missed person", "second of a person", "of nobody")
"""What a card shows; a pose is one of a person, right or wrong."""


@dataclass(frozen=True, eq=False)
class Card:
    """One prediction, one person, or both where they belong together."""

    what: str
    image: int
    """In the order of the image ids."""
    prediction: int
    """-1 for a missed person."""
    person: int
    """-1 for a prediction of nobody."""
    oks: float
    badness: float
    """By which cards of one kind are sorted: the lack of OKS, the person's area, the score."""


def cards_of(case: Case) -> list[Card]:
    """The worst of each kind in turn, so that the first show every kind, up to `KEYPOINTS`."""
    errors, found, labelled = case.errors, case.found, case.labelled
    highest = np.zeros(len(found.scores))
    nearest = np.full(len(found.scores), -1)
    own = errors.partners[case.pairs.predictions] == case.pairs.people
    oks = np.zeros(len(found.scores))
    oks[case.pairs.predictions[own]] = case.pairs.oks[own]
    order = np.argsort(case.pairs.oks, kind="stable")
    nearest[case.pairs.predictions[order]] = case.pairs.people[order]
    highest[case.pairs.predictions[order]] = case.pairs.oks[order]
    lists: list[list[Card]] = [[] for _ in WHAT]
    for d in np.flatnonzero(errors.partners >= 0).tolist():
        lists[0].append(_card(found.images, 0, d, errors.partners[d], oks[d], 1 - oks[d]))
    for g in np.flatnonzero(errors.missed).tolist():
        lists[1].append(_card(labelled.images, 1, -1, g, 0.0, labelled.areas[g]))
    for d in np.flatnonzero(errors.doubled).tolist():
        lists[2].append(_card(found.images, 2, d, nearest[d], highest[d], found.scores[d]))
    for d in np.flatnonzero(errors.background).tolist():
        lists[3].append(_card(found.images, 3, d, -1, 0.0, found.scores[d]))
    ranked = [
        (rank, kind, card)
        for kind, cards in enumerate(lists)
        for rank, card in enumerate(sorted(cards, key=lambda card: -card.badness))
    ]
    ranked.sort(key=lambda entry: entry[:2])
    return [card for _, _, card in ranked[: KEYPOINTS // case.truth.skeleton.num_keypoints]]


def card_texts(case: Case, cards: Sequence[Card]) -> list[dict[str, Any]]:
    """What the cards say, with names: for the JSON."""
    ids, names = _images(case)
    skeleton = case.truth.skeleton
    rows = []
    for card in cards:
        predicted = card.prediction >= 0
        kinds = case.errors.kinds[card.prediction] if card.what == "pose" else []
        rows.append(
            {
                "what": card.what,
                "image_id": ids[card.image],
                "file_name": names[ids[card.image]].get("file_name"),
                "entry": card.prediction if predicted else None,
                "size": _size(case, card),
                "OKS": card.oks,
                "score": float(case.found.scores[card.prediction]) if predicted else None,
                "errors": {
                    skeleton.keypoints[k]: KINDS[kind] for k, kind in enumerate(kinds) if kind > 0
                },
            }
        )
    return rows


def gallery_data(
    case: Case, cards: Sequence[Card], images: ImageFolder | None, beside: str | None
) -> dict[str, Any]:
    """What the page's script draws the cards from; `images` gives pictures to the worst, `beside`
    is the way from the page to their folder, for the others."""
    ids, entries = _images(case)
    skeleton = case.truth.skeleton
    sides = np.zeros(skeleton.num_keypoints, int)
    for left, right in skeleton.mirrored:
        sides[skeleton.index(left)], sides[skeleton.index(right)] = 1, 2
    shown = sorted({card.image for card in cards})
    place = {image: i for i, image in enumerate(shown)}
    scores = np.sort(case.found.scores)
    crops = [_crop(case, card) for card in cards]
    drawn = [
        _drawing(case, card, crop, place, scores) for card, crop in zip(cards, crops, strict=True)
    ]
    if images is not None:
        _add_pictures(drawn, cards, crops, images, [entries[i].get("file_name", "") for i in ids])
    return {
        "keypoints": list(skeleton.keypoints),
        "limbs": skeleton.limb_index.tolist(),
        "sides": sides.tolist(),
        "kinds": list(KINDS),
        "what": list(WHAT),
        "beside": beside,
        "images": [_image(entries[ids[i]]) for i in shown],
        "cards": drawn,
    }


def _card(images: np.ndarray, what: int, d: int, g: int, oks: float, badness: float) -> Card:
    image = int(images[g if d < 0 else d])
    return Card(WHAT[what], image, d, int(g), float(oks), float(badness))


def _images(case: Case) -> tuple[list[int], dict[int, Mapping[str, Any]]]:
    """The sorted ids, and the annotation file's entry of each."""
    return sorted(case.truth.image_ids), {int(e["id"]): e for e in case.truth.dataset["images"]}


def _image(entry: Mapping[str, Any]) -> list[Any]:
    return [str(entry.get("file_name", "")), entry.get("width") or 0, entry.get("height") or 0]


def _size(case: Case, card: Card) -> str:
    if card.person >= 0:
        area = case.labelled.areas[card.person]
    else:
        area = np.ptp(case.found.keypoints[card.prediction], axis=0).prod()
    return "L" if area > LARGE[0] else "M" if area >= MEDIUM[0] else "S"


def _crop(case: Case, card: Card) -> tuple[float, float, float]:
    """Left, top and width in image pixels of the part of the image that a card shows."""
    points = case.found.keypoints[card.prediction]
    if card.person < 0:
        low, high = points.min(axis=0), points.max(axis=0)
    else:
        box = case.labelled.boxes[card.person]
        low, high = box[:2], box[2:]
        if card.prediction >= 0:
            # Of a pose that leads far away only the beginning is shown.
            reach = high - low
            low = np.minimum(low, points.min(axis=0).clip(low - reach, None))
            high = np.maximum(high, points.max(axis=0).clip(None, high + reach))
    middle, extent = (low + high) / 2, np.maximum((high - low) * (1 + 2 * MARGIN), 16)
    width = max(extent[0], extent[1] * CROP[0] / CROP[1])
    height = width * CROP[1] / CROP[0]
    return float(middle[0] - width / 2), float(middle[1] - height / 2), float(width)


def _drawing(
    case: Case,
    card: Card,
    crop: tuple[float, float, float],
    place: Mapping[int, int],
    scores: np.ndarray,
) -> dict[str, Any]:
    """One card: image, what, OKS, score, size, crop, points of label and prediction."""

    def thousandths(points: np.ndarray) -> list[int]:
        inside = (points - crop[:2]) / crop[2] * 1000
        return np.clip(np.round(inside), -9999, 9999).astype(int).ravel().tolist()

    row: dict[str, Any] = {
        "i": place[card.image],
        "w": WHAT.index(card.what),
        "o": round(card.oks, 3),
        "z": _size(case, card),
        "c": [round(v, 1) for v in crop],
    }
    if card.person >= 0:
        shown = case.labelled.visibility[card.person]
        row["v"] = "".join(str(int(min(v, 2))) for v in shown)
        row["g"] = thousandths(case.labelled.keypoints[card.person] * (shown > 0)[:, None])
    if card.prediction >= 0:
        score = case.found.scores[card.prediction]
        row["s"] = float(f"{score:.3g}")
        row["t"] = min(2, int(3 * np.searchsorted(scores, score) / len(scores)))
        row["p"] = thousandths(case.found.keypoints[card.prediction])
        if card.what == "pose":
            row["k"] = "".join("." if k < 0 else str(k) for k in case.errors.kinds[card.prediction])
    return row


def _add_pictures(
    drawn: Sequence[dict[str, Any]],
    cards: Sequence[Card],
    crops: Sequence[tuple[float, float, float]],
    images: ImageFolder,
    names: Sequence[str],
) -> None:
    """The pictures of the worst cards, into their rows; what cannot be read is left out."""
    order = sorted(range(min(PICTURES, len(cards))), key=lambda i: cards[i].image)
    name, picture = None, np.zeros((1, 1, 3), np.uint8)
    room = PICTURE_BYTES
    for i in tqdm(order, desc="pictures", unit="card", disable=None, leave=False):
        if names[cards[i].image] != name:
            name = names[cards[i].image]
            try:
                picture = images.read(name)
            except (OSError, ValueError):
                picture = np.zeros((1, 1, 3), np.uint8)
        if picture.shape[:2] == (1, 1) or crops[i][2] > FARTHEST:
            continue
        part = swap_red_blue(cut(picture, crops[i]))
        done, data = cv2.imencode(".webp", part, [cv2.IMWRITE_WEBP_QUALITY, 62])
        assert done
        room -= len(data)
        if room > 0:
            drawn[i]["d"] = picture_address(data.tobytes())


def cut(picture: np.ndarray, crop: tuple[float, float, float]) -> np.ndarray:
    """The part of an image that a card shows, as large as a card; black outside the image."""
    left, top, width = crop
    scale = CROP[0] / width
    # A warp alone would leave out pixels where it shrinks.
    while scale < 0.5 and min(picture.shape[:2]) > 1:
        picture = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        left, top, scale = left / 2, top / 2, scale * 2
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    return cv2.warpAffine(picture, matrix, CROP)


def way_to(folder: Path, images: Path) -> str | None:
    """The relative way from a report's folder to that of the images, with slashes; None for a zip
    file, which a browser cannot look into, and where there is none (another drive)."""
    if not images.is_dir():
        return None
    try:
        return Path(os.path.relpath(images.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return None
