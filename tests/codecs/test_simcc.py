"""SimCC against slow wordings of it, its mirror, and the head that makes its vectors."""

import math

import numpy as np
import pytest
import torch

from pose.build import model_of
from pose.build_training import loss_of
from pose.codecs import build_codec
from pose.config import load_config
from pose.inference.predict import predict_keypoints
from pose.models.weights import init_from
from pose.skeleton import COCO_17

CODEC = build_codec("simcc", (96, 128), 6.0, 4)
COLUMNS, ROWS = 192, 256
PAIRS = torch.tensor([0, 2, 1])


def random_points(people=4, seed=0, beyond=0.0):
    size = np.array([96, 128])
    points = np.random.default_rng(seed).uniform(-beyond, size + beyond, (people, 3, 2))
    return torch.from_numpy(points.astype(np.float32))


def encode(points):
    return CODEC.encode(points, torch.ones(points.shape[:2]).bool())


def softmax(values):
    e = np.exp(values - values.max())
    return e / e.sum()


def test_targets_are_gaussians_of_probability_at_the_exact_place():
    points = random_points(people=2)
    targets = encode(points)[0].double().numpy()
    assert targets.shape == (2, 3, COLUMNS + ROWS)
    for i, k in np.ndindex(2, 3):
        for axis, part in enumerate((slice(0, COLUMNS), slice(COLUMNS, None))):
            found = softmax(targets[i, k, part])
            place = float(points[i, k, axis])
            label = [math.exp(-((b / 2 - place) ** 2) / (2 * 3.0**2)) for b in range(len(found))]
            assert np.abs(found - np.array(label) / sum(label)).max() < 1e-6
            if 12 < place < len(found) / 2 - 12:  # the published label, which ignores the border
                published = np.array(label) / (6 * math.sqrt(2 * math.pi))
                assert np.abs(found - published).max() < 1e-5


def test_weights_end_three_sigmas_outside():
    x = torch.tensor([-10.0, -9.5, -9, -0.1, 0, 95.9, 104.9, 105.1])
    _, weights = encode(torch.stack([x, torch.full_like(x, 60.0)], dim=-1)[None])
    assert weights[0].tolist() == [0, 1, 1, 1, 1, 1, 1, 0]


def test_decode_equals_the_slow_wording():
    maps = 3 * np.random.default_rng(1).normal(size=(3, 5, COLUMNS + ROWS))
    points, scores = CODEC.decode(torch.from_numpy(maps))
    for i, k in np.ndindex(3, 5):
        x, y = maps[i, k, :COLUMNS], maps[i, k, COLUMNS:]
        assert points[i, k].tolist() == [x.argmax() / 2, y.argmax() / 2]
        lower = min(softmax(x).max(), softmax(y).max())
        expected = min(lower * 6 * math.sqrt(2 * math.pi), 1)
        assert float(scores[i, k]) == pytest.approx(expected, rel=1e-9)


def test_the_lower_probability_is_the_score():
    targets, _ = encode(torch.full((1, 1, 2), 50.0))
    targets[..., COLUMNS:] = 0  # anywhere along y
    assert float(CODEC.decode(targets)[1]) == pytest.approx(6 * math.sqrt(2 * math.pi) / ROWS)


def test_mirrored_vectors_lie_over_the_crops_own_but_for_the_last_bin():
    """x -> W-1-x, on any pixel grid; bin 191 would show pixel -1/2 of the mirrored crop."""
    points = random_points(people=6, seed=2)
    mirrored = (points * torch.tensor([-1.0, 1.0]) + torch.tensor([95.0, 0.0]))[:, PAIRS]
    (own, _), (seen, _) = encode(points), encode(mirrored)
    own, back = own.double(), CODEC.unflip(seen, PAIRS).double()
    assert torch.equal(back[..., COLUMNS - 1], back[..., COLUMNS - 2])
    keep = torch.arange(COLUMNS + ROWS) != COLUMNS - 1
    gap = (back - own)[..., keep].abs() / own[..., keep].abs().clamp(min=1)
    assert gap.max() < 1e-5
    inside = (points[..., 0] > 0.3) & (points[..., 0] < 95)
    decoded = [CODEC.decode(maps)[0] for maps in (own, back)]
    assert (decoded[0] - decoded[1])[inside].abs().max() <= 0.5  # ties of two bins
    average = CODEC.decode((own + back) / 2)[0]
    assert (average - points)[inside].abs().max() <= 0.25 + 1e-4


