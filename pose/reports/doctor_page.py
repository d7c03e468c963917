"""What the doctor found, as a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from pose.reports.charts import Series, bar_chart, line_chart, share_chart
from pose.reports.doctor_kinds import SEVERITIES
from pose.reports.markup import Markup, tag
from pose.reports.page import (
    number,
    page,
    part,
    percent,
    section,
    side_by_side,
    table,
    tiles,
)

LISTED = 30
"""Findings of a kind that the page lists; the JSON holds all."""

PRESENCE = {"seen": "c0", "hidden": "c1", "unlabelled": "good"}


def doctor_page(content: Mapping[str, Any], cards: Mapping[str, Sequence[Markup]]) -> str:
    """The whole file: `content` is what the JSON holds, `cards` the examples by kind."""
    return page(
        "The data set, examined",
        f"{content['annotations']}: {_verdict(content['severities'])}. An error stops a loader or "
        "falsifies labels; a warning is most often a mistake; a note is worth knowing.",
        _overview(content),
        *(_findings(severity, content["verdicts"], cards) for severity in SEVERITIES),
        _distributions(content),
        _detections(content.get("detections")),
        _network(content.get("network")),
        _sigmas(content.get("sigmas")),
    )


def _verdict(severities: Mapping[str, int]) -> str:
    said = [f"{n} {name}{'s' * (n != 1)}" for name, n in severities.items() if n]
    return ", ".join(said) or "nothing found"


def _overview(content: Mapping[str, Any]) -> Markup:
    rows = [[row["kind"], row["severity"], f"{row['number']:,}"] for row in content["verdicts"]]
    return section(
        "At a glance",
        tiles({f"{name}s": f"{n:,}" for name, n in content["severities"].items()}),
        tiles({name: f"{n:,}" for name, n in content["counts"].items()}),
        table(["finding", "severity", "number"], rows) if rows else tag("p", "Nothing was found."),
    )


def _findings(
    severity: str,
    verdicts: Sequence[Mapping[str, Any]],
    cards: Mapping[str, Sequence[Markup]],
) -> Markup | None:
    own = [row for row in verdicts if row["severity"] == severity]
    if not own:
        return None
    return section(
        f"{severity.capitalize()}s", *(_kind(row, cards.get(row["kind"], ())) for row in own)
    )


def _kind(row: Mapping[str, Any], cards: Sequence[Markup]) -> Markup:
    found = row["findings"]
    listing = tag(
        "ul", [tag("li", f"{finding['where']}: {finding['says']}") for finding in found[:LISTED]]
    )
    more = f"the first {LISTED} of {len(found):,}" if len(found) > LISTED else f"all {len(found)}"
    if len(found) <= len(cards):
        below = None
    elif len(found) <= 5 and not cards:
        below = listing
    else:
        below = tag("details", tag("summary", f"List ({more})"), listing)
    title = f"{row['kind'][0].upper()}{row['kind'][1:]}: {row['number']:,}"
    gallery = tag("div", cards, class_="gallery") if cards else None
    return part(title, gallery, below, about=row["remedy"])


def _distributions(content: Mapping[str, Any]) -> Markup:
    charts = [
        part(title, bar_chart([(_label(row), row["number"]) for row in rows], digits=0,
                              title=title, color=place % 8))
        for place, (title, rows) in enumerate(content["distributions"].items())
        if any(row["number"] for row in rows)
    ]  # fmt: skip
    presence = [(row["keypoint"], row) for row in content["keypoints"]]
    if presence and content["counts"]["people"]:
        chart = share_chart(presence, title="how each keypoint is labelled", classes=PRESENCE)
        charts.insert(0, part("How keypoints are labelled", chart))
    return section(
        "Distributions",
        side_by_side(*charts),
        about="Of people with a labelled keypoint. Small people are below 32 x 32 pixels, large "
        "ones above 96 x 96, by their area.",
    )


def _label(row: Mapping[str, Any]) -> str:
    return f"{row['group']} ({percent(row['share'], 0)})"


def _detections(study: Mapping[str, Any] | None) -> Markup | None:
    if not study:
        return None
    recall = study["recall"]
    line = Series("recall", [float(t) for t in recall], list(recall.values()))
    figures = {k: v for k, v in study.items() if isinstance(v, int)}
    return section(
        "The detector's boxes",
        tiles({name: f"{n:,}" for name, n in figures.items()}),
        side_by_side(
            part("Recall by overlap", line_chart([line], x_label="IoU", y_label="recall",
                                                 title="recall by IoU", dots=True)),
            part("As figures", table(["IoU", "recall"],
                                     [[t, percent(value)] for t, value in recall.items()])),
        ),
        about="The share of labelled people whom a detected box overlaps by that IoU or more. Who "
        "has no box cannot be found.",
    )  # fmt: skip


def _network(study: Mapping[str, Any] | None) -> Markup | None:
    if not study:
        return None
    figures = {k: f"{v:,}" if isinstance(v, int) else number(v) for k, v in study.items()}
    return section(
        "What the network sees",
        tiles(figures),
        about="It was asked in the labels' own boxes. In the examples its keypoints are red rings.",
    )


def _sigmas(study: Mapping[str, Any] | None) -> Markup | None:
    if not study:
        return None
    ways = [name for name in ("set", "repeated annotations", "network residuals") if name in study]
    rows = [
        [name, study["labels"][k], *(number(study[way][k], 4) for way in ways)]
        for k, name in enumerate(study["keypoints"])
    ]
    said = (
        "Distances between two labels of one keypoint."
        if study["from"] == "repeated annotations"
        else "From a network's residuals: its own errors are in them, so they are upper bounds."
    )
    return section(
        "Sigmas",
        table(["keypoint", "labels", *ways], rows),
        tag("p", f'For the category: "sigmas": {study["sigmas"]}'),
        about=f"How far people err who label a keypoint, in parts of the root of the area. {said}",
    )
