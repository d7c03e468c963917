"""A network made deeper makes the same maps, and every new part of it can learn."""

import pytest
import torch

from pose.models.growth import deepen, deepened
from pose.models.pose_model import build_model
from pose.models.weights import load_weights, load_with_config, save_weights


def small():
    torch.manual_seed(0)
    return build_model("hrnet_small", channels=3)


def pictures(seed=1):
    torch.manual_seed(seed)
    return torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)


@pytest.mark.parametrize("training", [False, True])
def test_the_deeper_network_makes_the_same_maps(training):
    shallow = small()
    shallow.train()(pictures(2))  # statistics that are not those of a fresh network
    deep = build_model("hrnet_small_deep", channels=3)
    deep.load_state_dict(deepened(shallow.state_dict(), deep, "a test"))
    images = pictures()
    want, got = shallow.train(training)(images), deep.train(training)(images)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def test_a_gradient_reaches_what_ends_in_a_sum():
    deep = build_model("hrnet_small_deep", channels=3)
    deep.load_state_dict(deepened(small().state_dict(), deep, "a test"))
    deep.train()(pictures()).square().sum().backward()
    norms = [m for m in deep.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    silent = [norm for norm in norms if not norm.weight.any()]
    assert len(silent) == 2 + 3 + 6 + 4 + 6  # blocks of stages 2, 3, 3 (new), 4; rows of the new
    assert all(norm.weight.grad.any() for norm in silent)


def test_the_file_names_the_deeper_network(tmp_path):
    config = {"model": {"name": "hrnet_small", "input_size": [64, 64]}, "codec": {"name": "udp"}}
    save_weights(tmp_path / "small.safetensors", small().state_dict(), config)
    deepen(tmp_path / "small.safetensors", "hrnet_small_deep", tmp_path / "deep.safetensors")
    grown = load_with_config(tmp_path / "deep.safetensors")[1]
    assert grown == {**config, "model": {"name": "hrnet_small_deep", "input_size": [64, 64]}}
    build_model("hrnet_small_deep", 3).load_state_dict(load_weights(tmp_path / "deep.safetensors"))


def test_another_network_is_refused(tmp_path):
    other = build_model("hrnet_w18", channels=3).state_dict()
    with pytest.raises(ValueError, match="somewhere: not the weights of this network"):
        deepened(other, build_model("hrnet_small_deep", channels=3), "somewhere")


def test_a_file_without_config_is_refused(tmp_path):
    torch.save(small().state_dict(), tmp_path / "small.pth")
    with pytest.raises(ValueError, match=r"small\.pth: holds no config"):
        deepen(tmp_path / "small.pth", "hrnet_small_deep", tmp_path / "deep.safetensors")
