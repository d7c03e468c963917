"""A network small enough to be exported in a test, and images on which its maps are smooth."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn

from pose.codecs import CODECS, Codec, build_codec
from pose.models.heads import add_vectors, final_layer_head
from pose.models.pose_model import PoseModel
from pose.models.trunk import Trunk, batch_norm, conv, relu
from pose.skeleton import COCO_17

SIZE = (64, 96)
SIGMAS = {name: 6.0 if name == "simcc" else 2.0 for name in CODECS}
FLIP_INDEX = torch.from_numpy(COCO_17.flip_index)


def tiny(codec: Codec, seed: int = 0) -> PoseModel:
    """Two convolutions of stride 2, batch norms awake; maps of about 0 to 1."""
    torch.manual_seed(seed)
    steps = {"conv1": conv(3, 8, 3, 2), "bn1": batch_norm(8), "relu1": relu()}
    steps |= {"conv2": conv(8, 12, 3, 2), "bn2": batch_norm(12), "relu2": relu()}
    trunk = Trunk(steps, channels=12, stride=4)
    model = PoseModel(trunk, final_layer_head(12, codec.channels(17)), stride=4)
    if hasattr(codec, "bins"):
        add_vectors(model, codec.features, codec.bins)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
    with torch.no_grad():
        model.train()(images(16, seed=1))
    return model.eval()


def codec_called(name: str) -> Codec:
    return build_codec(name, SIZE, SIGMAS[name], 4)


def images(number: int, seed: int = 0) -> torch.Tensor:
    """(number, 3, H, W) uint8 noise of broad waves: as smooth as a photograph out of focus."""
    width, height = SIZE
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (number, 3, 7, 5)))
    fine = nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    return fine.clamp(0, 255).round().to(torch.uint8)


def need(*packages: str) -> None:
    """Skip where one is not installed. Not `importorskip`: openvino reports being imported."""
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
