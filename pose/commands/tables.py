"""Plain aligned tables for the terminal. A figure that does not exist is printed n/a."""

import math
from collections.abc import Mapping, Sequence

from pose.commands.common import printable

Cell = str | int | float | None


def format_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]], decimals: int = 4) -> str:
    """Lines of columns two spaces apart: text to the left, numbers to the right.

    Floats have `decimals` places; nan and None are n/a.
    """
    texts = [[_text(cell, decimals) for cell in row] for row in rows]
    columns = []
    for i, header in enumerate(map(printable, headers)):
        cells = [row[i] for row in texts]
        width = max(len(text) for text in [header, *cells])
        is_text = any(isinstance(row[i], str) for row in rows)
        align = str.ljust if is_text or not rows else str.rjust
        columns.append([align(text, width) for text in [header, "-" * width, *cells]])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def ap_table(figures: Mapping[str, Mapping[str, float]], decimals: int = 4) -> str:
    """One row a name with its figures, which are fractions: {"result": {"AP": 0.5287, ...}}."""
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    rows = [[label, *(row.get(name) for name in names)] for label, row in figures.items()]
    return format_table(["", *names], rows, decimals)


def figures_table(figures: Mapping[str, Mapping[str, float]], decimals: int = 4) -> str:
    """COCO's figures as `ap_table`; others, which have longer names, one row a figure."""
    names = list(dict.fromkeys(name for column in figures.values() for name in column))
    if "AP" in names:
        return ap_table(figures, decimals)
    rows = [[name, *(column.get(name) for column in figures.values())] for name in names]
    return format_table(["", *figures], rows, decimals)


def bounds_of(
    intervals: Mapping[str, Sequence[float | None]] | None,
) -> dict[str, dict[str, float]]:
    """Intervals as two rows for `figures_table`; none where there are no intervals."""
    rows = {}
    for side, name in enumerate(("95 % from", "to")) if intervals else ():
        values = {figure: bounds[side] for figure, bounds in (intervals or {}).items()}
        rows[name] = {k: math.nan if v is None else v for k, v in values.items()}
    return rows


def _text(cell: Cell, decimals: int) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "n/a"
    return f"{cell:.{decimals}f}" if isinstance(cell, float) else printable(str(cell))