class Vectors(torch.nn.Module):
    def forward(self, images):
        bins = torch.nn.functional.interpolate(images[:, :, 64].float(), COLUMNS)
        return torch.cat([bins, images[:, :, :, 48].float().repeat_interleave(2, -1)], -1) / 40


def test_the_flip_test_bin_by_bin():
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (2, 3, 128, 96), generator=generator, dtype=torch.uint8)
    model = Vectors()
    plain, flipped = model(images), model(images.flip(-1))
    mean = torch.empty_like(plain)
    for k, other in enumerate(PAIRS.tolist()):
        for b in range(COLUMNS + ROWS):
            seen_at = b if b >= COLUMNS else COLUMNS - 1 - min(b + 1, COLUMNS - 1)
            mean[:, k, b] = (plain[:, k, b] + flipped[:, other, seen_at]) / 2
    points, scores = predict_keypoints(model, CODEC, images, PAIRS)
    assert torch.equal(points, CODEC.decode(mean)[0])
    assert (scores - CODEC.decode(mean)[1]).abs().max() < 1e-6


def simcc_network(*overrides):
    cfg = load_config("synthetic/quickstart", ["codec.name=simcc", "codec.sigma=6", *overrides])
    return cfg, *model_of(cfg, COCO_17)


def test_the_heads_names_are_the_published_ones():
    _, model, codec = simcc_network()
    state = model.state_dict()
    assert list(state)[-6:] == [
        f"{layer}.{kind}"
        for layer in ("final_layer", "mlp_head_x", "mlp_head_y")
        for kind in ("weight", "bias")
    ]
    assert state["mlp_head_x.weight"].shape == (COLUMNS, 24 * 32)
    assert state["mlp_head_y.weight"].shape == (ROWS, 24 * 32)
    assert codec.features == 24 * 32


def test_the_head_is_two_linear_layers_on_each_map():
    _, model, _ = simcc_network()
    maps = torch.rand(2, 17, 32, 24)
    x, y = (model.get_submodule(f"mlp_head_{axis}") for axis in "xy")
    found = y(x(maps))
    for i, k in np.ndindex(2, 17):
        flat = maps[i, k].flatten()
        expected = torch.cat([x.weight @ flat + x.bias, y.weight @ flat + y.bias])
        assert (found[i, k] - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["simplebaseline_r50", "hrnet_w18"])
def test_any_network_can_have_the_head(name):
    with torch.device("meta"):
        _, model, _ = simcc_network(f"model.name={name}")
        maps = model(torch.zeros(2, 3, 128, 96, dtype=torch.uint8))
    assert maps.shape == (2, 17, COLUMNS + ROWS)


def test_a_gradient_reaches_every_parameter_of_the_head():
    cfg, model, codec = simcc_network()
    points = torch.rand(4, 17, 2) * torch.tensor([95.0, 127.0])
    targets, weights = codec.encode(points, torch.ones(4, 17).bool())
    images = torch.randint(0, 256, (4, 3, 128, 96), dtype=torch.uint8)
    loss_of(cfg, codec)(model(images), targets, weights).backward()
    for name, parameter in model.named_parameters():
        if name.startswith(("final_layer", "mlp_head")):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_heatmap_weights_start_its_trunk_and_final_layer():
    _, model, _ = simcc_network()
    fresh = model.get_parameter("mlp_head_x.weight").clone()
    source = model_of(load_config("synthetic/quickstart", ["seed=1"]), COCO_17)[0].state_dict()
    names = COCO_17.keypoints
    assert not init_from(model, source, names, names, "heatmaps.pth").fresh
    for name in ("conv1.weight", "final_layer.weight"):
        assert torch.equal(model.get_parameter(name), source[name])
    assert torch.equal(model.get_parameter("mlp_head_x.weight"), fresh)
    own = model.state_dict()
    again = simcc_network("seed=2")[1]
    init_from(again, own, names, names, "simcc.pth")
    assert torch.equal(again.get_parameter("mlp_head_y.bias"), own["mlp_head_y.bias"])
    assert torch.equal(again.get_parameter("mlp_head_x.weight"), fresh)
