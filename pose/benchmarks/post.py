"""Decoding: heatmaps -> keypoints in image pixels, with and without the flip test's average."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch

from pose.benchmarks.measure import PUBLISHED, Row, side_by_side
from pose.benchmarks.settings import Settings
from pose.codecs import Codec, build_codec
from pose.codecs.dark import DarkCodec
from pose.codecs.udp import UdpCodec
from pose.geometry import Crop, Size, grid_span, to_image
from pose.inference.predict import decode_looks
from pose.references import decoding
from pose.skeleton import COCO_17, Skeleton
from pose.structures import KEYPOINT_SCORE_THRESHOLD

PEOPLE, BATCH = 1000, 50
SIZE: Size = (192, 256)
SIGMA, STRIDE = 2.0, 4


DECODERS = {
    "gaussian": decoding.decode_gaussian,
    "dark": decoding.decode_dark,
    "udp": decoding.decode_udp,
}

Batch = tuple[torch.Tensor, np.ndarray]
"""Maps, with the flip test those of the mirrored crops behind them; matrices."""

Decoder = Callable[[np.ndarray, np.ndarray | None, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Maps, those of the mirrored crops if there are, matrices -> image keypoints and scores."""

Way = Callable[[list[Batch]], np.ndarray]


def measure(settings: Settings) -> list[Row]:
    """Every codec that the published code has too, then the gaussian one with the flip test."""
    rows = []
    for name, flip in (("gaussian", False), ("gaussian", True), ("dark", False), ("udp", False)):
        codec = build_codec(name, SIZE, SIGMA, STRIDE)
        batches = list(made_batches(codec, settings.device, flip=flip))
        average = ", with the flip test's average" if flip else ""
        work = f"decoding and back-projection of {PEOPLE} people, {name}{average}"
        published = published_way(codec, name, flip=flip)
        ours = our_way(codec, settings.device, flip=flip)
        rows += compared(work, batches, published, ours)
    return rows


def made_batches(codec: Codec, device: torch.device, *, flip: bool) -> Iterator[Batch]:
    """Maps such as a network gives: targets at random places, with noise, and random crops."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    swap = torch.from_numpy(COCO_17.flip_index)
    for _ in range(PEOPLE // BATCH):
        points = rng.uniform(16, np.array(SIZE) - 17, (BATCH, 17, 2)).astype(np.float32)
        maps, _ = codec.encode(torch.from_numpy(points), torch.ones(BATCH, 17))
        maps = maps * torch.rand(BATCH, 17, 1, 1) + 0.02 * torch.rand_like(maps)
        if flip:
            maps = torch.cat([maps, maps.flip(-1)[:, swap] + 0.02 * torch.rand_like(maps)])
        corners = rng.uniform(0, 300, (BATCH, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(40, 300, (BATCH, 2))], axis=1)
        crops = [Crop.of_box(box, SIZE, grid=codec.pixel_grid) for box in boxes]
        yield maps.to(device), np.stack([c.matrix for c in crops])


def compared(work: str, batches: list[Batch], published: Way, ours: Way) -> list[Row]:
    """The published decoding of all the batches and ours."""
    ways = {PUBLISHED: partial(published, batches), "batched": partial(ours, batches)}
    distances = np.abs(ways[PUBLISHED]() - ways["batched"]()).max(axis=-1)
    confident = np.concatenate([maps[:BATCH].amax(dim=(-2, -1)).cpu() for maps, _ in batches])
    distance = distances[confident > KEYPOINT_SCORE_THRESHOLD].max()
    agreements = {"batched": f"confident points within {distance:.2g} px"}
    return side_by_side(work, "person", ways, count=PEOPLE, agreements=agreements)


def published_decoder(codec: Codec, name: str, skeleton: Skeleton) -> Decoder:
    """The published code's steps for a codec called `name`."""
    udp = codec.pixel_grid == "udp"
    cells = np.array(codec.input_size) // STRIDE - (1 if udp else 0)
    pitch = grid_span(codec.input_size, codec.pixel_grid) / cells
    pairs = decoding.pairs_of(skeleton.flip_index)
    blur = [codec.blur_kernel] if isinstance(codec, DarkCodec | UdpCodec) else []

    def decode(
        heat: np.ndarray, mirrored: np.ndarray | None, matrices: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if mirrored is not None:
            heat = decoding.mean_with_mirrored(heat, mirrored, pairs, 0 if udp else 1)
        points, scores = DECODERS[name](heat, *blur)
        return decoding.to_image(points, matrices, pitch), scores

    return decode


def published_way(codec: Codec, name: str, *, flip: bool) -> Way:
    """Keypoints (N, K, 2) in image pixels by the published code's steps."""
    decode = published_decoder(codec, name, COCO_17)

    def way(batches: list[Batch]) -> np.ndarray:
        found = []
        for maps, matrices in batches:
            heat = maps.cpu().numpy()
            seen, mirrored = np.split(heat, 2) if flip else (heat, None)
            found.append(decode(seen, mirrored, matrices)[0])
        return np.concatenate(found)

    return way


def our_way(codec: Codec, device: torch.device, *, flip: bool) -> Way:
    """The same by what prediction and evaluation run."""
    swap = torch.from_numpy(COCO_17.flip_index).to(device) if flip else None

    @torch.inference_mode()
    def way(batches: list[Batch]) -> np.ndarray:
        found = []
        for maps, matrices in batches:
            points, _ = decode_looks(maps, codec, swap)
            found.append(to_image(points.cpu().numpy(), matrices))
        return np.concatenate(found)

    return way
