"""The spread of an evaluation's figures over images: kept beside the receipt, told as intervals.

`matches.npz` holds what became of each prediction (`pose.metrics.bootstrap.Outcomes`), so that two
evaluations are compared on the same drawn images without their results or annotations.
"""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from pose.files import replacing
from pose.metrics.bootstrap import (
    Outcomes,
    drawn_images,
    interval,
    outcomes_of,
    sampled_figures,
)
from pose.metrics.coco_files import GroundTruth, Results
from pose.metrics.coco_score import FIGURES
from pose.metrics.matches import (
    THRESHOLDS,
    found_of,
    labelled_of,
    match_by_area,
    pairs_of,
)

MATCHES = "matches.npz"

MOST_BYTES = 2**30
"""Of the columns in memory; those of a million predictions take a twentieth."""

Interval = tuple[float, float]
Intervals = dict[str, Interval]
"""Figure -> its bounds, nan where it has no members."""


def outcomes_from(results: Results, truth: GroundTruth) -> Outcomes:
    """What became of each checked result."""
    labelled, found = labelled_of(truth), found_of(results, truth)
    pairs = pairs_of(found, labelled, truth.sigmas)
    return outcomes_of(match_by_area(found, labelled, pairs), sorted(truth.image_ids))


def intervals_of(outcomes: Outcomes) -> Intervals:
    """The 95 % interval of each figure over images drawn anew."""
    return interval_of_mean([outcomes])


def interval_of_difference(first: Outcomes, second: Outcomes) -> Intervals:
    """That of each figure of the second less that of the first, on the same drawn images."""
    return _combined([first, second], lambda values: values[1] - values[0], (-1.0, 1.0))


def interval_of_mean(outcomes: Sequence[Outcomes]) -> Intervals:
    """That of the mean of several networks' figures, on the same drawn images."""
    return _combined(outcomes, lambda values: np.mean(values, axis=0), (0.0, 1.0))


def write_outcomes(path: Path, outcomes: Outcomes) -> None:
    """Write `matches.npz`."""
    with replacing(path) as temporary:
        columns = {f.name: getattr(outcomes, f.name) for f in fields(Outcomes)}
        np.savez_compressed(temporary, allow_pickle=False, **columns)


def read_outcomes(path: Path) -> Outcomes:
    """The content of `matches.npz`; ValueError for a file that is damaged or something else."""
    names = [field.name for field in fields(Outcomes)]
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                raise ValueError(f"unpacked it takes more than {MOST_BYTES:,} bytes")
        with np.load(path, allow_pickle=False) as file:
            outcomes = Outcomes(**{name: file[name] for name in names})
    except Exception as error:  # a parser fed with foreign bytes may end in any of a dozen
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise ValueError(f"{path}: cannot be read ({reason}); evaluate again") from None
    images, predictions = len(outcomes.image_ids), len(outcomes.scores)
    shapes = {
        "image_ids": (images,),
        "people": (3, images),
        "images": (predictions,),
        "scores": (predictions,),
        "right": (3, len(THRESHOLDS), predictions),
        "wrong": (3, len(THRESHOLDS), predictions),
    }
    for name, shape in shapes.items():
        column = getattr(outcomes, name)
        kind = {"scores": "f", "right": "b", "wrong": "b"}.get(name, "i")
        if column.shape != shape or column.dtype.kind != kind:
            raise ValueError(
                f"{path}: {name} is {column.dtype} {column.shape}, expected {shape}; evaluate again"
            )
    if predictions and not 0 <= outcomes.images.min() <= outcomes.images.max() < images:
        raise ValueError(f"{path}: names images that it does not list; evaluate again")
    return outcomes


def outcomes_beside(receipt: Path, figures: Mapping[str, Any]) -> Outcomes | None:
    """Those that lie beside a receipt of these figures, None where there are none; ValueError where
    they are of another one."""
    path = (receipt if receipt.is_dir() else receipt.parent) / MATCHES
    if not path.is_file():
        return None
    outcomes = read_outcomes(path)
    own = sampled_figures(outcomes)[:, 0]
    told = [figures.get(name) for name in FIGURES]
    expected = [np.nan if value is None else value for value in told]
    if not np.allclose(own, expected, rtol=0, atol=1e-9, equal_nan=True):
        raise ValueError(f"{path}: is of another evaluation than {receipt}; evaluate again")
    return outcomes


def _combined(
    outcomes: Sequence[Outcomes],
    combine: Callable[[list[np.ndarray]], np.ndarray],
    limits: Interval,
) -> Intervals:
    first = outcomes[0].image_ids
    assert all(np.array_equal(first, other.image_ids) for other in outcomes)
    counts = drawn_images(len(first))
    values = combine([sampled_figures(other)[:, 0] for other in outcomes])
    samples = combine([sampled_figures(other, counts) for other in outcomes])
    low, high = (bound.clip(*limits).tolist() for bound in interval(values, samples))
    return dict(zip(FIGURES, zip(low, high, strict=True), strict=True))
