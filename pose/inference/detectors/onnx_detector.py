"""Any person detector in an ONNX file, run by onnxruntime, read as its description says."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from pose.geometry import Size, xyxy_to_xywh
from pose.inference.boxes import Boxes
from pose.inference.detectors import person_boxes
from pose.inference.detectors.onnx_decoding import decode, fit_image, to_image
from pose.inference.detectors.onnx_description import (
    DESCRIPTIONS,
    Description,
    description_beside,
    read_description,
    recognize,
)
from pose.telemetry import forbid_telemetry

logger = logging.getLogger(__name__)

INSTALL = "pip install onnxruntime"
MAX_INPUT_PIXELS = 2**24
"""Of the picture that a network takes; one that asks for more would fill the memory."""
KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


@dataclass(frozen=True, eq=False)
class OnnxDetector:
    """A session of onnxruntime with the description of what goes in and comes out."""

    session: Any
    description: Description
    size: Size
    """Of the input."""
    score_threshold: float

    def __call__(self, images: Sequence[np.ndarray]) -> list[Boxes]:
        """The people in each image (H, W, 3) uint8 RGB; together if the file takes several."""
        if not images:
            return []
        if not isinstance(self.session.get_inputs()[0].shape[0], int):
            return self._people_of(images)
        return [found for image in images for found in self._people_of([image])]

    def _people_of(self, images: Sequence[np.ndarray]) -> list[Boxes]:
        pictures, placements = zip(
            *(fit_image(image, self.size, self.description) for image in images), strict=True
        )
        entry = self.session.get_inputs()[0]
        batch = np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))
        values = self.session.run(None, {entry.name: batch.astype(KINDS[entry.type])})
        names = [output.name for output in self.session.get_outputs()]
        outputs = dict(zip(names, values, strict=True))
        raw = decode(outputs, self.size, self.description, self.score_threshold)
        return [
            self._best(to_image(boxes, placement), scores, image)
            for (boxes, scores), placement, image in zip(raw, placements, images, strict=True)
        ]

    def _best(self, boxes: np.ndarray, scores: np.ndarray, image: np.ndarray) -> Boxes:
        found = person_boxes(boxes, scores, image.shape[1::-1], self.score_threshold)
        return found if self.description.nms is None else suppress(found, self.description.nms)


def suppress(found: Boxes, threshold: float) -> Boxes:
    """Without the boxes that overlap a better one by more than `threshold` (IoU)."""
    if not len(found.boxes):
        return found
    kept = cv2.dnn.NMSBoxes(
        xyxy_to_xywh(found.boxes).tolist(), found.scores.tolist(), 0.0, threshold
    )
    return Boxes(found.boxes[kept], found.scores[kept])


def load_onnx(
    path: Path,
    device: torch.device,
    score_threshold: float,
    description: Description | None = None,
) -> OnnxDetector:
    """The detector in an .onnx file, tried once on a grey picture.

    Without a `description` the one beside the file counts, else that of `DESCRIPTIONS` which its
    outputs are like. ValueError, of one line, where the file is no network, takes no images, or
    gives something else than the description says.
    """
    session = open_session(path, device)
    entries = session.get_inputs()
    if len(entries) != 1 or len(entries[0].shape) != 4 or entries[0].type not in KINDS:
        given = ", ".join(f"{entry.name} {entry.shape} {entry.type}" for entry in entries)
        raise ValueError(f"{path}: takes {given}; expected one input of images (B, 3, H, W)")
    height, width = entries[0].shape[2:]
    stated = (width, height) if isinstance(width, int) and isinstance(height, int) else None
    if description is None:
        description = find_description(path, session, stated)
    size = description.input_size or stated
    if size is None:
        raise ValueError(f"{path}: takes any size; give input_size in its description")
    check_input(path, (size[0], size[1]))
    if stated not in (None, size):
        raise ValueError(f"{path}: takes {stated}, its description has input_size {list(size)}")
    detector = OnnxDetector(session, description, (size[0], size[1]), score_threshold)
    try:
        detector([np.full((size[1], size[0], 3), 114, np.uint8)])
    except Exception as error:  # onnxruntime's own errors share no base class
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: does not run as described: {reason:.200}") from None
    return detector


def import_onnxruntime(wanted_by: str) -> Any:
    """The package, kept from reporting its use over the network; ValueError where it is missing."""
    forbid_telemetry()
    try:
        import onnxruntime
    except ImportError:
        raise ValueError(
            f"{wanted_by}: onnxruntime is not installed, which runs it; run: {INSTALL}"
        ) from None
    onnxruntime.disable_telemetry_events()  # on Windows, or where somebody imported it before
    return onnxruntime


def check_input(path: Path, size: Size) -> None:
    """ValueError for a network's input larger than MAX_INPUT_PIXELS."""
    width, height = size
    if width * height > MAX_INPUT_PIXELS:
        raise ValueError(
            f"{path}: takes pictures of {width} x {height} pixels, at most {MAX_INPUT_PIXELS} "
            "are given to a network"
        )


def open_session(path: Path, device: torch.device) -> Any:
    """A session of onnxruntime, on CUDA if that is the device and the installed package can."""
    onnxruntime = import_onnxruntime(str(path))
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such .onnx file")
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
        else:
            logger.warning("%s: runs on the CPU; onnxruntime-gpu would use %s", path, device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # its errors come as exceptions
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # its errors share no base class
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: onnxruntime cannot open it ({reason:.200})") from None


def find_description(path: Path, session: Any, size: Size | None) -> Description:
    """The description beside a file, or the one of `DESCRIPTIONS` which its outputs are like."""
    if beside := description_beside(path):
        logger.info("%s: read as %s says", path, beside)
        return read_description(beside)
    shapes = {output.name: output.shape for output in session.get_outputs()}
    name = recognize(list(shapes.values()), size) if size else None
    if name is None:
        outputs = ", ".join(f"{output} {shape}" for output, shape in shapes.items())
        raise ValueError(
            f"{path}: nobody says how to read its outputs ({outputs:.200}); describe them in "
            f"{path.with_suffix('.yaml').name} beside it (docs/detectors.md), or give "
            f"NAME={path.name}, NAME one of {', '.join(DESCRIPTIONS)}"
        )
    logger.info("%s: taken for %s by the shapes of its outputs", path, name)
    return DESCRIPTIONS[name]
