"""The parity certificate: what a file gives beside what the network in torch gives, crop by crop,
and in what it is worse than stated.
"""

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pose.export.parity import Find, Parity
from pose.files import sha256_of

BATCH_SIZES = (1, 8)
SECONDS, ROUNDS = 4.0, (5, 50)
"""Of measuring the speed of each batch size, and how many rounds that may be."""


@dataclass(frozen=True)
class Bounds:
    """What a file may differ by from the network in torch; None: not bounded."""

    maps: float | None
    """Largest difference of a value of the maps, in `Parity.unit`."""
    keypoints: float | None
    """Largest distance in pixels of the input, of points that are not counted apart."""
    loss: float | None
    """What the first figure (AP) may fall by."""
    apart: float
    """Points that move by more pixels are counted apart where noise in their map, as large as the
    difference found in it, moves them as far."""


EXACT = Bounds(maps=1e-4, keypoints=0.01, loss=None, apart=0.01)
LOSSES = {"bf16": 0.003, "fp16": 0.003, "int8": 0.01}
"""What AP may fall by unless told otherwise: about twice what sound files differed by, up or down,
on a hundred pictures; a broken one loses many times that."""


def bounds_of(precision: str, max_loss: float | None = None) -> Bounds:
    """Those of fp32, or of a coarser precision, whose points may move but not its figure."""
    if precision == "fp32":
        return EXACT
    loss = LOSSES[precision] if max_loss is None else max_loss
    return Bounds(maps=None, keypoints=None, loss=loss, apart=1.0)


def faults_of(parity: Parity, bounds: Bounds) -> list[str]:
    """In what it is worse than the bounds, each a phrase."""
    if not math.isfinite(parity.maps):
        return ["its maps are not finite; the network's values may be too large for this precision"]
    faults = []
    if bounds.maps is not None and parity.maps > bounds.maps * parity.unit:
        allowed = f"{bounds.maps * parity.unit:.2g}"
        faults.append(f"its maps differ by up to {parity.maps:.2g} (allowed {allowed})")
    farthest = float(parity.distances.max(initial=0))
    if bounds.keypoints is not None and not farthest <= bounds.keypoints:
        faults.append(f"a keypoint moves by {farthest:.3f} px (allowed {bounds.keypoints:g})")
    if bounds.loss is not None:
        assert parity.figures is not None
        before, after = parity.figures
        name = next(iter(before))
        if not before[name] - after[name] <= bounds.loss:
            faults.append(
                f"{name} falls from {before[name]:.4f} to {after[name]:.4f} "
                f"(allowed {bounds.loss:g})"
            )
    return faults


def speeds(finds: Mapping[str, Find], crops: Tensor) -> dict[str, dict[str, float]]:
    """People a second of each, in batches of `BATCH_SIZES`, by the median of interleaved rounds."""
    table = {}
    for size in BATCH_SIZES:
        images = crops[torch.arange(size) % len(crops)]
        times: dict[str, list[float]] = {name: [] for name in finds}
        for find in finds.values():
            find(images)
        begun = time.perf_counter()
        while len(rounds := next(iter(times.values()))) < ROUNDS[0] or (
            len(rounds) < ROUNDS[1] and time.perf_counter() - begun < SECONDS
        ):
            for name, find in finds.items():
                start = time.perf_counter()
                find(images)
                times[name].append(time.perf_counter() - start)
        table[f"batch {size}"] = {n: size / statistics.median(t) for n, t in times.items()}
    return table


def certificate(
    parity: Parity,
    bounds: Bounds,
    *,
    export: Mapping[str, Any],
    weights: Path,
    files: Sequence[Path],
    crops: Mapping[str, Any],
    calibration: Mapping[str, Any] | None,
    speed: Mapping[str, Any],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Everything as plain values; files by name and SHA-256, figures without members None."""
    distances = parity.distances
    return {
        "export": dict(export),
        "weights": hashed(weights),
        "files": [hashed(file) for file in files],
        "bounds": asdict(bounds),
        "crops": {**crops, "people": parity.people},
        "calibration": calibration,
        "maps": {"largest_difference": parity.maps, "unit": parity.unit},
        "keypoints": {
            "mean_px": float(distances.mean()) if len(distances) else None,
            "percentile_99_px": float(np.quantile(distances, 0.99)) if len(distances) else None,
            "max_px": float(distances.max(initial=0)),
            "points": len(distances),
            "apart": len(parity.apart),
            "apart_max_px": float(parity.apart.max(initial=0)),
            "largest_score_difference": parity.scores,
        },
        "figures": None if parity.figures is None else _figures(*parity.figures),
        "speed": dict(speed),
        "versions": dict(versions),
    }


def hashed(path: Path) -> dict[str, Any]:
    return {"file": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size}


def _figures(before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
    def plain(value: float) -> float | None:
        return None if math.isnan(value) else value

    return {name: {"before": plain(before[name]), "after": plain(after[name])} for name in before}
