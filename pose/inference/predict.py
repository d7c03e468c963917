"""Crops -> keypoints: the one way from pictures to points, for training, evaluation and use."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from pose.codecs import Codec
from pose.geometry import Crop, to_image
from pose.skeleton import Skeleton
from pose.structures import Poses


@torch.inference_mode()
def predict_keypoints(
    model: nn.Module,
    codec: Codec,
    images: torch.Tensor,
    flip_index: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops (B, 3, H, W) uint8 RGB -> keypoints (B, K, 2) in input pixels, scores (B, K).

    With `flip_index` (K,) the maps are the mean of those of the crops and of the mirrored crops,
    brought back by the codec (the flip test).
    """
    maps = model(images)
    if flip_index is not None:
        maps = (maps + codec.unflip(model(images.flip(-1)), flip_index)) * 0.5
    return codec.decode(maps)


class Predictor:
    """A network ready for use: people in one image -> their poses. Holds no state between calls."""

    def __init__(
        self,
        model: nn.Module,
        codec: Codec,
        skeleton: Skeleton,
        device: torch.device,
        *,
        flip: bool = True,
        batch_size: int = 64,
    ) -> None:
        self.model = model.to(device).eval()
        self.codec = codec
        self.skeleton = skeleton
        self.device = device
        self.flip_index = torch.from_numpy(skeleton.flip_index).to(device) if flip else None
        self.batch_size = batch_size

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray, box_scores: np.ndarray | None = None
    ) -> Poses:
        """Poses of the people in `boxes` (N, 4) xyxy of an image (H, W, 3) uint8 RGB.

        No boxes, no poses. ValueError where the image is another kind of array, or a box is not
        finite or has no area.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"the image is {image.dtype} {image.shape}; expected RGB uint8 (H, W, 3)"
            )
        boxes = np.asarray(boxes, dtype=np.float32)
        if boxes.size and boxes.shape[-1] != 4:
            raise ValueError(f"boxes have shape {boxes.shape}; expected (N, 4), as x1,y1,x2,y2")
        boxes = boxes.reshape(-1, 4)
        bad = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
        if bad.any():
            raise ValueError(
                f"box {boxes[bad][0].tolist()}: expected x1,y1,x2,y2 in pixels with x2 > x1 and "
                "y2 > y1"
            )
        size, grid = self.codec.input_size, self.codec.pixel_grid
        crops = [Crop.of_box(box, size, grid=grid) for box in boxes]
        keypoints = np.zeros((len(boxes), self.skeleton.num_keypoints, 2), np.float32)
        scores = np.zeros(keypoints.shape[:2], np.float32)
        for start in range(0, len(crops), self.batch_size):
            part = slice(start, start + self.batch_size)
            keypoints[part], scores[part] = self._predict(image, crops[part])
        if box_scores is None:
            box_scores = np.ones(len(boxes), np.float32)
        box_scores = np.asarray(box_scores, dtype=np.float32)
        return Poses(keypoints, scores, boxes, self.skeleton, box_scores)

    def _predict(self, image: np.ndarray, crops: Sequence[Crop]) -> tuple[np.ndarray, np.ndarray]:
        pictures = np.stack([crop.warp(image) for crop in crops])
        batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(self.device)
        points, scores = predict_keypoints(self.model, self.codec, batch, self.flip_index)
        matrices = np.stack([crop.matrix for crop in crops])
        return to_image(points.cpu().numpy(), matrices), scores.cpu().numpy()
