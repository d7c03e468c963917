"""SimpleBaseline: torchvision's names without the classifier, and three deconvolutions."""

import pytest
import torch

from pose.models.pose_model import build_model
from pose.models.resnet import resnet, resnet50

Shapes = dict[str, tuple[int, ...]]


def batch_norm_shapes(name: str, channels: int) -> Shapes:
    learnt = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (channels,))
    return {f"{name}.{key}": shape for key, shape in learnt.items()} | {
        f"{name}.num_batches_tracked": ()
    }


def published_trunk(blocks: tuple[int, int, int, int]) -> Shapes:
    shapes: Shapes = {"conv1.weight": (64, 3, 7, 7)} | batch_norm_shapes("bn1", 64)
    inputs = 64
    for layer, num_blocks in enumerate(blocks, start=1):
        width = 64 * 2 ** (layer - 1)
        for block in range(num_blocks):
            at = f"layer{layer}.{block}"
            convs = {"1": (width, inputs, 1), "2": (width, width, 3), "3": (4 * width, width, 1)}
            for i, (out, into, kernel) in convs.items():
                shapes[f"{at}.conv{i}.weight"] = (out, into, kernel, kernel)
                shapes |= batch_norm_shapes(f"{at}.bn{i}", out)
            if block == 0:
                shapes[f"{at}.downsample.0.weight"] = (4 * width, inputs, 1, 1)
                shapes |= batch_norm_shapes(f"{at}.downsample.1", 4 * width)
            inputs = 4 * width
    return shapes


def published_head(channels: int) -> Shapes:
    shapes: Shapes = {}
    for i, inputs in zip((0, 3, 6), (2048, 256, 256), strict=True):
        shapes[f"deconv_layers.{i}.weight"] = (inputs, 256, 4, 4)
        shapes |= batch_norm_shapes(f"deconv_layers.{i + 1}", 256)
    return shapes | {"final_layer.weight": (channels, 256, 1, 1), "final_layer.bias": (channels,)}


@pytest.mark.parametrize(
    ("depth", "blocks"), [(50, (3, 4, 6, 3)), (101, (3, 4, 23, 3)), (152, (3, 8, 36, 3))]
)
def test_tensors_are_the_published_ones(depth, blocks):
    with torch.device("meta"):
        trunk = resnet(depth)
        model = build_model(f"simplebaseline_r{depth}", channels=17)
    shapes = {name: tuple(tensor.shape) for name, tensor in trunk.state_dict().items()}
    assert shapes == published_trunk(blocks)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes == published_trunk(blocks) | published_head(17)
    if depth == 50:
        assert (len(trunk.state_dict()), len(model.state_dict())) == (318, 338)


def test_features_are_at_stride_32():
    with torch.device("meta"):
        trunk = resnet50()
        features = trunk(torch.zeros(2, 3, 128, 96))
    assert features.shape == (2, trunk.channels, 128 // trunk.stride, 96 // trunk.stride)
    assert (trunk.channels, trunk.stride) == (2048, 32)


def test_start_is_the_published_one():
    state = build_model("simplebaseline_r50", channels=17).state_dict()
    for name in ("layer4.0.conv2.weight", "deconv_layers.3.weight", "final_layer.weight"):
        assert state[name].std().item() == pytest.approx(0.001, rel=0.1)
    assert not state["final_layer.bias"].any()
