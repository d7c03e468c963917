"""The published loader: a person's sample from the photograph's file to the network's input.

What the released code of Sun et al. (CVPR 2019) does for each person, written from the paper and
the conventions that its weights depend on: the whole photograph is read and brought to RGB, a
mirrored person's photograph is mirrored as a whole, the crop is warped out of it, made a float32
tensor and normalised, and the keypoints' maps are drawn one by one in numpy.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from pose.geometry import PixelGrid, Size

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STRIDE, SIGMA = 4, 2.0


@dataclass(frozen=True, eq=False)
class Placed:
    """A person in a photograph's file, and how the crop lies: at random, or upright."""

    path: str
    center: np.ndarray
    """(2,) image pixels."""
    width: float
    """Of the padded extent, image pixels."""
    keypoints: np.ndarray
    """(K, 2) image pixels."""
    visible: np.ndarray
    """(K,) 0 or 1; of a detected person, whose keypoints are all 0, the released code says 1."""
    rotation: float = 0.0
    """Degrees, counter-clockwise on the screen."""
    mirrored: bool = False
    grid: PixelGrid = "published"
    """Whose crop: that of the released code, or that of udp's."""


def sample(
    person: Placed, size: Size, pairs: Sequence[tuple[int, int]]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
    """Input (3, H, W) float32 normalised, maps (K, h, w) float32, weights (K, 1) float32, and what
    else travels with each sample."""
    person = copy.deepcopy(person)
    photograph = cv2.imread(person.path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if photograph is None:
        raise ValueError(f"{person.path}: cannot be read")
    photograph = cv2.cvtColor(photograph, cv2.COLOR_BGR2RGB)
    center, keypoints, visible = person.center, person.keypoints, person.visible
    if person.mirrored:
        width = photograph.shape[1]
        photograph = photograph[:, ::-1, :]
        keypoints, visible = mirrored_keypoints(keypoints, visible, width, pairs)
        center[0] = width - center[0] - 1
    matrix = MATRICES[person.grid](center, person.width, person.rotation, size)
    pixels = cv2.warpAffine(photograph, matrix, size, flags=cv2.INTER_LINEAR)
    picture = normalisation()(pixels)
    for place in range(len(keypoints)):
        if visible[place] > 0:
            x, y = keypoints[place]
            keypoints[place] = matrix @ np.array([x, y, 1.0])
    maps, weights = drawn_maps(keypoints, visible, size)
    about = {
        "image": person.path,
        "joints": keypoints,
        "joints_vis": visible,
        "center": center,
        "scale": person.width / 200,
        "rotation": person.rotation,
    }
    return picture, torch.from_numpy(maps), torch.from_numpy(weights), about


def mirrored_keypoints(
    keypoints: np.ndarray, visible: np.ndarray, width: int, pairs: Sequence[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Those of the mirrored photograph: x turned around, left and right exchanged."""
    keypoints[:, 0] = width - keypoints[:, 0] - 1
    for left, right in pairs:
        keypoints[left], keypoints[right] = keypoints[right].copy(), keypoints[left].copy()
        visible[left], visible[right] = visible[right].copy(), visible[left].copy()
    return keypoints * visible[:, None], visible


def crop_matrix(center: np.ndarray, width: float, rotation: float, size: Size) -> np.ndarray:
    """(2, 3) image -> input, through three points: the centre, half a width above it, and the
    third corner of the square that the two span."""
    sine, cosine = np.sin(np.deg2rad(rotation)), np.cos(np.deg2rad(rotation))
    above = np.array([0, -width / 2])
    source, target = np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)
    source[0] = center
    turned = [above[0] * cosine - above[1] * sine, above[0] * sine + above[1] * cosine]
    source[1] = center + np.array(turned)
    target[0] = [size[0] / 2, size[1] / 2]
    target[1] = target[0] + np.array([0, -size[0] / 2], np.float32)
    for points in (source, target):
        across = points[0] - points[1]
        points[2] = points[1] + np.array([-across[1], across[0]], np.float32)
    return cv2.getAffineTransform(source, target)


def udp_matrix(center: np.ndarray, width: float, rotation: float, size: Size) -> np.ndarray:
    """(2, 3) image -> input as udp's released code has it (Huang et al., CVPR 2020): the extent
    lies between the centres of the first and the last pixel, each axis by its own scale."""
    extent = np.array([width, width * size[1] / size[0]])
    scale = (np.array(size) - 1) / extent
    sine, cosine = np.sin(np.deg2rad(rotation)), np.cos(np.deg2rad(rotation))
    turn = np.array([[cosine, sine], [-sine, cosine]])
    offset = extent / 2 - turn @ center
    return scale[:, None] * np.column_stack([turn, offset])


MATRICES = {"published": crop_matrix, "udp": udp_matrix}


@functools.cache
def normalisation() -> Callable[[np.ndarray], torch.Tensor]:
    """(H, W, 3) uint8 -> (3, H, W) float32: [0, 1], less the mean, over the deviation."""
    from torchvision.transforms import Compose, Normalize, ToTensor

    return Compose([ToTensor(), Normalize(mean=MEAN, std=STD)])


def levels(pictures: torch.Tensor) -> torch.Tensor:
    """Grey levels (B, 3, H, W), unrounded, of normalised pictures: the way back."""
    mean = torch.as_tensor(MEAN, dtype=torch.float64).view(-1, 1, 1)
    deviation = torch.as_tensor(STD, dtype=torch.float64).view(-1, 1, 1)
    return (pictures.double() * deviation + mean) * 255


def drawn_maps(
    keypoints: np.ndarray, visible: np.ndarray, size: Size
) -> tuple[np.ndarray, np.ndarray]:
    """Maps (K, h, w) with a Gaussian patch about each visible keypoint's nearest cell, and weights
    (K, 1): 1 where the keypoint is visible and some of its patch lies inside."""
    width, height = size[0] // STRIDE, size[1] // STRIDE
    maps = np.zeros((len(keypoints), height, width), np.float32)
    weights = np.ones((len(keypoints), 1), np.float32)
    weights[:, 0] = visible
    reach = int(SIGMA * 3)
    for place in range(len(keypoints)):
        x = int(keypoints[place][0] / STRIDE + 0.5)
        y = int(keypoints[place][1] / STRIDE + 0.5)
        left, top, right, bottom = x - reach, y - reach, x + reach + 1, y + reach + 1
        if left >= width or top >= height or right < 0 or bottom < 0:
            weights[place] = 0
            continue
        along = np.arange(2 * reach + 1, dtype=np.float32)
        down = along[:, np.newaxis]
        patch = np.exp(-((along - reach) ** 2 + (down - reach) ** 2) / (2 * SIGMA**2))
        columns = max(0, left), min(right, width)
        rows = max(0, top), min(bottom, height)
        if weights[place] > 0.5:
            maps[place][rows[0] : rows[1], columns[0] : columns[1]] = patch[
                rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left
            ]
    return maps, weights
