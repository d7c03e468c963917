"""Images to the input of an ONNX detector, its outputs to boxes, as a `Description` says."""

from collections.abc import Mapping

import cv2
import numpy as np
from scipy.special import expit

from pose.geometry import Size
from pose.inference.detectors.onnx_description import Description


def fit_image(
    image: np.ndarray, size: Size, description: Description
) -> tuple[np.ndarray, np.ndarray]:
    """The input picture (h, w, 3) float32, and (4,) float64: scale x, y and offset x, y in pixels.

    A point of the image lies at scale times point plus offset, both measured from the outer corner
    of the first pixel, as COCO measures boxes.
    """
    height, width = image.shape[:2]
    inner = size
    if description.fit != "stretch":
        scale = min(size[0] / width, size[1] / height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR)
    spare = np.array(size) - inner
    left, top = spare // 2 if description.fit == "center" else (0, 0)
    padded = np.full((size[1], size[0], 3), description.padding, np.uint8)
    padded[top : top + inner[1], left : left + inner[0]] = picture
    if description.colors == "bgr":
        padded = padded[..., ::-1]
    mean, std = (np.array(v, np.float32) for v in (description.mean, description.std))
    placement = np.array([inner[0] / width, inner[1] / height, left, top], np.float64)
    return (padded.astype(np.float32) - mean) / std, placement


def to_image(boxes: np.ndarray, placement: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) xyxy in input pixels -> image pixels."""
    return (boxes - np.tile(placement[2:], 2)) / np.tile(placement[:2], 2)


def decode(
    outputs: Mapping[str, np.ndarray], size: Size, description: Description, score_threshold: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes (N, 4) xyxy in input pixels and scores (N,) of each image of a batch.

    Only what reaches the threshold. Outputs for one image may lack the axis of the batch.
    ValueError where they do not have the rows and columns that the description speaks of.
    """
    boxes, scores = _boxes_and_scores(outputs, description)
    wanted = scores >= score_threshold
    if description.label_output:
        labels = _named(outputs, description.label_output)
        if labels.size != scores.size:
            raise ValueError(f"{scores.size} scores but {labels.size} labels come out")
        wanted &= labels.reshape(scores.shape) == description.person
    points = _points(size, description, boxes.shape[1]) if description.strides else None
    return [
        (
            _xyxy(columns[keep], None if points is None else points[keep], size, description),
            row[keep],
        )
        for columns, row, keep in zip(boxes, scores, wanted, strict=True)
    ]


def _boxes_and_scores(
    outputs: Mapping[str, np.ndarray], description: Description
) -> tuple[np.ndarray, np.ndarray]:
    """(B, N, 4), the columns of boxes as they come, and (B, N), the scores of people; float64."""
    others = (*description.score_outputs, description.label_output)
    box_outputs = description.box_outputs or tuple(n for n in outputs if n not in others)
    score_outputs = description.score_outputs or box_outputs
    if box_outputs and _named(outputs, box_outputs[0]).ndim == 2:
        outputs = {name: value[None] for name, value in outputs.items()}
    first = description.box_column
    box_rows = _rows(outputs, box_outputs, first + 3, description.columns_last)
    columns = [description.score_column]
    if description.objectness_column is not None:
        columns.append(description.objectness_column)
    score_rows = _rows(outputs, score_outputs, max(columns), description.columns_last)
    if score_rows.shape[:2] != box_rows.shape[:2]:
        raise ValueError(f"{box_rows.shape[1]} boxes but {score_rows.shape[1]} scores come out")
    scores = score_rows[..., columns].astype(np.float64)
    if description.activation == "sigmoid":
        scores = expit(scores)
    return box_rows[..., first : first + 4].astype(np.float64), scores.prod(axis=-1)


def _named(outputs: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in outputs:
        raise ValueError(f"there is no output '{name}' (there are: {', '.join(outputs)})")
    return outputs[name]


def _rows(
    outputs: Mapping[str, np.ndarray], names: tuple[str, ...], last: int, columns_last: bool
) -> np.ndarray:
    """(B, N, columns): the named outputs as rows end to end, with columns up to `last` at least.

    An output (B, N) is one column.
    """
    parts = []
    for name in names:
        output = _named(outputs, name)
        if output.ndim == 2:
            output = output[..., None]
        elif not columns_last:
            output = np.moveaxis(output, 1, -1)
        if last >= output.shape[-1]:
            raise ValueError(
                f"output '{name}' has {output.shape[-1]} columns, expected more than {last}"
            )
        parts.append(output.reshape(len(output), -1, output.shape[-1]))
    widths = sorted({part.shape[-1] for part in parts})
    if len(widths) != 1:
        raise ValueError(f"outputs {', '.join(names)} have {widths} columns, expected one number")
    return np.concatenate(parts, axis=1)


def _points(size: Size, description: Description, num_rows: int) -> np.ndarray:
    """(N, 3) float64: x and y of every cell's point in input pixels, and the cell's stride."""
    maps = []
    for stride in description.strides:
        x = (np.arange(size[0] // stride) + description.point) * stride
        y = (np.arange(size[1] // stride) + description.point) * stride
        grid = np.stack([*np.meshgrid(x, y), np.full((len(y), len(x)), stride)], axis=-1)
        maps.append(grid.reshape(-1, 3))
    points = np.concatenate(maps).astype(np.float64)
    if len(points) != num_rows:
        strides = ", ".join(map(str, description.strides))
        raise ValueError(
            f"{num_rows} rows come out, strides {strides} at {size[0]}x{size[1]} make {len(points)}"
        )
    return points


def _xyxy(
    raw: np.ndarray, points: np.ndarray | None, size: Size, description: Description
) -> np.ndarray:
    """Boxes (N, 4) in input pixels from the four columns (N, 4) and the points (N, 3) of cells."""
    if description.unit == "fractions":
        raw = raw * np.tile(size, 2)
    if points is not None:
        at, stride = points[:, :2], points[:, 2:]
        if description.boxes == "ltrb":
            distances = raw * stride if description.unit == "cells" else raw
            return np.concatenate([at - distances[:, :2], at + distances[:, 2:]], axis=1)
        with np.errstate(over="ignore"):  # what overflows is not finite and is left out later
            raw = np.concatenate([raw[:, :2] * stride + at, np.exp(raw[:, 2:]) * stride], axis=1)
    if description.boxes == "xyxy":
        return raw
    return np.concatenate([raw[:, :2] - raw[:, 2:] / 2, raw[:, :2] + raw[:, 2:] / 2], axis=1)
