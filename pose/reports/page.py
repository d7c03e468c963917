"""The frame of a report: one HTML file that stands alone, for a screen, a phone and paper.

Light and dark follow the reader's system. The page's own policy lets it run and style only what is
in the file, and load pictures from the file or from beside it.
"""

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from pose.files import replacing
from pose.records import write_json
from pose.reports.markup import Child, Markup, script_element, style_element, tag
from pose.reports.page_style import CSS


def page(title: str, about: str, *sections: Child, script: str = "") -> str:
    """The whole file; `about` is the line below the title, `sections` come from `section`."""
    policy = (
        f"default-src 'none'; img-src data: 'self' file:; style-src {_hash_of(CSS)}; "
        f"script-src {_hash_of(script) if script else chr(39) + 'none' + chr(39)}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        style_element(CSS),
    )
    header = tag("header", tag("h1", title), tag("p", about))
    body = tag("body", header, tag("main", *sections), script_element(script) if script else None)
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def section(title: str, *children: Child, about: str = "", name: str | None = None) -> Markup:
    """A part of the page under its heading; `about` says in a sentence or two how to read it."""
    return tag("section", tag("h2", title), tag("p", about) if about else None, *children, id=name)


def side_by_side(*children: Child) -> Markup:
    """What stands in a row where there is room, below each other where there is not."""
    return tag("div", *children, class_="row")


def part(title: str, *children: Child, about: str = "") -> Markup:
    """A titled piece of a section."""
    return tag(
        "div", tag("h3", title), tag("p", about) if about else None, *children, class_="part"
    )


def tiles(values: Mapping[str, str]) -> Markup:
    """The few figures that matter most: name -> value as it is read."""
    return tag(
        "dl",
        [tag("div", tag("dt", name), tag("dd", value)) for name, value in values.items()],
        class_="tiles",
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[Child]], *, caption: str = "") -> Markup:
    """The first column is of text, to the left; the others of figures, to the right."""

    def cells(name: str, row: Sequence[Child]) -> list[Markup]:
        return [
            cell if _is_cell(cell) else tag(name, cell, class_="number" if i else None)
            for i, cell in enumerate(row)
        ]

    content = tag(
        "table",
        tag("caption", caption) if caption else None,
        tag("thead", tag("tr", cells("th", headers))),
        tag("tbody", [tag("tr", cells("td", row)) for row in rows]),
    )
    return tag("div", content, class_="wide")


def heat(text: str, share: float) -> Markup:
    """A table's cell that is the darker the nearer `share` is to 1."""
    level = 0 if math.isnan(share) else max(0, min(9, int(share * 10)))
    return tag("td", text, class_=f"number heat{level}")


def number(value: float | None, digits: int = 3) -> str:
    """A figure with so many digits; n/a for nan and None."""
    return "n/a" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return "n/a" if value is None or math.isnan(value) else f"{value:.{digits}%}"


def write_report(folder: Path, name: str, html_text: str, content: Mapping[str, Any]) -> list[Path]:
    """`name`.html and the same content as `name`.json (nan as null) in `folder`; both paths."""
    paths = [folder / f"{name}.html", folder / f"{name}.json"]
    with replacing(paths[0]) as temporary:
        # A name from a file may hold half a character, which UTF-8 does not have.
        temporary.write_text(html_text, encoding="utf-8", errors="replace")
    write_json(paths[1], finite_only(content), indent=1)
    return paths


def finite_only(value: Any) -> Any:
    """The same of lists, dicts and numbers with None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): finite_only(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite_only(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def as_json(value: Any) -> str:
    """Compact JSON for `markup.data_element`."""
    return json.dumps(finite_only(value), separators=(",", ":"), allow_nan=False)


def _is_cell(child: Child) -> TypeGuard[Markup]:
    return isinstance(child, Markup) and child.text.startswith("<td")


def _hash_of(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"
