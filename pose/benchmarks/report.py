"""The rows of a benchmark as Markdown for people and as JSON for programs."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pose.benchmarks.measure import Row, Spread


def markdown(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    """A table for each piece of work, with the machine above them."""
    lines = [f"- {name}: {value}" for name, value in machine.items()]
    for work in dict.fromkeys(row.work for row in rows):
        members = [row for row in rows if row.work == work]
        lines += [
            "",
            f"**{work}**",
            "",
            f"| way | ms per {members[0].unit} | times as fast | first call, s | agreement |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.way} | {spread(row.seconds, 1000)} | {spread(row.ratio)} | {row.warm_up:.2f} "
            f"| {row.agreement} |"
            for row in members
        ]
    return "\n".join(lines) + "\n"


def spread(values: Spread, factor: float = 1.0) -> str:
    """The median with three significant digits, and the quartiles behind it."""
    median, low, high = (f"{v * factor:.3g}" for v in (values.median, values.low, values.high))
    return f"{median} ({low} to {high})"


def plain_values(rows: Sequence[Row], machine: Mapping[str, str]) -> dict[str, Any]:
    """Plain values: seconds and ratios unrounded."""
    return {"machine": dict(machine), "rows": [dataclasses.asdict(row) for row in rows]}
