"""Evaluation: every person's keypoints in image pixels, the same from one process or several."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from pose.codecs import Codec
from pose.engine.distributed import Ranks
from pose.engine.failures import batches_of
from pose.geometry import Crop, box_iou, to_image
from pose.inference.predict import people_at_once, predict_keypoints
from pose.structures import People, PoseBatch

BatchDecoder = Callable[[PoseBatch], tuple[torch.Tensor, torch.Tensor]]
"""A batch -> keypoints (B, K, 2) in input pixels, scores (B, K)."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What was found for N people, in their order."""

    keypoints: np.ndarray
    """(N, K, 2) float32, image pixels."""
    scores: np.ndarray
    """(N, K) float32."""


def network_decoder(
    model: nn.Module, codec: Codec, device: torch.device, flip_index: np.ndarray | None
) -> BatchDecoder:
    """Keypoints from a network, with the flip test where `flip_index` (K,) is given."""
    swap = None if flip_index is None else torch.from_numpy(flip_index).to(device)
    model.to(device).eval()

    def decode(batch: PoseBatch) -> tuple[torch.Tensor, torch.Tensor]:
        images = batch.images.to(device, memory_format=torch.channels_last)
        parts = images.split(people_at_once(len(images), device))
        keypoints, scores = zip(
            *(predict_keypoints(model, codec, part, swap) for part in parts), strict=True
        )
        return torch.cat(keypoints), torch.cat(scores)

    return decode


def predict_people(
    decode: BatchDecoder, loader: DataLoader, people: People, ranks: Ranks
) -> Predictions:
    """Run the loader's part of `people` through `decode`; every process gets all rows."""
    rows = torch.zeros(len(people), people.skeleton.num_keypoints, 3)
    quiet = None if ranks.is_main else True
    for batch in tqdm(
        batches_of(loader), "evaluate", len(loader), unit="batch", disable=quiet, leave=False
    ):
        keypoints, scores = decode(batch)
        found = torch.cat([keypoints, scores[..., None]], dim=-1).cpu()  # one transfer
        points = to_image(found[..., :2].numpy(), batch.matrices.numpy())
        found[..., :2] = torch.from_numpy(points)
        rows[batch.index] += found.float()  # 0 + -0 is 0, as in a sum over several processes
    merged = ranks.sum(rows).numpy()
    return Predictions(merged[..., :2], merged[..., 2])


def perfect_predictions(codec: Codec, people: People, labelled: People) -> Predictions:
    """What a network with perfect heatmaps finds in the boxes of `people`: the ceiling.

    Each box looks for the labelled person whose box overlaps it most (IoU); what the crop, the
    codec, missed and doubled boxes cost is all that is lost. A box over nobody finds nothing.
    """
    keypoints = np.zeros((len(people), people.skeleton.num_keypoints, 2), np.float32)
    scores = np.zeros(keypoints.shape[:2], np.float32)
    for index in range(len(people)):
        crop = Crop.of_box(people.boxes[index], codec.input_size, grid=codec.pixel_grid)
        same_image = np.flatnonzero(labelled.image_ids == people.image_ids[index])
        [overlaps] = box_iou(people.boxes[index], labelled.boxes[same_image])
        if not len(overlaps) or overlaps.max() <= 0:
            continue
        truth = labelled[int(same_image[overlaps.argmax()])]
        points = torch.from_numpy(crop.to_input(truth.keypoints).astype(np.float32))
        targets, _ = codec.encode(points[None], torch.from_numpy(truth.visibility > 0)[None])
        decoded, found = codec.decode(targets)
        keypoints[index] = crop.to_image(decoded[0].numpy())
        scores[index] = found[0].numpy()
    return Predictions(keypoints, scores)
