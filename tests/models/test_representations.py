"""V2, V2p and the classification head: counts, names, sizes, and files that fit."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from pose.models.pose_model import build_model, count_gflops, count_parameters
from pose.models.variants import (
    hrnet_classifier,
    hrnet_v2,
    hrnet_v2_landmarks,
    hrnet_v2p,
    load_published,
    start_trunk,
)
from pose.models.weights import init_from, load_strict
from tests.models.test_hrnet import Shapes, published_trunk

CLASSIFIERS = {  # parameters in millions, GFLOPs at 224x224, with the digits of the table
    18: ("21.3", "3.99"),
    30: ("37.7", "7.55"),
    32: ("41.2", "8.31"),
    40: ("57.6", "11.8"),
    44: ("67.1", "13.9"),
    48: ("77.5", "16.1"),
    64: ("128.1", "26.9"),
    "w18_small_v1": ("13.2", "1.49"),
    "w18_small_v2": ("15.6", "2.42"),
}
SMALL = {
    "w18_small_v1": (16, {"bottlenecks": 1, "width": 32, "modules": (1, 1, 1), "blocks": 2}),
    "w18_small_v2": (18, {"bottlenecks": 2, "modules": (1, 3, 2), "blocks": 2}),
}
TINY = "w18_small_v1"


def on_meta(build, *arguments, **options):
    with torch.device("meta"):
        return build(*arguments, **options)


def shapes_of(model) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def rounded(value: float, like: str) -> str:
    return f"{value:.{len(like.partition('.')[2])}f}"


# Names and shapes, written down from the description of the published files


def norm(name: str, channels: int) -> Shapes:
    parts = ("weight", "bias", "running_mean", "running_var")
    shapes: Shapes = {f"{name}.{part}": (channels,) for part in parts}
    return {**shapes, f"{name}.num_batches_tracked": ()}


def biased(name: str, outputs: int, inputs: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}


def v2_names(name: str, channels: int, outputs: int) -> Shapes:
    wide = 15 * channels
    head = biased(f"{name}.0", wide, wide, 1) | norm(f"{name}.1", wide)
    return published_trunk(channels, rows=4) | head | biased(f"{name}.3", outputs, wide, 1)


def v2p_names(channels: int) -> Shapes:
    shapes = published_trunk(channels, rows=4)
    shapes |= biased("reduction_conv.0", 256, 15 * channels, 1)
    for level in range(5):
        shapes |= biased(f"fpn_conv.{level}", 256, 256, 3)
    return shapes


def classifier_names(channels: int, classes: int = 1000, **shape) -> Shapes:
    shapes = published_trunk(channels, rows=4, **shape)
    for i, outputs in enumerate((128, 256, 512, 1024)):
        at, inputs, narrow = f"incre_modules.{i}.0", channels * 2**i, outputs // 4
        sides = {"1": (narrow, inputs, 1), "2": (narrow, narrow, 3), "3": (outputs, narrow, 1)}
        for number, (out, into, kernel) in sides.items():
            shapes[f"{at}.conv{number}.weight"] = (out, into, kernel, kernel)
            shapes |= norm(f"{at}.bn{number}", out)
        shapes[f"{at}.downsample.0.weight"] = (outputs, inputs, 1, 1)
        shapes |= norm(f"{at}.downsample.1", outputs)
    for i, inputs in enumerate((128, 256, 512)):
        at = f"downsamp_modules.{i}"
        shapes |= biased(f"{at}.0", 2 * inputs, inputs, 3) | norm(f"{at}.1", 2 * inputs)
    shapes |= biased("final_layer.0", 2048, 1024, 1) | norm("final_layer.1", 2048)
    return shapes | {"classifier.weight": (classes, 2048), "classifier.bias": (classes,)}


@pytest.mark.parametrize("variant", CLASSIFIERS)
def test_classifiers_are_the_published_ones(variant):
    model = on_meta(hrnet_classifier, variant)
    channels, shape = SMALL.get(variant, (variant, {}))
    assert shapes_of(model) == classifier_names(channels, **shape)
    if variant not in SMALL:
        assert len(model.state_dict()) == 1956
    parameters, gflops = CLASSIFIERS[variant]
    assert rounded(count_parameters(model) / 1e6, parameters) == parameters
    assert rounded(count_gflops(model, (224, 224)), gflops) == gflops


def test_segmentation_is_the_published_one():
    model = on_meta(hrnet_v2, 48, 19)
    assert shapes_of(model) == v2_names("last_layer", 48, 19)
    assert rounded(count_parameters(model) / 1e6, "65.86") == "65.86"
    assert rounded(count_gflops(model, (2048, 1024)), "696.2") == "696.2"


@pytest.mark.parametrize("keypoints", [19, 29, 68, 98])  # AFLW, COFW, 300W, WFLW
def test_landmarks_are_the_published_ones(keypoints):
    model = on_meta(hrnet_v2_landmarks, 18, keypoints)
    assert shapes_of(model) == v2_names("head", 18, keypoints)
    assert 9.64e6 <= count_parameters(model) < 9.665e6
    assert count_gflops(model, (256, 256)) == pytest.approx(4.3, abs=0.08)


@pytest.mark.parametrize("channels", [18, 32, 40, 48])
def test_the_pyramid_is_the_published_one(channels):
    assert shapes_of(on_meta(hrnet_v2p, channels)) == v2p_names(channels)


def test_pose_by_v2_has_the_names_of_the_landmarks():
    for channels in (32, 48):
        model = on_meta(build_model, f"hrnetv2_w{channels}", 17)
        assert shapes_of(model) == v2_names("head", channels, 17)


def test_an_unknown_variant_names_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown HRNet 33; known are 18, .*w18_small_v2"):
        hrnet_classifier(33)


# What they compute


def images(height: int, width: int, device: str = "meta") -> torch.Tensor:
    return torch.zeros(2, 3, height, width, dtype=torch.uint8, device=device)


def test_sizes_of_what_comes_out():
    assert on_meta(hrnet_classifier, 18, 10)(images(96, 64)).shape == (2, 10)
    levels = on_meta(hrnet_v2p, 18)(images(192, 128))
    assert [x.shape for x in levels] == [(2, 256, 192 // s, 128 // s) for s in (4, 8, 16, 32, 64)]
    assert on_meta(hrnet_v2, 18, 5)(images(64, 96)).shape == (2, 5, 16, 24)


@pytest.mark.parametrize("align_corners", [False, True])
def test_segmentation_takes_any_size(align_corners):
    """LIP is trained and tested at 473x473, where no branch is half of the one before."""
    model = on_meta(hrnet_v2, 18, 20, align_corners=align_corners)
    assert model(images(473, 473)).shape == (2, 20, 119, 119)


def test_the_others_refuse_a_size_that_does_not_halve():
    with pytest.raises(ValueError, match="multiples of 32; got 473x473"):
        on_meta(hrnet_classifier, 18)(images(473, 473))


@pytest.mark.parametrize("align_corners", [False, True])
def test_bilinear_exchange_and_head_against_their_definition(align_corners):
    torch.manual_seed(0)
    model = hrnet_v2(18, 3, align_corners=align_corners).eval()
    maps = [torch.randn(1, 18 * 2**b, 16 // 2**b, 8 // 2**b) for b in range(4)]
    exchange = model.get_submodule("stage4.2.fuse_layers")

    def up(x, size):
        return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)

    with torch.no_grad():
        expected = maps[0]
        for j in (1, 2, 3):
            expected = expected + up(exchange[0][j][1](exchange[0][j][0](maps[j])), (16, 8))
        torch.testing.assert_close(exchange(maps)[0], expected.relu())
        concatenated = model.get_submodule("concatenation")(maps)
        torch.testing.assert_close(
            concatenated, torch.cat([maps[0], *(up(x, (16, 8)) for x in maps[1:])], dim=1)
        )


def test_the_classification_head_against_its_definition():
    torch.manual_seed(0)
    model = hrnet_classifier(TINY, 7).eval()
    maps = [torch.randn(2, 16 * 2**b, 8 // 2**b, 8 // 2**b) for b in range(4)]
    part = model.get_submodule
    with torch.no_grad():
        wide = [part(f"incre_modules.{i}")(x) for i, x in enumerate(maps)]
        total = wide[0]
        for i in range(3):
            layer = part(f"downsamp_modules.{i}")
            total = wide[i + 1] + layer[1](layer[0](total)).relu()
        last = part("final_layer")
        features = last[1](last[0](total)).relu().mean((2, 3))
        expected = part("classifier")(features)
        y = maps
        for name in ("incre_modules", "downsamp_modules", "final_layer", "plane_mean"):
            y = part(name)(y)
        torch.testing.assert_close(part("classifier")(y), expected)


def test_a_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    batch = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    model = hrnet_classifier(TINY, 5)
    model(batch).square().mean().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_lines_of_the_page_run():
    page = (Path(__file__).parents[2] / "docs" / "heads.md").read_text(encoding="utf-8")
    build, load = re.findall(r"```python\n(.*?)```", page, re.S)
    names: dict[str, Any] = {}
    with torch.device("meta"):
        exec(build, names)
    assert [x.shape[-1] for x in names["pyramid"](images(256, 256))] == [64, 32, 16, 8, 4]
    exec(load.splitlines()[0], names)


# Files


def random_state(shapes: Shapes) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.tensor(7) if not shape else torch.rand(shape, generator=generator)
        for name, shape in shapes.items()
    }


def same(model, state) -> bool:
    own = model.state_dict()
    return own.keys() <= state.keys() and all(torch.equal(own[n], state[n]) for n in own)


@pytest.fixture(scope="module")
def classifier_state():
    return random_state(classifier_names(32))


def test_an_imagenet_file_loads_whole_and_starts_the_pose_network(classifier_state, caplog):
    caplog.set_level("INFO", logger="pose")
    assert len(classifier_state) == 1956
    classifier = hrnet_classifier(32)
    load_strict(classifier, classifier_state, "imagenet.pth")
    assert same(classifier, classifier_state)

    model = build_model("hrnet_w32", 3)
    report = init_from(model, classifier.state_dict(), tuple("abc"), None, "imagenet.pth")
    assert report.fresh == tuple("abc")
    assert "left out 204 tensors of a classifier" in caplog.text
    trunk = {n: t for n, t in model.state_dict().items() if not n.startswith("final_layer")}
    assert len(trunk) == 1752
    assert all(torch.equal(tensor, classifier_state[name]) for name, tensor in trunk.items())


def test_v2_takes_the_whole_trunk_of_an_imagenet_file(classifier_state, caplog, tmp_path):
    caplog.set_level("INFO", logger="pose")
    model = build_model("hrnetv2_w32", 3)
    init_from(model, classifier_state, tuple("abc"), None, "imagenet.pth")
    assert "left out 126 tensors of a classifier" in caplog.text
    assert torch.equal(
        model.state_dict()["stage4.2.fuse_layers.3.0.2.0.weight"],
        classifier_state["stage4.2.fuse_layers.3.0.2.0.weight"],
    )
    torch.save(classifier_state, tmp_path / "imagenet.pth")
    segmentation = hrnet_v2(32, 4)
    start_trunk(segmentation, tmp_path / "imagenet.pth")
    own = segmentation.state_dict()
    trunk = {n for n in own if not n.startswith("last_layer")}
    assert len(trunk) == 1830
    assert all(torch.equal(own[name], classifier_state[name]) for name in trunk)


def test_pose_by_v2_starts_row_by_row_from_another():
    theirs = build_model("hrnetv2_w32", 2).state_dict()
    model = build_model("hrnetv2_w32", 3)
    report = init_from(model, theirs, tuple("abc"), ("c", "a"), "other.pth")
    assert (report.copied, report.fresh) == (("a", "c"), ("b",))
    rows = model.state_dict()["head.3.weight"]
    assert torch.equal(rows[[2, 0]], theirs["head.3.weight"])


def test_files_of_every_publisher_load(tmp_path):
    layouts = {
        "segmentation": (
            lambda: hrnet_v2(18, 4),
            lambda name: f"model.{name}",
            {"loss.criterion.weight": torch.ones(4)},
        ),
        "landmarks": (lambda: hrnet_v2_landmarks(18, 4), lambda name: f"module.{name}", {}),
        "detection": (
            lambda: hrnet_v2p(18),
            lambda name: ("neck." if name.startswith(("red", "fpn")) else "backbone.") + name,
            {"bbox_head.fc_cls.weight": torch.ones(4), "rpn_head.rpn_conv.bias": torch.ones(1)},
        ),
    }
    for name, (build, renamed, beside) in layouts.items():
        model = build()
        state = random_state(shapes_of(model))
        file = {"state_dict": {renamed(n): t for n, t in state.items()} | beside}
        torch.save(file, tmp_path / f"{name}.pth")
        load_published(model, tmp_path / f"{name}.pth")
        assert same(model, state), name
        file["state_dict"]["extra.weight"] = torch.ones(1)
        torch.save(file, tmp_path / f"{name}.pth")
        with pytest.raises(ValueError, match=r"1 left over \(extra.weight\)"):
            load_published(model, tmp_path / f"{name}.pth")


def test_an_in_place_batch_norm_multiplies_by_the_magnitude(tmp_path):
    model = hrnet_v2(18, 2)
    state = random_state(shapes_of(model))
    state["bn1.weight"] = -state["bn1.weight"]
    torch.save(state, tmp_path / "first_release.pth")
    load_published(model, tmp_path / "first_release.pth", inplace_abn=True)
    own = model.state_dict()
    torch.testing.assert_close(own["bn1.weight"], -state["bn1.weight"] + 1e-5)
    assert torch.equal(own["bn1.bias"], state["bn1.bias"])
    assert torch.equal(own["conv1.weight"], state["conv1.weight"])
