"""The form for use gives the network's maps, whatever the network."""

import pytest
import torch
from torch import nn

from pose.models.folding import fold_batch_norms, for_inference
from pose.models.pose_model import MODELS, build_model
from tests.models.test_pose_model import awake_model, random_images


@pytest.mark.parametrize("name", MODELS)
def test_every_batch_norm_stands_behind_its_convolution(name):
    with torch.device("meta"):
        folded = fold_batch_norms(build_model(name, 17).eval())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_the_form_for_use_gives_the_same_maps():
    model, pictures = awake_model("hrnet_small"), random_images(2)
    with torch.inference_mode():
        expected = model(pictures)
        found = for_inference(model)(pictures)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.modules()), "it is a copy"


def test_in_bfloat16_maps_stay_float32_and_are_not_rounded_to_8_bits():
    model, pictures = awake_model("hrnet_small"), random_images(2)
    with torch.inference_mode():
        expected = model(pictures)
        found = for_inference(model, torch.bfloat16)(pictures)
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 0.1 * expected.abs().max()
    assert not torch.equal(found, found.bfloat16().float())


@pytest.mark.parametrize("name", ["simplebaseline_r50", "hrnetv2_w32"])
def test_other_networks_run_in_bfloat16(name):
    network = for_inference(build_model(name, 5), torch.bfloat16)
    with torch.inference_mode():
        maps = network(random_images(1))
    assert maps.dtype == torch.float32
