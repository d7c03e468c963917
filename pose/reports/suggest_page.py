"""What to label next, as a page: the chosen images with their poses, and what decided."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from pose.images import swap_red_blue
from pose.inference.draw import draw_poses
from pose.reports.charts import Series, bar_chart, line_chart
from pose.reports.markup import Markup, picture_address, tag
from pose.reports.page import number, page, part, section, side_by_side, table, tiles
from pose.reports.suggestions import REASONS, Seen

PICTURES, PICTURE_BYTES = 300, 9_000_000
"""So many images bring a picture, as long as these stay below so many bytes in all."""

NOBODIES = 24
"""Pictures of images in which nobody was found, of those at most."""

SIDE = 360
"""Pixels of a picture's longer side."""

LISTED = 200
"""Names that a list shows; the JSON holds all."""

Read = Callable[[str], np.ndarray]
"""An image's name -> the image (H, W, 3) uint8 RGB; OSError or ValueError where that fails."""

CALIBRATED = (
    "Scores are calibrated: uncertainty is how much of a person's OKS, and what share of its "
    "keypoints, is expected to be wrong."
)
UNCALIBRATED = (
    "Scores are the network's own, heights of heatmaps, which rank images but are no "
    "probabilities. pose calibrate RESULTS --annotations GT --weights WEIGHTS, once a validation "
    "set is labelled, makes them mean something: docs/calibrate.md."
)


def suggest_page(
    content: Mapping[str, Any], cards: Sequence[Markup], nobodies: Sequence[Markup]
) -> str:
    """The whole file: `content` is what the JSON holds, `cards` those of the chosen images and of
    images in which nobody was found."""
    chosen = [row for row in content["images"] if row["rank"] is not None]
    return page(
        "What to label next",
        "Images whose people the network is in doubt about, and which differ from each other and "
        "from what is labelled. "
        + (CALIBRATED if content["scores"] == "calibrated" else UNCALIBRATED),
        section("At a glance", tiles({k: f"{v:,}" for k, v in content["counts"].items()})),
        _chosen(chosen, cards),
        _nobody([r for r in content["images"] if r["reason"] == REASONS["nobody"]], nobodies),
        _figures(chosen, content["keypoints"]) if chosen else None,
        _others(content["images"]),
    )


def cards_of(
    chosen: Sequence[Seen], rows: Sequence[Mapping[str, Any]], read: Read, threshold: float
) -> list[Markup]:
    """A picture with its poses and figures for each chosen image, as `rows` tell of it; of many the
    first. Keypoints up to `threshold` are left out."""
    room = PICTURE_BYTES
    cards = []
    shown = list(zip(chosen, rows, strict=False))[:PICTURES]
    for one, row in tqdm(shown, desc="pictures", unit="image", leave=False, disable=None):
        picture = _picture(one, read, threshold)
        room -= 0 if picture is None else len(picture)
        cards.append(_card(row, picture if room > 0 else None))
    return cards


def nobody_cards(seen: Sequence[Seen], read: Read) -> list[Markup]:
    """Pictures of the first images in which nobody was found."""
    empty = [one for one in seen if not len(one.image.poses)][:NOBODIES]
    return [
        tag("figure", _shown(_picture(one, read, 1.0)), tag("figcaption", one.image.name),
            class_="card")
        for one in tqdm(empty, desc="pictures", unit="image", leave=False, disable=None)
    ]  # fmt: skip


def _picture(one: Seen, read: Read, threshold: float) -> bytes | None:
    """The image, small, with its poses, as WebP; None where it cannot be read any more."""
    try:
        image = read(one.image.name)
    except (OSError, ValueError):
        return None
    scale = min(SIDE / max(image.shape[:2]), 1.0)
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    poses = one.image.poses
    poses = replace(
        poses,
        keypoints=((poses.keypoints + 0.5) * scale - 0.5).astype(np.float32),
        boxes=(poses.boxes * scale).astype(np.float32),
    )
    drawn = swap_red_blue(draw_poses(small, poses, score_threshold=threshold))
    done, data = cv2.imencode(".webp", drawn, [cv2.IMWRITE_WEBP_QUALITY, 62])
    assert done
    return data.tobytes()


