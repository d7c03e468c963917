"""Sheets of pictures for whoever must find out why AP is low: what went in, what came out."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import nn

from pose.codecs import Codec
from pose.data.dataset import PoseDataset
from pose.data.forgiving import ForgivingDataset
from pose.inference.draw import contact_sheet, draw_people, draw_poses, letterbox
from pose.inference.predict import predict_keypoints
from pose.skeleton import Skeleton
from pose.structures import Person, PoseBatch, Poses

COLUMNS = 8
NUM_CROPS = 16
CELL_HEIGHT = 256


def training_sheet(dataset: PoseDataset | ForgivingDataset, codec: Codec) -> np.ndarray:
    """Augmented crops of the first epoch with their labels, each beside its targets' maximum."""
    cells = []
    for batch in samples(dataset):
        targets, _ = codec.encode(batch.keypoints[None], batch.labelled[None])
        picture, factor = enlarged(batch.images)
        keypoints = batch.keypoints.numpy() * factor
        person = Person(
            image="",
            image_id=0,
            box=bound(keypoints[batch.labelled.numpy()]),
            keypoints=keypoints,
            visibility=2 * batch.labelled.numpy().astype(np.uint8),
            area=0.0,
            score=1.0,
            annotation_id=0,
        )
        cells.append(draw_people(picture, [person], dataset.people.skeleton))
        cells.append(overlaid(picture, codec.heat(targets)[0]))
    return sheet(cells, codec)


def prediction_sheet(
    model: nn.Module, codec: Codec, dataset: PoseDataset, device: torch.device
) -> np.ndarray:
    """Validation crops with the predicted pose, each beside the network's maps."""
    model.eval()
    cells = []
    for batch in samples(dataset):
        images = batch.images[None].to(device)
        with torch.inference_mode():
            maps = model(images)
        keypoints, scores = predict_keypoints(model, codec, images)
        picture, factor = enlarged(batch.images)
        pose = one_pose(keypoints[0].cpu().numpy() * factor, scores[0], dataset.people.skeleton)
        cells.append(draw_poses(picture, pose))
        cells.append(overlaid(picture, codec.heat(maps)[0].cpu()))
    return sheet(cells, codec)


def samples(dataset: PoseDataset | ForgivingDataset) -> list[PoseBatch]:
    """Sixteen people spread evenly over the data set."""
    count = min(NUM_CROPS, len(dataset))
    places = np.linspace(0, max(len(dataset) - 1, 0), count).round().astype(int)
    return [dataset[0, int(i)] for i in places]


def enlarged(image: torch.Tensor) -> tuple[np.ndarray, float]:
    """A crop (3, H, W) as a picture of CELL_HEIGHT rows, and the factor between the two."""
    picture = image.permute(1, 2, 0).numpy()
    factor = CELL_HEIGHT / picture.shape[0]
    size = (round(picture.shape[1] * factor), CELL_HEIGHT)
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), factor


def overlaid(picture: np.ndarray, maps: torch.Tensor) -> np.ndarray:
    """The maximum over the maps (K, h, w), between 0 and 1, as light over a darkened picture."""
    size = (picture.shape[1], picture.shape[0])
    heat = cv2.resize(maps.amax(dim=0).clamp(0, 1).numpy(), size, interpolation=cv2.INTER_LINEAR)
    warm = heat[..., None] * np.array([255.0, 180.0, 60.0])
    return np.clip(picture * 0.45 * (1 - heat[..., None]) + warm, 0, 255).astype(np.uint8)


def one_pose(keypoints: np.ndarray, scores: torch.Tensor, skeleton: Skeleton) -> Poses:
    values = scores.cpu().numpy().astype(np.float32)
    box = bound(keypoints)
    return Poses(
        keypoints[None].astype(np.float32),
        values[None],
        box[None],
        skeleton,
        np.ones(1, np.float32),
    )


def bound(points: np.ndarray) -> np.ndarray:
    """The box (4,) around points (N, 2); of no points an empty one."""
    if not len(points):
        return np.zeros(4, np.float32)
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float32)


def sheet(cells: Sequence[np.ndarray], codec: Codec) -> np.ndarray:
    width, height = codec.input_size
    cell = (round(width * CELL_HEIGHT / height), CELL_HEIGHT)
    return contact_sheet([letterbox(c, cell) for c in cells], COLUMNS, cell)
