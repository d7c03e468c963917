"""HRNet: its tensors are the published ones, and a gradient reaches every one that learns."""

import pytest
import torch

from pose.models.hrnet import hrnet, hrnet_small, hrnet_w18, hrnet_w32, hrnet_w48
from pose.models.pose_model import build_model

Shapes = dict[str, tuple[int, ...]]


def published_trunk(
    channels: int, bottlenecks=4, width=64, modules=(1, 4, 3), blocks=4, rows=1
) -> Shapes:
    """Names and shapes written down from the published files' description, not from the code."""
    shapes: Shapes = {}

    def conv_bn(conv: str, bn: str, outputs: int, inputs: int, kernel: int) -> None:
        shapes[f"{conv}.weight"] = (outputs, inputs, kernel, kernel)
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{bn}.{name}"] = (outputs,)
        shapes[f"{bn}.num_batches_tracked"] = ()

    conv_bn("conv1", "bn1", 64, 3, 3)
    conv_bn("conv2", "bn2", 64, 64, 3)
    for i in range(bottlenecks):
        at = f"layer1.{i}"
        conv_bn(f"{at}.conv1", f"{at}.bn1", width, 4 * width if i else 64, 1)
        conv_bn(f"{at}.conv2", f"{at}.bn2", width, width, 3)
        conv_bn(f"{at}.conv3", f"{at}.bn3", 4 * width, width, 1)
    conv_bn("layer1.0.downsample.0", "layer1.0.downsample.1", 4 * width, 64, 1)

    conv_bn("transition1.0.0", "transition1.0.1", channels, 4 * width, 3)
    conv_bn("transition1.1.0.0", "transition1.1.0.1", 2 * channels, 4 * width, 3)
    conv_bn("transition2.2.0.0", "transition2.2.0.1", 4 * channels, 2 * channels, 3)
    conv_bn("transition3.3.0.0", "transition3.3.0.1", 8 * channels, 4 * channels, 3)

    for stage, num_modules in zip((2, 3, 4), modules, strict=True):
        for m in range(num_modules):
            for b in range(stage):
                for i in range(blocks):
                    at, maps = f"stage{stage}.{m}.branches.{b}.{i}", channels * 2**b
                    conv_bn(f"{at}.conv1", f"{at}.bn1", maps, maps, 3)
                    conv_bn(f"{at}.conv2", f"{at}.bn2", maps, maps, 3)
            last = stage == 4 and m == num_modules - 1
            for i in range(rows if last else stage):
                for j in range(stage):
                    at = f"stage{stage}.{m}.fuse_layers.{i}.{j}"
                    to, source = channels * 2**i, channels * 2**j
                    if j > i:
                        conv_bn(f"{at}.0", f"{at}.1", to, source, 1)
                    for k in range(i - j):
                        outputs = to if k == i - j - 1 else source
                        conv_bn(f"{at}.{k}.0", f"{at}.{k}.1", outputs, source, 3)
    return shapes


@pytest.mark.parametrize(("trunk", "channels"), [(hrnet_w18, 18), (hrnet_w32, 32), (hrnet_w48, 48)])
def test_tensors_are_the_published_ones(trunk, channels):
    with torch.device("meta"):
        state = trunk().state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == published_trunk(
        channels
    )
    assert len(state) == 1752


@pytest.mark.parametrize("trunk", [hrnet_small, hrnet_w32])
def test_maps_are_a_quarter_of_the_input(trunk):
    with torch.device("meta"):
        network = trunk()
        features = network(torch.zeros(2, 3, 128, 96))
    assert features.shape == (2, network.channels, 32, 24)
    assert network.stride == 4


@pytest.mark.parametrize("name", ["hrnet_small", "hrnet_w18"])
def test_a_gradient_reaches_every_parameter(name):
    torch.manual_seed(0)
    model = build_model(name, channels=5)
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    maps = model(images)
    (maps - torch.rand_like(maps)).square().mean().backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


def test_start_is_the_published_one():
    torch.manual_seed(0)
    state = hrnet(32).state_dict()
    weights = state["transition3.3.0.0.weight"]
    assert weights.std().item() == pytest.approx(0.001, rel=0.01)
    assert abs(weights.mean().item()) < 1e-5
    assert (state["bn1.weight"] == 1).all()
    assert (state["bn1.bias"] == 0).all()


def test_batch_norms_have_the_published_momentum():
    norms = [m for m in hrnet_small().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}


def test_exchange_is_one_relu_on_the_sum_of_all_branches():
    """The finest output of an exchange against its definition, written out."""
    torch.manual_seed(0)
    with torch.no_grad():
        exchange = hrnet(8, modules=(1, 1, 1)).stage3[0].fuse_layers.eval()
        maps = [torch.randn(2, 8 * 2**b, 16 // 2**b, 8 // 2**b) for b in range(3)]
        fine, middle, coarse = maps

        def up(j: int, x: torch.Tensor) -> torch.Tensor:
            conv, norm = exchange[0][j][0], exchange[0][j][1]
            y, repeat = norm(conv(x)), 2**j
            return y.repeat_interleave(repeat, dim=2).repeat_interleave(repeat, dim=3)

        expected = (fine + up(1, middle) + up(2, coarse)).clamp(min=0)
        outputs = exchange(maps)
    torch.testing.assert_close(outputs[0], expected)
    assert [tuple(x.shape) for x in outputs] == [tuple(x.shape) for x in maps]
