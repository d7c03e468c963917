"""The whole network: counts, names, the normalisation, and laws that hold for every model."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from pose.models.pose_model import (
    MODELS,
    PoseModel,
    build_model,
    count_gflops,
    count_parameters,
)

PUBLISHED = {  # parameters with 17 keypoints; GFLOPs at 256x192 and at 384x288
    "hrnet_w32": (28_536_113, 7.120, 16.020),
    "hrnet_w48": (63_595_745, 14.614, 32.882),
    "simplebaseline_r50": (33_999_697, 8.991, 20.230),
    "simplebaseline_r101": (52_991_825, 12.378, 27.850),
    "simplebaseline_r152": (68_635_473, 15.765, 35.470),
}
QUICK = ["hrnet_small", "hrnet_w18", "simplebaseline_r50"]


def random_images(batch: int, size: tuple[int, int] = (64, 96)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, 3, size[1], size[0])
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def awake_model(name: str) -> PoseModel:
    """In eval mode, with statistics and a final layer that let the image through to the maps.

    Fresh weights are so small that the maps would be zero to any tolerance.
    """
    torch.manual_seed(0)
    model = build_model(name, channels=5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.get_parameter("final_layer.weight").normal_(std=0.1)
        model.train()(random_images(8))
    return model.eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_gflops_are_the_published_ones(name):
    parameters, gflops_256, gflops_384 = PUBLISHED[name]
    with torch.device("meta"):
        model = build_model(name, channels=17)
    assert count_parameters(model) == parameters
    assert count_gflops(model, (192, 256)) == pytest.approx(gflops_256, abs=6e-4)
    assert count_gflops(model, (288, 384)) == pytest.approx(gflops_384, abs=6e-4)


@pytest.mark.parametrize(("name", "tensors"), [("hrnet_w32", 1754), ("simplebaseline_r50", 338)])
def test_names_are_bare(name, tensors):
    with torch.device("meta"):
        state = build_model(name, channels=17).state_dict()
    assert len(state) == tensors
    assert {"conv1.weight", "final_layer.weight", "final_layer.bias"} <= set(state)
    assert not {"mean", "std"} & set(state)


@pytest.mark.parametrize("name", MODELS)
def test_maps_have_the_size_that_the_stride_says(name):
    with torch.device("meta"):
        model = build_model(name, channels=14)
        maps = model(torch.zeros(2, 3, 128, 96, dtype=torch.uint8))
    assert maps.shape == (2, 14, 128 // model.stride, 96 // model.stride)
    assert maps.dtype == torch.float32
    assert model.stride == 4


@pytest.mark.parametrize("name", QUICK)
def test_batched_equals_one_by_one(name):
    """In double precision: untrained depth magnifies the rounding of float32 to some 1e-4."""
    model, images = awake_model(name).double(), random_images(3)
    with torch.inference_mode():
        maps = model(images)
        one_by_one = torch.cat([model(image[None]) for image in images])
    assert maps.std() > 0.01
    torch.testing.assert_close(maps, one_by_one, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", QUICK)
def test_memory_format_changes_nothing(name):
    model, images = awake_model(name).double(), random_images(2)
    with torch.inference_mode():
        maps = model(images)
        channels_last = model.to(memory_format=torch.channels_last)(images)
    torch.testing.assert_close(channels_last, maps, rtol=0, atol=1e-5)


def test_half_precision_gives_float32_maps_that_differ_by_rounding():
    """Of the small one alone: more untrained layers make chaos of bfloat16's three digits."""
    model, images = awake_model("hrnet_small"), random_images(2)
    with torch.inference_mode():
        maps = model(images)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(images)
    assert rounded.dtype == torch.float32
    assert (rounded - maps).abs().mean() < 0.1 * maps.std()


def test_the_model_normalises():
    """Its first layer sees (value / 255 - mean) / std of ImageNet, channel by channel in RGB."""
    model = build_model("hrnet_small", channels=3).eval()
    seen: list[torch.Tensor] = []
    model.get_submodule("conv1").register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    images = random_images(2)
    model(images)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    torch.testing.assert_close(seen[0], (images / 255 - mean) / std, rtol=0, atol=1e-5)


def test_empty_batch_gives_empty_maps():
    model = build_model("hrnet_small", channels=3).eval()
    assert model(torch.zeros(0, 3, 64, 64, dtype=torch.uint8)).shape == (0, 3, 16, 16)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(1, 3, 64, 64), "uint8"),
        (torch.zeros(1, 64, 64, 3, dtype=torch.uint8), "(B, 3, H, W)"),
        (torch.zeros(1, 3, 64, 50, dtype=torch.uint8), "50x64"),
    ],
)
def test_wrong_images_are_refused(images, words):
    with pytest.raises(ValueError) as error:
        build_model("hrnet_small", channels=3)(images)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_model_names_the_known_ones():
    with pytest.raises(ValueError, match=r"hrnet_w23.*hrnet_w32.*simplebaseline_r152"):
        build_model("hrnet_w23", channels=17)


def test_counting_leaves_the_model_as_it_was():
    model = build_model("hrnet_small", channels=3).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count_gflops(model, (96, 128))
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_small_one_fits_in_eight_megabytes():
    assert count_parameters(build_model("hrnet_small", channels=17)) * 4 < 7.9 * 2**20


def test_an_hrnet_needs_no_torchvision():
    code = (
        "import sys; from pose.models.pose_model import build_model; "
        "build_model('hrnet_small', 17); sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
