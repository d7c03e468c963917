"""The calibration as a page: reliability before and after, curves compared, AP by other scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pose.metrics.calibration import Curve
from pose.metrics.coco_score import FIGURES
from pose.reports.charts import Series, bar_chart, line_chart
from pose.reports.markup import Markup
from pose.reports.page import number, page, part, section, side_by_side, table, tiles

TITLES = {
    "keypoints": (
        "Keypoints",
        "probability that it is right",
        "Calibrated, a keypoint's score is the probability that its own similarity is at least "
        "0.5, if the box shows a person who has it.",
    ),
    "people": (
        "People",
        "OKS to expect",
        "Calibrated, a person's score is the OKS to be expected; of a detection of nobody it is 0.",
    ),
}


def calibration_page(content: Mapping[str, Any]) -> str:
    """The whole file of what `calibrate` gave."""
    measured = content["measured"]
    return page(
        "What scores are worth",
        f"{content['results']['file']} against {content['annotations']['file']}: scores beside "
        "what came of them, before and after calibration. After is always by curves fitted on "
        f"other images ({measured['folds']} parts).",
        section(
            "At a glance",
            tiles(
                {
                    **_errors(measured),
                    "images": f"{measured['images']:,}",
                    "labelled keypoints": f"{measured['keypoints']['number']:,}",
                    "people predicted": f"{measured['people']['number']:,}",
                }
            ),
            about="The calibration error is how far, on average, what came is from the score: the "
            f"mean over all scores, in {measured['bins']} bins of equal width, of the difference "
            "between their mean and that of the outcomes.",
        ),
        *(_kind(name, measured[name], content["curves"][name]) for name in TITLES),
        _figures(content["figures"]),
    )


def _errors(measured: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"error of {name}, {when}": number(measured[name][when]["ECE"], 4)
        for name in TITLES
        for when in ("before", "after")
    }


def _kind(name: str, measured: Mapping[str, Any], curve: Mapping[str, float]) -> Markup:
    title, label, about = TITLES[name]
    rows = measured["reliability"]
    series = [Series("perfect", [0.0, 1.0], [0.0, 1.0])]
    for when, bins in rows.items():
        some = [row for row in bins if row["number"]]
        series.append(Series(when, [r["score"] for r in some], [r["outcome"] for r in some]))
    x = np.linspace(0.0, 1.0, 51)
    values = Curve(**curve)(x)
    return section(
        title,
        side_by_side(
            part(
                "Reliability",
                line_chart(series, x_label="score", y_label="what came", dots=True,
                           x_range=(0.0, 1.0), title=f"{title}: outcome over score"),
                about="On the diagonal a score means what it says.",
            ),
            part(
                "The curve",
                line_chart([Series("curve", x.tolist(), values.tolist())],
                           x_label="the network's score", y_label=label, x_range=(0.0, 1.0),
                           title=f"{title}: calibrated score over the network's"),
                about=_formula(Curve(**curve)),
            ),
            part(
                "How many",
                bar_chart(_counts(rows["before"]), digits=0,
                          title=f"{title}: how many have which score"),
                about="By the network's score.",
            ),
        ),
        side_by_side(
            table(
                ["scores", *measured["before"]],
                [[key, *(number(v, 4) for v in values.values())]
                 for key, values in (("before", measured["before"]), *measured["curves"].items())],
                caption="Lower is better. The first curve is the one that is kept.",
            ),
            table(
                ["bin", "number", "score", "what came"],
                [[_bin(i, len(rows["after"])), row["number"], number(row["score"]),
                  number(row["outcome"])] for i, row in enumerate(rows["after"])],
                caption="After, bin by bin",
            ),
        ),
        about=about,
    )  # fmt: skip


def _formula(curve: Curve) -> str:
    sign = "-" if curve.offset < 0 else "+"
    return f"1 / (1 + exp(-({curve.slope:.3f} score {sign} {abs(curve.offset):.3f})))"


def _counts(rows: Sequence[Mapping[str, float]]) -> list[tuple[str, float]]:
    return [(_bin(i, len(rows)), float(row["number"])) for i, row in enumerate(rows)]


def _bin(i: int, num_bins: int) -> str:
    return f"{i / num_bins:.1f} to {(i + 1) / num_bins:.1f}"


def _figures(figures: Mapping[str, Mapping[str, float]]) -> Markup:
    return section(
        "AP by other scores",
        table(
            ["people's scores", *FIGURES],
            [[name, *(number(row[f], 4) for f in FIGURES)] for name, row in figures.items()],
        ),
        about="The curve rises, so the order of people stays and AP with it. By curves of other "
        "images the order may change a little between parts. The last row is what AP would be "
        "were a person's score made of calibrated keypoint scores.",
    )
