"""Two looks at the same crops, before and after an export, and how far apart they are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pose.codecs import Codec
from pose.codecs.integral import IntegralCodec
from pose.codecs.simcc import SimccCodec
from pose.geometry import to_image
from pose.inference.network_file import MAPS, NetworkFile
from pose.inference.predict import decode_looks, looks_at
from pose.structures import PoseBatch

Find = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Crops (B, 3, H, W) uint8 -> keypoints (B, K, 2) in input pixels and scores (B, K)."""

Look = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""The same with the network's maps before them: (B, C, ...), or with the flip test (2B, C, ...),
those of the mirrored crops last."""

TRIALS = 32
"""How often noise is laid over a map to see whether its point hangs on it."""


class Evaluator(Protocol):
    """What collects predictions and makes figures of them."""

    def update(self, index: np.ndarray, keypoints: np.ndarray, scores: np.ndarray) -> None: ...

    def compute(self) -> dict[str, float]: ...


@dataclass(frozen=True, eq=False)
class Parity:
    """How far apart two looks at the same crops are."""

    people: int
    maps: float
    """Largest difference of a value of the maps."""
    unit: float
    """What that is measured against: 1 for heatmaps, for logits the largest of them, at least 1."""
    scores: float
    distances: np.ndarray
    """(M,) pixels of the input, of the points that are not counted apart."""
    apart: np.ndarray
    """Those of the others."""
    figures: tuple[dict[str, float], dict[str, float]] | None
    """Before and after; None where nobody labelled the people."""


def network_look(
    network: Callable[[Tensor], Tensor], codec: Codec, flip_index: Tensor | None
) -> Look:
    """A network of maps, the rest being done here."""

    def look(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.inference_mode():
            maps = network(images if flip_index is None else looks_at(images))
            return maps, *decode_looks(maps, codec, flip_index)

    return look


def graph_look(probe: NetworkFile, find: Find) -> Look:
    """A file that decodes, its maps from the file which gives them too."""
    return lambda images: (torch.from_numpy(probe.run(images.numpy())[MAPS]), *find(images))


def compare(
    before: Look,
    after: Look,
    batches: Iterable[PoseBatch],
    codec: Codec,
    flip_index: Tensor | None,
    apart: float,
    evaluators: tuple[Evaluator, Evaluator] | None = None,
) -> Parity:
    """Both looks at all crops; of the evaluators each files what one of them finds.

    Figures are not to be trusted where `Parity.maps` is not finite.
    """
    people, differences, values, scores = 0, [], [], []
    distances, hanging = [], []
    for batch in batches:
        maps, *points = before(batch.images)
        other_maps, *other_points = after(batch.images)
        difference = (other_maps - maps).abs().flatten(2).amax(dim=-1)
        moved = (other_points[0] - points[0]).norm(dim=-1)
        far = moved > apart
        rows = far.any(dim=1).nonzero()[:, 0]
        far[rows] &= hangs(maps, difference, points[0], rows, codec, flip_index, apart)
        distances.append(moved[~far].numpy())
        hanging.append(moved[far].numpy())
        differences.append(float(difference.max()))
        values.append(float(maps.abs().max()))
        scores.append(float((other_points[1] - points[1]).abs().max()))
        people += len(batch.images)
        if not np.isfinite(differences[-1]):
            continue
        for evaluator, found in zip(evaluators or (), (points, other_points), strict=False):
            in_image = to_image(found[0].numpy(), batch.matrices.numpy())
            evaluator.update(batch.index.numpy(), in_image, found[1].numpy())
    figures = None if evaluators is None else (evaluators[0].compute(), evaluators[1].compute())
    return Parity(
        people,
        float(np.max(differences)),  # Python's max may lose a nan
        max(1.0, *values) if isinstance(codec, IntegralCodec | SimccCodec) else 1.0,
        float(np.max(scores)),
        np.concatenate(distances),
        np.concatenate(hanging),
        figures,
    )


def hangs(
    maps: Tensor,
    difference: Tensor,
    points: Tensor,
    rows: Tensor,
    codec: Codec,
    flip_index: Tensor | None,
    apart: float,
) -> Tensor:
    """Which points (R, K) of the crops `rows` (R,) noise moves by more than `apart` pixels.

    The noise is plus or minus `difference` (B or 2B, K) in every cell of `maps`, drawn `TRIALS`
    times: a peak that another cell equals, a quarter step between neighbours that are equal.
    """
    found = torch.zeros(len(rows), points.shape[1], dtype=torch.bool)
    if not len(rows):
        return found
    looks = rows if flip_index is None else torch.cat([rows, rows + len(points)])
    seen = maps[looks]
    size = difference[looks].reshape(len(looks), -1, *[1] * (maps.ndim - 2))
    generator = torch.Generator().manual_seed(0)
    for _ in range(TRIALS):
        signs = torch.randint(0, 2, seen.shape, generator=generator) * 2 - 1
        moved, _ = decode_looks(seen + signs * size, codec, flip_index)
        found |= (moved - points[rows]).norm(dim=-1) > apart
    return found
