"""HTML built from calls, so that no text of the data can become markup.

`tag("td", name, class_="number")` escapes every string it is given; only what `tag` made, a
`Markup`, passes as it is. Attributes that run code or style a single element are refused, and so
are links that lead out of the file's own surroundings.
"""

import base64
import html
import re
from collections.abc import Iterable
from dataclasses import dataclass

EMPTY_TAGS = frozenset({"meta", "input", "img", "br", "col"})
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*")
_ADDRESSES = frozenset({"src", "href"})
_SAFE_ADDRESS = re.compile(r"#[\w-]*|data:image/(webp|jpeg|png);base64,[A-Za-z0-9+/=]*")


@dataclass(frozen=True)
class Markup:
    """HTML that `tag` and its kin made."""

    text: str

    def __str__(self) -> str:
        return self.text


Child = str | float | Markup | None | Iterable["Child"]
"""What an element may hold: text and numbers, which are escaped, elements, or several of them."""


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """The element `name`; `class_` stands for class, underscores for dashes, True for an attribute
    without value, None and False for none."""
    opened = f"<{_checked(name)}{''.join(_attribute(*item) for item in attributes.items())}>"
    if name in EMPTY_TAGS:
        return Markup(opened)
    return Markup(f"{opened}{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Several children as they follow each other."""
    return Markup("".join(_text(child) for child in children))


def style_element(css: str) -> Markup:
    """A style sheet of ours, as it stands."""
    assert "<" not in css
    return Markup(f"<style>{css}</style>")


def script_element(code: str) -> Markup:
    """A script of ours, as it stands."""
    assert "</" not in code and "<!--" not in code
    return Markup(f"<script>{code}</script>")


def data_element(name: str, json_text: str) -> Markup:
    """JSON that the page's script reads by the id `name`; nothing in it can end the element."""
    safe = json_text.replace("<", "\\u003c")
    return Markup(f'<script type="application/json" id="{_checked(name)}">{safe}</script>')


def picture_address(encoded: bytes, kind: str = "webp") -> str:
    """An encoded picture as the address of itself."""
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode('ascii')}"


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child.text
    if isinstance(child, str):
        return html.escape(child)
    if isinstance(child, int | float):
        return html.escape(str(child))
    return "".join(_text(part) for part in child)


def _attribute(name: str, value: str | float | bool | None) -> str:
    name = _checked(name.rstrip("_").replace("_", "-"))
    if name.lower().startswith("on") or name == "style":
        raise ValueError(f"attribute {name}: neither code nor style stands in an element")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = str(value)
    if name in _ADDRESSES and not (_SAFE_ADDRESS.fullmatch(text) or text.startswith(("./", "../"))):
        raise ValueError(f"attribute {name}: {text[:40]!r} leads out of the page")
    return f' {name}="{html.escape(text)}"'


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an element or attribute")
    return name
