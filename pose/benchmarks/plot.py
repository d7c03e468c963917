"""The plot of what a unit of work costs as work grows."""

from collections.abc import Sequence
from pathlib import Path

from pose.benchmarks.measure import Row

COLUMNS = 2


def draw_sizes(rows: Sequence[Row], path: Path) -> None:
    """A picture with a field for each piece of work whose rows have sizes.

    Medians of the milliseconds a unit, with the quartiles as bars, from zero up: a level line is a
    cost in proportion.
    """
    from matplotlib.figure import Figure

    works = list(dict.fromkeys(row.work for row in rows))
    height = -(-len(works) // COLUMNS)
    figure = Figure(figsize=(6 * COLUMNS, 3.2 * height), layout="constrained")
    fields = figure.subplots(height, COLUMNS, squeeze=False).flat
    for work, field in zip(works, fields, strict=False):
        members = [row for row in rows if row.work == work]
        places = range(len(members))
        medians = [1000 * row.seconds.median for row in members]
        field.errorbar(
            places,
            medians,
            [
                [1000 * (row.seconds.median - row.seconds.low) for row in members],
                [1000 * (row.seconds.high - row.seconds.median) for row in members],
            ],
            marker="o",
            capsize=3,
        )
        field.set_ylim(0, 1.25 * max(1000 * row.seconds.high for row in members))
        field.set_xticks(places, [f"{row.size:,}" for row in members])
        field.set_title(work, fontsize=10)
        field.set_xlabel(members[0].way.partition(" ")[2])
        field.set_ylabel(f"ms per {members[0].unit}")
        field.grid(alpha=0.3)
    for field in list(fields):
        field.remove()
    figure.savefig(path, dpi=100)
