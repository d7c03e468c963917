"""What a run leaves to look at: metrics.jsonl, curves as PNG, TensorBoard where it is installed.

The history, a list of one dict an epoch, is kept in the checkpoint; everything here is drawn anew
from it, so an interrupted run has no doubled or missing line.
"""

import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pose.files import replacing

METRICS = "metrics.jsonl"
CURVES = "curves.png"

History = list[dict[str, Any]]


def write_history(folder: Path, history: History) -> None:
    """metrics.jsonl (one object an epoch) and curves.png of the whole run so far."""
    lines = "".join(json.dumps(_finite(entry), allow_nan=False) + "\n" for entry in history)
    with replacing(folder / METRICS) as temporary:
        temporary.write_text(lines, encoding="utf-8")
    draw_curves(history, folder / CURVES)


def draw_curves(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Loss (left axis, logarithmic) and the evaluation's first figure (right axis) by epoch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    epochs = [entry["epoch"] for entry in history]
    left.plot(epochs, [entry["loss"] for entry in history], color="tab:blue", marker=".")
    left.set_yscale("log")
    left.set_xlabel("epoch")
    left.set_ylabel("training loss", color="tab:blue")
    left.grid(alpha=0.3)
    measured = [entry for entry in history if entry.get("metrics")]
    if measured:
        name = next(iter(measured[0]["metrics"]))
        right = left.twinx()
        values = [entry["metrics"][name] for entry in measured]
        right.plot(
            [entry["epoch"] for entry in measured], values, color="tab:orange", marker="o", ms=4
        )
        right.set_ylabel(f"{name} on the validation people", color="tab:orange")
        right.set_ylim(0, 1)
    with replacing(path, durable=False) as temporary:
        figure.savefig(temporary)


def tensorboard_writer(folder: Path, epoch: int) -> Any | None:
    """A SummaryWriter for the run from `epoch` on, or None where TensorBoard is not installed; what
    an interrupted run wrote of that epoch and later ones is hidden."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=epoch)


def write_scalars(writer: Any | None, entry: Mapping[str, Any]) -> None:
    """One history entry to TensorBoard."""
    if writer is None:
        return
    values = {key: entry[key] for key in ("loss", "lr")} | (entry.get("metrics") or {})
    for name, value in values.items():
        if not math.isnan(value):
            writer.add_scalar(name, value, entry["epoch"])
    writer.flush()


def _finite(value: Any) -> Any:
    """The same, with None for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