def _shown(picture: bytes | None) -> Markup | None:
    return None if picture is None else tag("img", src=picture_address(picture), alt="")


def _card(row: Mapping[str, Any], picture: bytes | None) -> Markup:
    people = f"{row['people']} {'person' if row['people'] == 1 else 'people'}"
    caption = tag(
        "figcaption",
        tag("b", f"{row['rank']}. {row['file_name']}"),
        tag("small", f"{people}, doubt {number(row['doubt'], 2)}, new by "
                     f"{number(row['distance'], 2)}"),
        tag("small", f"uncertainty {number(row['uncertainty'], 2)}, flip disagreement "
                     f"{number(row['disagreement'], 2)}"),
    )  # fmt: skip
    return tag("figure", _shown(picture), caption, class_="card")


def _chosen(rows: Sequence[Mapping[str, Any]], cards: Sequence[Markup]) -> Markup:
    about = (
        "In the order in which they were taken: each next one is the one of highest doubt times "
        "distance to the nearest person who is labelled or was taken before. Left is orange, right "
        "is blue: the pre-annotations that are to be corrected."
    )
    if not rows:
        return section("To label", tag("p", "No image with people is left to choose."))
    gallery = tag("div", cards, class_="gallery")
    rest = rows[len(cards) :]
    listing = _listing("Those without a picture", [f"{r['rank']}. {r['file_name']}" for r in rest])
    return section("To label", gallery, listing if rest else None, about=about)


def _nobody(rows: Sequence[Mapping[str, Any]], cards: Sequence[Markup]) -> Markup | None:
    if not rows:
        return None
    names = [row["file_name"] for row in rows]
    return section(
        f"Nobody found: {len(rows):,}",
        tag("div", cards, class_="gallery"),
        _listing("Their names", names) if len(names) > len(cards) else None,
        about="They are not ranked, for there is nothing to be in doubt about. Look through them: "
        "somebody whom the detector missed is worth more than anybody it found.",
    )


def _figures(rows: Sequence[Mapping[str, Any]], keypoints: Sequence[Mapping[str, Any]]) -> Markup:
    ranks = [float(row["rank"]) for row in rows]
    lines = [Series(name, ranks, [row[name] for row in rows]) for name in ("doubt", "distance")]
    names = ("uncertainty", "disagreement")
    bars = [
        part(
            f"Keypoints: {name}",
            bar_chart([(row["keypoint"], row[name]) for row in keypoints], digits=2, color=i,
                      title=f"{name} of each keypoint"),
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    return section(
        "What decided",
        part(
            "Along the ranks",
            line_chart(lines, x_label="rank", y_label="", title="doubt and distance by rank",
                       dots=len(rows) <= LISTED),
            about="Where the distance has fallen, more images of this pool teach little new.",
        ),
        side_by_side(*bars),
        about="Keypoints are those of all people found, where a look was sure enough to count one.",
    )  # fmt: skip


def _others(rows: Sequence[Mapping[str, Any]]) -> Markup | None:
    left = [row for row in rows if row["rank"] is None]
    reasons = [(why, [row for row in left if row["reason"] == why]) for why in REASONS.values()]
    counted = [[why, f"{len(found):,}"] for why, found in reasons if found]
    if not left:
        return None
    behind = [row for row in left if row["people"]]
    listed = [
        [row["file_name"], row["people"], *(number(row[k], 2) for k in ("doubt", "distance")),
         row["reason"]]
        for row in behind[:LISTED]
    ]  # fmt: skip
    header = ["image", "people", "doubt", "distance", "why"]
    title = f"Those with people ({_how_many(behind)})"
    details = tag("details", tag("summary", title), table(header, listed)) if listed else None
    return section("Not chosen", table(["why", "images"], counted), details)


def _listing(title: str, names: Sequence[str]) -> Markup:
    items = tag("ul", [tag("li", name) for name in names[:LISTED]])
    return tag("details", tag("summary", f"{title} ({_how_many(names)})"), items)


def _how_many(entries: Sequence[Any]) -> str:
    most = f"the first {LISTED} of {len(entries):,}"
    return most if len(entries) > LISTED else f"all {len(entries)}"
