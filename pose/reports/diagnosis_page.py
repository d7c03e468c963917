"""The diagnosis as a page: what the numbers of `diagnose` look like."""

from collections.abc import Mapping, Sequence
from typing import Any

from pose.metrics.keypoint_errors import KINDS
from pose.reports.boxes_page import box_sections
from pose.reports.charts import Series, bar_chart, line_chart, share_chart
from pose.reports.diagnosis_groups import PCK
from pose.reports.gallery import WHAT
from pose.reports.gallery_script import SCRIPT
from pose.reports.markup import Markup, data_element, join, tag
from pose.reports.page import (
    as_json,
    heat,
    number,
    page,
    part,
    percent,
    section,
    side_by_side,
    table,
    tiles,
)

COLORS = {"good": "good", "jitter": "c1", "inversion": "c0", "swap": "c3", "miss": "c4"}
"""Kind of error -> its colour."""

SHOWN_CURVES = ("0.50", "0.60", "0.70", "0.80", "0.90")


def diagnosis_page(content: Mapping[str, Any], cards: Mapping[str, Any]) -> str:
    """The whole file: `content` is what the JSON holds, `cards` that of `gallery_data`."""
    return page(
        "What costs AP",
        f"{content['results']} against {content['annotations']}: what is wrong, and what AP would "
        "be were it right. Errors are those of Ronchi and Perona (ICCV 2017).",
        _overview(content),
        _losses(content),
        _keypoints(content["keypoints"]),
        _groups(content["groups"]),
        _scores(content["scores"]),
        *box_sections(content),
        _gallery(cards),
        script=SCRIPT,
    )


def _overview(content: Mapping[str, Any]) -> Markup:
    curves = content["curves"]
    lines = [
        Series(f"OKS {name}", curves["recall"], curves["precision"][name]) for name in SHOWN_CURVES
    ]
    return section(
        "At a glance",
        tiles({name: number(value) for name, value in content["figures"].items()}),
        tiles({name: f"{value:,}" for name, value in content["counts"].items()}),
        side_by_side(
            part(
                "Precision over recall",
                line_chart(lines, x_label="recall", y_label="precision", x_range=(0.0, 1.0),
                           title="precision over recall at five thresholds of OKS"),
            ),
            part(
                "Keypoints of the people found",
                share_chart(
                    [(row["keypoint"], row) for row in content["keypoints"]],
                    title="share of each kind of error, by keypoint", classes=COLORS,
                ),
            ),
        ),
    )  # fmt: skip


def _losses(content: Mapping[str, Any]) -> Markup:
    turn, alone = content["in turn"], content["alone"]
    steps = [(f"+ {row['error']}" if i else row["error"], row["AP"]) for i, row in enumerate(turn)]
    gains = sorted(((row["error"], row["gain"]) for row in alone), key=lambda row: -row[1])
    names = ("AP", "gain", "gain (M)", "gain (L)")
    return section(
        "What each error costs",
        side_by_side(
            part(
                "Put right alone",
                bar_chart(gains, title="AP gained by putting one error right", sign=True),
                about="AP gained if only this error were put right. Start at the top.",
            ),
            part(
                "Put right in turn",
                bar_chart(steps, title="AP as errors are put right in turn", largest=1.0, color=2),
                about="AP as one after the other is put right. What is then left to 1 is "
                "inexactness within the margin of human labels.",
            ),
        ),
        table(
            ["put right alone", *names],
            [[row["error"], *(number(row[name]) for name in names)] for row in alone],
        ),
        about="A keypoint is good within the margin of human labels; jitter is near its place, an "
        "inversion on its left or right counterpart, a swap on another person, a miss near none.",
    )


