"""The part of the diagnosis page that sets the boxes against the pose, and varies the network."""

from collections.abc import Mapping
from typing import Any

from pose.reports.charts import Series, bar_chart, line_chart
from pose.reports.markup import Markup
from pose.reports.page import number, part, percent, section, side_by_side, table, tiles

SHOWN = ("AP", "AP .5", "AP .75", "AP (M)", "AP (L)", "AR")
"""Of COCO's figures."""


def box_sections(content: Mapping[str, Any]) -> list[Markup]:
    """The sections for what is there: detections, results on ground-truth boxes, a network."""
    sections = []
    if content.get("lost to"):
        sections.append(_divided(content))
    if content.get("detections"):
        sections.append(_detections(content["detections"]))
    if content.get("network"):
        sections.append(_network(content["network"]))
    return sections


def _divided(content: Mapping[str, Any]) -> Markup:
    rows = content["lost to"]
    network = content.get("network")
    figures = None
    if network:
        figures = part(
            "By boxes",
            table(
                ["boxes", "number", *SHOWN],
                [[row["boxes"], row["number"], *(number(row[name]) for name in SHOWN)]
                 for row in network["boxes"]],
            ),
        )  # fmt: skip
    return section(
        "The boxes against the pose",
        bar_chart([(row["lost to"], row["AP"]) for row in rows], title="AP lost, by what costs it",
                  sign=False),
        figures,
        about="The AP that is missing to 1. To the pose: what the same network lacks on "
        "ground-truth boxes. Below zero is a gain: a detector's scores may order people better "
        "than ground truth, whose boxes all count alike.",
    )  # fmt: skip


def _detections(found: Mapping[str, Any]) -> Markup:
    recall = found["recall"]
    line = Series("recall", [float(t) for t in recall], list(recall.values()))
    return section(
        "The detector's boxes",
        tiles(
            {
                "boxes": f"{found['boxes']:,}",
                "of nobody": percent(found["boxes of nobody"]),
                "people without a box": f"{found['people without a box']:,}",
                "AP": number(found["AP"]),
                "AP without those people": number(found["AP without those people"]),
            }
        ),
        side_by_side(
            part(
                "People who have a box",
                line_chart([line], x_label="overlap (IoU)", y_label="recall", dots=True,
                           x_range=(0.5, 1.0), title="recall of the boxes by overlap"),
            ),
            part(
                "People by how well a box fits them",
                table(
                    ["overlap (IoU)", "people", "found", "AR"],
                    [[row["overlap"], row["people"], percent(row["found"]), number(row["AR"])]
                     for row in found["by fit"]],
                ),
            ),
        ),
        about="Who has no box of an overlap of 0.5 can hardly be found, whatever the network.",
    )  # fmt: skip


def _network(study: Mapping[str, Any]) -> Markup:
    def line(name: str, x_label: str, title: str, about: str = "") -> Markup:
        key = name if name != "NMS" else "threshold"
        rows = study[name]
        values = Series("AP", [row[key] for row in rows], [row["AP"] for row in rows])
        best = max((row["AP"] for row in rows), default=1.0)
        low = max(0.0, min((row["AP"] for row in rows), default=0.0) - 0.05)
        chart = line_chart([values], x_label=x_label, y_label="AP", title=title, dots=True,
                           y_range=(round(low, 1) if low < 0.1 else round(low - 0.04, 1),
                                    min(1.0, best + 0.05)))  # fmt: skip
        return part(title, chart, about=about)

    sample = study["sample"]
    choices = [(row["choice"], row["AP"]) for row in study["choices"]]
    return section(
        "The network, varied",
        side_by_side(
            line("shift", "shift, of the box's sides", "AP by shift of the boxes"),
            line("scale", "size of the box, times", "AP by scale of the boxes"),
            line("NMS", "OKS above which one of two goes", "AP by suppression",
                 f"Soft suppression: {number(study['soft NMS'])}."),
            part("AP by flip test and decoding",
                 bar_chart(choices, title="AP by flip test and decoding", digits=4, largest=1.0)),
        ),
        about=f"{study['network']}, on ground-truth boxes of {sample['people']:,} people in "
        f"{sample['images']:,} images (suppression: all, on the detector's boxes if given).",
    )  # fmt: skip
