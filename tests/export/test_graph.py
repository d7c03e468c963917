"""The graph that is exported gives what the network and `decode_looks` give."""

import pytest
import torch
from torch import nn

from pose.codecs import CODECS
from pose.export.graph import Graph
from pose.inference.predict import decode_looks
from tests.export.networks import FLIP_INDEX, codec_called, images, tiny
from tests.models.test_pose_model import awake_model, random_images


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("name", CODECS)
def test_the_graph_is_the_network_and_its_decoding(name, flip):
    codec, pictures = codec_called(name), images(3)
    model, swap = tiny(codec), FLIP_INDEX if flip else None
    with torch.inference_mode():
        maps, keypoints, scores = Graph(model, codec, swap)(pictures)
        looks = [pictures, pictures.flip(-1)] if flip else [pictures]
        assert maps == pytest.approx(model(torch.cat(looks)), abs=1e-5)
    expected, expected_scores = decode_looks(maps, codec, swap)
    assert torch.equal(keypoints, expected)
    assert torch.equal(scores, expected_scores)


def test_without_a_codec_maps_alone_come_out():
    codec = codec_called("gaussian")
    graph = Graph(tiny(codec))
    assert graph.outputs == ("maps",)
    (maps,) = graph(images(2))
    assert maps.shape == (2, 17, 24, 16)


@pytest.mark.parametrize("name", ["hrnet_small", "simplebaseline_r50"])
def test_folding_is_exact(name):
    """In float64: in float32 a deep network's own rounding is as large as what folding changes."""
    model, pictures = awake_model(name).double(), random_images(2)
    with torch.inference_mode():
        expected = nn.Sequential.forward(model, (pictures - model.mean) / model.std)
        (maps,) = Graph(model, dtype=torch.float64)(pictures)
        assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules())  # a copy was folded
    assert maps == pytest.approx(expected.float(), rel=1e-6, abs=1e-6)


def test_layers_of_half_the_bits_still_decode_in_float():
    codec = codec_called("dark")
    model, pictures = tiny(codec), images(4)
    with torch.inference_mode():
        maps, keypoints, _ = Graph(model, codec, FLIP_INDEX, torch.bfloat16)(pictures)
        expected = model(torch.cat([pictures, pictures.flip(-1)]))
    decoded, _ = decode_looks(maps, codec, FLIP_INDEX)
    assert maps.dtype == keypoints.dtype == torch.float32
    # three layers, each rounding to 8 bits
    assert 0 < (maps - expected).abs().max() < 3 * 2**-8 * expected.abs().max()
    assert torch.equal(keypoints, decoded)
