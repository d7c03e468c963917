"""`test.compile` reaches prediction and evaluation, and what is warmed up are the numbers of crops
that will come."""

import numpy as np
import pytest
import torch
from torch import nn

import pose
from pose.build import load_network
from pose.build_network import decoder_of
from pose.config import plain, resolve
from pose.models import compiling
from pose.published import find_weights
from pose.structures import PoseBatch

CPU = torch.device("cpu")


@pytest.fixture
def seen(monkeypatch):
    """How many crops came in each call of the network that "compile" makes: of one that is as it
    was."""
    numbers = []

    class Seen(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, images):
            numbers.append(len(images))
            return self.network(images)

    monkeypatch.setitem(compiling.WAYS, "compile", Seen)
    return numbers


@pytest.mark.parametrize(("keys", "warm"), [((), [2, 16]), (("test.flip=false",), [1, 8])])
def test_prediction_is_warmed_up_for_what_may_come(seen, keys, warm):
    """One person and eight, with the flip test in two looks each."""
    predict = pose.load(
        "hrnet_small", detector=None, device="cpu", keys=["test.compile=compile", *keys]
    )
    assert seen == warm
    assert predict.runtime.name.endswith(", compile)")
    image = np.zeros((64, 64, 3), np.uint8)
    predict(image, np.tile([[10, 10, 40, 50]], (9, 1)))
    assert seen[2:] == [warm[1], warm[0]]


def test_evaluation_is_warmed_up_too(seen):
    network = load_network(find_weights("hrnet_small"))
    layer = plain(network.cfg)
    layer["test"] = {**layer["test"], "compile": "compile", "batch_size": 4}
    decode = decoder_of(resolve(layer, "here"), network.model, network.codec, network.skeleton, CPU)
    assert seen == [2, 8]
    width, height = network.codec.input_size
    images = torch.zeros(3, 3, height, width, dtype=torch.uint8)
    nothing = torch.zeros(3, 17)
    keypoints, scores = decode(
        PoseBatch(images, torch.zeros(3, 17, 2), nothing, torch.zeros(3, 2, 3), torch.arange(3))
    )
    assert seen[2:] == [6]
    assert keypoints.shape == (3, 17, 2) and scores.shape == (3, 17)
