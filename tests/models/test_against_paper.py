"""Networks computed from the bare names and tensors of a published file, after the papers.

Sun et al. (Deep High-Resolution Representation Learning for Human Pose Estimation, CVPR 2019) and
Xiao, Wu, Wei (Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018): nothing of the
package's networks is used, only functions of torch and the names of the tensors.
"""

import functools

import pytest
import torch
import torch.nn.functional as F

from pose.models.pose_model import build_model
from pose.models.weights import load_strict, load_weights
from pose.models.zoo import WEIGHTS
from pose.published import convert

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


class Tensors:
    """A dict of tensors, with the layers that their names stand for."""

    def __init__(self, state):
        self.state = state

    def has(self, prefix):
        return any(name.startswith(f"{prefix}.") for name in self.state)

    def conv(self, name, x, stride=1):
        weight, bias = self.state[f"{name}.weight"], self.state.get(f"{name}.bias")
        return F.conv2d(x, weight, bias, stride, padding=weight.shape[-1] // 2)

    def norm(self, name, x):
        parts = (self.state[f"{name}.{part}"] for part in ("weight", "bias"))
        mean, var = (self.state[f"{name}.running_{part}"] for part in ("mean", "var"))
        weight, bias = (part[:, None, None] for part in parts)
        scale = weight / torch.sqrt(var[:, None, None] + 1e-5)
        return (x - mean[:, None, None]) * scale + bias

    def block(self, name, x, stride=1):
        """A basic block, or a bottleneck where there is a third convolution."""
        shortcut = x
        if self.has(f"{name}.downsample"):
            shortcut = self.conv(f"{name}.downsample.0", x, stride)
            shortcut = self.norm(f"{name}.downsample.1", shortcut)
        deep = self.has(f"{name}.conv3")
        y = self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, 1 if deep else stride)).relu()
        y = self.norm(f"{name}.bn2", self.conv(f"{name}.conv2", y, stride if deep else 1))
        if deep:
            y = self.norm(f"{name}.bn3", self.conv(f"{name}.conv3", y.relu()))
        return (y + shortcut).relu()

    def blocks(self, name, x, stride=1):
        number = 0
        while self.has(f"{name}.{number}"):
            x = self.block(f"{name}.{number}", x, stride if number == 0 else 1)
            number += 1
        return x

    def chain(self, name, x):
        """3x3 convolutions of stride 2 with batch norm, a ReLU after all but the last."""
        number = 0
        while self.has(f"{name}.{number}"):
            x = x.relu() if number else x
            x = self.norm(f"{name}.{number}.1", self.conv(f"{name}.{number}.0", x, 2))
            number += 1
        return x

    def exchange(self, name, branches):
        outputs = []
        for i in range(len(branches)):
            if not self.has(f"{name}.{i}"):
                break
            total = branches[i]
            for j, x in enumerate(branches):
                layer = f"{name}.{i}.{j}"
                if j > i:
                    up = self.norm(f"{layer}.1", self.conv(f"{layer}.0", x))
                    total = total + up.repeat_interleave(2 ** (j - i), 2).repeat_interleave(
                        2 ** (j - i), 3
                    )
                elif j < i:
                    total = total + self.chain(layer, x)
            outputs.append(total.relu())
        return outputs


def hrnet(state, images):
    """Stem, four bottlenecks, three stages; only the high resolution is read out."""
    net = Tensors(state)
    x = net.norm("bn1", net.conv("conv1", images, 2)).relu()
    x = net.norm("bn2", net.conv("conv2", x, 2)).relu()
    branches = [net.blocks("layer1", x)]
    for stage in (2, 3, 4):
        name = f"transition{stage - 1}"
        last = branches[-1]
        for place in range(stage):
            if place == len(branches):
                layer = f"{name}.{place}.0"
                new = net.norm(f"{layer}.1", net.conv(f"{layer}.0", last, 2)).relu()
                branches.append(new)
            elif net.has(f"{name}.{place}"):
                layer = f"{name}.{place}"
                x = net.conv(f"{layer}.0", branches[place])
                branches[place] = net.norm(f"{layer}.1", x).relu()
        module = 0
        while net.has(f"stage{stage}.{module}"):
            part = f"stage{stage}.{module}"
            branches = [net.blocks(f"{part}.branches.{i}", x) for i, x in enumerate(branches)]
            branches = net.exchange(f"{part}.fuse_layers", branches)
            module += 1
    return net.conv("final_layer", branches[0])


def simplebaseline(state, images):
    """A ResNet, three transposed convolutions, a map for each keypoint."""
    net = Tensors(state)
    x = net.norm("bn1", net.conv("conv1", images, 2)).relu()
    x = F.max_pool2d(x, 3, 2, padding=1)
    for number, stride in enumerate((1, 2, 2, 2), start=1):
        x = net.blocks(f"layer{number}", x, stride)
    for number in (0, 3, 6):
        x = F.conv_transpose2d(x, state[f"deconv_layers.{number}.weight"], stride=2, padding=1)
        x = net.norm(f"deconv_layers.{number + 1}", x).relu()
    return net.conv("final_layer", x)


def published(name):
    """Random weights under the published names, scaled so that signals neither die nor grow."""
    torch.manual_seed(0)
    state = {}
    for key, tensor in build_model(name, 17).state_dict().items():
        if tensor.ndim == 4:
            fan = tensor[0].numel() if "deconv" not in key else tensor[:, 0].numel() / 4
            state[key] = torch.randn(tensor.shape) * (2 / fan) ** 0.5
        elif key.endswith("running_var"):
            state[key] = 0.5 + torch.rand(tensor.shape)
        elif key.endswith("num_batches_tracked"):
            continue  # the published files of some years lack it
        elif key.endswith("weight"):
            state[key] = 0.3 + 0.4 * torch.rand(tensor.shape)
        else:
            state[key] = 0.2 * torch.randn(tensor.shape)
    return state


@functools.cache
def pictures():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, 96, 64), generator=generator, dtype=torch.uint8)


LAYOUTS = {
    "bare": lambda state: state,
    "training file": lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}},
    "MMPose 0.x": lambda state: {"meta": {}, "state_dict": mmpose(state, "keypoint_head")},
    "MMPose 1.x": lambda state: {"meta": {}, "state_dict": mmpose(state, "head")},
}


def mmpose(state, head):
    return {
        f"{head if key.startswith(('final_layer', 'deconv_layers')) else 'backbone'}.{key}": value
        for key, value in state.items()
    }


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("row", "reference"),
    [
        ("hrnet_w32_coco_256x192", hrnet),
        ("simplebaseline_r50_coco_256x192_mmpose1", simplebaseline),
    ],
)
@torch.inference_mode()
def test_a_file_of_every_layout_computes_what_the_paper_says(tmp_path, row, reference, layout):
    state = published(WEIGHTS[row].model)
    torch.save(LAYOUTS[layout](state), tmp_path / "published.pth")
    convert(tmp_path / "published.pth", WEIGHTS[row], tmp_path / "ours.safetensors")
    model = build_model(WEIGHTS[row].model, 17).eval()
    load_strict(model, load_weights(tmp_path / "ours.safetensors"), "ours")
    ours = model(pictures())
    expected = reference(state, (pictures() / 255 - MEAN) / STD)
    assert expected.std() > 1e-2
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()
