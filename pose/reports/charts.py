"""Charts as inline SVG: lines, bars and the shares of a whole. Drawn 360 units wide, so that their
text stays readable on a phone; colours are classes of the page's style, one for light and dark."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pose.reports.markup import Markup, join, tag

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 50, 10, 8, 38
ROW, BAR = 22, 14
SERIES = 8
"""So many colours there are; more series begin again."""


@dataclass(frozen=True)
class Series:
    """A line through points; y may be nan, where it is interrupted."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def line_chart(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    title: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] = (0.0, 1.0),
    dots: bool = False,
) -> Markup:
    """Lines over two axes with their ticks and labels, and the legend below if there are several.

    `title` is read to those who do not see it. x_range is that of the data unless given.
    """
    xs = [x for line in series for x in line.x]
    low, high = x_range or (min(xs, default=0.0), max(xs, default=1.0))
    x_ticks, y_ticks = ticks(low, high), ticks(*y_range)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - low) / ((high - low) or 1.0)
        up = (y - y_range[0]) / ((y_range[1] - y_range[0]) or 1.0)
        return (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - min(max(up, 0.0), 1.0) * (HEIGHT - BOTTOM - TOP),
        )

    parts = [*_frame(x_ticks, y_ticks, place), *_axis_labels(x_label, y_label)]
    for number, line in enumerate(series):
        color = f"c{number % SERIES}"
        points = [place(x, y) for x, y in zip(line.x, line.y, strict=True) if not math.isnan(y)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(tag("polyline", points=path, class_=f"line {color}"))
        if dots:
            parts += [tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3, class_=f"dot {color}")
                      for x, y in points]  # fmt: skip
    legend = _legend([line.name for line in series]) if len(series) > 1 else None
    return _figure(parts, HEIGHT, title, legend)


def bar_chart(
    bars: Sequence[tuple[str, float]],
    *,
    title: str,
    digits: int = 3,
    color: int = 0,
    largest: float | None = None,
    sign: bool = False,
) -> Markup:
    """Horizontal bars with their names and values; nan is a bar of no length that says n/a."""
    values = [v for _, v in bars if not math.isnan(v)]
    full = largest or max(map(abs, values), default=0.0) or 1.0
    label_width = _label_width([name for name, _ in bars])
    room = WIDTH - label_width - 52
    parts = []
    for row, (name, value) in enumerate(bars):
        y = row * ROW + TOP
        length = 0.0 if math.isnan(value) else min(abs(value) / full, 1.0) * room
        text = "n/a" if math.isnan(value) else f"{value:{'+' if sign else ''}.{digits}f}"
        shade = "below" if value < 0 else f"c{color}"
        parts += [
            _label(name, label_width, y),
            tag("rect", x=label_width, y=y, width=f"{max(length, 0.5):.1f}", height=BAR,
                class_=f"bar {shade}"),
            tag("text", text, x=f"{label_width + length + 5:.1f}", y=y + 11),
        ]  # fmt: skip
    return _figure(parts, len(bars) * ROW + TOP + 4, title)


def share_chart(
    rows: Sequence[tuple[str, Mapping[str, float]]], *, title: str, classes: Mapping[str, str]
) -> Markup:
    """Each row's parts as shares of one whole: name -> {part: share}; `classes` gives each part
    its colour, in the order they stand."""
    label_width = _label_width([name for name, _ in rows])
    room = WIDTH - label_width - RIGHT
    parts = []
    for row, (name, shares) in enumerate(rows):
        y, x = row * ROW + TOP, float(label_width)
        parts.append(_label(name, label_width, y))
        for part, color in classes.items():
            width = shares.get(part, 0.0) * room
            if width > 0:
                hint = tag("title", f"{name}: {part} {shares[part]:.1%}")
                parts.append(tag("rect", hint, x=f"{x:.1f}", y=y, width=f"{width:.1f}",
                                 height=BAR, class_=f"bar {color}"))  # fmt: skip
            x += width
    legend = _legend(list(classes), list(classes.values()))
    return _figure(parts, len(rows) * ROW + TOP + 4, title, legend)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, at most so many."""
    if not high > low:
        return [low]
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _frame(
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    place: Callable[[float, float], tuple[float, float]],
) -> list[Markup]:
    parts = []
    for y in y_ticks:
        _, at = place(0.0, y)
        parts += [
            tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{at:.1f}", y2=f"{at:.1f}", class_="grid"),
            tag("text", f"{y:g}", x=LEFT - 5, y=f"{at + 3.5:.1f}", class_="end"),
        ]
    for x in x_ticks:
        at, _ = place(x, 0.0)
        parts.append(tag("text", f"{x:g}", x=f"{at:.1f}", y=HEIGHT - BOTTOM + 14, class_="middle"))
    return parts


def _axis_labels(x_label: str, y_label: str) -> list[Markup]:
    middle = (HEIGHT - BOTTOM + TOP) / 2
    return [
        tag("text", x_label, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 6, class_="middle axis"),
        tag("text", y_label, x=11, y=middle, class_="middle axis",
            transform=f"rotate(-90 11 {middle:g})"),
    ]  # fmt: skip


def _label_width(names: Sequence[str]) -> int:
    """Units that the longest name takes, up to nearly half the chart."""
    return min(12 + round(6.6 * max(map(len, names), default=0)), 170)


def _label(name: str, width: int, y: float) -> Markup:
    shown = name if len(name) <= 26 else f"{name[:25]}\u2026"
    return tag("text", shown, x=width - 6, y=y + 11, class_="end")


def _legend(names: Sequence[str], colors: Sequence[str] = ()) -> Markup:
    colors = colors or [f"c{i % SERIES}" for i in range(len(names))]
    return tag(
        "div",
        [tag("span", tag("i", class_=f"swatch {color}"), name)
         for name, color in zip(names, colors, strict=True)],
        class_="legend",
    )  # fmt: skip


def _figure(
    parts: Sequence[Markup], height: float, title: str, legend: Markup | None = None
) -> Markup:
    drawing = tag("svg", tag("title", title), join(*parts), viewBox=f"0 0 {WIDTH} {height:g}",
                  role="img")  # fmt: skip
    return tag("figure", drawing, legend)
