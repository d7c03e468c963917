"""torchvision's detectors, trained on COCO, from a file of their weights.

torchvision knows where each file lies and what it is worth; nothing of it is repeated here, and
nothing here lets it reach for the net.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pose.inference.boxes import Boxes
from pose.inference.detectors import person_boxes
from pose.models.weights import load_strict, load_weights

NETWORKS = (
    "ssdlite320_mobilenet_v3_large",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "retinanet_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn_v2",
)
"""By rising cost."""

LICENCE = "BSD-3-Clause"


@dataclass(frozen=True, eq=False)
class TorchvisionDetector:
    """A network of torchvision's that takes images of any size."""

    model: nn.Module
    person: int
    """The label of people."""
    device: torch.device
    score_threshold: float

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> list[Boxes]:
        """The people in each image (H, W, 3) uint8 RGB.

        Images of one size go through the network together. Those of another would pad each other,
        and what is found in an image would hang on its neighbours.
        """
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, image in enumerate(images):
            alike[image.shape].append(index)
        found: dict[int, Boxes] = {}
        for (height, width, _), members in alike.items():
            batch = torch.from_numpy(np.stack([images[i] for i in members])).to(self.device)
            outputs = self.model(list(batch.permute(0, 3, 1, 2).float() / 255))
            for index, output in zip(members, outputs, strict=True):
                people = output["labels"] == self.person
                boxes, scores = output["boxes"][people].cpu(), output["scores"][people].cpu()
                found[index] = person_boxes(
                    boxes.numpy(), scores.numpy(), (width, height), self.score_threshold
                )
        return [found[index] for index in range(len(images))]


def load_torchvision(
    name: str, path: Path, device: torch.device, score_threshold: float
) -> TorchvisionDetector:
    """The network `name` of `NETWORKS` with the weights of a .pth or .safetensors file.

    FileNotFoundError or ValueError, of one line, where they are not its weights to the last tensor.
    """
    from torchvision.models import get_model, get_model_weights

    # the networks drop what is below the threshold before they look for boxes found twice
    key = "box_score_thresh" if name.startswith("fasterrcnn") else "score_thresh"
    untrained = {"weights": None, "weights_backbone": None}
    model = get_model(name, **untrained, **{key: score_threshold})
    load_strict(model, load_weights(path), f"{path} as {name}")
    person = get_model_weights(name).DEFAULT.meta["categories"].index("person")
    return TorchvisionDetector(model.to(device).eval(), person, device, score_threshold)


def published_file(name: str) -> tuple[str, str]:
    """The address of a network's published weights, and the first digits of their SHA-256, which
    stand in the file's name."""
    from torchvision.models import get_model_weights

    address = get_model_weights(name).DEFAULT.url
    digits = re.search(r"-([0-9a-f]{8})\.pth$", address)
    assert digits, address
    return address, digits[1]