def _keypoints(rows: Sequence[Mapping[str, Any]]) -> Markup:
    worst = {kind: max((row[kind] for row in rows), default=0.0) or 1.0 for kind in KINDS[1:]}

    def cells(row: Mapping[str, Any]) -> list[Any]:
        errors = [heat(percent(row[kind]), 0.99 * row[kind] / worst[kind]) for kind in KINDS[1:]]
        pck = [percent(row[f"PCK {bound}"]) for bound in PCK]
        pixels = [number(row[name], 1) for name in ("median", "worst tenth")]
        return [
            row["keypoint"],
            row["labelled"],
            percent(row["good"]),
            *errors,
            f"{row['gain']:+.4f}",
            *pck,
            *pixels,
        ]

    headers = ["keypoint", "labelled", *KINDS, "AP gain", *(f"PCK {bound:g}" for bound in PCK),
               "median", "90 %"]  # fmt: skip
    gains = [(row["keypoint"], row["gain"]) for row in rows]
    return section(
        "By keypoint",
        table(headers, [cells(row) for row in rows]),
        side_by_side(
            part(
                "AP gained by keypoint",
                bar_chart(gains, title="AP gained were all errors of a keypoint put right",
                          digits=4, sign=True),
            ),
            part(
                "Error in pixels, median",
                bar_chart([(row["keypoint"], row["median"]) for row in rows], digits=1, color=5,
                          title="median error in pixels, by keypoint"),
            ),
        ),
        about="Of labelled keypoints of the people found. PCK: the share within that part of the "
        "longer side of the person's box. The last columns are pixels: half of the keypoints err "
        "by less than the one, nine tenths by less than the other.",
    )  # fmt: skip


def _groups(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> Markup:
    def of_group(title: str, rows: Sequence[Mapping[str, Any]]) -> Markup:
        return part(
            title,
            table(
                ["", "people", "found", "AR", "mean OKS"],
                [[row["group"], row["people"], percent(row["found"]), number(row["AR"]),
                  number(row["OKS"])] for row in rows],
            ),
            share_chart([(row["group"], row) for row in rows], classes=COLORS,
                        title=f"share of each kind of error, by {title.lower()}"),
        )  # fmt: skip

    pairs = [of_group(title, rows) for title, rows in groups.items()]
    return section(
        "By person",
        side_by_side(*pairs),
        about="Found: at an OKS of 0.5. AR: the mean over OKS 0.5 to 0.95. Size is the side of a "
        "square of the person's area; in the way is whose box overlaps by an IoU of 0.1 or more.",
    )


def _scores(scores: Mapping[str, Any]) -> Markup:
    overtaken = "people whose best prediction is not the one that counts"
    rows = scores["tenths"]
    tenths = [10.0 * (i + 1) for i in range(len(rows))]
    lines = [
        Series("mean OKS", tenths, [row["OKS"] for row in rows]),
        Series("of a person at OKS 0.5", tenths, [row["right"] for row in rows]),
    ]
    return section(
        "Scores",
        side_by_side(
            part(
                "Right by falling score",
                line_chart(lines, x_label="predictions by falling score (%)", y_label="share, OKS",
                           x_range=(0.0, 100.0), dots=True, title="OKS by falling score"),
            ),
            part(
                "By tenth",
                table(
                    ["tenth", "mean score", "mean OKS", "right"],
                    [[i + 1, number(row["score"]), number(row["OKS"]), percent(row["right"])]
                     for i, row in enumerate(rows)],
                ),
            ),
        ),
        about="Where scores order well the lines fall all the way. "
        f"{overtaken[0].upper()}{overtaken[1:]}: {scores[overtaken]:,}.",
    )  # fmt: skip


def _gallery(cards: Mapping[str, Any]) -> Markup:
    def choice(name: str, label: str, options: Sequence[tuple[str, str]]) -> Markup:
        entries = [tag("option", text, value=value) for value, text in [("", "any"), *options]]
        return tag("label", label, tag("select", entries, id=f"by-{name}"))

    numbered = [(str(i), name) for i, name in enumerate(cards["keypoints"])]
    controls = tag(
        "div",
        choice("what", "shows", [(str(i), name) for i, name in enumerate(WHAT)]),
        choice("kind", "error", [(str(i), kind) for i, kind in enumerate(KINDS) if i]),
        choice("keypoint", "of keypoint", numbered),
        choice("size", "size", [(s, s) for s in ("S", "M", "L")]),
        choice("score", "score", [("2", "highest third"), ("1", "middle"), ("0", "lowest third")]),
        class_="filters",
    )
    return section(
        "Gallery",
        controls,
        tag("p", "", id="count"),
        tag("div", id="gallery", class_="gallery"),
        tag("button", "show more", id="more", class_="more", type="button", hidden=True),
        tag("noscript", tag("p", "The gallery is drawn by the page's own script, which is off.")),
        join(data_element("cards", as_json(cards))),
        about="The worst first, of every kind in turn. Left is orange, right is blue; hidden "
        "labels are hollow, keypoints that are wrong stand in a red ring.",
        name="cards-section",
    )
