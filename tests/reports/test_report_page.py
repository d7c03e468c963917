"""The frame of the reports: nothing of the data becomes markup, nothing comes from elsewhere."""

import base64
import hashlib
import html.parser
import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose.metrics.coco_score import FIGURES
from pose.reports.charts import Series, bar_chart, line_chart, share_chart, ticks
from pose.reports.markup import Markup, data_element, join, picture_address, script_element, tag
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
    write_report,
)

HOSTILE = "<script>alert(1)</script>\"' onload='x' & </style> --> \u2028"


class Parts(html.parser.HTMLParser):
    """Every element with its attributes, and every text, as a browser would see them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


@given(st.text(), st.text())
def test_any_text_comes_back_as_text(text, value):
    parts = Parts(str(tag("p", text, title=value)))
    assert parts.elements[0][0] == "p"
    assert [name for name, _ in parts.elements] == ["p"]
    if "\r" not in text + value and "\0" not in text + value:
        assert "".join(parts.texts) == text
        assert parts.elements[0][1] == {"title": value}


def test_children_and_attributes():
    made = tag("div", "a", 1, None, [tag("br"), "b"], class_="x", data_i=2, hidden=True, id=None)
    assert str(made) == '<div class="x" data-i="2" hidden>a1<br>b</div>'
    assert str(join("<", tag("i"))) == "&lt;<i></i>"


@pytest.mark.parametrize(
    ("name", "attributes", "said"),
    [
        ("p", {"onclick": "x()"}, "neither code nor style"),
        ("p", {"style": "color: red"}, "neither code nor style"),
        ("a", {"href": "https://example.org"}, "leads out of the page"),
        ("a", {"href": "javascript:alert(1)"}, "leads out of the page"),
        ("img", {"src": "data:text/html;base64,AAAA"}, "leads out of the page"),
        ("img", {"src": "//example.org/x.png"}, "leads out of the page"),
        ("p onload=x", {}, "no name of an element"),
        ("p", {"a b": "c"}, "no name of an element"),
    ],
)
def test_what_could_run_or_lead_out_is_refused(name, attributes, said):
    with pytest.raises(ValueError, match=said):
        tag(name, **attributes)


@pytest.mark.parametrize("address", ["#gallery", "./a/b.jpg", "../c.jpg", picture_address(b"x")])
def test_addresses_inside_are_taken(address):
    assert Parts(str(tag("img", src=address))).elements == [("img", {"src": address})]


@given(st.dictionaries(st.text(), st.text()))
def test_data_reads_back_and_ends_nothing(content):
    made = str(data_element("cards", as_json(content)))
    inside = made.partition(">")[2].removesuffix("</script>")
    assert "<" not in inside
    assert json.loads(inside) == content


def test_a_script_of_ours_cannot_end_itself():
    with pytest.raises(AssertionError):
        script_element("x = '</script>'")


def everything():
    return page(
        HOSTILE,
        HOSTILE,
        section(
            HOSTILE,
            tiles({HOSTILE: HOSTILE}),
            side_by_side(
                part(HOSTILE, table([HOSTILE, "n"], [[HOSTILE, 1], ["b", heat(HOSTILE, 0.5)]])),
                part("b", line_chart([Series(HOSTILE, [0, 1], [0, 1]), Series("b", [0], [1])],
                                     x_label=HOSTILE, y_label=HOSTILE, title=HOSTILE)),
                bar_chart([(HOSTILE, 1.0), ("b", math.nan)], title=HOSTILE),
                share_chart([(HOSTILE, {"x": 1.0})], title=HOSTILE, classes={"x": "c0"}),
            ),
            about=HOSTILE,
        ),
        script="let a = 1;",
    )  # fmt: skip


def test_hostile_texts_everywhere_stay_texts():
    parts = Parts(everything())
    assert [name for name, _ in parts.elements].count("script") == 1
    assert [name for name, _ in parts.elements].count("style") == 1
    shown = [text for text in parts.texts if "alert(1)" in text]
    assert len(shown) >= 8
    for _, attributes in parts.elements:
        assert not [a for a in attributes if a.startswith("on") or a == "style"]


def rules_of(text):
    policy = next(a["content"] for _, a in Parts(text).elements if a.get("http-equiv"))
    return dict(rule.strip().split(" ", 1) for rule in policy.split(";"))


def test_the_policy_lets_only_what_is_in_the_file():
    text = everything()
    rules = rules_of(text)
    assert rules["default-src"] == "'none'"
    for element in ("script", "style"):
        content = re.search(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{element}-src"] == f"'sha256-{digest}'"
    assert not re.search(r"https?:", text)
    assert rules_of(page("a", "b"))["script-src"] == "'none'"


def test_charts_have_no_nan_and_stay_inside():
    chart = str(
        line_chart([Series("a", [0, 1, 2], [0.5, math.nan, 2.0])], x_label="x", y_label="y",
                   title="t")
    )  # fmt: skip
    assert "nan" not in chart
    points = re.search(r'points="([^"]*)"', chart)[1].split()
    assert len(points) == 2
    assert all(0 <= float(v) <= 360 for point in points for v in point.split(","))
    assert "n/a" in str(bar_chart([("a", math.nan)], title="t"))
    assert isinstance(line_chart([], x_label="x", y_label="y", title="t"), Markup)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.5, 1.0, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (0, 0.3, [0, 0.1, 0.2, 0.3]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_figures_as_they_are_read():
    assert (number(0.12345), number(None), number(math.nan)) == ("0.123", "n/a", "n/a")
    assert (percent(0.5), percent(math.nan)) == ("50.0%", "n/a")


def test_both_files_are_written_and_nan_is_null(tmp_path):
    paths = write_report(tmp_path / "out", "a", "<p>", {"x": [1.0, math.nan], "y": {1: "z"}})
    assert [path.name for path in paths] == ["a.html", "a.json"]
    assert paths[0].read_text() == "<p>"
    write_report(tmp_path, "half", str(tag("p", "\ud83d")), {})
    assert json.loads(paths[1].read_text()) == {"x": [1.0, None], "y": {"1": "z"}}


def test_paper_shows_every_column(browser, tmp_path):
    """The ten figures of a network with a long name, on A4 between Chromium's margins."""
    rows = [["calibrated on other images", *(f"0.{n}234" for n in range(10))]]
    shown = section("AP by other scores", table(["people's scores", *FIGURES], rows))
    write_report(tmp_path, "wide", page("A page", "", shown), {})
    size = {"width": 718, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.get((tmp_path / "wide.html").as_uri())
    wide = browser.find_element("css selector", ".wide")
    whole, seen = (int(wide.get_property(side)) for side in ("scrollWidth", "clientWidth"))
    assert whole <= seen
